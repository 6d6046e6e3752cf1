//! Histories: how replication went wrong elsewhere, planted here. Each must hold, and must have come by what it is about.

use engraft::core::Promotion;
use engraft::types::{Epoch, NodeId};
use engraft_sim::mark::Mark;
use engraft_sim::scenario::{Fault, FaultKind, LoadAck};
use engraft_sim::{Report, Scenario, Watch, render, run};

use crate::support::load;

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);
const N4: NodeId = NodeId(4);
const N5: NodeId = NodeId(5);

/// When faults begin: the primary has been at work for half a second.
const START: u64 = 600_000;
const SECOND: u64 = 1_000_000;

/// A cluster that elects, n1 first, whose client appends at Quorum, follows the primary, and waits for its tokens.
fn cluster(nodes: u16, seconds: u64, every_us: u64, faults: &[Fault]) -> Scenario {
    let mut scenario = Scenario::quiet("a history", 41, nodes);
    scenario.spaces[0].promotion = Promotion::Automatic;
    scenario.phases.chaos_us = seconds * SECOND;
    let mut client = load(seconds * SECOND / every_us);
    (client.ack, client.burst, client.every_us, client.waits_permille) = (LoadAck::Quorum, 1, every_us, 200);
    scenario.loads.push(client);
    scenario.faults.extend(faults);
    scenario
}

/// A client that stays with `node` and asks at Local, from `at_us` on.
fn stays(mut scenario: Scenario, node: NodeId, at_us: u64) -> Scenario {
    let mut client = load(40);
    (client.to, client.at_us, client.burst, client.every_us) = (Some(node), at_us, 1, 10_000);
    scenario.loads.push(client);
    scenario
}

/// Runs it; every check holds, and each mark was reached.
#[track_caller]
fn holds(scenario: &Scenario, marks: &[Mark]) -> Report {
    let report = run(scenario, Watch { trace: true }).expect("a scenario that can be run");
    let story = || render::story(scenario, &report, render::MILESTONES);
    assert_eq!(report.violation, None, "{}", story());
    for mark in marks {
        assert!(report.marks.count(*mark) > 0, "it never came by {}: {}\n{}", mark.name(), mark.words(), story());
    }
    report
}

/// The same, and nobody took the primary's place.
#[track_caller]
fn keeps_its_primary(scenario: &Scenario, marks: &[Mark]) {
    let report = holds(scenario, marks);
    let epochs: Vec<Epoch> = report.nodes.iter().map(|row| row.epoch).collect();
    let first = Epoch::new(0, 1, N1);
    assert!(epochs.iter().all(|epoch| *epoch == first), "{epochs:?}\n{}", story_of(scenario, &report));
}

fn story_of(scenario: &Scenario, report: &Report) -> String {
    render::story(scenario, report, render::MILESTONES)
}

const fn on(kind: FaultKind, node: NodeId, at_us: u64) -> Fault {
    Fault::new(at_us, kind, node)
}

/// Kafka, KIP-101: a replica that restarted cut its log back to the commit that it knew, and was elected.
#[test]
fn a_replica_that_restarts_keeps_what_it_acknowledged_and_can_be_elected() {
    let faults = [on(FaultKind::Power, N2, START).lasting(20_000), on(FaultKind::Power, N1, START + 60_000)];
    holds(&cluster(3, 5, 5_000, &faults), &[Mark::ReplicaDied, Mark::PrimaryDied, Mark::Elected]);
}

/// Kafka, KIP-279: two primaries died one behind the other, each with a tail of its own, and a replica asked for an epoch
/// that its primary had never seen.
#[test]
fn two_primaries_replaced_one_behind_the_other_leave_one_log() {
    let faults = [
        on(FaultKind::Partition, N1, START).lasting(9 * SECOND),
        on(FaultKind::Partition, N2, START + 3 * SECOND).lasting(6 * SECOND),
        on(FaultKind::Partition, N3, START + 3 * SECOND).lasting(6 * SECOND),
    ];
    let scenario = stays(cluster(5, 11, 10_000, &faults), N1, START);
    let scenario = stays(stays(scenario, N2, START + 3 * SECOND), N3, START + 3 * SECOND);
    let report = holds(&scenario, &[Mark::Elected, Mark::Salvaged, Mark::Truncated, Mark::LossTold]);
    assert!(report.marks.count(Mark::LeaseLost) >= 1, "the first primary stood alone");
}

/// Kafka, KIP-966: the last replica that kept up lost what it had not synced, and one that had been away was elected.
#[test]
fn who_was_away_is_not_elected_over_those_that_hold_what_was_answered() {
    let faults = [
        on(FaultKind::Power, N3, START).lasting(2 * SECOND),
        on(FaultKind::Power, N1, START + 1_900_000).lasting(SECOND),
        on(FaultKind::Power, N2, START + 1_900_000).lasting(SECOND),
    ];
    holds(&cluster(3, 6, 5_000, &faults), &[Mark::PrimaryDied, Mark::ReplicaDied]);
}

/// Redis: a primary without persistence restarted empty, and its replicas copied the emptiness.
#[test]
fn a_primary_that_comes_back_empty_is_refused_and_empties_nobody() {
    let mut scenario = cluster(3, 3, 10_000, &[on(FaultKind::Wipe, N1, START)]);
    scenario.spaces[0].promotion = Promotion::Manual;
    let report = holds(&scenario, &[Mark::PrimaryWiped, Mark::WipedNodeRefused]);
    for row in report.nodes.iter().filter(|row| row.node != N1) {
        assert!(row.end.0 > 40, "{} keeps what it had: {}", row.node, row.end);
    }
}

/// PostgreSQL, 2018: a failed fsync was tried again, the second try said that all was well, and the page was gone.
#[test]
fn a_primary_whose_sync_failed_stops_and_another_takes_over() {
    let faults = [on(FaultKind::SyncFails, N1, START)];
    holds(&cluster(3, 5, 5_000, &faults), &[Mark::SyncFailed, Mark::SpaceStopped, Mark::Elected]);
}

/// Cloudflare, 2020: a switch that was half broken let some nodes hear some others, and elections tied again and again.
#[test]
fn a_switch_that_is_half_broken_still_has_one_primary() {
    let lasting = |fault: Fault| fault.lasting(8 * SECOND);
    let faults = [
        lasting(on(FaultKind::PartitionOneWay, N1, START).with(N2)),
        lasting(on(FaultKind::PartitionOneWay, N1, START).with(N3)),
        lasting(on(FaultKind::Partition, N1, START).with(N4)),
        lasting(on(FaultKind::PartitionOneWay, N2, START).with(N5)),
    ];
    holds(&cluster(5, 10, 20_000, &faults), &[Mark::LeaseLost, Mark::Elected]);
}

/// Links that pass one way only, each for a third of a second, in turns: nobody may be elected for ever again.
#[test]
fn links_that_flap_one_way_end_with_one_log() {
    let flaps = (0..20).map(|n| {
        let (from, to) = [(N1, N2), (N2, N1), (N3, N1), (N1, N3), (N2, N3)][n % 5];
        on(FaultKind::PartitionOneWay, from, START + n as u64 * 250_000).with(to).lasting(333_000)
    });
    let faults: Vec<Fault> = flaps.collect();
    holds(&cluster(3, 7, 10_000, &faults), &[Mark::PartitionHeldBytes]);
}

/// openraft and others: heartbeats of a primary that was replaced kept a node that both heard from its duty; and the
/// other way round, who hears one voter and not the primary must not disturb a primary that a majority follows.
#[test]
fn who_hears_a_voter_and_not_the_primary_disturbs_nobody() {
    let apart = on(FaultKind::Partition, N1, START).with(N3).lasting(9 * SECOND);
    // Between two appends lie three seconds, in which the logs are equal: only that a primary is heard says no.
    let quiet = cluster(3, 11, 3 * SECOND, &[apart]);
    keeps_its_primary(&quiet, &[Mark::PartitionHeldBytes]);
}

/// NuRaft: pre-votes that compared no logs let a node that was behind ask for ever, and all the others answer it.
#[test]
fn who_lags_and_hears_a_voter_disturbs_nobody() {
    let apart = on(FaultKind::Partition, N1, START).with(N3).lasting(5 * SECOND);
    keeps_its_primary(&cluster(3, 7, 10_000, &[apart]), &[Mark::PartitionHeldBytes]);
}

/// A refused batch is contact with the primary all the same: who refuses must not stand.
#[test]
fn who_refuses_batches_hears_its_primary() {
    let loss = on(FaultKind::FrameLoss, N1, START).with(N2).by(300).lasting(6 * SECOND);
    keeps_its_primary(&cluster(3, 8, 5_000, &[loss]), &[Mark::FrameLost, Mark::RefusedGap]);
}

/// A primary that gives its lease up lets its replicas go; they must be able to elect another at once, and it must not take
/// that as a reason to refuse.
#[test]
fn who_was_let_go_elects_another() {
    let faults =
        [on(FaultKind::PartitionOneWay, N2, START).with(N1), on(FaultKind::PartitionOneWay, N3, START).with(N1)];
    let faults = faults.map(|fault| fault.lasting(5 * SECOND));
    holds(&cluster(3, 7, 10_000, &faults), &[Mark::LeaseLost, Mark::Elected]);
}

/// openraft: a primary that restarted found its own vote, and led in the same epoch with a log that had lost its end.
#[test]
fn a_primary_that_restarts_leads_in_a_new_epoch() {
    let report = holds(&cluster(3, 5, 5_000, &[on(FaultKind::Power, N1, START).lasting(5_000)]), &[Mark::PrimaryDied]);
    assert!(report.nodes.iter().all(|row| row.epoch > Epoch::new(0, 1, N1)), "{:?}", report.nodes);
}

/// Patroni: trouble with something that a primary does not need took a healthy primary down.
#[test]
fn troubles_of_a_minority_disturb_nobody() {
    let faults = [
        on(FaultKind::SyncFails, N3, START),
        on(FaultKind::Partition, N2, START + 500_000).with(N3).lasting(3 * SECOND),
        on(FaultKind::Pause, N3, START + SECOND).lasting(2 * SECOND),
    ];
    keeps_its_primary(&cluster(3, 6, 10_000, &faults), &[Mark::SyncFailed, Mark::NodePaused]);
}

/// Two nodes that each believe themselves to be the owner: each is cut off in turn while a client stays with it.
#[test]
fn owners_that_duel_leave_one_log() {
    let faults = [
        on(FaultKind::Partition, N1, START).lasting(2_500_000),
        on(FaultKind::Partition, N2, START + 2_500_000).lasting(2_500_000),
        on(FaultKind::Partition, N1, START + 5 * SECOND).lasting(2_500_000),
    ];
    let scenario = stays(stays(cluster(3, 9, 10_000, &faults), N1, START), N2, START + 2_500_000);
    holds(&scenario, &[Mark::Elected, Mark::LeaseLost, Mark::Salvaged, Mark::LossTold]);
}

/// The clocks of a primary and of a voter jump by an hour.
#[test]
fn clocks_that_jump_an_hour_lose_nothing() {
    let hour = 3_600 * 1_000_000;
    let faults = [
        on(FaultKind::ClockJump, N2, START).by(hour),
        on(FaultKind::ClockJump, N1, START + SECOND).by(hour),
        on(FaultKind::ClockJump, N3, START + 3 * SECOND).by(hour),
    ];
    holds(&cluster(3, 6, 5_000, &faults), &[Mark::ClockJumped]);
}

/// The disk of the primary hangs for five seconds: it gives its lease up, and another takes over meanwhile.
#[test]
fn a_primary_whose_disk_stalls_for_five_seconds_is_replaced() {
    let mut scenario = cluster(3, 9, 10_000, &[on(FaultKind::SlowDisk, N1, START).by(25_000).lasting(5 * SECOND)]);
    scenario.disk.sync_us = 200;
    holds(&scenario, &[Mark::LeaseLost, Mark::Elected]);
}

/// A node is away for so long that it is dialled once a minute at most; then all is healed.
#[test]
fn after_a_minute_without_it_a_node_comes_back_within_seconds() {
    let away = on(FaultKind::Partition, N3, START).lasting(140 * SECOND);
    let mut scenario = cluster(3, 142, SECOND, &[away]);
    scenario.phases.converge_us = 5 * SECOND;
    keeps_its_primary(&scenario, &[Mark::BreakerOpened, Mark::BreakerClosed, Mark::LagCritical]);
}

/// Two of five nodes have disks that are slow, not dead: nobody waits for them, and nobody is replaced.
#[test]
fn two_slow_nodes_of_five_delay_nobody() {
    let slow = |node| on(FaultKind::SlowDisk, node, START).by(1_000).lasting(3 * SECOND);
    let mut scenario = cluster(5, 5, 10_000, &[slow(N4), slow(N5)]);
    scenario.phases.answer_within_us = 20_000;
    keeps_its_primary(&scenario, &[Mark::ReplicaLagging]);
}

/// An ack is on its way when its voter votes for another: the ack still says what is durable, and nothing about the lease.
#[test]
fn an_ack_that_left_before_a_vote_answers_nothing_at_quorum() {
    let faults = [
        on(FaultKind::Delay, N2, START).with(N1).by(700_000).lasting(6 * SECOND),
        on(FaultKind::Partition, N1, START).with(N3).lasting(6 * SECOND),
        on(FaultKind::Partition, N1, START + 2 * SECOND).with(N2).lasting(SECOND),
    ];
    holds(&cluster(3, 9, 10_000, &faults), &[Mark::LeaseLost]);
}

/// The power of a node that saves and truncates fails again and again: at each step it comes back and goes on.
#[test]
fn a_truncation_that_is_interrupted_at_any_step_goes_on() {
    let mut truncated = 0;
    // From the healing on, through the salvage, the cut and the first entries behind it.
    for step in 0..40 {
        let cut = on(FaultKind::Partition, N1, START).lasting(3 * SECOND);
        let power = on(FaultKind::Power, N1, START + 3 * SECOND + step * 5_000).lasting(3_000);
        let mut scenario = stays(cluster(3, 5, 20_000, &[cut, power]), N1, START);
        scenario.disk.sync_us = 10_000;
        truncated += holds(&scenario, &[Mark::Elected]).marks.count(Mark::Truncated);
    }
    assert!(truncated >= 40, "each truncates in the end: {truncated}");
}

/// openraft 2091, etcd 10563: who was removed had the newest log and stood for ever, or its removal from two nodes ended
/// them. Here n2 goes on as the only voter, and n1, which has more, neither wins nor keeps n2 from its work.
#[test]
fn who_was_voted_out_with_the_newest_log_does_not_lead_and_votes_again() {
    let apart = on(FaultKind::Partition, N1, START).lasting(4 * SECOND);
    let dies = on(FaultKind::Crash, N1, 2 * SECOND).lasting(3 * SECOND);
    let mut scenario = cluster(2, 9, 20_000, &[apart, dies, on(FaultKind::Force, N2, 4 * SECOND).by(0)]);
    let mut client = load(40);
    (client.to, client.at_us, client.burst, client.every_us) = (Some(N1), START, 1, 20_000);
    scenario.loads.push(client);
    let report =
        holds(&scenario, &[Mark::LineageBegan, Mark::Salvaged, Mark::Truncated, Mark::VoterBack, Mark::LossTold]);
    let epochs: Vec<Epoch> = report.nodes.iter().map(|row| row.epoch).collect();
    assert!(epochs.iter().all(|epoch| epoch.owner() == N2 && epoch.generation() == 1), "{epochs:?}");
}

//! Each check fires where the system is broken on purpose: a check that nobody saw fire proves nothing.

use core::time::Duration;

use engraft::types::NodeId;
use engraft_sim::minimise::minimise;
use engraft_sim::scenario::{Fault, FaultKind, LoadAck, Planted, PlantedKind};
use engraft_sim::{Invariant, Scenario, Watch, run};

use crate::support::load;

/// The first of some seeds at which the bug shows, and what it breaks.
fn found(kind: PlantedKind, drawn: fn(u64) -> Scenario, seeds: u64) -> Option<(Invariant, Scenario)> {
    (0..seeds).find_map(|seed| {
        let mut scenario = drawn(seed);
        scenario.planted = scenario.node_ids().map(|node| Planted { kind, node }).collect();
        let report = run(&scenario, Watch::default()).expect("a scenario that can be run");
        report.violation.map(|violation| (violation.invariant, scenario))
    })
}

fn fires(kind: PlantedKind, drawn: fn(u64) -> Scenario, expected: &[Invariant]) {
    let (invariant, _) = found(kind, drawn, 200).unwrap_or_else(|| panic!("{kind:?} is found by none of 200 seeds"));
    assert!(expected.contains(&invariant), "{kind:?} breaks {invariant:?}, expected {expected:?}");
}

macro_rules! planted {
    ($($name:ident: $kind:ident breaks $($invariant:ident)+;)*) => {
        $(#[test]
        fn $name() {
            fires(PlantedKind::$kind, Scenario::swarm, &[$(Invariant::$invariant),+]);
        })*
    };
}

planted! {
    ack_before_sync_breaks_s5: AckBeforeSync breaks S5;
    ack_for_more_than_is_durable_breaks_s5: AckTooFar breaks S5;
    hidden_sync_failure_breaks_s5_or_s7: SyncFailureHidden breaks S5 S7;
    other_payload_breaks_s4: OtherPayload breaks S4;
    foreign_epoch_breaks_s3: ForeignEpoch breaks S3;
    foreign_primary_breaks_s1: ForeignPrimary breaks S1;
    commit_too_high_breaks_s7_or_s10: CommitTooHigh breaks S7 S10;
    commit_that_goes_back_breaks_s7: CommitGoesBack breaks S7;
    uncommitted_read_breaks_s7: ReadUncommitted breaks S7;
    forgotten_promise_breaks_s2: ForgottenPromise breaks S2;
    lost_end_breaks_s5_or_s20: LostEnd breaks S5 S20 S4 S8;
    early_answer_breaks_s6: AnswerTooEarly breaks S6;
    believed_corruption_breaks_s18: CorruptFrameBelieved breaks S18;
    duplicate_breaks_s28: DuplicateApply breaks S28;
    believed_stale_completion_breaks_s26: StaleBelieved breaks S26;
    forgotten_timer_breaks_liveness: ForgottenTimer breaks L1 L2 L3 L6 L8;
    forgotten_reply_breaks_l8: ForgottenReply breaks L8 L2;
    old_incarnation_breaks_s19: OldIncarnation breaks S19;
    ignored_recovering_breaks_s19: RecoveringIgnored breaks S19;
    ignored_boots_break_s19: BootIgnored breaks S19;
    recovering_too_early_breaks_s19: RecoversTooEarly breaks S19;
    forgotten_peers_break_s19: ForgottenPeers breaks S19;
    ignored_limit_breaks_s11: LimitIgnored breaks S11;
    primary_that_names_itself_alone_breaks_s17: NamedAlone breaks S17;
    lag_on_another_clock_breaks_lag: LagOnOtherClock breaks Lag;
    untold_health_breaks_status: HealthUntold breaks Status;
}

/// Few scenarios of the swarm have a forced start and an epoch behind it.
#[test]
fn forgotten_lineage_breaks_s29() {
    fires(PlantedKind::LineageForgotten, Scenario::elections, &[Invariant::S29]);
}

/// What a bug on every node breaks in a scenario that holds without it.
fn breaks(mut scenario: Scenario, kind: PlantedKind) -> Option<Invariant> {
    let holds = run(&scenario, Watch::default()).expect("a scenario that can be run");
    assert_eq!(holds.violation, None, "it holds without the bug");
    scenario.planted = scenario.node_ids().map(|node| Planted { kind, node }).collect();
    let report = run(&scenario, Watch::default()).expect("a scenario that can be run");
    report.violation.map(|violation| violation.invariant)
}

/// A committed scenario, which holds without the bug.
fn committed(name: &str) -> Scenario {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name);
    Scenario::parse(&std::fs::read_to_string(path).expect("readable")).expect("a scenario")
}

#[test]
fn each_rule_about_lost_memory_is_needed_in_a_committed_scenario() {
    for (name, kind) in [
        ("recovering_voter.toml", PlantedKind::RecoveringIgnored),
        ("recovering_voter.toml", PlantedKind::BootIgnored),
        ("recovering_voter.toml", PlantedKind::RecoversTooEarly),
        ("wiped_node_meets_a_restarted_peer.toml", PlantedKind::ForgottenPeers),
    ] {
        assert_eq!(breaks(committed(name), kind), Some(Invariant::S19), "{kind:?}");
    }
}

#[test]
fn truncated_end_breaks_s8() {
    let mut scenario = Scenario::quiet("a log is cut while its node runs", 1, 1);
    scenario.loads.push(load(300));
    assert_eq!(breaks(scenario, PlantedKind::EndTruncated), Some(Invariant::S8));
}

#[test]
fn acks_that_name_too_little_break_l6() {
    let mut scenario = Scenario::quiet("the last entry is never acknowledged", 2, 3);
    scenario.phases.converge_us = 2_000_000;
    scenario.loads.push(load(30));
    assert_eq!(breaks(scenario, PlantedKind::AckTooLittle), Some(Invariant::L6));
}

#[test]
fn acks_that_name_too_little_break_l2_in_a_healed_quorum() {
    let mut scenario = Scenario::quiet("the last entry is never acknowledged", 3, 3);
    scenario.phases.quorum_us = 2_000_000;
    assert_eq!(breaks(scenario, PlantedKind::AckTooLittle), Some(Invariant::L2));
}

#[test]
fn room_that_is_not_there_breaks_s23() {
    let mut scenario = Scenario::quiet("a narrow link", 4, 2);
    scenario.network.socket_bytes = 4_096;
    scenario.faults.push(Fault::new(50_000, FaultKind::SlowLink, NodeId(1)).by(20_000).lasting(900_000));
    let mut large = load(4_000);
    (large.bytes_min, large.bytes_max, large.burst) = (1_000, 1_000, 100);
    scenario.loads.push(large);
    assert_eq!(breaks(scenario, PlantedKind::DrainedTooEarly), Some(Invariant::S23));
}

/// A space stops on a replica for two and a half minutes, and its primary's breaker opens for longer and longer.
#[test]
fn timer_that_dies_with_a_breaker_breaks_l7() {
    let mut scenario = Scenario::quiet("a replica that refuses for minutes", 5, 3);
    scenario.phases.chaos_us = 150_000_000;
    scenario.loads.push(load(300));
    scenario.faults.push(Fault::new(110_000, FaultKind::SyncFails, NodeId(2)));
    assert_eq!(breaks(scenario, PlantedKind::TimerDiesWithBreaker), Some(Invariant::L7));
}

/// One replica is slow in each of several ways; the other two keep up.
#[test]
fn waiting_for_the_slowest_breaks_l5() {
    let slow = |kind| Fault::new(90_000, kind, NodeId(3)).lasting(2_000_000);
    for (seed, fault) in [
        (6, slow(FaultKind::SlowDisk).by(1_000)),
        (7, slow(FaultKind::Delay).with(NodeId(1)).by(300_000)),
        (8, slow(FaultKind::Pause)),
        (9, slow(FaultKind::Partition)),
        (10, slow(FaultKind::Power)),
    ] {
        let mut scenario = Scenario::quiet("one replica is slow", seed, 3);
        scenario.phases.chaos_us = 2_500_000;
        scenario.phases.answer_within_us = 20_000;
        let mut quorum = load(1_000);
        quorum.ack = LoadAck::Quorum;
        scenario.loads.push(quorum);
        scenario.faults.push(fault);
        assert_eq!(breaks(scenario, PlantedKind::AllForQuorum), Some(Invariant::L5), "{fault:?}");
    }
}

#[test]
fn sixty_faults_are_minimised_to_a_handful() {
    let mut scenario = Scenario::swarm(7);
    // Faults of other seeds that fit into this cluster, up to sixty.
    for seed in 0_u64.. {
        let nodes = scenario.nodes;
        let fits = |node: engraft::types::NodeId| node.0 <= nodes;
        let more = Scenario::swarm(seed).faults;
        scenario.faults.extend(more.into_iter().filter(|fault| fits(fault.node) && fault.peer.is_none_or(fits)));
        if scenario.faults.len() >= 60 {
            break;
        }
    }
    scenario.faults.truncate(60);
    scenario.planted = scenario.node_ids().map(|node| Planted { kind: PlantedKind::ForgottenPromise, node }).collect();
    // Far more than it takes: a busy machine is to change nothing about what comes out.
    let small = minimise(&scenario, Duration::from_secs(600)).expect("a promise is forgotten");
    assert_eq!(small.violation.invariant, Invariant::S2, "the same invariant is broken");
    assert!(small.scenario.faults.len() <= 5, "{}", small.scenario.to_text());
    let again = Scenario::parse(&small.scenario.to_text()).expect("it is a scenario");
    let report = run(&again, Watch::default()).expect("it can be run");
    assert_eq!(report.violation, Some(small.violation), "the file replays it");
}

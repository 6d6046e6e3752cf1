//! Replicas that are behind, come back, or hold another log.

use ::core::time::Duration;

use bytes::Bytes;
use engraft::core::{Ack, Command, Event, Outcome, ReplicaStatus};
use engraft::types::{Control, Entry, Epoch, WalEntryType};

use super::rig::{N1, N2, N3, Rig, space};

#[test]
fn paused_replica_gets_everything_after_it_is_resumed() {
    let mut rig = Rig::settled();
    for _ in 0..1_000 {
        rig.append(N1, Ack::Local, b"first");
    }
    rig.settle();
    rig.event(N1, Event::Command(Command::PauseReplica { space: space(), replica: N2 }));
    for _ in 0..1_000 {
        rig.append(N1, Ack::Local, b"second");
    }
    rig.settle();
    assert_eq!(rig.nodes[&N2].log.len(), 1_001);
    assert_eq!(rig.nodes[&N3].log.len(), 2_001);
    rig.event(N1, Event::Command(Command::ResumeReplica { space: space(), replica: N2 }));
    rig.settle();
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
}

#[test]
fn replica_that_was_away_is_served_from_the_log() {
    // The smallest tail, so that nothing of what the replica missed is in memory.
    let mut rig = Rig::new(|config| {
        config.batch_bytes = 4 << 10;
        config.tail_bytes = 4 << 10;
        config.batch_entries = 7;
    });
    rig.run(Duration::from_millis(300));
    let (log, promise) = rig.kill(N2);
    for _ in 0..500 {
        rig.append(N1, Ack::Quorum, b"while it is away");
    }
    rig.run(Duration::from_millis(500));
    rig.start(N2, log, promise);
    rig.run(Duration::from_secs(2));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
    assert_eq!(rig.nodes[&N2].log.len(), 501);
    let largest = rig.sent.iter().filter(|(_, line)| line.starts_with("Batch")).count();
    assert!(largest > 500 / 7, "batches of at most 7 entries");
}

#[test]
fn empty_replica_gets_the_whole_log() {
    let mut rig = Rig::settled();
    for _ in 0..300 {
        rig.append(N1, Ack::Local, b"x");
    }
    rig.settle();
    rig.kill(N3);
    rig.start(N3, Vec::new(), Epoch::ZERO);
    rig.run(Duration::from_secs(2));
    assert_eq!(rig.nodes[&N3].log, rig.nodes[&N1].log);
}

#[test]
fn restarted_primary_opens_a_higher_epoch_and_keeps_the_log() {
    let mut rig = Rig::settled();
    for _ in 0..10 {
        rig.append(N1, Ack::All, b"x");
    }
    rig.settle();
    let (log, promise) = rig.kill(N1);
    rig.start(N1, log, promise);
    rig.run(Duration::from_secs(2));
    assert_eq!(rig.status(N1).epoch, Epoch::new(0, 2, N1));
    let request = rig.append(N1, Ack::All, b"y");
    rig.settle();
    assert!(matches!(rig.reply(N1, request), Some(Outcome::Appended { .. })));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
    assert_eq!(rig.status(N2).promise, Epoch::new(0, 2, N1));
}

#[test]
fn replica_with_another_entry_saves_it_and_goes_on() {
    let mut rig = Rig::settled();
    rig.append(N1, Ack::All, b"common");
    rig.settle();
    let (mut log, promise) = rig.kill(N2);
    let end = log.last().expect("entries").position();
    let stray = Epoch::new(0, 1, N3);
    log.push(Entry::following(
        &end,
        stray,
        WalEntryType::EpisodeStore,
        Control::user(),
        0,
        Bytes::from_static(b"another"),
    ));
    rig.append(N1, Ack::Quorum, b"ours");
    rig.settle();
    rig.start(N2, log.clone(), promise.max(stray));
    rig.run(Duration::from_secs(5));
    assert_eq!(rig.salvage[&N2], log[2..], "what is not in the primary's log is kept elsewhere");
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
    assert_eq!(rig.status(N1).commit, rig.status(N1).end);
}

#[test]
fn gap_is_filled_from_where_the_replica_stands() {
    let mut rig = Rig::settled();
    let refusals = rig.sent(N2, "Refusal");
    // One batch is lost on its way, the link stays.
    rig.cut.push(N2);
    rig.append(N1, Ack::Local, b"lost");
    rig.settle();
    rig.cut.clear();
    rig.append(N1, Ack::Local, b"arrives");
    rig.run(Duration::from_millis(50));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
    assert_eq!(rig.sent(N2, "Refusal") - refusals, 1);
}

#[test]
fn lost_batch_with_nothing_behind_it_is_sent_again() {
    let mut rig = Rig::settled();
    rig.cut.push(N2);
    rig.append(N1, Ack::Local, b"lost");
    rig.settle();
    rig.cut.clear();
    rig.run(Duration::from_millis(900));
    assert_eq!(rig.nodes[&N2].log.len(), 1);
    rig.run(Duration::from_millis(300));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
}

#[test]
fn lag_rises_through_the_statuses_and_improves_after_a_second() {
    let mut rig = Rig::settled();
    let view = |rig: &Rig| {
        let status = rig.status(N1);
        status.replicas.into_iter().find(|view| view.node == N2).expect("a replica")
    };
    rig.run(Duration::from_secs(2));
    assert_eq!(view(&rig).status, ReplicaStatus::Healthy);
    rig.nodes.get_mut(&N2).expect("runs").disk_stalls = true;
    rig.append(N1, Ack::Local, b"x");
    rig.run(Duration::from_millis(900));
    assert_eq!(view(&rig).status, ReplicaStatus::Lagging);
    assert_eq!(view(&rig).lag.entries, 1);
    assert_eq!(view(&rig).lag.bytes, 65);
    assert_eq!(view(&rig).lag.ms, 900);
    rig.run(Duration::from_millis(200));
    assert_eq!(view(&rig).status, ReplicaStatus::Degraded);
    rig.run(Duration::from_secs(4));
    let alerts: Vec<String> = rig.notices(N1).into_iter().filter(|line| line.contains("lag ")).collect();
    assert!(alerts.iter().any(|line| line.contains("lag alert 1000 ms")), "{alerts:?}");
    assert!(alerts.iter().any(|line| line.contains("lag critical 5000 ms")), "{alerts:?}");
    rig.nodes.get_mut(&N2).expect("runs").disk_stalls = false;
    rig.run(Duration::from_millis(900));
    assert_eq!(view(&rig).status, ReplicaStatus::Degraded, "it improves after a second only");
    rig.run(Duration::from_millis(200));
    assert_eq!(view(&rig).status, ReplicaStatus::Healthy);
}

#[test]
fn idle_pipe_ships_at_once_and_a_busy_one_fills_its_batch() {
    let mut rig = Rig::settled();
    rig.run(Duration::from_secs(1));
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    let before = rig.sent(N1, "Batch");
    rig.append(N1, Ack::Local, b"first");
    rig.settle();
    assert_eq!(rig.sent(N1, "Batch") - before, 2, "one to each replica, without waiting");
    for _ in 0..20 {
        rig.append(N1, Ack::Local, b"more");
        rig.settle();
    }
    assert_eq!(rig.sent(N1, "Batch") - before, 2, "the pipe is busy: the batch fills");
    rig.run(Duration::from_millis(11));
    assert_eq!(rig.sent(N1, "Batch") - before, 4, "after 10 ms it leaves as it is");
    assert_eq!(rig.status(N1).replicas[0].batches_sent, rig.status(N1).replicas[1].batches_sent);
}

#[test]
fn windows_bound_what_is_under_way() {
    let mut rig = Rig::new(|config| {
        config.batch_entries = 10;
        config.window_batches = 3;
    });
    rig.run(Duration::from_millis(300));
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    let before = rig.sent(N1, "Batch");
    for _ in 0..500 {
        rig.append(N1, Ack::Local, b"x");
    }
    rig.run(Duration::from_millis(100));
    assert_eq!(rig.sent(N1, "Batch") - before, 2 * 3);
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = false;
    }
    rig.run(Duration::from_millis(500));
    assert_eq!(rig.nodes[&N3].log, rig.nodes[&N1].log);
}

#[test]
fn space_that_waits_for_room_on_a_link_is_served_each_time() {
    let mut rig = Rig::new(|config| config.link_bulk_bytes = 1 << 10);
    rig.run(Duration::from_millis(300));
    rig.slow_links = true;
    for entries in 3..6 {
        // The first fills the link and is acknowledged; the second waits with nothing under way.
        for _ in 0..2 {
            rig.append(N1, Ack::Local, &[7; 2_000]);
            rig.settle();
        }
        assert_eq!(rig.nodes[&N2].log.len(), 2 * entries - 4, "the link had room though nothing had left it");
        rig.slow_links = false;
        rig.run(Duration::ZERO);
        while let Some((node, link, bytes)) = rig.drains.pop_front() {
            rig.event(node, Event::LinkDrained { link, bytes });
        }
        rig.settle();
        assert_eq!(rig.nodes[&N2].log.len(), 2 * entries - 3);
        rig.slow_links = true;
    }
}

#[test]
fn appends_of_an_epoch_that_was_outbid_are_unknown_and_the_next_epoch_keeps_them() {
    let mut rig = Rig::settled();
    rig.nodes.get_mut(&N3).expect("runs").disk_stalls = true;
    let request = rig.append(N1, Ack::All, b"x");
    rig.settle();
    // The replica promised another node's epoch while this primary was not looking.
    let (log, _) = rig.kill(N2);
    rig.start(N2, log, Epoch::new(0, 8, N3));
    rig.run(Duration::from_secs(3));
    assert!(
        matches!(rig.reply(N1, request), Some(Outcome::Unknown { token, .. }) if token.epoch == Epoch::new(0, 1, N1))
    );
    assert_eq!(rig.status(N1).epoch, Epoch::new(0, 9, N1));
    rig.nodes.get_mut(&N3).expect("runs").disk_stalls = false;
    rig.run(Duration::from_secs(2));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
    assert_eq!(rig.nodes[&N3].log, rig.nodes[&N1].log);
    assert_eq!(rig.status(N1).commit, rig.status(N1).end);
}

//! What a node believes of disks and peers, and what it does not.

use ::core::time::Duration;

use bytes::Bytes;
use engraft::core::{Ack, Action, ENTRIES_AT_ONCE, Event, Outcome, Role};
use engraft::types::message::{Message, ReplicationAck, ReplicationBatch, ReplicationBatchHeader, SpaceEpoch};
use engraft::types::{Control, Entry, Epoch, Position, ReadId, Sequence, Time, WalEntryType, WriteId};

use super::rig::{N1, N2, N3, Rig, space};

/// A batch as n1 would send it, in this epoch, of one entry or none.
pub(super) fn batch(epoch: Epoch, previous: Position, entry: Option<Entry>) -> Message {
    let header = ReplicationBatchHeader {
        space: space(),
        epoch,
        lineage: Epoch::ZERO,
        previous,
        commit: Sequence::ZERO,
        sent: Time(1_000_000),
    };
    Message::Batch(ReplicationBatch { header, entries: entry.into_iter().collect() })
}

fn entry_after(previous: &Position, epoch: Epoch) -> Entry {
    let payload = Bytes::from_static(b"another");
    Entry::following(previous, epoch, WalEntryType::EpisodeStore, Control::user(), 0, payload)
}

fn votes_saved(epoch: Epoch) -> Event {
    Event::VotesSaved { votes: vec![SpaceEpoch { space: space(), epoch }] }
}

/// Three nodes with entries 1 to 10 of the first epoch, all synced.
fn ten() -> Rig {
    let mut rig = Rig::settled();
    for _ in 0..9 {
        rig.append(N1, Ack::All, b"x");
    }
    rig.run(Duration::from_millis(300));
    assert_eq!(rig.nodes[&N2].durable, 10);
    rig
}

#[test]
fn entry_of_the_same_epoch_and_sequence_with_another_chain_is_no_duplicate() {
    let mut rig = ten();
    let (before, log) = (rig.nodes[&N2].log[4].position(), rig.nodes[&N2].log.clone());
    let other = entry_after(&before, rig.nodes[&N2].log[5].header.epoch());
    rig.inject(N2, N1, &batch(Epoch::new(0, 1, N1), before, Some(other)));
    assert_eq!(rig.status(N2).role, Role::Stopped);
    assert!(rig.status(N2).stopped.expect("it says why").contains("another entry at #6"));
    rig.settle();
    assert_eq!(rig.nodes[&N2].log, log);
}

#[test]
fn entry_that_does_not_continue_the_chain_closes_the_link_and_changes_nothing() {
    let mut rig = ten();
    let end = rig.nodes[&N2].log[9].position();
    let stray = entry_after(&Position { chain: !end.chain, ..end }, end.epoch);
    rig.inject(N2, N1, &batch(end.epoch, end, Some(stray)));
    assert!(rig.notices(N2).iter().any(|line| line.contains("entries that continue the chain")));
    rig.run(Duration::from_secs(1));
    assert_eq!((rig.status(N2).role, rig.nodes[&N2].log.len()), (Role::Replica, 10));
}

#[test]
fn durable_is_acknowledged_as_far_as_the_logs_are_known_to_agree() {
    let mut rig = ten();
    let third = rig.nodes[&N2].log[2].position();
    rig.inject(N2, N1, &batch(Epoch::new(0, 2, N1), third, None));
    while rig.disk_step(N2) {}
    let acks: Vec<&String> =
        rig.sent.iter().filter(|(node, line)| *node == N2 && line.starts_with("Ack")).map(|(_, line)| line).collect();
    let last = acks.last().expect("an ack");
    assert!(last.contains("e2n1 durable #3 "), "n2 has 10 entries, n1's new log is known to agree up to 3: {last}");
}

#[test]
fn stale_completions_change_nothing() {
    let mut rig = ten();
    for node in [N1, N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    let request = rig.append(N1, Ack::Local, b"waits for the disk");
    let (epoch, other) = (Epoch::new(0, 1, N1), Epoch::new(0, 1, N2));
    let appended = |write, epoch, sequence| Event::WalAppended {
        space: space(),
        write: WriteId(write),
        epoch,
        sequence: Sequence(sequence),
    };
    let (space, digest) = (space(), rig.nodes[&N1].core.state_digest());
    let written = rig.nodes[&N1].disk.iter().find_map(|action| match action {
        Action::WalAppend { write, .. } => Some(write.0),
        _ => None,
    });
    let write = written.expect("a write is under way");
    for event in [
        appended(write - 1, epoch, 10),
        appended(write, epoch, 10),
        appended(write, other, 11),
        appended(write + 1, epoch, 11),
        votes_saved(Epoch::ZERO),
        votes_saved(Epoch::new(0, 9, N1)),
        Event::WalRead { space, read: ReadId(1_001), entries: Vec::new() },
        Event::WalRead { space, read: ReadId(1_000), entries: Vec::new() },
    ] {
        let line = event.to_string();
        rig.event(N1, event);
        assert_eq!(rig.nodes[&N1].core.state_digest(), digest, "{line}");
    }
    assert_eq!(rig.reply(N1, request), None);
}

#[test]
fn ack_and_first_entry_wait_for_the_promise_that_is_newest() {
    let mut rig = ten();
    for node in [N2, N1] {
        let (log, _) = rig.kill(node);
        rig.settle();
        rig.start(node, log, Epoch::ZERO);
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    rig.event(N1, votes_saved(Epoch::new(0, 1, N1)));
    assert_eq!(rig.status(N1).role, Role::Candidate, "an older promise was saved, not the one of the new epoch");
    assert_eq!(rig.status(N1).end, Sequence(10));
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    let before = rig.sent(N2, "Ack");
    rig.run(Duration::from_millis(500));
    assert_eq!(rig.status(N2).promise, Epoch::new(0, 2, N1));
    rig.event(N2, votes_saved(Epoch::new(0, 1, N1)));
    let at = rig.nodes[&N2].log[9].position();
    rig.inject(N2, N1, &batch(Epoch::new(0, 2, N1), at, None));
    assert_eq!(rig.sent(N2, "Ack"), before, "acknowledged before the promise is saved");
    rig.nodes.get_mut(&N2).expect("runs").disk_stalls = false;
    rig.run(Duration::from_millis(500));
    assert!(rig.sent(N2, "Ack") > before);
    assert_eq!(rig.nodes[&N2].durable, 11);
}

#[test]
fn entry_of_an_earlier_epoch_commits_only_through_one_of_the_present() {
    // One entry in a batch, so that the replicas acknowledge the older entry before the epoch's first.
    let mut rig = Rig::new(|config| config.batch_entries = 1);
    rig.run(Duration::from_millis(300));
    rig.cut.extend([N2, N3]);
    rig.append(N1, Ack::Local, b"not committed");
    rig.settle();
    let (log, promise) = rig.kill(N1);
    rig.settle();
    rig.cut.clear();
    rig.start(N1, log, promise);
    // The checks look at each commit that is told.
    rig.run(Duration::from_secs(2));
    let told: Vec<String> = rig.notices(N1).into_iter().filter(|line| line.contains("committed")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(rig.status(N3).commit, Sequence(3));
}

#[test]
fn small_writes_are_handed_over_at_once_up_to_the_bound_and_what_comes_then_is_one_write() {
    let mut rig = ten();
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    let sizes = |rig: &Rig| -> Vec<usize> {
        let entries = |action: &Action| if let Action::WalAppend { entries, .. } = action { entries.len() } else { 0 };
        rig.nodes[&N1].disk.iter().map(entries).collect()
    };
    for _ in 0..3 * ENTRIES_AT_ONCE {
        rig.append(N1, Ack::Local, b"small");
        rig.check_logs();
    }
    let bound = usize::try_from(ENTRIES_AT_ONCE).expect("small");
    assert_eq!(sizes(&rig), vec![1; bound]);
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    // Each small write is written and synced; the second completion makes room for one of all that came meanwhile.
    while sizes(&rig).iter().all(|&size| size == 1) {
        assert!(rig.disk_step(N1), "the disk has nothing left");
        rig.check_logs();
    }
    assert_eq!(sizes(&rig).last(), Some(&(2 * bound)), "{:?}", sizes(&rig));
}

#[test]
fn bytes_under_way_are_bounded_as_well() {
    let mut rig = Rig::new(|config| {
        config.batch_bytes = 4 << 10;
        config.window_bytes = 8 << 10;
    });
    rig.run(Duration::from_millis(300));
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    let before = rig.sent(N1, "Batch");
    let requests: Vec<_> = (0..50).map(|_| rig.append(N1, Ack::All, &[7; 2_000])).collect();
    rig.run(Duration::from_millis(100));
    // One entry goes at once, then one entry at a time, as two do not fit into a batch.
    let sent = rig.sent(N1, "Batch") - before;
    assert!(
        (2 * 3..=2 * 5).contains(&sent),
        "{sent} batches of 2 KiB are under way to two replicas, 8 KiB each may be"
    );
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = false;
    }
    rig.run(Duration::from_millis(500));
    for request in requests {
        assert!(matches!(rig.reply(N1, request), Some(Outcome::Appended { .. })));
    }
}

#[test]
fn ack_of_another_epoch_counts_for_nothing() {
    let mut rig = ten();
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    let request = rig.append(N1, Ack::Quorum, b"on one node only");
    rig.settle();
    let (durable, epoch) = (Sequence(11), Epoch::new(0, 0, N1));
    let ack = ReplicationAck {
        space: space(),
        epoch,
        durable,
        applied: durable,
        commit: durable,
        echo: Time(1_000_000),
        recovering: false,
    };
    rig.inject(N1, N2, &Message::Ack(ack));
    assert_eq!((rig.reply(N1, request), rig.status(N1).commit), (None, Sequence(10)));
}

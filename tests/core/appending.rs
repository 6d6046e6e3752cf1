//! Appends, acks, commit, and the answers at each level.

use ::core::time::Duration;

use engraft::core::{
    Ack, AppendError, Event, Outcome, Role, StorageError, StorageErrorKind, StorageOperation, TokenState,
};
use engraft::types::{Epoch, RequestId, Sequence, Token};

use super::rig::{N1, N2, N3, Rig, space};

fn appended(outcome: Option<&Outcome>) -> Sequence {
    match outcome {
        Some(Outcome::Appended { token }) => token.sequence,
        other => panic!("expected an answer, found {other:?}"),
    }
}

#[test]
fn primary_opens_an_epoch_of_its_own() {
    let rig = Rig::settled();
    let status = rig.status(N1);
    assert_eq!(status.role, Role::Primary);
    assert_eq!(status.epoch, Epoch::new(0, 1, N1));
    assert_eq!((status.end, status.durable, status.commit), (Sequence(1), Sequence(1), Sequence(1)));
    assert_eq!(rig.status(N2).role, Role::Replica);
}

#[test]
fn hundred_entries_reach_every_node() {
    let mut rig = Rig::settled();
    let requests: Vec<RequestId> = (0..100).map(|_| rig.append(N1, Ack::All, b"payload")).collect();
    rig.settle();
    for (index, request) in requests.into_iter().enumerate() {
        assert_eq!(appended(rig.reply(N1, request)), Sequence(index as u64 + 2));
    }
    for node in [N1, N2, N3] {
        assert_eq!(rig.nodes[&node].log, rig.nodes[&N1].log);
        assert_eq!(rig.nodes[&node].log.len(), 101);
    }
}

#[test]
fn local_waits_for_own_fsync_only() {
    let mut rig = Rig::settled();
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    let request = rig.append(N1, Ack::Local, b"payload");
    rig.settle();
    assert_eq!(rig.reply(N1, request), None, "answered before the primary's fsync");
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    rig.settle();
    assert_eq!(appended(rig.reply(N1, request)), Sequence(2));
}

#[test]
fn quorum_waits_for_one_replica_and_all_for_both() {
    let mut rig = Rig::settled();
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    let (quorum, all) = (rig.append(N1, Ack::Quorum, b"q"), rig.append(N1, Ack::All, b"a"));
    rig.settle();
    assert_eq!((rig.reply(N1, quorum), rig.reply(N1, all)), (None, None), "acked before a replica's fsync");
    rig.nodes.get_mut(&N2).expect("runs").disk_stalls = false;
    rig.settle();
    assert_eq!(appended(rig.reply(N1, quorum)), Sequence(2));
    assert_eq!(rig.reply(N1, all), None, "a replica lacks it");
    rig.nodes.get_mut(&N3).expect("runs").disk_stalls = false;
    rig.settle();
    assert_eq!(appended(rig.reply(N1, all)), Sequence(3));
}

#[test]
fn time_out_is_unknown_and_names_who_has_it() {
    let mut rig = Rig::settled();
    rig.nodes.get_mut(&N3).expect("runs").disk_stalls = true;
    let request = rig.append(N1, Ack::All, b"a");
    rig.run(Duration::from_secs(4));
    assert_eq!(rig.reply(N1, request), None, "the time-out is 5 s");
    rig.run(Duration::from_secs(2));
    match rig.reply(N1, request) {
        Some(Outcome::Unknown { token, acked_by }) => {
            assert_eq!(token.sequence, Sequence(2));
            assert_eq!(acked_by, &[N1, N2]);
        }
        other => panic!("expected Unknown, found {other:?}"),
    }
    assert_eq!(rig.status(N1).waiting, 0);
}

#[test]
fn replica_names_the_primary() {
    let mut rig = Rig::settled();
    let request = rig.append(N2, Ack::Local, b"a");
    assert_eq!(rig.reply(N2, request), Some(&Outcome::Failed(AppendError::NotPrimary { primary: N1 })));
}

#[test]
fn too_much_is_refused_before_it_is_written() {
    let mut rig = Rig::new(|config| {
        config.entry_bytes_max = 4;
        config.append_entries_max = 2;
    });
    rig.run(Duration::from_millis(300));
    let large = rig.append(N1, Ack::Local, b"12345");
    assert_eq!(rig.reply(N1, large), Some(&Outcome::Failed(AppendError::TooLarge { expected: 4, found: 5 })));
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    let requests: Vec<RequestId> = (0..3).map(|_| rig.append(N1, Ack::Local, b"1234")).collect();
    assert_eq!(rig.reply(N1, requests[1]), None);
    match rig.reply(N1, requests[2]) {
        Some(Outcome::Failed(AppendError::Overloaded { waiting: 2, .. })) => {}
        other => panic!("expected Overloaded, found {other:?}"),
    }
    // The clients time out, the disk is still stuck: what it owes goes on counting.
    rig.run(Duration::from_secs(6));
    let late = rig.append(N1, Ack::Local, b"1234");
    assert!(matches!(rig.reply(N1, late), Some(Outcome::Failed(AppendError::Overloaded { .. }))));
}

#[test]
fn failed_storage_stops_the_space_and_acknowledges_nothing() {
    let mut rig = Rig::settled();
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    let request = rig.append(N1, Ack::Local, b"a");
    let error = StorageError { kind: StorageErrorKind::Io, detail: "wal-1 at 64: fsync".into() };
    rig.event(N1, Event::StorageFailed { space: space(), operation: StorageOperation::Sync, error });
    assert!(matches!(rig.reply(N1, request), Some(Outcome::Unknown { acked_by, .. }) if acked_by.is_empty()));
    let after = rig.append(N1, Ack::Local, b"b");
    assert!(matches!(rig.reply(N1, after), Some(Outcome::Failed(AppendError::Stopped(_)))));
    // The completion of the write that was under way comes too late to count.
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    rig.settle();
    let status = rig.status(N1);
    assert_eq!((status.role, status.durable), (Role::Stopped, Sequence(1)));
    assert!(status.stopped.expect("it says why").contains("sync failed: i/o error: wal-1 at 64: fsync"));
    assert_eq!(rig.nodes[&N2].log.len(), 1, "what is not durable here was shipped");
}

#[test]
fn stopped_replica_acknowledges_nothing_and_is_failed() {
    let mut rig = Rig::settled();
    let error = StorageError { kind: StorageErrorKind::Full, detail: "no space left".into() };
    rig.event(N2, Event::StorageFailed { space: space(), operation: StorageOperation::Append, error });
    let acks = rig.sent(N2, "Ack");
    let request = rig.append(N1, Ack::Quorum, b"a");
    rig.run(Duration::from_secs(2));
    assert_eq!(appended(rig.reply(N1, request)), Sequence(2), "the other replica makes the majority");
    assert_eq!(rig.sent(N2, "Ack"), acks);
    let status = rig.status(N1);
    let view = status.replicas.iter().find(|view| view.node == N2).expect("a replica");
    assert_eq!(view.status, engraft::core::ReplicaStatus::Failed);
    assert!(view.reason.contains("no space left"), "{}", view.reason);
}

#[test]
fn shutdown_answers_everybody_and_halts() {
    let mut rig = Rig::settled();
    rig.nodes.get_mut(&N3).expect("runs").disk_stalls = true;
    let (local, all) = (rig.append(N1, Ack::Local, b"a"), rig.append(N1, Ack::All, b"b"));
    rig.event(N1, Event::Command(engraft::core::Command::Shutdown));
    let late = rig.append(N1, Ack::Local, b"c");
    assert_eq!(rig.reply(N1, late), Some(&Outcome::Failed(AppendError::Shutdown)));
    rig.run(Duration::from_secs(2));
    assert_eq!(appended(rig.reply(N1, local)), Sequence(2));
    assert!(matches!(rig.reply(N1, all), Some(Outcome::Unknown { .. })));
    assert!(rig.nodes[&N1].halted);
    assert!(rig.notices(N2).iter().any(|line| line.contains("ended: the node shuts down")));
}

#[test]
fn committed_entries_are_read_on_every_node() {
    let mut rig = Rig::settled();
    for _ in 0..10 {
        rig.append(N1, Ack::Local, b"a");
    }
    rig.run(Duration::from_millis(300));
    for node in [N1, N2, N3] {
        let request = rig.read(node, Sequence(3));
        rig.settle();
        match rig.reply(node, request) {
            Some(Outcome::Entries { entries, commit }) => {
                assert_eq!(*commit, Sequence(11));
                assert_eq!(entries.as_slice(), &rig.nodes[&N1].log[2..]);
            }
            other => panic!("{node}: expected entries, found {other:?}"),
        }
    }
}

#[test]
fn uncommitted_entries_are_not_read() {
    let mut rig = Rig::settled();
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    rig.append(N1, Ack::Local, b"a");
    rig.settle();
    let request = rig.read(N1, Sequence(1));
    rig.settle();
    match rig.reply(N1, request) {
        Some(Outcome::Entries { entries, commit }) => assert_eq!((entries.len(), *commit), (1, Sequence(1))),
        other => panic!("expected entries, found {other:?}"),
    }
}

#[test]
fn token_is_resolved_once_it_is_committed_lost_or_late() {
    let mut rig = Rig::settled();
    let state = |rig: &Rig, node, request| match rig.reply(node, request) {
        Some(Outcome::Resolved { state, .. }) => Some(*state),
        None => None,
        other => panic!("expected what is known of the token, found {other:?}"),
    };
    let token = |epoch, sequence| Token { space: space(), epoch, sequence: Sequence(sequence) };
    let epoch = rig.status(N1).epoch;
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    rig.append(N1, Ack::Local, b"a");
    rig.settle();
    let second = Duration::from_secs(1);
    let (early, patient) = (rig.wait_for(N1, token(epoch, 2), second), rig.wait_for(N1, token(epoch, 2), second * 9));
    let stranger = rig.wait_for(N2, token(Epoch::new(0, 7, N3), 2), second * 9);
    let at_once = rig.wait_for(N1, token(epoch, 2), Duration::ZERO);
    assert_eq!(state(&rig, N1, at_once), Some(TokenState::Pending));
    rig.run(second * 2);
    assert_eq!(state(&rig, N1, early), Some(TokenState::Pending));
    assert_eq!(state(&rig, N1, patient), None);
    for node in [N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = false;
    }
    rig.run(second);
    assert_eq!(state(&rig, N1, patient), Some(TokenState::Committed));
    assert_eq!(state(&rig, N2, stranger), Some(TokenState::Lost));
}

#[test]
fn token_is_committed_on_a_replica_once_the_entry_can_be_read_there() {
    let mut rig = Rig::settled();
    rig.nodes.get_mut(&N3).expect("runs").disk_stalls = true;
    let request = rig.append(N1, Ack::Quorum, b"a");
    rig.run(Duration::from_millis(300));
    assert_eq!(appended(rig.reply(N1, request)), Sequence(2));
    assert_eq!(rig.status(N3).commit, Sequence(2), "it knows of the commit");
    let token = Token { space: space(), epoch: rig.status(N1).epoch, sequence: Sequence(2) };
    let wait = rig.wait_for(N3, token, Duration::from_secs(9));
    assert_eq!(rig.reply(N3, wait), None, "a read there would not include the entry");
    rig.nodes.get_mut(&N3).expect("runs").disk_stalls = false;
    rig.settle();
    let committed = Outcome::Resolved { token, state: TokenState::Committed };
    assert_eq!(rig.reply(N3, wait), Some(&committed));
}

#[test]
fn engine_that_tells_what_it_applied_is_believed_no_further_than_the_commit() {
    let mut rig = Rig::settled();
    rig.append(N1, Ack::All, b"a");
    rig.run(Duration::from_millis(300));
    let applied = |rig: &Rig| rig.status(N1).replicas[0].applied;
    assert_eq!(rig.status(N2).applied, Sequence(2), "no engine tells: what is committed counts");
    rig.event(N2, Event::Applied { space: space(), sequence: Sequence(1) });
    assert_eq!(rig.status(N2).applied, Sequence(1));
    rig.event(N2, Event::Applied { space: space(), sequence: Sequence(9) });
    assert_eq!(rig.status(N2).applied, Sequence(2), "nothing above the commit is applied");
    rig.append(N1, Ack::All, b"b");
    rig.run(Duration::from_millis(300));
    assert_eq!(applied(&rig), Sequence(2));
}

#[test]
fn another_epoch_is_opened_where_it_is_asked_for_and_by_the_primary_only() {
    let mut rig = Rig::settled();
    rig.append(N1, Ack::All, b"a");
    rig.settle();
    for node in [N2, N1] {
        rig.event(node, Event::Command(engraft::core::Command::OpenEpoch { space: space() }));
    }
    rig.run(Duration::from_secs(1));
    assert_eq!(rig.status(N1).epoch, Epoch::new(0, 2, N1));
    assert_eq!((rig.status(N2).role, rig.status(N2).promise), (Role::Replica, Epoch::new(0, 2, N1)));
    let request = rig.append(N1, Ack::All, b"b");
    rig.settle();
    assert_eq!(appended(rig.reply(N1, request)), Sequence(4), "an epoch-start entry stands between");
    assert_eq!(rig.nodes[&N3].log, rig.nodes[&N1].log);
}

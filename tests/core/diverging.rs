//! Logs that part when a primary is replaced, and what becomes of what only one of them has.

use ::core::time::Duration;

use bytes::Bytes;
use engraft::core::{Ack, Action, Event, Outcome, Role, TokenState};
use engraft::types::{Control, Entry, Epoch, NodeId, Position, Sequence, Token, WalEntryType, WriteId};

use super::rig::{N1, N2, N3, Rig, space};
use super::safety::batch;

const MS: Duration = Duration::from_millis(1);

/// n1 answered three entries at Local that nobody else has, and another node took over; n1 is still cut off.
fn parted() -> (Rig, NodeId, Vec<Token>) {
    let mut rig = Rig::of(3, |_, _| {}, |_| {});
    rig.run(300 * MS);
    rig.append(N1, Ack::All, b"common");
    rig.run(300 * MS);
    rig.cut.push(N1);
    let requests: Vec<_> = (0..3).map(|_| rig.append(N1, Ack::Local, b"only here")).collect();
    rig.run(3_000 * MS);
    let primary = [N2, N3].into_iter().find(|&node| rig.status(node).role == Role::Primary).expect("one took over");
    rig.append(primary, Ack::Quorum, b"another");
    rig.settle();
    let token = |request| match rig.reply(N1, request) {
        Some(Outcome::Appended { token }) => *token,
        other => panic!("answered within the exposure: {other:?}"),
    };
    let tokens = requests.into_iter().map(token).collect();
    (rig, primary, tokens)
}

#[test]
fn entries_of_a_replaced_primary_are_saved_truncated_and_reported_exactly() {
    let (mut rig, primary, tokens) = parted();
    let before = rig.nodes[&N1].log.clone();
    let bound = "e1n1 may have lost what it answered from #3 on, at most 67108864 bytes";
    let promised = format!("{bound}, replaced by e2{primary}");
    assert!(rig.notices(primary).iter().any(|line| line.ends_with(&promised)), "{:?}", rig.notices(primary));
    rig.cut.clear();
    rig.run(2_000 * MS);
    assert_eq!(rig.salvage[&N1], before[2..]);
    assert_eq!(rig.nodes[&N1].log, rig.nodes[&primary].log);
    assert_eq!((rig.status(N1).role, rig.status(N1).commit), (Role::Replica, rig.status(primary).commit));
    let told = rig.notices(N1);
    let place =
        |words: &str| told.iter().position(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {told:?}"));
    let exact = format!("e1n1 lost {}..{}, replaced by e2{primary}", tokens[0].sequence, tokens[2].sequence);
    assert!(place("salvaged #3..#5") < place("truncated behind #2"));
    assert!(place("truncated behind #2") < place(&exact), "it is certain only once the other epoch committed");
}

#[test]
fn common_point_is_found_in_one_round_trip() {
    let (mut rig, primary, _) = parted();
    rig.cut.clear();
    rig.run(2_000 * MS);
    let diverged = rig.sent.iter().filter(|(node, line)| *node == N1 && line.contains(" diverged at ")).count();
    assert_eq!(diverged, 1, "the refusal names the whole epoch history");
    assert_eq!(rig.nodes[&N1].log, rig.nodes[&primary].log);
}

#[test]
fn nothing_is_truncated_while_there_is_no_room_to_save_it() {
    let (mut rig, primary, _) = parted();
    let before = rig.nodes[&N1].log.clone();
    rig.nodes.get_mut(&N1).expect("runs").salvage_full = true;
    rig.cut.clear();
    rig.run(10_000 * MS);
    assert_eq!(rig.nodes[&N1].log, before);
    assert!(rig.notices(N1).iter().any(|line| line.contains("salvage failed: disk full")), "{:?}", rig.notices(N1));
    let acks = rig.sent(N1, "Ack");
    rig.append(primary, Ack::Quorum, b"goes on without it");
    rig.run(1_000 * MS);
    assert_eq!(rig.sent(N1, "Ack"), acks, "nothing is acknowledged behind the common point");
    rig.nodes.get_mut(&N1).expect("runs").salvage_full = false;
    rig.run(5_000 * MS);
    assert_eq!(rig.nodes[&N1].log, rig.nodes[&primary].log);
}

#[test]
fn crash_between_saving_and_truncating_begins_anew() {
    for steps in 0..6 {
        let (mut rig, primary, _) = parted();
        rig.cut.clear();
        rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
        rig.run(1_000 * MS);
        rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
        for _ in 0..steps {
            rig.disk_step(N1);
            deliver_all(&mut rig);
        }
        let (log, promise) = rig.kill(N1);
        rig.start(N1, log, promise);
        rig.run(3_000 * MS);
        assert_eq!(rig.nodes[&N1].log, rig.nodes[&primary].log, "killed after {steps} steps of the disk");
    }
}

#[test]
fn tokens_of_what_was_replaced_are_lost_and_never_committed() {
    let (mut rig, primary, tokens) = parted();
    let state = |rig: &mut Rig, node, token, timeout| {
        let request = rig.wait_for(node, token, timeout);
        rig.run(10 * MS);
        match rig.reply(node, request) {
            Some(Outcome::Resolved { state, .. }) => Some(*state),
            None => None,
            other => panic!("expected what is known of the token, found {other:?}"),
        }
    };
    // n1 knows nothing yet; the primary has committed a later epoch, so all that it lacks of the one before is lost.
    assert_eq!(state(&mut rig, N1, tokens[0], Duration::ZERO), Some(TokenState::Pending));
    assert_eq!(state(&mut rig, primary, tokens[0], Duration::ZERO), Some(TokenState::Lost));
    assert_eq!(state(&mut rig, primary, tokens[2], 60_000 * MS), Some(TokenState::Lost), "it is behind the commit");
    let patient = rig.wait_for(N1, tokens[2], 60_000 * MS);
    rig.cut.clear();
    rig.run(2_000 * MS);
    let reply = rig.reply(N1, patient);
    assert!(matches!(reply, Some(Outcome::Resolved { state: TokenState::Lost, .. })), "{reply:?}");
}

#[test]
fn stale_completions_of_a_mending_log_change_nothing() {
    let (mut rig, primary, _) = parted();
    rig.cut.clear();
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    rig.run(1_000 * MS);
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    let saves = |rig: &Rig| rig.nodes[&N1].disk.iter().any(|order| matches!(order, Action::SalvageSave { .. }));
    for _ in 0..100 {
        if !saves(&rig) {
            rig.disk_step(N1);
            deliver_all(&mut rig);
        }
    }
    assert!(saves(&rig), "the order to save is there and not carried out");
    let digest = rig.nodes[&N1].core.state_digest();
    for write in [0, 1, 99] {
        for event in [
            Event::SalvageSaved { space: space(), write: WriteId(write) },
            Event::WalTruncated { space: space(), write: WriteId(write) },
        ] {
            let line = event.to_string();
            rig.event(N1, event);
            assert_eq!(rig.nodes[&N1].core.state_digest(), digest, "{line}");
        }
    }
    rig.run(2_000 * MS);
    assert_eq!(rig.nodes[&N1].log, rig.nodes[&primary].log);
    assert_eq!(rig.status(N1).durable, Sequence(rig.nodes[&N1].log.len() as u64));
}

fn deliver_all(rig: &mut Rig) {
    while let Some(delivery) = rig.deliveries.pop_front() {
        rig.deliver(delivery);
    }
}

#[test]
fn log_that_is_being_mended_elects_nobody_and_stands_for_nothing() {
    let (mut rig, primary, _) = parted();
    rig.nodes.get_mut(&N1).expect("runs").salvage_full = true;
    rig.cut.clear();
    rig.run(2_000 * MS);
    let other = if primary == N2 { N3 } else { N2 };
    rig.kill(primary);
    rig.run(4_000 * MS);
    assert_eq!(rig.status(N1).role, Role::Replica, "what is about to be truncated becomes no primary's log");
    assert_eq!(rig.status(other).role, Role::Primary, "it votes all the same");
}

/// etcd, 1690: the first write of an entry was told as done after the entry had been overwritten, and the second write was
/// taken for durable by that.
#[test]
fn completion_of_an_entry_that_was_truncated_and_written_again_is_not_taken_for_the_second_write() {
    let mut rig = Rig::settled();
    rig.cut = vec![N1, N3];
    let common = rig.nodes[&N2].log[0].position();
    let entry = |epoch, payload: &'static [u8]| {
        let (kind, control) = (WalEntryType::EpisodeStore, Control::user());
        Entry::following(&common, epoch, kind, control, 0, Bytes::from_static(payload))
    };
    let (old, other) = (entry(Epoch::new(0, 1, N1), b"twice"), entry(Epoch::new(0, 2, N3), b"between"));
    rig.inject(N2, N1, &batch(Epoch::new(0, 1, N1), common, Some(old.clone())));
    let first = rig.nodes[&N2].disk.iter().find_map(|order| match order {
        Action::WalAppend { write, .. } => Some(*write),
        _ => None,
    });
    rig.settle();
    rig.inject(N2, N3, &batch(Epoch::new(0, 2, N3), common, Some(other)));
    rig.settle();
    assert_eq!(rig.salvage[&N2], ::core::slice::from_ref(&old), "it was truncated");
    rig.inject(N2, N1, &batch(Epoch::new(0, 3, N1), common, Some(old.clone())));
    rig.disk_step(N2);
    assert!(matches!(rig.nodes[&N2].disk.front(), Some(Action::WalAppend { .. })), "it is not written yet");
    let (acks, digest) = (rig.sent(N2, "Ack"), rig.nodes[&N2].core.state_digest());
    let Position { epoch, sequence, .. } = old.position();
    rig.event(N2, Event::WalAppended { space: space(), write: first.expect("it was written"), epoch, sequence });
    assert_eq!((rig.sent(N2, "Ack"), rig.nodes[&N2].core.state_digest()), (acks, digest), "it was the first write's");
    rig.settle();
    assert_eq!(rig.sent(N2, "Ack"), acks + 1, "the second write is durable");
}

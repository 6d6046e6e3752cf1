//! Two nodes: one is gone, the other goes on alone, and takes it back.

use ::core::time::Duration;

use engraft::core::{Ack, AppendError, Command, Event, Isolation, Notice, Outcome, PromoteBy, PromotionError, Role};
use engraft::types::entry::StartBody;
use engraft::types::message::{Message, ReplicationBatch, ReplicationBatchHeader, VoteRound};
use engraft::types::{Control, Entry, Epoch, NodeId, RequestId, Sequence, WalEntryType};

use super::rig::{N1, N2, N3, Rig, space};

const MS: Duration = Duration::from_millis(1);

/// Two nodes, n1 the primary, settled.
fn two() -> Rig {
    let mut rig = Rig::of(2, |_, _| {}, |_| {});
    rig.run(300 * MS);
    rig
}

/// The same, with n1 alone and an entry that n2 lacks.
fn alone() -> Rig {
    let mut rig = two();
    rig.kill(N2);
    rig.run(3_000 * MS);
    assert_eq!(rig.status(N1).voters, [N1], "{:?}", rig.notices(N1));
    assert!(matches!(appended(&mut rig, N1, Ack::Local), Outcome::Appended { .. }));
    rig
}

fn appended(rig: &mut Rig, node: NodeId, ack: Ack) -> Outcome {
    let request = rig.append(node, ack, b"x");
    rig.run(50 * MS);
    rig.reply(node, request).cloned().expect("it is answered")
}

fn starts(log: &[Entry]) -> Vec<(Epoch, Vec<NodeId>)> {
    let body = |entry: &Entry| StartBody::of(entry).expect("it can be read");
    log.iter().filter_map(|entry| Some((entry.header.epoch(), body(entry)?.voters))).collect()
}

fn restart(rig: &mut Rig, node: NodeId) {
    let (log, promise) = rig.kill(node);
    rig.start(node, log, promise);
}

#[test]
fn primary_of_two_goes_on_alone_and_takes_its_replica_back() {
    let mut rig = two();
    let (log, promise) = rig.kill(N2);
    rig.run(1_800 * MS);
    assert_eq!(rig.status(N1).voters, [N1, N2], "it is gone for less than two seconds");
    assert!(!rig.status(N1).leased);
    rig.run(1_200 * MS);
    let status = rig.status(N1);
    assert_eq!((status.role, status.epoch, status.voters), (Role::Primary, Epoch::new(0, 2, N1), vec![N1]));
    assert!(rig.nodes[&N1].notices.contains(&Notice::WentAlone { space: space(), epoch: Epoch::new(0, 2, N1) }));
    assert!(matches!(appended(&mut rig, N1, Ack::Local), Outcome::Appended { .. }));
    for ack in [Ack::Quorum, Ack::All] {
        let epoch = Epoch::new(0, 2, N1);
        assert_eq!(appended(&mut rig, N1, ack), Outcome::Failed(AppendError::NotEnoughReplicas { ack, epoch }));
    }
    assert_eq!(rig.status(N1).commit, rig.status(N1).end, "its own durability commits");
    rig.start(N2, log, promise);
    rig.run(3_000 * MS);
    assert_eq!(rig.status(N1).voters, [N1, N2], "{:?}", rig.notices(N1));
    assert_eq!(rig.status(N2).voters, [N1, N2], "its log says so as well");
    assert!(matches!(appended(&mut rig, N1, Ack::All), Outcome::Appended { .. }));
    assert_eq!(rig.nodes[&N1].log, rig.nodes[&N2].log);
    let epochs = [1, 2, 3].map(|term| Epoch::new(0, term, N1));
    assert_eq!(starts(&rig.nodes[&N1].log), [(epochs[0], vec![]), (epochs[1], vec![N1]), (epochs[2], vec![])]);
}

#[test]
fn lone_primary_finds_in_its_log_that_it_is_alone() {
    let mut rig = alone();
    restart(&mut rig, N1);
    rig.run(100 * MS);
    assert_eq!(rig.status(N1).role, Role::Primary, "nobody else is asked");
    assert_eq!(rig.status(N1).voters, [N1]);
    assert!(matches!(appended(&mut rig, N1, Ack::Local), Outcome::Appended { .. }));
    assert_eq!(rig.status(N1).commit, rig.status(N1).end);
}

#[test]
fn primary_that_restarts_before_it_is_alone_waits_for_its_replica() {
    let mut rig = two();
    rig.kill(N2);
    restart(&mut rig, N1);
    rig.run(20_000 * MS);
    assert_ne!(rig.status(N1).role, Role::Primary, "another may have been elected while it was down");
    assert_eq!(rig.status(N1).voters, [N1, N2]);
}

#[test]
fn start_of_being_alone_that_no_disk_holds_is_as_if_it_had_not_been() {
    let mut rig = two();
    rig.kill(N2);
    rig.run(1_500 * MS);
    rig.nodes.get_mut(&N1).expect("it runs").disk_stalls = true;
    rig.run(1_500 * MS);
    rig.nodes.get_mut(&N1).expect("it runs").disk_stalls = false;
    // The promise is durable by one step of the disk, and the start is ordered by that.
    rig.disk_step(N1);
    assert_eq!((rig.status(N1).epoch, rig.status(N1).end), (Epoch::new(0, 2, N1), Sequence(2)));
    let (log, promise) = rig.crash(N1, 1);
    assert_eq!((log.len(), promise), (1, Epoch::new(0, 2, N1)));
    rig.start(N1, log, promise);
    rig.run(5_000 * MS);
    assert_eq!(rig.status(N1).voters, [N1, N2]);
    assert_ne!(rig.status(N1).role, Role::Primary);
}

#[test]
fn learner_neither_stands_nor_is_promoted() {
    let mut rig = two();
    rig.cut.push(N2);
    rig.run(3_000 * MS);
    assert_eq!(rig.status(N1).voters, [N1]);
    rig.cut.clear();
    // It has the start in which n1 is alone, and n1 dies before it counts again.
    while rig.status(N2).voters != [N1] {
        rig.run(10 * MS);
    }
    rig.kill(N1);
    let elections = rig.elections(N2);
    rig.run(20_000 * MS);
    assert_eq!(rig.elections(N2), elections);
    let request = RequestId(900);
    rig.event(N2, Event::Command(Command::Promote { space: space(), request, by: PromoteBy::Election }));
    let epoch = Epoch::new(0, 2, N1);
    assert_eq!(rig.reply(N2, request), Some(&Outcome::Failed(PromotionError::NotVoter { epoch }.into())));
    rig.run(5_000 * MS);
    assert_eq!(rig.status(N2).role, Role::Replica);
}

#[test]
fn learner_that_keeps_up_counts_again_only_once_the_start_is_committed() {
    let mut rig = two();
    let (log, promise) = rig.kill(N2);
    rig.run(3_000 * MS);
    rig.start(N2, log, promise);
    // Until it votes again, what it has counts for nothing: the commit is what n1 has.
    for _ in 0..300 {
        rig.run(10 * MS);
        let status = rig.status(N1);
        if status.voters == [N1] && status.role == Role::Primary {
            assert_eq!(status.commit, status.durable);
        }
    }
    assert_eq!(rig.status(N1).voters, [N1, N2]);
    assert!(rig.notices(N1).iter().any(|line| line.ends_with("n2 votes again in e3n1")), "{:?}", rig.notices(N1));
}

#[test]
fn primary_that_promised_another_is_not_alone() {
    let mut rig = two();
    rig.nodes.get_mut(&N2).expect("it runs").disk_stalls = true;
    rig.append(N1, Ack::Local, b"x");
    rig.run(2_300 * MS);
    assert!(!rig.status(N1).leased, "a write of n2's is unsynced");
    // What n2 asked for on its way out comes now.
    let end = rig.status(N1).end;
    let ask = rig.ask(Epoch::new(0, 9, N2), VoteRound::Vote, Epoch::new(0, 1, N1), end.0);
    let line = rig.verdict(N1, N2, ask).expect("it is answered");
    assert!(line.contains("granted"), "{line}");
    rig.run(10_000 * MS);
    assert_eq!(rig.status(N1).voters, [N1, N2], "{:?}", rig.notices(N1));
    assert_eq!(rig.elections(N1), 1);
}

#[test]
fn learner_that_promised_more_is_outbid_at_once() {
    let mut rig = two();
    let (log, _) = rig.kill(N2);
    rig.run(3_000 * MS);
    rig.start(N2, log, Epoch::new(0, 40, N2));
    rig.run(3_000 * MS);
    assert_eq!(rig.status(N1).voters, [N1, N2], "{:?}", rig.notices(N1));
    assert_eq!(rig.status(N1).role, Role::Primary);
    assert!(rig.status(N1).epoch > Epoch::new(0, 41, NodeId(0)), "{}", rig.status(N1).epoch);
    assert!(matches!(appended(&mut rig, N1, Ack::All), Outcome::Appended { .. }));
}

#[test]
fn primary_whose_own_disk_stalls_does_not_take_its_replica_for_gone() {
    let mut rig = two();
    rig.nodes.get_mut(&N1).expect("it runs").disk_stalls = true;
    rig.append(N1, Ack::Local, b"x");
    rig.run(6_000 * MS);
    assert!(!rig.status(N1).leased, "its own write is unsynced");
    rig.nodes.get_mut(&N1).expect("it runs").disk_stalls = false;
    rig.run(1_000 * MS);
    assert_eq!(rig.elections(N1), 1, "{:?}", rig.notices(N1));
    assert!(rig.status(N1).leased);
    assert_eq!(rig.status(N1).voters, [N1, N2]);
}

#[test]
fn neither_three_voters_nor_whoever_stops_in_isolation_goes_on_alone() {
    let mut rig = Rig::of(3, |_, _| {}, |_| {});
    rig.run(300 * MS);
    rig.kill(N2);
    rig.kill(N3);
    rig.run(10_000 * MS);
    assert_eq!((rig.status(N1).voters.len(), rig.status(N1).leased), (3, false));
    let mut rig = Rig::of(2, |_, space| space.isolation = Isolation::Stop, |_| {});
    rig.run(300 * MS);
    rig.kill(N2);
    rig.run(10_000 * MS);
    assert_eq!((rig.status(N1).voters, rig.status(N1).leased), (vec![N1, N2], false));
}

#[test]
fn start_that_cannot_be_read_closes_the_link() {
    let mut rig = two();
    let end = rig.nodes[&N2].log.last().expect("the epoch start").position();
    let epoch = Epoch::new(0, 2, N1);
    let (entry_type, control) = (WalEntryType::Checkpoint, Control::epoch_start());
    let entry = Entry::following(&end, epoch, entry_type, control, 0, vec![1; 13].into());
    let header = ReplicationBatchHeader {
        space: space(),
        epoch,
        lineage: Epoch::ZERO,
        previous: end,
        commit: Sequence::ZERO,
        sent: rig.now,
    };
    rig.inject(N2, N1, &Message::Batch(ReplicationBatch { header, entries: vec![entry] }));
    rig.settle();
    assert!(rig.notices(N2).iter().any(|line| line.contains("a start of e2n1 that can be read")));
    assert_eq!(rig.nodes[&N2].log.len(), 1);
}

#[test]
fn body_of_a_start_has_one_size_for_what_stands_in_it() {
    let body = StartBody { voters: vec![N1, N2], ..StartBody::default() };
    let payload = body.payload(Sequence(1));
    assert_eq!(StartBody::parse(&payload), Ok(body));
    for cut in 1..payload.len() {
        let whole = [8, 16].contains(&cut);
        assert_eq!(StartBody::parse(&payload[..cut]).is_ok(), whole, "{cut} bytes");
    }
    let mut twice = payload.to_vec();
    twice[27] = 1;
    assert!(StartBody::parse(&twice).is_err(), "n1 twice");
    let mut many = payload.to_vec();
    many[24] = u8::MAX;
    assert!(StartBody::parse(&many).is_err(), "a count that is not true");
}

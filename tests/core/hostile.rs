//! Peers, disks and operators that do what they should not, and waits that must end.

use ::core::time::Duration;

use engraft::core::{
    Ack, AppendError, Command, Event, Notice, Outcome, Role, StorageError, StorageErrorKind, StorageOperation,
};
use engraft::types::message::{CloseReason, Message, Refusal, RefusalReason};
use engraft::types::{EpochHistory, LinkId, NodeId, Position, Sequence, Time};
use engraft::wire::WriteBuffer;

use super::rig::{N1, N2, N3, Rig, space};

fn stall(rig: &mut Rig, nodes: &[NodeId], stalls: bool) {
    for node in nodes {
        rig.nodes.get_mut(node).expect("runs").disk_stalls = stalls;
    }
}

#[test]
fn paused_replica_with_a_batch_that_fills_lets_time_pass() {
    let mut rig = Rig::settled();
    stall(&mut rig, &[N2, N3], true);
    for _ in 0..2 {
        rig.append(N1, Ack::Local, b"the second waits for its batch to fill");
        rig.settle();
    }
    rig.event(N1, Event::Command(Command::PauseReplica { space: space(), replica: N2 }));
    rig.run(Duration::from_millis(100));
    stall(&mut rig, &[N2, N3], false);
    rig.event(N1, Event::Command(Command::ResumeReplica { space: space(), replica: N2 }));
    rig.run(Duration::from_millis(100));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
}

#[test]
fn batch_that_fills_while_an_answer_is_overdue_lets_time_pass() {
    let mut rig = Rig::settled();
    stall(&mut rig, &[N2, N3], true);
    rig.append(N1, Ack::Local, b"is not answered");
    rig.run(Duration::from_millis(995));
    // From here on nothing reaches the replica, so that its answer to the question does not come either.
    rig.cut.push(N2);
    rig.append(N1, Ack::Local, b"waits for its batch to fill");
    rig.run(Duration::from_millis(100));
    rig.cut.clear();
    stall(&mut rig, &[N2, N3], false);
    rig.run(Duration::from_secs(2));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
}

#[test]
fn primary_whose_promise_is_not_saved_lets_time_pass() {
    let mut rig = Rig::settled();
    rig.append(N1, Ack::All, b"x");
    rig.settle();
    let (log, promise) = rig.kill(N1);
    rig.start(N1, log, promise);
    stall(&mut rig, &[N1], true);
    rig.run(Duration::from_secs(10));
    assert_eq!(rig.status(N1).role, Role::Candidate);
    stall(&mut rig, &[N1], false);
    rig.run(Duration::from_secs(2));
    assert_eq!(rig.status(N2).role, Role::Replica);
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
}

#[test]
fn tail_keeps_to_its_bytes_while_no_replica_answers() {
    let mut rig = Rig::new(|config| {
        config.batch_bytes = 4 << 10;
        config.tail_bytes = 4 << 10;
    });
    rig.run(Duration::from_millis(300));
    let away = [N2, N3].map(|node| (node, rig.kill(node)));
    for _ in 0..500 {
        rig.append(N1, Ack::Local, b"while nobody is there");
    }
    rig.settle();
    let size = format!("{:?}", rig.nodes[&N1].core).len();
    assert!(size < 20_000, "500 entries are kept in memory, 4 KiB are allowed: the state has {size} characters");
    for (node, (log, promise)) in away {
        rig.start(node, log, promise);
    }
    rig.run(Duration::from_secs(2));
    assert!(rig.nodes[&N1].reads > 0);
    assert_eq!(rig.nodes[&N3].log, rig.nodes[&N1].log);
}

#[test]
fn two_that_prefer_themselves_do_not_chase_each_other() {
    let mut rig = Rig::new(|_| {});
    let (log, promise) = rig.kill(N2);
    rig.spaces.get_mut(&N2).expect("known").primary = N2;
    rig.start(N2, log, promise);
    rig.quiet = true;
    rig.run(Duration::from_secs(20));
    let epochs = [N1, N2, N3].map(|node| rig.status(node).epoch);
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0] && epoch.term() < 5), "no primary is settled on: {epochs:?}");
}

#[test]
fn stranger_who_trickles_bytes_is_sent_away() {
    let mut rig = Rig::settled();
    let stranger = LinkId::accepted(100);
    rig.event(N1, Event::LinkUp { link: stranger });
    let mut hello = WriteBuffer::default();
    engraft::wire::encode(&Message::Goodbye(CloseReason::Replaced), &mut hello);
    let hello: Vec<u8> = hello.pieces().flat_map(|piece| piece.iter().copied()).collect();
    for byte in hello.chunks(1).take(15) {
        rig.event(N1, Event::BytesReceived { link: stranger, bytes: byte.to_vec().into() });
        rig.run(Duration::from_millis(100));
    }
    let told = rig.notices(N1).into_iter().filter(|line| line.contains("silent for 1000 ms")).count();
    assert_eq!(told, 1, "a hello that never ends holds its place for ever: {:?}", rig.notices(N1));
}

#[test]
fn replica_that_started_again_is_asked_at_once() {
    let mut rig = Rig::settled();
    let error = StorageError { kind: StorageErrorKind::Full, detail: "no space left".into() };
    rig.event(N2, Event::StorageFailed { space: space(), operation: StorageOperation::Append, error });
    rig.append(N1, Ack::Quorum, b"while its disk is full");
    // Long enough for the breaker of the space to wait its longest.
    rig.run(Duration::from_secs(20));
    let (log, promise) = rig.kill(N2);
    rig.start(N2, log, promise);
    rig.run(Duration::from_secs(5));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
}

#[test]
fn whoever_asks_a_halted_node_is_answered() {
    let mut rig = Rig::settled();
    rig.event(N1, Event::Command(Command::Shutdown));
    assert!(rig.nodes[&N1].halted);
    let (append, read) = (rig.append(N1, Ack::Local, b"late"), rig.read(N1, Sequence(1)));
    for request in [append, read] {
        assert_eq!(rig.reply(N1, request), Some(&Outcome::Failed(AppendError::Shutdown)));
    }
}

#[test]
fn space_whose_configuration_cannot_be_stops_and_says_why() {
    let broken: [(&[NodeId], &str); 4] = [
        (&[N2, N3], "the primary n1 among them"),
        (&[N1, N2, N2], "n2 twice"),
        (&[N1, N2, NodeId(9)], "n9"),
        (&[], "no voters"),
    ];
    for (voters, words) in broken {
        let mut rig = Rig::new(|_| {});
        let (log, promise) = rig.kill(N1);
        rig.spaces.get_mut(&N1).expect("known").voters = voters.to_vec();
        rig.start(N1, log, promise);
        rig.run(Duration::from_millis(300));
        assert_eq!(rig.status(N1).role, Role::Stopped, "{voters:?}");
        let stopped = rig.status(N1).stopped.expect("it says why");
        assert!(stopped.contains(words) && stopped.contains("voters = ["), "{voters:?}: {stopped}");
        let request = rig.append(N1, Ack::Local, b"x");
        assert!(matches!(rig.reply(N1, request), Some(Outcome::Failed(AppendError::Stopped(_)))));
    }
}

/// A gap that n2 tells of the link that n1 dialled to it.
fn gap(rig: &Rig) -> Message {
    Message::Refusal(Refusal {
        space: space(),
        epoch: rig.status(N1).epoch,
        reason: RefusalReason::Gap,
        end: Position::default(),
        history: EpochHistory::default(),
        echo: Time::MAX,
    })
}

#[test]
fn refusals_without_end_order_one_read_at_a_time() {
    let mut rig = Rig::new(|config| {
        config.batch_bytes = 4 << 10;
        config.tail_bytes = 4 << 10;
    });
    rig.run(Duration::from_millis(300));
    for _ in 0..100 {
        rig.append(N1, Ack::All, b"more than the tail holds: sixty-four bytes of header, and these");
    }
    rig.settle();
    stall(&mut rig, &[N1], true);
    for _ in 0..50 {
        let gap = gap(&rig);
        rig.inject(N1, N2, &gap);
        rig.check_logs();
    }
    stall(&mut rig, &[N1], false);
    rig.run(Duration::from_secs(1));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
}

#[test]
fn repeated_batches_that_are_not_durable_take_no_more_memory() {
    let mut rig = Rig::settled();
    stall(&mut rig, &[N2], true);
    rig.append(N1, Ack::Local, b"x");
    let batch = rig.deliveries_to(N2);
    rig.settle();
    let batch = batch.into_iter().next_back().expect("a batch is on its way");
    let size = |rig: &Rig| format!("{:?}", rig.nodes[&N2].core).len();
    rig.deliver(batch.clone());
    let before = size(&rig);
    for _ in 0..1_000 {
        rig.deliver(batch.clone());
    }
    assert!(size(&rig) < before + 1_000, "{} bytes grew to {}", before, size(&rig));
}

#[test]
fn an_entry_larger_than_all_windows_that_waits_for_the_disk_closes_no_link() {
    let mut rig = Rig::new(|config| (config.batch_bytes, config.window_bytes) = (4 << 10, 4 << 10));
    rig.run(Duration::from_millis(300));
    stall(&mut rig, &[N2], true);
    rig.append(N1, Ack::Local, b"small");
    rig.append(N1, Ack::Local, &[7; 64 << 10]);
    rig.settle();
    // A new link begins with a batch, while the large one still waits.
    rig.cut.push(N2);
    rig.run(Duration::from_millis(1_200));
    rig.cut.clear();
    rig.run(Duration::from_secs(3));
    let blamed = |notice: &&Notice| matches!(notice, Notice::LinkClosed { reason: CloseReason::Unexpected { .. }, .. });
    assert_eq!(rig.nodes[&N2].notices.iter().find(blamed), None);
    stall(&mut rig, &[N2], false);
    rig.run(Duration::from_secs(2));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
}

#[test]
fn ack_that_is_lost_after_a_new_link_is_asked_for() {
    let mut rig = Rig::settled();
    stall(&mut rig, &[N2, N3], true);
    let request = rig.append(N1, Ack::Quorum, b"x");
    rig.settle();
    // The links are lost and made anew while the replica's write is under way; then the ack is lost as well.
    rig.cut.push(N2);
    rig.run(Duration::from_millis(1_200));
    rig.cut.clear();
    rig.run(Duration::from_millis(700));
    rig.cut.push(N2);
    stall(&mut rig, &[N2], false);
    rig.settle();
    rig.cut.clear();
    rig.run(Duration::from_millis(1_500));
    assert!(matches!(rig.reply(N1, request), Some(Outcome::Appended { .. })), "{:?}", rig.reply(N1, request));
}

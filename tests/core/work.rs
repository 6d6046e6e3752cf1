//! What is done once only: what is stale neither makes a batch leave again nor costs a replica its turn.

use ::core::time::Duration;

use engraft::core::{Ack, Action, Event};
use engraft::types::message::{Message, Refusal, RefusalReason};
use engraft::types::{Entry, Epoch, EpochHistory, Position, Sequence, SpaceId, Time, WriteId};

use super::rig::{N1, N2, N3, Rig, space};

/// Batches that n1 sent to n2, empty ones included.
fn batches(rig: &Rig) -> u64 {
    rig.status(N1).replicas.iter().find(|view| view.node == N2).expect("a replica").batches_sent
}

/// Appends an entry and lets the primary's disk write it; nothing is delivered.
fn append_undelivered(rig: &mut Rig) {
    rig.append(N1, Ack::Local, b"x");
    while rig.disk_step(N1) {}
}

/// n2 is away with an empty log but for the epoch's first entry, and what it missed is more than memory holds.
fn n2_missed_more_than_the_tail() -> (Rig, Vec<Entry>, Epoch) {
    let mut rig = Rig::new(|config| {
        config.batch_bytes = 4 << 10;
        config.tail_bytes = 4 << 10;
    });
    rig.run(Duration::from_millis(300));
    let (log, promise) = rig.kill(N2);
    for _ in 0..200 {
        rig.append(N1, Ack::Quorum, b"more than the tail holds: sixty-four bytes of header, and these");
    }
    rig.settle();
    (rig, log, promise)
}

#[test]
fn refusals_of_what_was_sent_before_a_rewind_send_nothing_again() {
    let mut rig = Rig::new(|config| config.batch_entries = 1);
    rig.run(Duration::from_millis(300));
    let (before, refusals) = (batches(&rig), rig.sent(N2, "Refusal"));
    rig.cut.push(N2);
    append_undelivered(&mut rig);
    rig.cut.clear();
    for _ in 0..5 {
        append_undelivered(&mut rig);
    }
    assert_eq!(batches(&rig) - before, 6, "each entry is a batch, and all are under way");
    rig.now = rig.now + Duration::from_millis(1);
    rig.settle();
    assert_eq!(rig.sent(N2, "Refusal") - refusals, 5, "each batch behind the lost one is refused");
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
    assert_eq!(batches(&rig) - before, 2 * 6, "the first refusal sends all six again, the other four nothing");
}

#[test]
fn a_refusal_that_an_ack_has_overtaken_sends_nothing_again() {
    let mut rig = Rig::settled();
    let sent = rig.now;
    rig.run(Duration::from_millis(10));
    rig.append(N1, Ack::All, b"x");
    rig.settle();
    let before = batches(&rig);
    let refusal = Refusal {
        space: space(),
        epoch: rig.status(N1).epoch,
        reason: RefusalReason::Gap,
        end: Position::default(),
        history: EpochHistory::default(),
        echo: sent,
    };
    rig.inject(N1, N2, &Message::Refusal(refusal.clone()));
    rig.settle();
    assert_eq!(batches(&rig), before);
    rig.inject(N1, N2, &Message::Refusal(Refusal { echo: Time::MAX, ..refusal }));
    rig.settle();
    assert_eq!(batches(&rig), before + 1, "a newer one does");
}

#[test]
fn a_read_that_was_ordered_for_another_place_is_thrown_away_and_the_right_one_follows_at_once() {
    let (mut rig, log, promise) = n2_missed_more_than_the_tail();
    // It comes back with the first entry; before the disk has read what follows, it comes back with a hundred.
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    let reads = rig.nodes[&N1].reads;
    rig.start(N2, log, promise);
    rig.run(Duration::from_secs(1));
    let hundred: Vec<Entry> = rig.nodes[&N1].log[..100].to_vec();
    let (_, promise) = rig.kill(N2);
    rig.settle();
    rig.start(N2, hundred, promise);
    rig.run(Duration::from_secs(1));
    let ordered = |rig: &Rig| rig.nodes[&N1].disk.iter().any(|action| matches!(action, Action::WalRead { .. }));
    assert!(ordered(&rig) && rig.nodes[&N1].reads == reads, "the first read is under way all the while");
    let (before, refusals) = (batches(&rig), rig.sent(N2, "Refusal"));
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    // Whoever believes the first read finds that the log lacks what it has, and asks the replica anew where it stands.
    rig.settle();
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
    let size = rig.nodes[&N1].log[150].size() as u64;
    assert_eq!(batches(&rig) - before, 101_u64.div_ceil((4 << 10) / size), "each of 101 entries is sent once");
    assert_eq!(rig.sent(N2, "Refusal"), refusals);
    assert_eq!(rig.nodes[&N1].reads - reads, 2, "the stale one and one more");
}

#[test]
fn a_read_that_nobody_ordered_is_thrown_away_though_another_is_under_way() {
    let (mut rig, log, promise) = n2_missed_more_than_the_tail();
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    rig.start(N2, log, promise);
    rig.run(Duration::from_secs(1));
    let under_way = rig.nodes[&N1].disk.iter().find_map(|action| match action {
        Action::WalRead { read, .. } => Some(*read),
        _ => None,
    });
    let mut earlier = under_way.expect("a read is under way");
    earlier.0 = earlier.0.wrapping_sub(2);
    let entries = rig.nodes[&N1].log[150..160].to_vec();
    let digest = rig.nodes[&N1].core.state_digest();
    rig.event(N1, Event::WalRead { space: space(), read: earlier, entries });
    assert_eq!(rig.nodes[&N1].core.state_digest(), digest);
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    rig.settle();
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
}

/// So the order in which a group's completions are told makes no difference.
#[test]
fn the_completion_of_a_write_stands_for_those_before_it_and_theirs_change_nothing_afterwards() {
    let mut rig = Rig::settled();
    for node in [N1, N2, N3] {
        rig.nodes.get_mut(&node).expect("runs").disk_stalls = true;
    }
    let requests: Vec<_> = (0..3).map(|_| rig.append(N1, Ack::Local, b"x")).collect();
    // The disk has them all before it tells of one.
    let node = rig.nodes.get_mut(&N1).expect("runs");
    let mut completions: Vec<(SpaceId, WriteId, Epoch, Sequence)> = Vec::new();
    for action in node.disk.drain(..) {
        let Action::WalAppend { space, write, entries } = action else { panic!("{action}") };
        let last = entries.last().expect("entries").position();
        node.log.extend(entries);
        completions.push((space, write, last.epoch, last.sequence));
    }
    node.durable = node.log.len();
    assert_eq!(completions.len(), 3);
    let mut told = completions.into_iter().rev();
    let mut tell = |rig: &mut Rig| {
        let (space, write, epoch, sequence) = told.next().expect("one more");
        rig.event(N1, Event::WalAppended { space, write, epoch, sequence });
    };
    tell(&mut rig);
    assert!(
        requests.iter().all(|request| rig.reply(N1, *request).is_some()),
        "the last is told of, so all are durable"
    );
    let digest = rig.nodes[&N1].core.state_digest();
    tell(&mut rig);
    tell(&mut rig);
    assert_eq!(rig.nodes[&N1].core.state_digest(), digest);
}

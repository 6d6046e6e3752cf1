//! Leases: what a primary does while it is followed, and what it leaves when it is not.

use ::core::time::Duration;

use engraft::core::{Ack, Event, Outcome, Role, StorageError, StorageErrorKind, StorageOperation};
use engraft::types::message::{CloseReason, Message};
use engraft::types::{Epoch, Sequence};

use super::elections::electing;
use super::rig::{N1, N2, N3, space};
use super::safety::batch;

const MS: Duration = Duration::from_millis(1);

#[test]
fn primary_without_a_lease_sends_probes_and_nothing_else() {
    let mut rig = electing(3);
    rig.run(1_000 * MS);
    // Requests of n1 reach n2, answers do not: n2 hears the primary, n1 hears nobody.
    rig.nodes.get_mut(&N1).expect("runs");
    rig.cut.push(N1);
    rig.run(850 * MS);
    assert!(!rig.status(N1).leased, "0.8 of the shortest time-out are over");
    let (batches, probes) = (rig.sent(N1, "Batch"), rig.sent(N1, "Probe"));
    rig.append(N1, Ack::Local, b"not shipped");
    rig.run(150 * MS);
    assert_eq!(rig.sent(N1, "Batch"), batches);
    assert!(rig.sent(N1, "Probe") > probes);
    rig.cut.clear();
    rig.run(600 * MS);
    assert!(rig.status(N1).leased, "a majority answered, and none had promised more");
    rig.run(600 * MS);
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
    assert_eq!(rig.primary(), Some(N1));
}

#[test]
fn primary_whose_disk_stalls_gives_its_lease_up_and_is_replaced() {
    let mut rig = electing(3);
    rig.run(500 * MS);
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = true;
    let request = rig.append(N1, Ack::Local, b"never synced");
    let took = rig.until_replaced(N1);
    assert!(took <= 2_500 * MS, "the stall limit is 1 s, and nobody waits for a time-out after it: {took:?}");
    rig.nodes.get_mut(&N1).expect("runs").disk_stalls = false;
    rig.run(1_000 * MS);
    assert!(matches!(rig.reply(N1, request), Some(Outcome::Unknown { .. })), "{:?}", rig.reply(N1, request));
}

#[test]
fn replica_whose_disk_stalls_counts_for_no_lease() {
    let mut rig = electing(3);
    rig.kill(N3);
    rig.run(500 * MS);
    assert!(rig.status(N1).leased);
    rig.nodes.get_mut(&N2).expect("runs").disk_stalls = true;
    rig.append(N1, Ack::Local, b"never synced on n2");
    rig.run(2_000 * MS);
    assert!(!rig.status(N1).leased, "it echoes heartbeats, and could never make a majority");
    rig.nodes.get_mut(&N2).expect("runs").disk_stalls = false;
    rig.run(500 * MS);
    assert!(rig.status(N1).leased);
    assert_eq!(rig.status(N1).commit, rig.status(N1).end);
}

#[test]
fn lost_link_is_no_loss_of_the_primary_while_another_is_made() {
    let mut rig = electing(3);
    let links: Vec<_> = rig.connections.iter().map(|open| (open.dialler, open.acceptor)).collect();
    for (dialler, acceptor) in links {
        for (node, link) in [dialler, acceptor] {
            let reason = CloseReason::Lost("reset".into());
            rig.event(node, engraft::core::Event::LinkDown { link, reason });
        }
    }
    rig.connections.clear();
    rig.run(Duration::from_secs(5));
    assert_eq!((rig.primary(), rig.status(N1).epoch), (Some(N1), Epoch::new(0, 1, N1)));
}

#[test]
fn old_ack_that_comes_while_the_lease_is_lost_restores_nothing_and_lets_time_pass() {
    let mut rig = electing(3);
    rig.append(N1, Ack::All, b"x");
    rig.run(300 * MS);
    let (epoch, sent) = (rig.status(N1).epoch, rig.now);
    rig.cut.push(N1);
    rig.run(900 * MS);
    assert!(!rig.status(N1).leased);
    for voter in [N2, N3] {
        let durable = Sequence(1);
        let ack = engraft::types::message::ReplicationAck {
            space: space(),
            epoch,
            durable,
            applied: durable,
            commit: durable,
            echo: sent,
            recovering: false,
        };
        rig.inject(N1, voter, &Message::Ack(ack));
    }
    assert!(!rig.status(N1).leased, "both were released since");
    rig.run(3_000 * MS);
    rig.cut.clear();
    rig.run(2_000 * MS);
    assert_eq!(rig.nodes.keys().filter(|&&node| rig.status(node).role == Role::Primary).count(), 1);
}

#[test]
fn batch_that_comes_after_its_primary_stopped_keeps_nobody_waiting() {
    let mut rig = electing(3);
    rig.run(500 * MS);
    let (epoch, end) = (rig.status(N1).epoch, rig.nodes[&N1].log.last().expect("the start entry").position());
    let error = StorageError { kind: StorageErrorKind::Full, detail: "no space left".into() };
    rig.event(N1, Event::StorageFailed { space: space(), operation: StorageOperation::SaveVote, error });
    rig.settle();
    // The replicas were told so; the link and its heartbeats live on, and a late frame attaches them once more.
    for replica in [N2, N3] {
        rig.inject(replica, N1, &batch(epoch, end, None));
    }
    rig.until_replaced(N1);
}

//! Hello, silence, back-off, the breaker, and what closes a link.

use ::core::time::Duration;

use engraft::core::{Ack, Event, Outcome, ReplicaStatus, Role, SpaceOpened};
use engraft::types::entry::chain_start;
use engraft::types::{ClusterId, Epoch, EpochHistory, Incarnation, LinkId, Position, Sequence, SpaceName};

use super::rig::{N1, N2, N3, Rig, cluster};

#[test]
fn each_node_dials_each_peer() {
    let rig = Rig::settled();
    for node in [N1, N2, N3] {
        let status = rig.nodes[&node].core.status(rig.now);
        assert_eq!(status.peers.len(), 2);
        assert!(status.peers.values().all(|open| *open), "{node}: {:?}", status.peers);
    }
}

#[test]
fn node_of_another_cluster_is_refused_and_both_say_why() {
    let mut rig = Rig::new(|config| {
        if config.node == N2 {
            config.cluster = ClusterId::from_name("another").expect("a name");
        }
    });
    rig.run(Duration::from_millis(400));
    for node in [N1, N2, N3] {
        let notices = rig.notices(node);
        assert!(notices.iter().any(|line| line.contains("wrong cluster")), "{node}: {notices:?}");
    }
    let status = rig.nodes[&N1].core.status(rig.now);
    assert_eq!((status.peers[&N2], status.peers[&N3]), (false, true), "nothing else is disturbed");
}

#[test]
fn second_node_with_the_same_id_is_refused() {
    let mut rig = Rig::settled();
    let (log, promise) = rig.kill(N2);
    rig.configs.get_mut(&N2).expect("known").incarnation = Incarnation([99; 16]);
    rig.start(N2, log, promise);
    rig.run(Duration::from_millis(700));
    assert!(rig.notices(N1).iter().any(|line| line.contains("two nodes use one id")), "{:?}", rig.notices(N1));
    assert!(rig.notices(N2).iter().any(|line| line.contains("two nodes use one id")), "{:?}", rig.notices(N2));
    assert!(rig.nodes[&N1].core.status(rig.now).peers[&N3]);
}

/// n2 is wiped while n1 is away: n1 comes back, and n3 is gone. Without what n1 durably knows of n2 the two of them would
/// be a majority, and n2 has nothing of what it had acknowledged.
#[test]
fn wiped_node_is_refused_by_peers_that_started_since() {
    let mut rig = Rig::settled();
    let (log, promise) = rig.kill(N1);
    rig.kill(N2);
    rig.kill(N3);
    rig.known.remove(&N2);
    rig.configs.get_mut(&N2).expect("known").incarnation = Incarnation([99; 16]);
    rig.start(N2, Vec::new(), Epoch::ZERO);
    rig.start(N1, log, promise);
    rig.run(Duration::from_millis(5_000));
    for node in [N1, N2] {
        let notices = rig.notices(node);
        assert!(notices.iter().any(|line| line.contains("give the new one an id that was never used")), "{notices:?}");
        assert_ne!(rig.nodes[&node].core.status(rig.now).spaces[0].role, Role::Primary, "{node}");
    }
    assert!(!rig.nodes[&N1].core.status(rig.now).peers[&N2]);
}

#[test]
fn link_opens_once_it_is_durable_who_the_peer_is() {
    let mut rig = Rig::new(|_| {});
    rig.nodes.values_mut().for_each(|node| node.disk_stalls = true);
    rig.run(Duration::from_millis(300));
    for node in [N1, N2, N3] {
        let status = rig.nodes[&node].core.status(rig.now);
        assert!(status.peers.values().all(|open| !*open), "{node}: {:?}", status.peers);
    }
    rig.nodes.values_mut().for_each(|node| node.disk_stalls = false);
    rig.run(Duration::from_millis(300));
    for node in [N1, N2, N3] {
        assert!(rig.nodes[&node].core.status(rig.now).peers.values().all(|open| *open));
        assert_eq!(rig.known[&node].len(), 2, "{node} knows both others");
    }
}

#[test]
fn unknown_node_is_refused() {
    let mut rig = Rig::new(|config| {
        if config.node == N1 {
            config.peers.retain(|peer| *peer != N3);
        }
    });
    rig.run(Duration::from_millis(400));
    assert!(rig.notices(N3).iter().any(|line| line.contains("unknown node n3")), "{:?}", rig.notices(N3));
}

#[test]
fn garbage_closes_the_link_with_a_reason_that_the_peer_is_told() {
    let mut rig = Rig::settled();
    rig.event(N2, Event::BytesReceived { link: LinkId::accepted(1), bytes: vec![0xff; 64].into() });
    rig.settle();
    let ours: Vec<String> = rig.notices(N2).into_iter().filter(|line| line.contains("closed: bad frame")).collect();
    assert_eq!(ours.len(), 1, "{:?}", rig.notices(N2));
    let theirs: usize =
        [N1, N3].iter().flat_map(|&node| rig.notices(node)).filter(|line| line.contains("ended: bad frame")).count();
    assert_eq!(theirs, 1);
    rig.run(Duration::from_millis(500));
    assert!(rig.nodes[&N1].core.status(rig.now).peers.values().all(|open| *open), "it is dialled again");
}

#[test]
fn silent_link_is_closed_and_dialled_again() {
    let mut rig = Rig::settled();
    rig.cut.push(N3);
    rig.run(Duration::from_millis(1_200));
    assert!(rig.notices(N1).iter().any(|line| line.contains("silent for 1000 ms")), "{:?}", rig.notices(N1));
    rig.cut.clear();
    rig.run(Duration::from_millis(600));
    assert!(rig.nodes[&N1].core.status(rig.now).peers[&N3]);
}

#[test]
fn breaker_opens_after_three_failures_half_opens_and_closes_on_contact() {
    let mut rig = Rig::settled();
    let (log, promise) = rig.kill(N3);
    rig.append(N1, Ack::Quorum, b"while it is away");
    rig.run(Duration::from_secs(5));
    let notices: Vec<String> = rig.notices(N1).into_iter().filter(|line| line.starts_with("n3 breaker")).collect();
    assert!(notices[0].starts_with("n3 breaker opened after 3 failures"), "{notices:?}");
    assert_eq!(notices[1], "n3 breaker half-opened");
    let status = rig.status(N1);
    let view = status.replicas.iter().find(|view| view.node == N3).expect("a replica");
    assert_eq!(view.status, ReplicaStatus::Failed);
    rig.start(N3, log, promise);
    rig.run(Duration::from_secs(2));
    assert!(rig.notices(N1).iter().any(|line| line == "n3 breaker closed"));
    assert_eq!(rig.status(N3).durable, Sequence(2));
}

#[test]
fn same_events_give_the_same_digest_and_a_clone_is_equal() {
    let run = || {
        let mut rig = Rig::settled();
        rig.append(N1, Ack::All, b"x");
        rig.run(Duration::from_millis(150));
        let core = &rig.nodes[&N1].core;
        assert_eq!(core.state_digest(), core.clone().state_digest());
        (rig.nodes.values().map(|node| node.core.state_digest()).collect::<Vec<_>>(), rig.sent)
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    let mut other = Rig::settled();
    other.run(Duration::from_millis(150));
    assert_ne!(first.0[0], other.nodes[&N1].core.state_digest(), "the digest sees the state");
}

#[test]
fn space_that_a_replica_does_not_know_is_not_tried_again_soon() {
    let mut rig = Rig::new(|_| {});
    let other = SpaceName::new("payments").expect("a name");
    let chain = chain_start(cluster(), other.id());
    for node in [N1, N3] {
        let opened = SpaceOpened {
            name: other.clone(),
            config: rig.spaces[&node].clone(),
            end: Position { chain, ..Position::default() },
            history: EpochHistory::default(),
            starts: Vec::new(),
            promise: Epoch::ZERO,
            recovering: false,
        };
        rig.event(node, Event::SpaceOpened(Box::new(opened)));
    }
    rig.run(Duration::from_secs(3));
    for node in [N1, N2, N3] {
        let closed = rig.notices(node).iter().filter(|line| line.contains("ed: unknown space")).count();
        assert_eq!(closed, if node == N3 { 0 } else { 1 }, "{node}: {:?}", rig.notices(node));
    }
    let request = rig.append(N1, Ack::All, b"the known space goes on");
    rig.settle();
    assert!(matches!(rig.reply(N1, request), Some(Outcome::Appended { .. })));
}

//! Bad input from peers: the link closes with a reason that both sides tell, and nothing else is disturbed.

use engraft::core::Ack;
use engraft::driver::NodeOptions;
use engraft::types::message::{CloseReason, Heartbeat, Hello, Message, SpaceHello};
use engraft::types::{Epoch, Incarnation, NodeId, Sequence, SpaceName, Time};
use engraft::wal::StdDisk;

use super::cluster::{Cluster, N1, N2, N3, append, closed, cluster_id, opened, run, start_with, until};
use super::stranger::{Stranger, frame, hello};

/// Says this to the primary of a cluster of which n2 is away; the reason with which it closes, told on both sides.
async fn refused(bytes: &[u8]) -> CloseReason {
    refused_behind(false, bytes).await
}

/// The same, behind a hello that is welcome where `greets` says so.
async fn refused_behind(greets: bool, bytes: &[u8]) -> CloseReason {
    let cluster = Cluster::new();
    let [primary, third] = cluster.start_without_n2().await;
    let linked = async || third.status().await.is_some_and(|status| status.peers[&N1]);
    until("a link", linked).await;
    let mut notices = primary.notices();

    let mut stranger = Stranger::connect(cluster.address(N1)).await;
    if greets {
        stranger.greet().await;
    }
    stranger.send(bytes).await;
    let reason = stranger.goodbye().await;
    assert!(closed(&mut notices, |told| *told == reason).await, "the node tells the same, as its own doing");

    append(&primary, "not disturbed", Ack::Quorum).await;
    // On a machine that stalls, a silent link may have been dialled again meanwhile.
    until("the other links", linked).await;
    reason
}

async fn refused_hello(change: impl FnOnce(&mut Hello)) -> CloseReason {
    let mut hello = hello();
    change(&mut hello);
    refused(&frame(&Message::Hello(hello))).await
}

/// A good hello that is welcome, and what comes behind it.
async fn refused_after_hello(bytes: &[u8]) -> CloseReason {
    refused_behind(true, bytes).await
}

fn heartbeat() -> Vec<u8> {
    frame(&Message::Heartbeat(Heartbeat { sent: Time(5), commits: Vec::new() }))
}

#[test]
fn another_cluster_is_refused() {
    run(async {
        let reason = refused_hello(|hello| hello.cluster = cluster_id("elsewhere")).await;
        let expected = cluster_id("test-cluster");
        assert_eq!(reason, CloseReason::WrongCluster { expected, found: cluster_id("elsewhere") });
    });
}

#[test]
fn who_means_another_node_is_refused() {
    run(async {
        let reason = refused_hello(|hello| hello.to = N3).await;
        assert_eq!(reason, CloseReason::WrongNode { expected: N3, found: N1 });
    });
}

#[test]
fn a_node_that_nobody_knows_is_refused() {
    run(async {
        let reason = refused_hello(|hello| hello.from = NodeId(9)).await;
        assert_eq!(reason, CloseReason::UnknownNode { found: NodeId(9) });
    });
}

#[test]
fn a_version_that_nobody_speaks_is_refused() {
    run(async {
        let reason = refused_hello(|hello| (hello.version_min, hello.version_max) = (7, 8)).await;
        assert!(matches!(reason, CloseReason::UnsupportedVersion { found_min: 7, found_max: 8, .. }), "{reason}");
    });
}

#[test]
fn a_space_that_is_not_here_is_refused() {
    run(async {
        let name = SpaceName::new("elsewhere").expect("a name");
        let space = name.id();
        let (epoch, end) = (Epoch::ZERO, Sequence::ZERO);
        let hello = SpaceHello { space, name, epoch, end };
        let reason = refused_after_hello(&frame(&Message::SpaceHello(hello))).await;
        assert_eq!(reason, CloseReason::UnknownSpace { space });
    });
}

#[test]
fn a_request_before_the_hello_is_refused() {
    run(async {
        let reason = refused(&heartbeat()).await;
        assert!(matches!(reason, CloseReason::Unexpected { .. }), "{reason}");
    });
}

#[test]
fn a_corrupted_frame_is_refused() {
    run(async {
        let mut bytes = heartbeat();
        *bytes.last_mut().expect("a body") ^= 1;
        let reason = refused_after_hello(&bytes).await;
        assert!(matches!(reason, CloseReason::BadFrame(_)), "{reason}");
    });
}

#[test]
fn an_oversized_frame_is_refused_before_its_body_comes() {
    run(async {
        let heartbeat = heartbeat();
        let mut header = u32::MAX.to_le_bytes().to_vec();
        header.extend_from_slice(&heartbeat[4..8]);
        header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        let reason = refused_after_hello(&header).await;
        assert!(matches!(&reason, CloseReason::BadFrame(words) if words.contains("4294967295")), "{reason}");
    });
}

#[test]
fn a_truncated_frame_ends_its_link_and_no_other() {
    run(async {
        let cluster = Cluster::new();
        let [primary, _third] = cluster.start_without_n2().await;
        let mut notices = primary.notices();
        let mut stranger = Stranger::connect(cluster.address(N1)).await;
        stranger.greet().await;
        let bytes = heartbeat();
        stranger.send(&bytes[..bytes.len() - 1]).await;
        drop(stranger);
        let by_us = closed(
            &mut notices,
            |reason| matches!(reason, CloseReason::Lost(words) if words == "the peer ended the connection"),
        )
        .await;
        assert!(!by_us, "the peer ended it");
        append(&primary, "not disturbed", Ack::Quorum).await;
    });
}

/// Starts n1 and n3 as they should be and n2 as `change` makes it; both n1 and n2 tell why they part.
async fn refused_node(change: impl FnOnce(&mut NodeOptions), wanted: impl Fn(&CloseReason) -> bool) {
    let cluster = Cluster::new();
    let [primary, _third] = cluster.start_without_n2().await;
    let mut ours = primary.notices();
    let mut options = cluster.options(N2);
    change(&mut options);
    let second = start_with(StdDisk, options).await;
    let mut theirs = second.notices();
    closed(&mut ours, &wanted).await;
    closed(&mut theirs, &wanted).await;
    append(&primary, "not disturbed", Ack::Quorum).await;
    assert!(primary.status().await.is_some_and(|status| !status.peers[&N2]), "no link to n2 opens");
}

#[test]
fn a_node_of_another_cluster_and_its_peers_tell_why_they_part() {
    run(refused_node(
        |options| {
            options.storage.cluster = cluster_id("elsewhere");
            options.replication.cluster = cluster_id("elsewhere");
        },
        |reason| matches!(reason, CloseReason::WrongCluster { .. }),
    ));
}

#[test]
fn a_node_under_the_address_of_another_and_its_peers_tell_why_they_part() {
    run(refused_node(
        |options| {
            options.storage.node = NodeId(9);
            options.replication.node = NodeId(9);
        },
        |reason| matches!(reason, CloseReason::WrongNode { expected: NodeId(2), found: NodeId(9) }),
    ));
}

#[test]
fn two_nodes_with_one_id_and_their_peers_tell_why_they_part() {
    run(async {
        let cluster = Cluster::new();
        let [primary, second, _third] = cluster.start_all().await;
        second.shutdown().await;
        let mut ours = primary.notices();
        let mut options = cluster.options(N2);
        options.storage.directory = options.storage.directory.join("another");
        options.storage.fresh_incarnation = Incarnation([99; 16]);
        let impostor = start_with(StdDisk, options).await;
        let mut theirs = impostor.notices();
        let wanted = |reason: &CloseReason| {
            matches!(reason, CloseReason::OtherIncarnation { node: NodeId(2), found: Incarnation(found), .. }
                if *found == [99; 16])
        };
        closed(&mut ours, wanted).await;
        closed(&mut theirs, wanted).await;
        opened(&primary).await;
        append(&primary, "not disturbed", Ack::Quorum).await;
    });
}

//! A cluster of three in one space, and what stories do with it.

use alloc::collections::BTreeMap;
use core::time::Duration;

use bytes::Bytes;
use engraft::core::{Ack, Outcome, ReplicationConfig, SpaceConfig, SpaceStatus};
use engraft::driver::wal_worker::StorageOptions;
use engraft::driver::{AppendRequest, NodeHandle, NodeOptions};
use engraft::types::{ClusterId, Incarnation, NodeId, Sequence, SpaceName};
use engraft_sim::madsim_host::{World, sleep};

pub(super) const N1: NodeId = NodeId(1);
pub(super) const N2: NodeId = NodeId(2);
pub(super) const N3: NodeId = NodeId(3);
pub(super) const NODES: [NodeId; 3] = [N1, N2, N3];

pub(super) fn orders() -> SpaceName {
    SpaceName::new("orders").expect("a name")
}

/// What a node is started with: the primary of the one space is n1.
pub(super) fn options(world: &World, seed: u64, node: NodeId) -> NodeOptions {
    let cluster = ClusterId::from_name("story").expect("a name");
    let [high, low] = node.0.to_be_bytes();
    let incarnation = Incarnation([high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let space = SpaceConfig::new(N1, NODES.to_vec());
    let mut storage = StorageOptions::new("/data".into(), cluster, node, incarnation, [7; 16]);
    storage.spaces.push((orders(), space));
    let peers = NODES.into_iter().filter(|peer| *peer != node);
    let addresses = peers.clone().map(|peer| (peer, world.address(peer))).collect::<BTreeMap<_, _>>();
    let mut replication = ReplicationConfig::new(node, cluster, incarnation, peers.collect());
    replication.seed = seed;
    NodeOptions { listen: world.address(node), peers: addresses, storage, replication }
}

/// Starts the node.
pub(super) async fn start(world: &World, seed: u64, node: NodeId) -> NodeHandle {
    world.start(node, options(world, seed, node)).await.expect("the node starts")
}

/// Appends so many entries one behind the other; the sequence of the last.
pub(super) async fn append(handle: &NodeHandle, count: u32, ack: Ack) -> Sequence {
    let mut last = Sequence::ZERO;
    for number in 0..count {
        let mut request = AppendRequest::new(orders().id(), Bytes::from(format!("order {number} at {ack}")));
        request.ack = Some(ack);
        let outcomes = handle.append(vec![request]).await;
        let [Outcome::Appended { token }] = outcomes.as_slice() else { panic!("not appended: {outcomes:?}") };
        last = token.sequence;
    }
    last
}

/// The one space as the node sees it.
pub(super) async fn status(handle: &NodeHandle) -> SpaceStatus {
    let status = handle.status().await.expect("the node runs");
    status.spaces.into_iter().next().expect("the one space")
}

/// Waits until the node has everything up to `sequence` durable and committed; panics after a minute.
pub(super) async fn caught_up(handle: &NodeHandle, sequence: Sequence) {
    for _ in 0..600 {
        let space = status(handle).await;
        if space.durable >= sequence && space.commit >= sequence {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("not caught up to {sequence}: {:?}", status(handle).await);
}

//! Three nodes with one space between them, whose primary is n1.

use alloc::collections::BTreeMap;
use core::future::Future;
use core::time::Duration;

use bytes::Bytes;
use engraft::core::{Ack, Notice, Outcome, ReplicationConfig, SpaceConfig, SpaceStatus};
use engraft::driver::tokio_host::TokioHost;
use engraft::driver::wal_worker::StorageOptions;
use engraft::driver::{AppendRequest, NodeHandle, NodeOptions, start};
use engraft::types::message::CloseReason;
use engraft::types::{ClusterId, Incarnation, NodeId, Sequence, SpaceId, SpaceName, Token};
use engraft::wal::{Disk, StdDisk};
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;

use crate::support::free_addresses;

pub(super) const N1: NodeId = NodeId(1);
pub(super) const N2: NodeId = NodeId(2);
pub(super) const N3: NodeId = NodeId(3);
pub(super) const NODES: [NodeId; 3] = [N1, N2, N3];

/// What takes longer than this has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn space_name() -> SpaceName {
    SpaceName::new("orders").expect("a name")
}

pub(super) fn space() -> SpaceId {
    space_name().id()
}

pub(super) fn cluster_id(name: &str) -> ClusterId {
    ClusterId::from_name(name).expect("a name")
}

/// The incarnation of a node's directory.
pub(super) fn incarnation(node: NodeId) -> Incarnation {
    let [high, low] = node.0.to_be_bytes();
    Incarnation([high, low, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
}

/// Runs a test on a runtime of its own.
pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// The addresses and directories of three nodes.
pub(super) struct Cluster {
    directory: TempDir,
    addresses: BTreeMap<NodeId, String>,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let addresses = free_addresses::<3>().map(|address| address.to_string());
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            addresses: NODES.into_iter().zip(addresses).collect(),
        }
    }

    pub(super) fn address(&self, node: NodeId) -> &str {
        &self.addresses[&node]
    }

    /// What the node is started with; a test may change it before.
    pub(super) fn options(&self, node: NodeId) -> NodeOptions {
        let cluster = cluster_id("test-cluster");
        let config = SpaceConfig::new(N1, NODES.to_vec());
        let directory = self.directory.path().join(node.to_string());
        let mut storage = StorageOptions::new(directory, cluster, node, incarnation(node), [1; 16]);
        storage.spaces.push((space_name(), config));
        let peers = NODES.into_iter().filter(|peer| *peer != node).collect::<Vec<_>>();
        let addresses = peers.iter().map(|peer| (*peer, self.address(*peer).to_owned())).collect();
        let mut replication = ReplicationConfig::new(node, cluster, incarnation(node), peers);
        replication.shutdown_drain = Duration::from_millis(200);
        // What has to be answered is answered, however long the disk takes today.
        replication.append_timeout = PATIENCE;
        NodeOptions { listen: self.address(node).to_owned(), peers: addresses, storage, replication }
    }

    pub(super) async fn start(&self, node: NodeId) -> NodeHandle {
        start_with(StdDisk, self.options(node)).await
    }

    /// Starts all three and waits until every link is open.
    pub(super) async fn start_all(&self) -> [NodeHandle; 3] {
        let nodes = [self.start(N1).await, self.start(N2).await, self.start(N3).await];
        for node in &nodes {
            connected(node, true).await;
        }
        opened(&nodes[0]).await;
        nodes
    }

    /// Starts n1 and n3 and waits until they can commit; n2 is away.
    pub(super) async fn start_without_n2(&self) -> [NodeHandle; 2] {
        let nodes = [self.start(N1).await, self.start(N3).await];
        opened(&nodes[0]).await;
        nodes
    }
}

pub(super) async fn start_with<D: Disk>(disk: D, options: NodeOptions) -> NodeHandle {
    start(TokioHost::with_disk(disk), options).await.expect("the node starts")
}

pub(super) fn request(payload: &str, ack: Ack) -> AppendRequest {
    AppendRequest { ack: Some(ack), ..AppendRequest::new(space(), Bytes::copy_from_slice(payload.as_bytes())) }
}

/// Appends one entry, which has to be answered as asked.
pub(super) async fn append(node: &NodeHandle, payload: &str, ack: Ack) -> Token {
    let outcomes = within("an append", node.append(vec![request(payload, ack)])).await;
    let [Outcome::Appended { token }] = outcomes.as_slice() else { panic!("not appended: {outcomes:?}") };
    *token
}

pub(super) async fn status(node: &NodeHandle) -> SpaceStatus {
    let status = node.status().await.expect("the node runs");
    status.spaces.into_iter().next().expect("the one space")
}

/// The payloads of the committed user entries.
pub(super) async fn payloads(node: &NodeHandle) -> Vec<String> {
    let outcome = within("a read", node.read(space(), Sequence::ZERO, 10_000, 1 << 20)).await;
    let Outcome::Entries { entries, .. } = outcome else { panic!("not read: {outcome}") };
    let users = entries.iter().filter(|entry| entry.header.control().kind == 0);
    users.map(|entry| String::from_utf8_lossy(&entry.payload).into_owned()).collect()
}

/// Waits until the primary has opened its epoch, and committed that.
pub(super) async fn opened(primary: &NodeHandle) {
    until("opening the epoch", async || status(primary).await.commit > Sequence::ZERO).await;
}

/// Waits until the node has links to all peers, or to not all of them.
pub(super) async fn connected(node: &NodeHandle, all: bool) {
    until("links", async || {
        let status = node.status().await.expect("the node runs");
        status.peers.values().all(|open| *open) == all
    })
    .await;
}

/// Waits until the node has the entry durable and committed.
pub(super) async fn caught_up(node: &NodeHandle, sequence: Sequence) {
    until("catching up", async || {
        let space = status(node).await;
        space.durable >= sequence && space.commit >= sequence
    })
    .await;
}

pub(super) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(PATIENCE, future).await;
    ended.unwrap_or_else(|_| panic!("{what} took longer than {PATIENCE:?}"))
}

/// Waits for the notice of a link closed for such a reason; whether this node closed it.
pub(super) async fn closed(notices: &mut Receiver<Notice>, wanted: impl Fn(&CloseReason) -> bool) -> bool {
    within("a closed link", async {
        loop {
            let notice = notices.recv().await.expect("the node runs");
            if let Notice::LinkClosed { reason, by_us, .. } = notice
                && wanted(&reason)
            {
                return by_us;
            }
        }
    })
    .await
}

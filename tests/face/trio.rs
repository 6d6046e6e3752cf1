//! Three nodes with one space between them, whose primary is n1.

use core::future::Future;
use core::time::Duration;

use engraft::core::ReplicationConfig;
use engraft::{Builder, Engraft, NodeId, Role, Space, SpaceOptions};
use tempfile::TempDir;

use crate::support::free_addresses;

/// What takes longer than this has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test on a runtime of its own.
pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(PATIENCE, future).await;
    ended.unwrap_or_else(|_| panic!("{what} took longer than {PATIENCE:?}"))
}

pub(super) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The addresses and directories of three nodes.
pub(super) struct Trio {
    pub(super) directory: TempDir,
    pub(super) addresses: [String; 3],
}

impl Trio {
    pub(super) fn new() -> Self {
        let addresses = free_addresses::<3>().map(|address| address.to_string());
        Self { directory: tempfile::tempdir().expect("a temporary directory"), addresses }
    }

    /// A node of the three without a space.
    pub(super) fn builder(&self, node: u16) -> Builder {
        let index = usize::from(node) - 1;
        let mut builder = Engraft::builder(node, "test-cluster")
            .data_dir(self.directory.path().join(node.to_string()))
            .listen(&self.addresses[index])
            .tune(patient)
            .tune(|numbers| numbers.shutdown_drain = Duration::from_millis(200));
        for (peer, address) in (1_u16..).zip(&self.addresses) {
            if peer != node {
                builder = builder.peer(peer, address);
            }
        }
        builder
    }

    pub(super) async fn start(&self, node: u16) -> Engraft {
        self.start_with(node, orders()).await
    }

    pub(super) async fn start_with(&self, node: u16, space: SpaceOptions) -> Engraft {
        self.builder(node).space(space).start().await.expect("the node starts")
    }

    /// n1 as the primary that a majority elected and that has lost its replicas since.
    pub(super) async fn start_left_alone(&self) -> Engraft {
        self.start_left_alone_with(|builder| builder.space(orders()), |builder| builder.space(orders())).await
    }

    /// The same with the spaces that are given to n1 and to its replica.
    pub(super) async fn start_left_alone_with(
        &self,
        first: impl FnOnce(Builder) -> Builder,
        second: impl FnOnce(Builder) -> Builder,
    ) -> Engraft {
        let first = first(self.builder(1)).start().await.expect("the node starts");
        let second = second(self.builder(2)).start().await.expect("the node starts");
        for space in first.spaces() {
            primary_of(&space).await;
        }
        within("the shutdown", second.shutdown()).await;
        first
    }

    pub(super) async fn start_all(&self) -> [Engraft; 3] {
        let nodes = [self.start(1).await, self.start(2).await, self.start(3).await];
        until("links", async || linked(&nodes[0]).await == 2).await;
        nodes
    }
}

/// The space that all three have.
pub(super) fn orders() -> SpaceOptions {
    SpaceOptions::new("orders").primary(1)
}

pub(super) fn space(node: &Engraft) -> Space {
    node.space("orders").expect("the space is there")
}

/// How many peers have a link to the node.
pub(super) async fn linked(node: &Engraft) -> usize {
    let status = node.status().await.expect("the node runs");
    status.peers.values().filter(|open| **open).count()
}

/// A node without peers, whose space has opened.
pub(super) async fn alone(directory: &TempDir, space: SpaceOptions) -> Engraft {
    let node = alone_builder(directory).space(space).start().await.expect("the node starts");
    primary(&node).await;
    node
}

pub(super) fn alone_builder(directory: &TempDir) -> Builder {
    Engraft::builder(1, "test-cluster").data_dir(directory.path()).tune(patient)
}

/// What has to be answered is answered, however long the disk takes today.
fn patient(numbers: &mut ReplicationConfig) {
    numbers.append_timeout = PATIENCE;
}

/// Waits until the node takes appends.
pub(super) async fn primary(node: &Engraft) {
    primary_of(&space(node)).await;
}

pub(super) async fn primary_of(space: &Space) {
    let mut roles = space.roles();
    within("becoming the primary", async { while roles.next().await.expect("the node runs").role != Role::Primary {} })
        .await;
}

/// The payloads of the first entries that a subscription gives.
pub(super) async fn first_payloads(space: &Space, count: usize) -> Vec<String> {
    let mut entries = space.subscribe(engraft::Sequence::ZERO);
    let mut payloads = Vec::new();
    while payloads.len() < count {
        let entry = within("an entry", entries.next()).await.expect("the node runs").expect("it can be read");
        payloads.push(String::from_utf8_lossy(&entry.payload).into_owned());
    }
    payloads
}

/// The payloads of all committed entries that are there now.
pub(super) async fn payloads(space: &Space) -> Vec<String> {
    let (entries, _) = space.read(engraft::Sequence::ZERO, 10_000).await.expect("it can be read");
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.payload).into_owned()).collect()
}

pub(super) const N1: NodeId = NodeId(1);
pub(super) const N2: NodeId = NodeId(2);
pub(super) const N3: NodeId = NodeId(3);

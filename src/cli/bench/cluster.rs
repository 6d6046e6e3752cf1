//! Three nodes in this process, as they run in production: real files, real sockets, an fsync per group.

use ::core::time::Duration;
use alloc::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::core::{Ack, NodeStatus, Outcome, ReplicationConfig, Role, SpaceConfig};
use crate::driver::tokio_host::TokioHost;
use crate::driver::wal_worker::StorageOptions;
use crate::driver::{AppendRequest, NodeHandle, NodeOptions, node};
use crate::types::{ClusterId, Incarnation, NodeId, Sequence, SpaceId, SpaceName};

use super::super::exit::Failure;
use super::failed;

/// The primary.
const PRIMARY: NodeId = NodeId(1);
/// The replica that goes away and comes back.
pub(super) const AWAY: NodeId = NodeId(3);
const NODES: [NodeId; 3] = [PRIMARY, NodeId(2), AWAY];
/// What takes longer than this does not come.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// Three nodes with one space.
pub(super) struct Cluster {
    directory: PathBuf,
    cluster: ClusterId,
    name: SpaceName,
    addresses: BTreeMap<NodeId, String>,
    nodes: BTreeMap<NodeId, NodeHandle>,
    primary: NodeHandle,
}

impl Cluster {
    /// Starts them in an empty directory and returns once the primary takes appends and both replicas are connected.
    pub(super) async fn start(directory: &Path) -> Result<Self, Failure> {
        let cluster = ClusterId::from_name("bench").map_err(|error| failed("name the cluster", error))?;
        let name = SpaceName::new("bench").map_err(|error| failed("name the space", error))?;
        // All are held until the last is chosen, so that no two are the same.
        let chosen: Vec<TcpListener> =
            NODES.iter().map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>().map_err(port)?;
        let mut addresses = BTreeMap::new();
        for (node, listener) in NODES.into_iter().zip(&chosen) {
            addresses.insert(node, listener.local_addr().map_err(port)?.to_string());
        }
        drop(chosen);
        let directory = directory.to_owned();
        let mut nodes = BTreeMap::new();
        for node in NODES {
            let options = options(&directory, cluster, &name, &addresses, node);
            let handle = node::start(TokioHost::new(), options).await.map_err(|error| failed("start a node", error))?;
            nodes.insert(node, handle);
        }
        let primary = nodes.get(&PRIMARY).cloned().ok_or_else(|| Failure::failed("there is no primary"))?;
        let cluster = Self { directory, cluster, name, addresses, nodes, primary };
        cluster
            .until("the replicas are connected", |status| {
                status
                    .spaces
                    .iter()
                    .all(|space| space.role == Role::Primary && space.replicas.iter().all(|replica| replica.connected))
            })
            .await?;
        Ok(cluster)
    }

    /// The primary's handle.
    pub(super) fn primary(&self) -> &NodeHandle {
        &self.primary
    }

    pub(super) fn space(&self) -> SpaceId {
        self.name.id()
    }

    /// The files of the primary's log, oldest first.
    pub(super) fn log_files(&self) -> Result<Vec<PathBuf>, Failure> {
        let place = self.directory.join(PRIMARY.to_string()).join("spaces").join(self.name.as_str());
        let entries = std::fs::read_dir(&place).map_err(|error| failed("list the primary's log", error))?;
        let mut files: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        files.sort();
        Ok(files)
    }

    /// The end of the primary's log.
    pub(super) async fn end(&self) -> Result<Sequence, Failure> {
        let status = self.status().await?;
        Ok(status.spaces.first().map_or(Sequence::ZERO, |space| space.end))
    }

    /// Returns once every replica, or the one of the two, has everything on disk.
    pub(super) async fn until_durable(&self, replica: Option<NodeId>) -> Result<(), Failure> {
        self.until("the replicas have everything", |status| {
            status.spaces.iter().all(|space| {
                let asked = space.replicas.iter().filter(|view| replica.is_none_or(|node| node == view.node));
                asked.map(|view| view.durable).min() == Some(space.end)
            })
        })
        .await
    }

    /// Ends the node that goes away.
    pub(super) async fn send_away(&mut self) {
        if let Some(node) = self.nodes.remove(&AWAY) {
            node.shutdown().await;
        }
    }

    /// Starts it again, with the log that it had.
    pub(super) async fn bring_back(&mut self) -> Result<(), Failure> {
        let options = options(&self.directory, self.cluster, &self.name, &self.addresses, AWAY);
        let handle = node::start(TokioHost::new(), options).await.map_err(|error| failed("start a node", error))?;
        self.nodes.insert(AWAY, handle);
        Ok(())
    }

    /// Ends all of them.
    pub(super) async fn stop(self) {
        for node in self.nodes.into_values() {
            node.shutdown().await;
        }
    }

    async fn status(&self) -> Result<NodeStatus, Failure> {
        self.primary.status().await.ok_or_else(|| Failure::failed("the primary halted by itself"))
    }

    async fn until(&self, what: &str, holds: impl Fn(&NodeStatus) -> bool) -> Result<(), Failure> {
        let began = Instant::now();
        while !holds(&self.status().await?) {
            if began.elapsed() > PATIENCE {
                return Err(Failure::failed(format!("waited {} s and still not: {what}", PATIENCE.as_secs())));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        Ok(())
    }
}

/// Appends and insists that each entry was taken.
pub(super) async fn append(node: &NodeHandle, requests: Vec<AppendRequest>) -> Result<(), Failure> {
    for outcome in node.append(requests).await {
        match outcome {
            Outcome::Appended { .. } => {}
            Outcome::Unknown { .. }
            | Outcome::Resolved { .. }
            | Outcome::Failed(_)
            | Outcome::Entries { .. }
            | Outcome::Standing { .. } => {
                return Err(Failure::failed(format!("an append was not acknowledged: {outcome}")));
            }
        }
    }
    Ok(())
}

fn options(
    directory: &Path,
    cluster: ClusterId,
    name: &SpaceName,
    addresses: &BTreeMap<NodeId, String>,
    node: NodeId,
) -> NodeOptions {
    let incarnation = Incarnation(u128::from(node.0).to_be_bytes());
    let space = SpaceConfig { ack: Ack::Quorum, ..SpaceConfig::new(PRIMARY, NODES.to_vec()) };
    let mut storage = StorageOptions::new(directory.join(node.to_string()), cluster, node, incarnation, [1; 16]);
    storage.spaces.push((name.clone(), space));
    let peers: BTreeMap<NodeId, String> =
        addresses.iter().filter(|(peer, _)| **peer != node).map(|(peer, address)| (*peer, address.clone())).collect();
    let mut replication = ReplicationConfig::new(node, cluster, incarnation, peers.keys().copied().collect());
    replication.append_timeout = PATIENCE;
    let listen = addresses.get(&node).cloned().unwrap_or_default();
    NodeOptions { listen, peers, storage, replication }
}

fn port(error: std::io::Error) -> Failure {
    failed("find a free port on 127.0.0.1", error)
}

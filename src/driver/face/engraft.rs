//! The running node.

use ::core::fmt;
use ::core::net::SocketAddr;
use ::core::time::Duration;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::driver::{NodeError, NodeHandle};
use crate::types::{NodeId, SpaceName};
use crate::wal::StdDisk;

use super::apply::Applying;
use super::builder::Builder;
use super::error::SpaceError;
use super::space::{Parts, Space};
use super::status::{Status, report};
use super::stream::Notices;

/// What all handles of a node share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) node: NodeHandle,
    /// The runtime that the node runs on.
    pub(super) runtime: Handle,
    pub(super) addresses: BTreeMap<NodeId, String>,
    pub(super) append_timeout: Duration,
    pub(super) spaces: BTreeMap<SpaceName, Arc<Parts>>,
    /// Spaces of the cluster that this node has no log of, and who has.
    pub(super) elsewhere: BTreeMap<SpaceName, Vec<NodeId>>,
}

impl Shared {
    pub(super) async fn status(&self) -> Option<Status> {
        let status = self.node.status().await?;
        Some(report(status, |space| {
            let applying = self.spaces.get(&space.name)?.applying.as_ref()?;
            Some(applying.borrow().clone())
        }))
    }
}

/// A node that runs in this process.
///
/// Handles are cheap to clone. The node runs until [`Engraft::shutdown`] is called, or the last handle of it and of its
/// spaces is dropped: then it shuts down in the same way, and nobody learns when that is done.
#[derive(Clone)]
#[must_use = "the node shuts down when its last handle is dropped"]
pub struct Engraft {
    shared: Arc<Shared>,
}

impl fmt::Debug for Engraft {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Engraft").field(&self.listen_address()).finish()
    }
}

impl Engraft {
    /// A node to be built: its number, unique in the cluster and never used again (1 to 65,535), and the cluster's name.
    pub fn builder(node: u16, cluster: &str) -> Builder<StdDisk> {
        Builder::new(NodeId(node), cluster)
    }

    pub(super) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// A handle of one of its spaces.
    ///
    /// # Errors
    /// Where the name is none, no such space was given to the builder, or this node is not one of its voters.
    pub fn space(&self, name: &str) -> Result<Space, SpaceError> {
        let name = SpaceName::new(name)?;
        if let Some(parts) = self.shared.spaces.get(&name) {
            return Ok(Space::new(Arc::clone(&self.shared), Arc::clone(parts)));
        }
        if let Some(voters) = self.shared.elsewhere.get(&name) {
            return Err(SpaceError::NotHere { name, voters: voters.clone() });
        }
        Err(SpaceError::Unknown { name, known: self.shared.spaces.keys().map(ToString::to_string).collect() })
    }

    /// Handles of all its spaces, by name.
    #[must_use]
    pub fn spaces(&self) -> Vec<Space> {
        self.shared.spaces.values().map(|parts| Space::new(Arc::clone(&self.shared), Arc::clone(parts))).collect()
    }

    /// What the node says of itself, with a reason beside every status; `None` once it has ended.
    pub async fn status(&self) -> Option<Status> {
        self.shared.status().await
    }

    /// Notices from now on.
    #[must_use]
    pub fn notices(&self) -> Notices {
        Notices::new(self.shared.node.notices())
    }

    /// Shuts the node down: no more appends are taken, those under way get up to `shutdown_drain` (1 s unless configured) to
    /// be answered, the peers are told, the logs are closed, and the engines end after what they have in hand.
    ///
    /// It returns once all that is done: the directory may be opened anew, and nothing touches the engines' state any more.
    /// Dropping it does not take the shutdown back.
    pub async fn shutdown(&self) {
        self.shared.node.shutdown().await;
        self.engines_ended().await;
    }

    /// Returns once the node has ended and its engines with it, by a shutdown or otherwise ([`Engraft::failure`]).
    pub async fn halted(&self) {
        self.shared.node.halted().await;
        self.engines_ended().await;
    }

    async fn engines_ended(&self) {
        engines_ended(self.engines()).await;
    }

    /// What tells that the engines have ended; it does not keep the node running.
    pub(super) fn engines(&self) -> Vec<watch::Receiver<Applying>> {
        self.shared.spaces.values().filter_map(|parts| parts.applying.clone()).collect()
    }

    /// Why the node ended, where it was not shut down; `None` while it runs.
    #[must_use]
    pub fn failure(&self) -> Option<NodeError> {
        self.shared.node.failure()
    }

    /// Where it listens for nodes, with the port in force where 0 was asked for.
    #[must_use]
    pub fn listen_address(&self) -> SocketAddr {
        self.shared.node.listen_address()
    }

    /// The driver's own handle, for what is not here, such as serving clients by HTTP
    /// ([`http::serve`](crate::driver::http::serve)).
    pub fn handle(&self) -> &NodeHandle {
        &self.shared.node
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.shared.runtime
    }
}

/// Returns once the engines have ended.
pub(super) async fn engines_ended(engines: Vec<watch::Receiver<Applying>>) {
    for mut applying in engines {
        while applying.changed().await.is_ok() {}
    }
}

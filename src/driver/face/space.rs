//! A space as a program holds it.

use ::core::fmt;
use ::core::sync::atomic::{AtomicBool, Ordering};
use ::core::time::Duration;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::core::{Command, Role, TokenState};
use crate::driver::NodeHandle;
use crate::driver::space_watch::{Reach, Retracted, RoleState};
use crate::types::{Entry, Epoch, NodeId, Sequence, SpaceId, SpaceName, Token};

use super::append::{Append, AppendAll};
use super::apply::Applying;
use super::engraft::Shared;
use super::error::{PauseError, PrimaryHint, ReadError, WaitError};
use super::status::SpaceReport;
use super::stream::Roles;
use super::subscription::{Subscription, is_users, read_once};
use super::wait::{WaitFor, look};

/// What all handles of one space share.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) name: SpaceName,
    pub(super) reach: watch::Receiver<Reach>,
    pub(super) role: watch::Receiver<RoleState>,
    pub(super) retracted: watch::Receiver<Vec<Retracted>>,
    pub(super) applying: Option<watch::Receiver<Applying>>,
    pub(super) closed: AtomicBool,
}

/// One log, on this node. Handles are cheap to clone, and each keeps the node running.
#[derive(Clone)]
pub struct Space {
    shared: Arc<Shared>,
    parts: Arc<Parts>,
}

impl fmt::Debug for Space {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Space").field(&self.parts.name.as_str()).finish()
    }
}

impl Space {
    pub(super) const fn new(shared: Arc<Shared>, parts: Arc<Parts>) -> Self {
        Self { shared, parts }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &SpaceName {
        &self.parts.name
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SpaceId {
        self.parts.name.id()
    }

    /// An entry with this payload: `space.append("…").ack(Ack::Quorum).await?`. Only the primary takes it.
    pub fn append(&self, payload: impl Into<Bytes>) -> Append {
        Append::new(self.clone(), payload.into())
    }

    /// Entries with these payloads, in this order: faster than one by one. All payloads are in memory until the last is
    /// answered.
    pub fn append_all<P: Into<Bytes>>(&self, payloads: impl IntoIterator<Item = P>) -> AppendAll {
        AppendAll::new(self.clone(), payloads.into_iter().map(Into::into).collect())
    }

    /// Committed entries from a sequence on, now and later, on any node that has the space; 0 is the first.
    #[must_use]
    pub fn subscribe(&self, from: Sequence) -> Subscription {
        Subscription::new(self.clone(), from)
    }

    /// Committed entries that are there now, from a sequence on, at most `entries_max` (up to 10,000) and about 1 MiB; and
    /// the sequence where the next read goes on. Entries that are the library's own are passed over.
    ///
    /// # Errors
    /// Where the space has stopped, the node is shut down, or too many read.
    pub async fn read(&self, from: Sequence, entries_max: u32) -> Result<(Vec<Entry>, Sequence), ReadError> {
        let (mut entries, _) = read_once(self, from, entries_max, 1 << 20).await?;
        let next = entries.last().map_or(from.max(Sequence(1)), |last| last.header.sequence().next());
        entries.retain(is_users);
        Ok((entries, next))
    }

    /// Waits until this node's state includes an entry: committed, durable here, and applied by the engine here where there
    /// is one. The token may come from any node.
    pub fn wait_for(&self, token: Token) -> WaitFor {
        WaitFor::new(self.clone(), token)
    }

    /// What is known of an append now: what to ask after [`AppendError::Unknown`](super::AppendError::Unknown).
    ///
    /// # Errors
    /// A token of another space, a space that has stopped, a node that is shut down.
    pub async fn resolve(&self, token: Token) -> Result<TokenState, WaitError> {
        look(self, token, Duration::ZERO).await
    }

    /// This node's part in the space, as it changes, with the epoch as fencing token.
    #[must_use]
    pub fn roles(&self) -> Roles {
        Roles::new(self.parts.role.clone())
    }

    /// How far the engine is; `None` where there is none.
    #[must_use]
    pub fn applying(&self) -> Option<Applying> {
        self.parts.applying.as_ref().map(|applying| applying.borrow().clone())
    }

    /// What the space says of itself here, with reasons; `None` once the node has ended.
    pub async fn status(&self) -> Option<SpaceReport> {
        let status = self.shared.status().await?;
        status.spaces.into_iter().find(|report| report.status.space == self.id())
    }

    /// Says that the engine has opened itself as the primary of `epoch`, as [`Space::roles`] told it: appends are taken from
    /// then on. It means nothing in any other epoch, and where the space has no
    /// [readiness gate](super::SpaceOptions::readiness_gate).
    pub async fn ready(&self, epoch: Epoch) {
        self.node().command(Command::Ready { space: self.id(), epoch }).await;
    }

    /// Ships nothing more to a replica until [`Space::resume_replica`]. It falls behind, and counts in no majority.
    ///
    /// # Errors
    /// On another node than the primary, and for a node that is no replica.
    pub async fn pause_replica(&self, replica: NodeId) -> Result<(), PauseError> {
        self.check_replica(replica).await?;
        self.node().command(Command::PauseReplica { space: self.id(), replica }).await;
        Ok(())
    }

    /// Ships to a paused replica again.
    ///
    /// # Errors
    /// As [`Space::pause_replica`].
    pub async fn resume_replica(&self, replica: NodeId) -> Result<(), PauseError> {
        self.check_replica(replica).await?;
        self.node().command(Command::ResumeReplica { space: self.id(), replica }).await;
        Ok(())
    }

    async fn check_replica(&self, replica: NodeId) -> Result<(), PauseError> {
        let status = self.status().await.ok_or(PauseError::Shutdown)?.status;
        match status.role {
            Role::Candidate | Role::Opening | Role::Primary => {}
            Role::Replica | Role::Recovering => {
                let Some(primary) = status.primary else { return Err(PauseError::NoPrimary) };
                return Err(PauseError::NotPrimary { hint: self.hint(primary) });
            }
            Role::Stopped => return Err(PauseError::Stopped { reason: status.stopped.unwrap_or_default() }),
        }
        let expected: Vec<NodeId> = status.replicas.iter().map(|view| view.node).collect();
        if expected.contains(&replica) { Ok(()) } else { Err(PauseError::NotAReplica { expected, found: replica }) }
    }

    /// Closes the space to appends through this node, for all handles and until the node starts again. What was handed over
    /// goes on; reading and replicating do, too.
    pub fn close(&self) {
        self.parts.closed.store(true, Ordering::Release);
    }

    /// Whether the space was closed to appends.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.parts.closed.load(Ordering::Acquire)
    }

    pub(super) fn node(&self) -> &NodeHandle {
        &self.shared.node
    }

    pub(super) fn append_timeout(&self) -> Duration {
        self.shared.append_timeout
    }

    pub(super) fn reach_receiver(&self) -> watch::Receiver<Reach> {
        self.parts.reach.clone()
    }

    pub(super) fn role_receiver(&self) -> watch::Receiver<RoleState> {
        self.parts.role.clone()
    }

    /// What was committed here and is no more, since the node started.
    pub(super) fn retracted_receiver(&self) -> watch::Receiver<Vec<Retracted>> {
        self.parts.retracted.clone()
    }

    pub(super) fn applying_receiver(&self) -> Option<watch::Receiver<Applying>> {
        self.parts.applying.clone()
    }

    pub(super) fn hint(&self, primary: NodeId) -> PrimaryHint {
        PrimaryHint { node: primary, address: self.shared.addresses.get(&primary).map(ToString::to_string) }
    }

    /// A sleep on the node's runtime, so that the futures here run on any.
    pub(super) fn sleep(&self, duration: Duration) -> Sleep {
        let _entered = self.shared.runtime.enter();
        tokio::time::sleep(duration)
    }
}

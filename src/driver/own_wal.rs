//! The door for an engine that owns its log.
//!
//! The engine writes into its own log, syncs it, and then calls [`WalShipper::append_entry`] here, in the order of its
//! log. See [`own_wal`](crate::wal::own_wal) for what engraft keeps.

use alloc::sync::Arc;
use core::time::Duration;
use std::io;

use tokio::sync::Mutex;

use crate::core::{Ack, AppendError, Command, Outcome, Role};
use crate::types::{SpaceId, Token};
use crate::wal::own_wal::{EngineEntry, EngineLink, EnginePlace, Look};

use super::node::{AppendRequest, NodeHandle};

/// Entries that are appended at a time.
const ENTRIES_MAX: usize = 1_000;
/// Bytes of them.
const BYTES_MAX: usize = 4 << 20;
/// How long the index may take to become durable before an append counts as unknown.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why entries of the engine's were not all taken. Those that were not come with the next [`WalShipper::catch_up`].
#[derive(Debug, thiserror::Error)]
pub enum OwnWalError {
    /// The engine rewrote its log, and may still write to a file that has no name any more.
    #[error(
        "the engine's {file} is another file than the one that was indexed; open the engine's files again, then call `resync`: it opens a new epoch and takes the engine's log from its beginning"
    )]
    Replaced {
        /// The file.
        file: String,
    },
    /// The engine's log does not have an entry that it reported.
    #[error("the engine's {} has no entry {} at {} any more; start the node again: the index is cut behind the last one that is there", .place.file, .place.number, .place.offset)]
    Missing {
        /// Where it was.
        place: EnginePlace,
    },
    /// The node did not take an entry.
    #[error("the node did not take the engine's entry: {0}")]
    Refused(AppendError),
    /// The engine's log cannot be read.
    #[error("the engine's log cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Ships a space whose entries an engine keeps, on the node that is its primary: the engine's handle.
///
/// What is shipped to whom when is decided in the core; this hands the engine's entries over to it.
#[derive(Debug)]
pub struct WalShipper {
    node: NodeHandle,
    space: SpaceId,
    link: Arc<EngineLink>,
    /// Held while entries are handed over, so that their order is the engine's.
    order: Mutex<()>,
}

impl WalShipper {
    /// The space on a running node that was started with this link among its engines.
    #[must_use]
    pub fn new(node: NodeHandle, space: SpaceId, link: Arc<EngineLink>) -> Self {
        Self { node, space, link, order: Mutex::new(()) }
    }

    /// Takes an entry that is durable in the engine's log; returns once the index has it durable, with the token by
    /// which [`NodeHandle::wait_for`] tells when it is committed. Replicas get it from then on.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn append_entry(&self, entry: EngineEntry) -> Result<Option<Token>, OwnWalError> {
        self.append_entries(vec![entry]).await
    }

    /// The same for entries that the engine synced together, in its order; the token of the last one.
    ///
    /// Entries before them that were never reported are read from the engine's log and taken first; entries that the
    /// index has already are passed over.
    ///
    /// # Errors
    /// Why they were not all taken.
    pub async fn append_entries(&self, entries: Vec<EngineEntry>) -> Result<Option<Token>, OwnWalError> {
        let _order = self.order.lock().await;
        let Some(last) = entries.last().map(|entry| entry.place.clone()) else { return Ok(None) };
        self.look(&last).await?;
        let mut before = self.link.last();
        let contiguous = entries.iter().all(|entry| {
            let follows = before.as_ref().is_some_and(|before| {
                (&before.file, before.inode, before.end) == (&entry.place.file, entry.place.inode, entry.place.offset)
            });
            before = Some(entry.place.clone());
            follows
        });
        if contiguous && entries.len() <= ENTRIES_MAX {
            self.hand_over(entries).await
        } else {
            self.read_on(Some(&last)).await
        }
    }

    /// Takes everything that the engine's log has and the index has not: after a start, once the space is open, and
    /// after an error. All that the engine's log shows has to be durable then. The token of the last entry, where there was one.
    ///
    /// # Errors
    /// Why not everything was taken.
    pub async fn catch_up(&self) -> Result<Option<Token>, OwnWalError> {
        let _order = self.order.lock().await;
        self.read_on(None).await
    }

    /// Takes a log that the engine rewrote from its beginning, in an epoch of its own: after [`OwnWalError::Replaced`],
    /// once the engine writes to the new files. What was indexed of the old ones stays in the space, with what follows
    /// it in a higher epoch; an engine's state that is built from the space begins anew there. The token of the last
    /// entry.
    ///
    /// A replica that still lacks entries of the old files cannot get them any more; the space stops when it asks.
    ///
    /// # Errors
    /// Why not everything was taken. It may be called again.
    pub async fn resync(&self) -> Result<Option<Token>, OwnWalError> {
        let _order = self.order.lock().await;
        let refused = |error| OwnWalError::Refused(error);
        let mut role =
            self.node.role(self.space).ok_or(AppendError::UnknownSpace { space: self.space }).map_err(refused)?;
        let before = role.borrow_and_update().epoch;
        self.node.command(Command::OpenEpoch { space: self.space }).await;
        let opened = role.wait_for(|state| {
            (state.role == Role::Primary && state.epoch > before)
                || matches!(state.role, Role::Replica | Role::Recovering | Role::Stopped)
        });
        let primary = opened.await.map_err(|_| refused(AppendError::Shutdown))?.role == Role::Primary;
        if primary {
            self.link.begin_anew();
        }
        self.read_on(None).await
    }

    /// Follows an engine that reports nothing: looks for new entries again and again, `pause` apart, and takes a log
    /// that was rewritten anew. All that the engine's log shows has to be durable. It returns when something fails.
    pub async fn tail(&self, pause: Duration) -> OwnWalError {
        loop {
            let result = match self.catch_up().await {
                Err(OwnWalError::Replaced { .. }) => self.resync().await,
                other => other,
            };
            if let Err(error) = result {
                return error;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether the file that was indexed last is still the one of that name; to be asked now and then while the engine
    /// is quiet.
    ///
    /// # Errors
    /// [`OwnWalError::Replaced`] or [`OwnWalError::Missing`] where it is not.
    pub async fn check(&self) -> Result<(), OwnWalError> {
        match self.link.last() {
            Some(place) => self.look(&place).await,
            None => Ok(()),
        }
    }

    /// Takes what the engine's log has behind the index, up to `until`: behind that it may not be durable yet.
    async fn read_on(&self, until: Option<&EnginePlace>) -> Result<Option<Token>, OwnWalError> {
        let mut token = None;
        loop {
            self.check().await?;
            let (link, last) = (Arc::clone(&self.link), self.link.last());
            let read =
                tokio::task::spawn_blocking(move || link.wal().entries_after(last.as_ref(), ENTRIES_MAX, BYTES_MAX));
            let mut entries = read.await.map_err(io::Error::other)??;
            if let Some(until) = until {
                entries.retain(|entry| (&entry.place.file, entry.place.offset) <= (&until.file, until.offset));
            }
            if entries.is_empty() {
                return Ok(token);
            }
            token = self.hand_over(entries).await?;
        }
    }

    async fn look(&self, place: &EnginePlace) -> Result<(), OwnWalError> {
        let (link, looked_at) = (Arc::clone(&self.link), place.clone());
        let look = tokio::task::spawn_blocking(move || link.wal().look(&looked_at));
        match look.await.map_err(io::Error::other)?? {
            Look::Held(_) => Ok(()),
            Look::Missing => Err(OwnWalError::Missing { place: place.clone() }),
            Look::Replaced => Err(OwnWalError::Replaced { file: place.file.clone() }),
        }
    }

    async fn hand_over(&self, entries: Vec<EngineEntry>) -> Result<Option<Token>, OwnWalError> {
        self.link.expect(&entries);
        let appends = entries.into_iter().map(|entry| AppendRequest {
            entry_type: entry.entry_type,
            timestamp: Some(entry.timestamp),
            ack: Some(Ack::Local),
            timeout: Some(TIMEOUT),
            ..AppendRequest::new(self.space, entry.payload)
        });
        let (mut token, mut refused, mut settled) = (None, None, true);
        for outcome in self.node.append(appends.collect()).await {
            match outcome {
                Outcome::Appended { token: appended } => token = Some(appended),
                Outcome::Unknown { token: unknown, .. } => (token, settled) = (Some(unknown), false),
                Outcome::Failed(error) => refused = refused.or(Some(error)),
                // An append is never answered so.
                Outcome::Entries { .. } | Outcome::Resolved { .. } | Outcome::Standing { .. } => {}
            }
        }
        if settled {
            self.link.expect_nothing();
        }
        match refused {
            Some(error) => Err(OwnWalError::Refused(error)),
            None => Ok(token),
        }
    }
}

//! Why a node does not start, and why it ended.

use alloc::string::String;
use alloc::vec::Vec;
use std::io;

use crate::core::ConfigError;
use crate::types::NodeId;
use crate::wal::StorageOpenError;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A number of the configuration cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The addresses are not those of the peers.
    #[error("addresses are given for {found:?}, expected them for {expected:?}: every peer and no other node")]
    Peers {
        /// The peers of the configuration.
        expected: Vec<NodeId>,
        /// The nodes with an address.
        found: Vec<NodeId>,
    },
    /// The storage is told another node or cluster than the rest.
    #[error("the storage's options have another {what}: expected {expected}, found {found}")]
    Storage {
        /// What differs.
        what: &'static str,
        /// What the replication has.
        expected: String,
        /// What the storage has.
        found: String,
    },
    /// The storage cannot be opened.
    #[error(transparent)]
    Open(#[from] StorageOpenError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address:?}: {error}; is another process listening there?")]
    Listen {
        /// The address.
        address: String,
        /// The system's own words.
        error: io::Error,
    },
    /// The host cannot run what the node needs.
    #[error("the host cannot run {what}: {error}")]
    Host {
        /// What.
        what: &'static str,
        /// The system's own words.
        error: io::Error,
    },
}

/// Why a node ended by itself, or did not end as it should. Each is a defect of engraft or of the host, save a disk that hangs
/// and a process that is ending anyway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// More requests wait for the log than the core's windows allow.
    #[error("{limit} requests wait for the log already, the core's windows allow no more; this is a defect")]
    WalQueueFull {
        /// How many wait.
        limit: usize,
    },
    /// The log's work ended before the node did.
    #[error("the log's work ended before the node did; this is a defect")]
    WalEnded,
    /// The listener ended before the node did.
    #[error("the listener's task ended before the node did; this is a defect")]
    ListenerEnded,
    /// The log was not closed in time. What was acknowledged is durable; the next start recovers as after a crash.
    #[error(
        "the log was not closed within {ms} ms (`wal.close_timeout`), its disk hangs: {doing}; look at that disk, end this \
         process if it goes on, then start the node again"
    )]
    DiskHangs {
        /// What is under way, of which space, and for how long.
        doing: String,
        /// How long it was waited for, in milliseconds.
        ms: u64,
    },
    /// The shell itself ended: a defect was caught by an assertion, or the host dropped the node's tasks.
    #[error("the node's task ended without a shutdown: an assertion failed, or the runtime ended")]
    ShellEnded,
}

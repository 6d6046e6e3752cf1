//! What can go wrong, by whose doing it is.

use ::core::fmt;
use alloc::string::String;
use alloc::vec::Vec;

use crate::core;
use crate::core::Ack;
use crate::core::notice::StopReason;
use crate::driver::NodeError;
use crate::types::id::NameError;
use crate::types::{Epoch, NodeId, Sequence, SpaceName, Token};

/// The node to ask instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrimaryHint {
    /// The space's primary.
    pub node: NodeId,
    /// Where it listens for nodes; `None` where no address is configured.
    pub address: Option<String>,
}

impl fmt::Display for PrimaryHint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.node)?;
        match &self.address {
            Some(address) => write!(formatter, " at {address}"),
            None => Ok(()),
        }
    }
}

/// Why a space is not to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No space of that name was given to the builder.
    #[error("no space {name} was given to this node, expected one of {known:?}; add it where the node is built")]
    Unknown {
        /// The name.
        name: SpaceName,
        /// The spaces that this node has.
        known: Vec<String>,
    },
    /// The space is there, and this node has no log of it.
    #[error("this node is no voter of {name} and has no log of it; ask one of {voters:?}")]
    NotHere {
        /// The name.
        name: SpaceName,
        /// Who has it.
        voters: Vec<NodeId>,
    },
}

/// Why an append was not answered as it was asked.
///
/// Only [`Unknown`](Self::Unknown) and [`Unanswered`](Self::Unanswered) may have left an entry in the log; with all others
/// nothing was appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The caller came to a replica.
    #[error("this node is not the primary of the space; append on {hint}")]
    NotPrimary {
        /// Whom to ask instead.
        hint: PrimaryHint,
    },
    /// The primary could not open its epoch before the time-out.
    #[error("the primary was still opening its epoch when the time was over; try again")]
    NotReady,
    /// The caller's payload is larger than an entry may be.
    #[error("the payload has {found} bytes, expected at most {expected} (`entry_bytes_max`)")]
    TooLarge {
        /// How large it may be, in bytes.
        expected: u64,
        /// How large it is, in bytes.
        found: u64,
    },
    /// The callers together append faster than the disk and the replicas take it.
    #[error(
        "{waiting} appends of {bytes} bytes wait for their answers already; try again later, or raise `append_entries_max` and `append_bytes_max`"
    )]
    Overloaded {
        /// How many wait.
        waiting: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The primary is alone: no other node can have what is asked for. Nothing was appended.
    #[error("too few replicas for {ack}: the primary is alone in {epoch}; bring a replica back, or ask for `local`")]
    NotEnoughReplicas {
        /// The level that was asked for.
        ack: Ack,
        /// The epoch in which the primary is alone.
        epoch: Epoch,
    },
    /// As much is answered at `local` and not committed as may be, and the time was over before it shrank. Nothing was
    /// appended.
    #[error(
        "{bytes} bytes since {age_ms} ms are answered and not committed (`exposure_bytes_max`, `exposure_age_max`); \
         bring replicas back, or try again later"
    )]
    ExposureReached {
        /// Bytes that are exposed.
        bytes: u64,
        /// How long the oldest of them has been, in milliseconds.
        age_ms: u64,
    },
    /// The level was not reached in time. The entry is in the primary's log and may still reach it.
    #[error("{token} did not reach its level in time, and may do so later; `resolve` tells what became of it")]
    Unknown {
        /// What the append is known by.
        token: Token,
        /// Who had it durable by then.
        acked_by: Vec<NodeId>,
    },
    /// The node took the append and ended before it could say what became of it. It may be in the log or not.
    #[error("the node ended before it answered; the entry may be in the log or not{}", because(.failure.as_ref()))]
    Unanswered {
        /// Why it ended; `None` where it was shut down.
        failure: Option<NodeError>,
    },
    /// The space has stopped on this node.
    #[error("the space has stopped: {reason}")]
    Stopped {
        /// Why, and what to do.
        reason: StopReason,
    },
    /// The space was closed to appends on this node.
    #[error("{space} was closed to appends (`Space::close`)")]
    Closed {
        /// The space.
        space: SpaceName,
    },
    /// The node is shut down, or about to be.
    #[error("the node is shut down")]
    Shutdown,
    /// The future was polled again after it had answered.
    #[error("this append was answered already; make a new one")]
    AnsweredAlready,
    /// What no caller can bring about.
    #[error("{error}; this is a defect of engraft")]
    Defect {
        /// What the core said.
        error: core::AppendError,
    },
}

fn because(failure: Option<&NodeError>) -> String {
    failure.map(|failure| alloc::format!(": {failure}")).unwrap_or_default()
}

/// Why nothing can be said of a token, or why it is not as hoped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// The token is another space's.
    #[error("the token {token} is not one of {expected}; ask the space that gave it")]
    OtherSpace {
        /// The space that was asked.
        expected: SpaceName,
        /// The token.
        token: Token,
    },
    /// The token names no entry.
    #[error("the token {token} names no entry: sequences begin at 1")]
    NamesNothing {
        /// The token.
        token: Token,
    },
    /// The entry was not committed, or not applied here, in time.
    #[error("{token} was not there in time; it may come later")]
    TimedOut {
        /// The token.
        token: Token,
    },
    /// Another entry was committed in its place.
    #[error("{token} is lost: another entry is committed in its place")]
    Lost {
        /// The token.
        token: Token,
    },
    /// The engine here stopped applying before it came to the entry.
    #[error("the engine here stopped applying: {failure}")]
    ApplyFailed {
        /// What stopped it.
        failure: ApplyFailure,
    },
    /// Too many wait already.
    #[error("{waiting} wait already; try again later")]
    Overloaded {
        /// How many.
        waiting: u64,
    },
    /// The space has stopped on this node.
    #[error("the space has stopped: {reason}")]
    Stopped {
        /// Why, and what to do.
        reason: StopReason,
    },
    /// The node is shut down.
    #[error("the node is shut down")]
    Shutdown,
}

/// Why nothing can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Too many read already.
    #[error("{waiting} reads of the space are under way; try again later")]
    Overloaded {
        /// How many.
        waiting: u64,
    },
    /// The space has stopped on this node.
    #[error("the space has stopped: {reason}")]
    Stopped {
        /// Why, and what to do.
        reason: StopReason,
    },
    /// Entries that this subscription gave, or passed over, are committed no more: an operator forced a node on that has
    /// others in their place. They are in a salvage file of this node; the subscription goes on with the others.
    #[error("{first} to {last} are committed no more: a forced primary took over without them")]
    CommittedTruncated {
        /// The first of them.
        first: Sequence,
        /// The last.
        last: Sequence,
    },
    /// The node is shut down.
    #[error("the node is shut down")]
    Shutdown,
}

/// Why a replica was not paused or resumed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PauseError {
    /// Only the primary ships.
    #[error("this node is not the primary of the space; pause and resume on {hint}")]
    NotPrimary {
        /// Whom to ask instead.
        hint: PrimaryHint,
    },
    /// Only the primary ships, and this node hears none.
    #[error("this node is not the primary of the space, and hears none; an election may be under way, try again")]
    NoPrimary,
    /// The node is no replica of the space.
    #[error("{found} is no replica of this space, expected one of {expected:?}")]
    NotAReplica {
        /// The replicas.
        expected: Vec<NodeId>,
        /// The node.
        found: NodeId,
    },
    /// The space has stopped on this node.
    #[error("the space has stopped: {reason}")]
    Stopped {
        /// Why, and what to do.
        reason: String,
    },
    /// The node is shut down.
    #[error("the node is shut down")]
    Shutdown,
}

/// What stopped an engine from applying.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("applying {at} failed: {reason}; mend it, then start the node again: it goes on behind what is applied")]
pub struct ApplyFailure {
    /// The entry that it failed at.
    pub at: Sequence,
    /// What the engine said.
    pub reason: String,
}

//! Why a space stops.

use crate::types::{Epoch, Position, Sequence};

use super::super::config::ConfigError;
use super::super::event::{StorageError, StorageOperation};

/// Why a space has stopped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StopReason {
    /// The storage failed. Failures of fsync are final for a process: what the kernel holds is not to be believed.
    #[error("{} failed: {error}; mend the disk, then start the node again", operation.name())]
    Storage {
        /// What failed.
        operation: StorageOperation,
        /// How.
        error: StorageError,
    },
    /// This node's log and the primary's differ.
    #[error(
        "the log diverged: it has {ours} where {epoch}'s primary has another entry at {at}; \
         move the data directory away and let the node copy the log anew"
    )]
    Diverged {
        /// The epoch whose primary has the other log.
        epoch: Epoch,
        /// The first sequence known to differ.
        at: Sequence,
        /// The end of the log here.
        ours: Position,
    },
    /// What is configured for the space cannot be.
    #[error("{0}")]
    Configuration(ConfigError),
    /// The terms of this generation are used up.
    #[error("the terms are used up after {last}")]
    TermsExhausted {
        /// The last epoch.
        last: Epoch,
    },
}

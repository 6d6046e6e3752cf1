//! A node that becomes the primary because somebody says so.

use crate::core;
use crate::core::notice::StopReason;
use crate::core::{Outcome, PromoteBy, PromotionError};
use crate::types::Epoch;

use super::space::Space;

/// Why a node does not become the primary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromoteError {
    /// The node says no.
    #[error(transparent)]
    Refused(#[from] PromotionError),
    /// The log is about to be truncated: not before that is done.
    #[error("the log is about to be truncated; try again")]
    NotReady,
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

impl Space {
    /// Has this node stand for election, or go on without one. It returns once that has begun, with the epoch that is asked
    /// for: [`Space::roles`] tells when it is the primary.
    ///
    /// # Errors
    /// Where another primary is heard, where this node has nothing to go on with, is a learner or the primary already, and
    /// where the space has stopped.
    pub async fn promote(&self, by: PromoteBy) -> Result<Epoch, PromoteError> {
        match self.node().promote(self.id(), by).await {
            Outcome::Standing { epoch } => Ok(epoch),
            Outcome::Failed(core::AppendError::Promotion(error)) => Err(PromoteError::Refused(error)),
            Outcome::Failed(core::AppendError::NotReady) => Err(PromoteError::NotReady),
            Outcome::Failed(core::AppendError::Stopped(reason)) => Err(PromoteError::Stopped { reason }),
            // The space is one of this node's, and the rest are answers to others.
            Outcome::Failed(_)
            | Outcome::Appended { .. }
            | Outcome::Unknown { .. }
            | Outcome::Resolved { .. }
            | Outcome::Entries { .. } => Err(PromoteError::Shutdown),
        }
    }
}

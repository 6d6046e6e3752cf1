//! What a node tells as it happens: roles, and all other notices.

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use crate::core::Notice;
use crate::driver::space_watch::RoleState;

/// This node's part in a space, as it changes.
///
/// A reader that is slow skips what was in between and never misses the latest.
#[derive(Debug, Clone)]
pub struct Roles {
    role: watch::Receiver<RoleState>,
}

impl Roles {
    pub(super) fn new(mut role: watch::Receiver<RoleState>) -> Self {
        role.mark_changed();
        Self { role }
    }

    /// The role now.
    #[must_use]
    pub fn current(&self) -> RoleState {
        self.role.borrow().clone()
    }

    /// The role at the first call, then each time that it has changed; `None` once the node has ended. It may be dropped
    /// at any time: nothing is lost.
    pub async fn next(&mut self) -> Option<RoleState> {
        self.role.changed().await.ok()?;
        Some(self.role.borrow_and_update().clone())
    }
}

/// Notices as they come. Nobody decides by them: who leads is told by [`Roles`], what is committed by a subscription.
#[derive(Debug)]
pub struct Notices {
    notices: broadcast::Receiver<Notice>,
}

/// Notices that came faster than they were read are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{count} notices were missed: they came faster than they were read")]
pub struct Missed {
    /// How many.
    pub count: u64,
}

impl Notices {
    pub(super) const fn new(notices: broadcast::Receiver<Notice>) -> Self {
        Self { notices }
    }

    /// The next notice; `None` once the node has ended. It may be dropped at any time: nothing is lost by that.
    ///
    /// # Errors
    /// [`Missed`] where the reader was more than 4,096 behind; it goes on with the oldest that is left.
    pub async fn next(&mut self) -> Option<Result<Notice, Missed>> {
        match self.notices.recv().await {
            Ok(notice) => Some(Ok(notice)),
            Err(RecvError::Lagged(count)) => Some(Err(Missed { count })),
            Err(RecvError::Closed) => None,
        }
    }
}

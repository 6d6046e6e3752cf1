//! Stops a node's log between two of its steps, so that a kill lands exactly there.

use alloc::sync::Arc;
use core::future::pending;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Between which steps of the log a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalStep {
    /// A group was taken; nothing of it is written.
    Taken,
    /// It is written and not durable.
    Written,
    /// It is durable, and the core does not know.
    Synced,
}

/// Stops a node's log between two of its steps. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct WalGate {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    armed: Mutex<Option<WalStep>>,
    reached: Notify,
}

impl WalGate {
    /// Lets the log stop for ever when it next comes to `step`; returns once it has. Kill the node then.
    pub async fn stop_at(&self, step: WalStep) {
        self.set(Some(step));
        self.shared.reached.notified().await;
    }

    /// Called by the log between its steps.
    pub(super) async fn reach(&self, step: WalStep) {
        let armed = *self.shared.armed.lock().unwrap_or_else(PoisonError::into_inner);
        if armed == Some(step) {
            self.set(None);
            self.shared.reached.notify_one();
            pending::<()>().await;
        }
    }

    fn set(&self, step: Option<WalStep>) {
        *self.shared.armed.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }
}

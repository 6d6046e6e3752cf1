//! The pure machine over all spaces.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::types::Time;

use super::{Action, Actions, ConfigError, Event, NodeStatus, ReplicationConfig};

/// The pure machine over all spaces of a node.
#[derive(Debug, Clone)]
pub struct ReplicationCoordinator {
    config: ReplicationConfig,
}

impl ReplicationCoordinator {
    /// A node that has not opened any space.
    ///
    /// # Errors
    /// The first value of the configuration that cannot be.
    pub fn new(config: ReplicationConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config })
    }

    /// Takes what has happened, adds what is to be done.
    pub fn handle(&mut self, _now: Time, _event: Event, actions: &mut Actions) {
        actions.push(Action::Halt);
    }

    /// When [`Event::TimerFired`] is due; `None` while nothing is.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        None
    }

    /// What the node says of itself.
    #[must_use]
    pub fn status(&self, _now: Time) -> NodeStatus {
        NodeStatus { node: self.config.node, peers: BTreeMap::new(), spaces: Vec::new() }
    }

    /// A digest of the whole state: equal states have equal digests on every machine and in every process.
    #[must_use]
    pub fn state_digest(&self) -> u64 {
        0
    }
}

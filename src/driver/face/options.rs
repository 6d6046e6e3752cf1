//! A space as it is given to the builder.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::core::Ack;
use crate::types::{FsyncMode, NodeId};

use super::StateMachine;
use super::apply::{Apply, Engine};

/// A space to be, with its defaults: this node is the primary, the voters are the primary and the first two other nodes by
/// id, appends are answered at [`Ack::Local`], each batch is synced, and there is no engine.
#[must_use = "a space is given to the builder"]
pub struct SpaceOptions {
    pub(super) name: String,
    pub(super) primary: Option<NodeId>,
    pub(super) voters: Option<Vec<NodeId>>,
    pub(super) ack: Ack,
    pub(super) fsync: FsyncMode,
    pub(super) apply: Apply,
    pub(super) machine: Option<Box<dyn StateMachine>>,
}

impl ::core::fmt::Debug for SpaceOptions {
    fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        formatter.debug_struct("SpaceOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

impl SpaceOptions {
    /// A space of this name: 3 to 64 characters of `a-z`, `0-9`, `_`, `-`. All nodes give the same options for it.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_string(),
            primary: None,
            voters: None,
            ack: Ack::Local,
            fsync: FsyncMode::PerBatch,
            apply: Apply::OnCommit,
            machine: None,
        }
    }

    /// The node that takes the appends.
    pub const fn primary(mut self, node: u16) -> Self {
        self.primary = Some(NodeId(node));
        self
    }

    /// The nodes that have the log, the primary among them. A majority of them commits.
    pub fn voters(mut self, nodes: impl IntoIterator<Item = u16>) -> Self {
        self.voters = Some(nodes.into_iter().map(NodeId).collect());
        self
    }

    /// When appends are answered that do not say it themselves.
    pub const fn ack(mut self, ack: Ack) -> Self {
        self.ack = ack;
        self
    }

    /// When the log is made durable. Under [`FsyncMode::Timer`] and [`FsyncMode::None`] "durable" means written.
    pub const fn fsync(mut self, mode: FsyncMode) -> Self {
        self.fsync = mode;
        self
    }

    /// The engine whose state follows from the log, on this node.
    pub fn state(mut self, machine: impl StateMachine) -> Self {
        self.machine = Some(Box::new(machine));
        self
    }

    /// When the engine gets an entry.
    pub const fn apply(mut self, apply: Apply) -> Self {
        self.apply = apply;
        self
    }

    pub(super) fn take_engine(&mut self) -> Option<Engine> {
        let machine = self.machine.take()?;
        Some(Engine { apply: self.apply, machine })
    }
}

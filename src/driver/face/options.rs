//! A space as it is given to the builder.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::core::{Ack, Isolation, Promotion};
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
    pub(super) promotion: Promotion,
    pub(super) isolation: Isolation,
    pub(super) readiness_gate: bool,
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
            promotion: Promotion::default(),
            isolation: Isolation::default(),
            readiness_gate: false,
            apply: Apply::OnCommit,
            machine: None,
        }
    }

    /// The node that stands first, where none was the primary yet.
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

    /// Who decides that a replica becomes the primary. With two voters it is an operator, whatever stands here.
    pub const fn promotion(mut self, promotion: Promotion) -> Self {
        self.promotion = promotion;
        self
    }

    /// What a primary without a lease does with appends at [`Ack::Local`].
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// A new primary takes no appends before [`Space::ready`](super::Space::ready) is called with its epoch: for an engine
    /// that has to open itself first.
    pub const fn readiness_gate(mut self) -> Self {
        self.readiness_gate = true;
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

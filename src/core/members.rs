//! Who votes in a space, and how much may be exposed: the newest entry that opens an epoch says it, and so a truncation
//! undoes it.
//!
//! Architecture Invariant: quorums of memberships that follow each other have a voter in common, and a change is made
//! only once the one before is committed (S17). The one exception is a start in which the primary of two is alone: who
//! made it is in every quorum before and after it.

use alloc::vec::Vec;

use crate::types::entry::{StartBody, StartFound};
use crate::types::{Entry, Epoch, NodeId, Sequence};

/// What the start entries of a log say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Members {
    /// Where they say something else than the one before, in the order of the log.
    changes: Vec<StartFound>,
}

/// What an epoch that a node stands for changes of who votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Opens {
    /// Nothing.
    Same,
    /// The primary of two voters goes on alone: its own promise is all that it takes.
    Alone,
    /// This learner is a voter from the start entry on.
    With(NodeId),
    /// An operator says that this node goes on by itself: it begins a generation and a lineage.
    Lineage,
}

impl Members {
    /// Takes what recovery found, in the order of the log.
    pub(crate) fn recover(&mut self, starts: Vec<StartFound>) {
        starts.into_iter().for_each(|start| self.note(start));
    }

    /// An entry is in the log: what it says counts from now on. Whoever took it in saw that it can be read.
    pub(crate) fn note_entry(&mut self, entry: &Entry) {
        if let Ok(Some(body)) = StartBody::of(entry) {
            self.note(StartFound { first: entry.header.sequence(), body });
        }
    }

    fn note(&mut self, start: StartFound) {
        if self.newest().map_or(start.body != StartBody::default(), |before| *before != start.body) {
            self.changes.push(start);
        }
    }

    fn newest(&self) -> Option<&StartBody> {
        self.changes.last().map(|last| &last.body)
    }

    /// Forgets what stood behind `end`.
    pub(crate) fn truncate(&mut self, end: Sequence) {
        let kept = self.changes.partition_point(|change| change.first <= end);
        self.changes.truncate(kept);
    }

    /// The voters that are named; `None` where the configured ones vote.
    pub(crate) fn named(&self) -> Option<&[NodeId]> {
        self.newest().map(|body| body.voters.as_slice()).filter(|voters| !voters.is_empty())
    }

    /// The epoch of the last forced start.
    pub(crate) fn lineage(&self) -> Epoch {
        self.newest().map_or(Epoch::ZERO, |body| body.lineage)
    }

    /// The bytes that may be answered at Local and not committed in the newest epoch; `None` where nothing limits them.
    pub(crate) fn exposure_limit(&self) -> Option<u64> {
        self.newest().map(|body| body.exposure_bytes_max).filter(|limit| *limit > 0)
    }
}

impl Opens {
    /// Whether the node's own promise is all that it takes.
    pub(super) const fn by_itself(self) -> bool {
        match self {
            Self::Alone | Self::Lineage => true,
            Self::Same | Self::With(_) => false,
        }
    }

    /// The lineage from the start entry of `epoch` on, where `before` was it until then.
    pub(super) const fn lineage(self, before: Epoch, epoch: Epoch) -> Epoch {
        match self {
            Self::Same | Self::Alone | Self::With(_) => before,
            Self::Lineage => epoch,
        }
    }

    /// The voters from the start entry on, where `before` vote until then.
    pub(super) fn voters(self, before: &[NodeId], node: NodeId) -> Vec<NodeId> {
        match self {
            Self::Same => before.to_vec(),
            Self::Alone | Self::Lineage => Vec::from([node]),
            Self::With(learner) => before.iter().copied().chain([learner]).collect(),
        }
    }
}

/// The voters as a start entry names them: none where they are the configured ones.
pub(super) fn to_be_named(voters: &[NodeId], configured: &[NodeId]) -> Vec<NodeId> {
    let same = voters.len() == configured.len() && voters.iter().all(|voter| configured.contains(voter));
    if same { Vec::new() } else { voters.to_vec() }
}

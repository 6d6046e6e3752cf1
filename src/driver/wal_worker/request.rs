//! What the core orders of the storage.

use crate::core::Action;
use crate::types::{Entry, Epoch, Incarnation, NodeId, ReadId, Sequence, SpaceId, WriteId};

/// An order to the storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WalRequest {
    /// Write entries behind all earlier ones and make them durable.
    Append {
        /// The space.
        space: SpaceId,
        /// Comes back with the completion.
        write: WriteId,
        /// The entries, contiguous.
        entries: Vec<Entry>,
    },
    /// Read entries.
    Read {
        /// The space.
        space: SpaceId,
        /// Comes back with the entries.
        read: ReadId,
        /// The first sequence.
        from: Sequence,
        /// How many entries at most.
        entries_max: u32,
        /// How many bytes at most (one entry comes however large it is).
        bytes_max: u64,
    },
    /// Make a promise durable.
    SaveVote {
        /// The space.
        space: SpaceId,
        /// The promise.
        promise: Epoch,
    },
    /// Make durable under which incarnation a peer is known.
    SavePeer {
        /// The peer.
        peer: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// Note that a space is recovering no longer.
    EndRecovering {
        /// The space.
        space: SpaceId,
    },
    /// Make entries durable in a salvage file.
    Salvage {
        /// The space.
        space: SpaceId,
        /// Comes back with the completion.
        write: WriteId,
        /// The first entry.
        first: Sequence,
        /// The last entry.
        last: Sequence,
        /// The epoch whose primary has another log.
        by: Epoch,
    },
    /// Forget every entry behind `last`.
    Truncate {
        /// The space.
        space: SpaceId,
        /// Comes back with the completion.
        write: WriteId,
        /// The last entry that stays.
        last: Sequence,
    },
}

impl WalRequest {
    /// The storage's part of the core's actions; `None` for all others.
    #[must_use]
    pub fn from_action(action: Action) -> Option<Self> {
        match action {
            Action::WalAppend { space, write, entries } => Some(Self::Append { space, write, entries }),
            Action::WalRead { space, read, from, entries_max, bytes_max } => {
                Some(Self::Read { space, read, from, entries_max, bytes_max })
            }
            Action::SaveVote { space, promise } => Some(Self::SaveVote { space, promise }),
            Action::EndRecovering { space } => Some(Self::EndRecovering { space }),
            Action::SavePeer { peer, incarnation } => Some(Self::SavePeer { peer, incarnation }),
            Action::SalvageSave { space, write, first, last, by } => {
                Some(Self::Salvage { space, write, first, last, by })
            }
            Action::WalTruncate { space, write, last } => Some(Self::Truncate { space, write, last }),
            Action::Send { .. }
            | Action::Connect { .. }
            | Action::Close { .. }
            | Action::Reply { .. }
            | Action::Notify(_)
            | Action::Halt => None,
        }
    }
}

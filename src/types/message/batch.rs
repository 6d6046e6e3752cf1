//! Entries on their way, and the answer that they are durable.

use ::core::fmt;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::super::{Entry, Epoch, Position, Sequence, SpaceId, Time};

/// What stands before the entries of a batch; laid out by hand (see `wire::wal_format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplicationBatchHeader {
    /// The space.
    pub space: SpaceId,
    /// The sender's epoch: it is the primary of it.
    pub epoch: Epoch,
    /// The epoch of the last forced start in the sender's log; [`Epoch::ZERO`] where there was none.
    pub lineage: Epoch,
    /// The entry before the first of the batch, by which the batch is placed.
    pub previous: Position,
    /// The sender's commit.
    pub commit: Sequence,
    /// The sender's clock when it sent; the ack carries it back.
    pub sent: Time,
}

/// Entries as they stand on disk, behind a header. Their sequences follow [`ReplicationBatchHeader::previous`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReplicationBatch {
    /// What stands before them.
    pub header: ReplicationBatchHeader,
    /// The entries.
    pub entries: Vec<Entry>,
}

/// How far a replica has a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReplicationAck {
    /// The space.
    pub space: SpaceId,
    /// The epoch whose primary it answers.
    pub epoch: Epoch,
    /// The last entry that is durable after the replica's own fsync and agrees with the primary's log.
    pub durable: Sequence,
    /// The last entry that its engine has applied.
    pub applied: Sequence,
    /// The commit that the replica knows.
    pub commit: Sequence,
    /// The primary's send time of the newest batch that this answers.
    pub echo: Time,
    /// Whether the replica may have forgotten what it acknowledged before it started: it counts in no majority yet.
    pub recovering: bool,
}

impl fmt::Display for ReplicationBatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.header;
        write!(formatter, "Batch {} {} ", header.space, header.epoch)?;
        match (self.entries.first(), self.entries.last()) {
            (Some(first), Some(last)) if first.header.sequence() == last.header.sequence() => {
                write!(formatter, "{}", first.header.sequence())?;
            }
            (Some(first), Some(last)) => {
                write!(formatter, "{}..{}", first.header.sequence(), last.header.sequence())?;
            }
            _ => write!(formatter, "empty")?,
        }
        write!(formatter, " after {} commit {}", header.previous, header.commit)
    }
}

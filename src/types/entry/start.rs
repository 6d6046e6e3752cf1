//! What an entry says that opens an epoch: the limit of exposure in it, its lineage, and its voters.
//!
//! ```text
//! 0       8         16        24      25
//! ┌───────┬─────────┬─────────┬───────┬──────────────────┐
//! │ #     │ limit   │ lineage │ count │ voters, u16 each │
//! │ u64   │ u64     │ u64     │ u8    │ count * 2 bytes  │
//! └───────┴─────────┴─────────┴───────┴──────────────────┘
//! ```
//!
//! The first eight bytes are Engram's. A body that ends behind the limit, or before it, says nothing of what is not there:
//! there was no forced start, and the voters are the configured ones.

use alloc::vec::Vec;

use bytes::Bytes;

use super::super::{Epoch, NodeId, Sequence};
use super::{Control, Entry, control_payload};

/// Bytes before the body: Engram's sequence.
const PREFIX: usize = 8;
/// Bytes of the body where no voters are named.
const FIXED: usize = 17;

/// What an entry says that opens an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct StartBody {
    /// Bytes that may be answered at Local and not be committed in this epoch; 0 where nothing limits them.
    pub exposure_bytes_max: u64,
    /// The epoch of the last forced start; [`Epoch::ZERO`] where there was none.
    pub lineage: Epoch,
    /// The voters from this entry on, at most 255; none where they are the configured ones.
    pub voters: Vec<NodeId>,
}

/// A start entry's body that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StartError {
    /// It has another size than what stands in it.
    #[error("the start of an epoch has {found} bytes, expected {expected}; a newer version may have written it")]
    Size {
        /// How many bytes were expected.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// It names a voter twice.
    #[error("the start of an epoch names {node} twice, expected different voters")]
    Twice {
        /// Which.
        node: NodeId,
    },
}

impl StartBody {
    /// The payload of the entry that opens an epoch at `sequence`.
    ///
    /// Of more than 255 voters the first 255 are named: no configuration has so many.
    #[must_use]
    pub fn payload(&self, sequence: Sequence) -> Bytes {
        let named = self.voters.get(..usize::from(u8::MAX)).unwrap_or(&self.voters);
        let mut body = Vec::with_capacity(FIXED + 2 * named.len());
        body.extend_from_slice(&self.exposure_bytes_max.to_le_bytes());
        if self.lineage == Epoch::ZERO && named.is_empty() {
            return control_payload(sequence, &body);
        }
        body.extend_from_slice(&self.lineage.0.to_le_bytes());
        body.push(u8::try_from(named.len()).unwrap_or(u8::MAX));
        named.iter().for_each(|voter| body.extend_from_slice(&voter.0.to_le_bytes()));
        control_payload(sequence, &body)
    }

    /// What the entry says; `None` where it opens no epoch.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(entry: &Entry) -> Result<Option<Self>, StartError> {
        if entry.header.control().kind == Control::EPOCH_START {
            Self::parse(&entry.payload).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Reads the payload of a start entry.
    ///
    /// # Errors
    /// Where its size is not what stands in it, or a voter stands there twice.
    pub fn parse(payload: &[u8]) -> Result<Self, StartError> {
        let body = payload.get(PREFIX..).unwrap_or_default();
        let number =
            |at: usize| body.get(at..).and_then(|rest| rest.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes));
        let exposure_bytes_max = number(0).unwrap_or_default();
        let lineage = Epoch(number(8).unwrap_or_default());
        let count = body.get(FIXED - 1).copied().map(usize::from);
        let expected = match (body.len(), count) {
            (0 | 8, _) => body.len(),
            (_, Some(count)) => FIXED + 2 * count,
            (_, None) => FIXED,
        };
        if body.len() != expected || payload.len() < PREFIX {
            return Err(StartError::Size { expected: PREFIX + expected, found: payload.len() });
        }
        let pairs = body.get(FIXED..).unwrap_or_default().as_chunks::<2>().0;
        let mut voters: Vec<NodeId> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let node = NodeId(u16::from_le_bytes(*pair));
            if voters.contains(&node) {
                return Err(StartError::Twice { node });
            }
            voters.push(node);
        }
        Ok(Self { exposure_bytes_max, lineage, voters })
    }
}

/// A start entry as recovery found it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StartFound {
    /// Where it stands.
    pub first: Sequence,
    /// What it says.
    pub body: StartBody,
}

//! One entry of the log: a header and a payload, and the words that its fields are told in.

use ::core::fmt;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{Epoch, Position, Sequence};

mod header;
mod start;

pub use header::{HEADER_SIZE, HeaderFields, WAL_MAGIC, WalEntryHeader, chain, chain_start};
pub use start::{StartBody, StartError, StartFound};

/// The type of an entry, numbered as Engram numbers them; others are carried as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WalEntryType {
    /// 1: an episode was stored. What `append` writes unless it is told otherwise.
    EpisodeStore,
    /// 2: a memory was updated.
    MemoryUpdate,
    /// 3: a memory was deleted.
    MemoryDelete,
    /// 4: a consolidation ran.
    Consolidation,
    /// 5: a checkpoint; engraft's control entries, too, so that Engram's reader passes over them.
    Checkpoint,
    /// 6: a compaction marker.
    CompactionMarker,
    /// Any other number.
    Other(u32),
}

impl WalEntryType {
    /// The number on disk.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::EpisodeStore => 1,
            Self::MemoryUpdate => 2,
            Self::MemoryDelete => 3,
            Self::Consolidation => 4,
            Self::Checkpoint => 5,
            Self::CompactionMarker => 6,
            Self::Other(number) => number,
        }
    }

    /// The type of that number.
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::EpisodeStore,
            2 => Self::MemoryUpdate,
            3 => Self::MemoryDelete,
            4 => Self::Consolidation,
            5 => Self::Checkpoint,
            6 => Self::CompactionMarker,
            other => Self::Other(other),
        }
    }
}

/// The eight control bytes: what kind of entry it is to engraft itself, and which client session sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Control {
    /// 0 user, 1 epoch-start, 2 members, 3 session.
    pub kind: u8,
    /// The slot of the client session, 24 bits; 0 without one.
    pub session: u32,
    /// The session's counter; 0 without one.
    pub counter: u32,
}

impl Control {
    /// A user's entry.
    pub const USER: u8 = 0;
    /// The entry that opens an epoch.
    pub const EPOCH_START: u8 = 1;
    /// A change of members.
    pub const MEMBERS: u8 = 2;
    /// A client session's id and its slot.
    pub const SESSION: u8 = 3;

    /// A user's entry outside any session.
    #[must_use]
    pub const fn user() -> Self {
        Self { kind: Self::USER, session: 0, counter: 0 }
    }

    /// An entry that opens an epoch.
    #[must_use]
    pub const fn epoch_start() -> Self {
        Self { kind: Self::EPOCH_START, session: 0, counter: 0 }
    }

    /// The eight bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        let [s0, s1, s2, _] = self.session.to_le_bytes();
        let [c0, c1, c2, c3] = self.counter.to_le_bytes();
        [self.kind, s0, s1, s2, c0, c1, c2, c3]
    }

    /// The control that these eight bytes hold.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        let [kind, s0, s1, s2, c0, c1, c2, c3] = bytes;
        Self { kind, session: u32::from_le_bytes([s0, s1, s2, 0]), counter: u32::from_le_bytes([c0, c1, c2, c3]) }
    }
}

/// What is wrong with an entry's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EntryError {
    /// The first four bytes are not the magic.
    #[error("no entry begins here: expected the magic 0xdeadbeef, found {found:#010x}")]
    Magic {
        /// What stood there.
        found: u32,
    },
    /// The header's checksum does not hold.
    #[error("the header's checksum does not hold: expected {expected:#010x}, computed {found:#010x}")]
    HeaderChecksum {
        /// What stands in the header.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
    /// The payload's checksum does not hold.
    #[error("the payload's checksum does not hold: expected {expected:#010x}, computed {found:#010x}")]
    PayloadChecksum {
        /// What stands in the header.
        expected: u32,
        /// What the payload's bytes give.
        found: u32,
    },
    /// The payload is not as long as the header says.
    #[error("the payload has another size: the header says {expected} bytes, there are {found}")]
    PayloadSize {
        /// What stands in the header.
        expected: u32,
        /// How many bytes there are.
        found: usize,
    },
}

/// A header and its payload.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The header; its checksum holds.
    pub header: WalEntryHeader,
    /// The payload, uncopied from where it came in.
    pub payload: Bytes,
}

impl Entry {
    /// A new entry that follows `previous`.
    ///
    /// The caller has checked that the payload fits into a u32 of bytes; a longer one is cut from the header's view.
    #[must_use]
    pub fn following(
        previous: &Position,
        epoch: Epoch,
        entry_type: WalEntryType,
        control: Control,
        timestamp: u64,
        payload: Bytes,
    ) -> Self {
        let payload_crc = crc32c::crc32c(&payload);
        let sequence = previous.sequence.next();
        let header = WalEntryHeader::new(&HeaderFields {
            sequence,
            timestamp,
            entry_type,
            payload_size: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            payload_crc,
            epoch,
            chain: chain(previous.chain, epoch, sequence, entry_type, control, payload_crc),
            control,
        });
        Self { header, payload }
    }

    /// Joins a header and its payload once size and checksum of the payload hold.
    ///
    /// # Errors
    /// [`EntryError::PayloadSize`] or [`EntryError::PayloadChecksum`].
    pub fn join(header: WalEntryHeader, payload: Bytes) -> Result<Self, EntryError> {
        if u32::try_from(payload.len()) != Ok(header.payload_size()) {
            return Err(EntryError::PayloadSize { expected: header.payload_size(), found: payload.len() });
        }
        let found = crc32c::crc32c(&payload);
        if found != header.payload_crc() {
            return Err(EntryError::PayloadChecksum { expected: header.payload_crc(), found });
        }
        Ok(Self { header, payload })
    }

    /// The entry's position.
    #[must_use]
    pub fn position(&self) -> Position {
        self.header.position()
    }

    /// Header and payload, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        HEADER_SIZE + self.payload.len()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header.fmt(formatter)
    }
}

/// The payload of a control entry: Engram's eight bytes of sequence, then our body.
#[must_use]
pub fn control_payload(sequence: Sequence, body: &[u8]) -> Bytes {
    let mut payload = Vec::with_capacity(8 + body.len());
    payload.extend_from_slice(&sequence.0.to_le_bytes());
    payload.extend_from_slice(body);
    Bytes::from(payload)
}

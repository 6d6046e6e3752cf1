//! One entry of the log: a 64-byte header, laid out by hand to match Engram's, and a payload.
//!
//! All integers are little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic 0xDEADBEEF |
//! | 4 | 8 | sequence |
//! | 12 | 8 | timestamp, ns since the Unix epoch |
//! | 20 | 4 | type |
//! | 24 | 4 | payload size |
//! | 28 | 4 | CRC32C of the payload |
//! | 32 | 4 | CRC32C of bytes 0..32 and 36..56 |
//! | 36 | 8 | epoch (Engram: 0) |
//! | 44 | 4 | chain (Engram: 0) |
//! | 48 | 8 | control: kind u8, session u24, counter u32 (Engram: 0) |
//! | 56 | 8 | node-local, outside the header CRC (Engram: 0) |

use ::core::fmt;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{ClusterId, Epoch, Position, Sequence, SpaceId};

/// The bytes of an entry header.
pub const HEADER_SIZE: usize = 64;
/// The first four bytes of every entry, read as a little-endian number.
pub const WAL_MAGIC: u32 = 0xDEAD_BEEF;

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

/// The 64 bytes of an entry header whose magic and checksum hold.
///
/// It is kept encoded: the same bytes go to the disk and to every replica, and are encoded once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WalEntryHeader([u8; HEADER_SIZE]);

/// What a new header is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderFields {
    /// The entry's sequence.
    pub sequence: Sequence,
    /// Nanoseconds since the Unix epoch; serves people, decides nothing.
    pub timestamp: u64,
    /// The type.
    pub entry_type: WalEntryType,
    /// The payload's size in bytes.
    pub payload_size: u32,
    /// CRC32C of the payload.
    pub payload_crc: u32,
    /// The epoch.
    pub epoch: Epoch,
    /// The chain (see [`chain`]).
    pub chain: u32,
    /// The control bytes.
    pub control: Control,
}

impl WalEntryHeader {
    /// Lays the fields out and adds magic and checksum; the node-local bytes are zero.
    #[must_use]
    pub fn new(fields: &HeaderFields) -> Self {
        let mut bytes = [0_u8; HEADER_SIZE];
        put(&mut bytes, 0, &WAL_MAGIC.to_le_bytes());
        put(&mut bytes, 4, &fields.sequence.0.to_le_bytes());
        put(&mut bytes, 12, &fields.timestamp.to_le_bytes());
        put(&mut bytes, 20, &fields.entry_type.number().to_le_bytes());
        put(&mut bytes, 24, &fields.payload_size.to_le_bytes());
        put(&mut bytes, 28, &fields.payload_crc.to_le_bytes());
        put(&mut bytes, 36, &fields.epoch.0.to_le_bytes());
        put(&mut bytes, 44, &fields.chain.to_le_bytes());
        put(&mut bytes, 48, &fields.control.to_bytes());
        let crc = header_crc(&bytes);
        put(&mut bytes, 32, &crc.to_le_bytes());
        Self(bytes)
    }

    /// Believes 64 bytes once their magic and checksum hold.
    ///
    /// # Errors
    /// [`EntryError::Magic`] or [`EntryError::HeaderChecksum`].
    pub fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<Self, EntryError> {
        let magic = u32::from_le_bytes(get(bytes, 0));
        if magic != WAL_MAGIC {
            return Err(EntryError::Magic { found: magic });
        }
        let expected = u32::from_le_bytes(get(bytes, 32));
        let found = header_crc(bytes);
        if expected != found {
            return Err(EntryError::HeaderChecksum { expected, found });
        }
        Ok(Self(*bytes))
    }

    /// The bytes as they stand on disk and on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HEADER_SIZE] {
        &self.0
    }

    /// The entry's sequence.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        Sequence(u64::from_le_bytes(get(&self.0, 4)))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        u64::from_le_bytes(get(&self.0, 12))
    }

    /// The type.
    #[must_use]
    pub fn entry_type(&self) -> WalEntryType {
        WalEntryType::from_number(u32::from_le_bytes(get(&self.0, 20)))
    }

    /// The payload's size in bytes.
    #[must_use]
    pub fn payload_size(&self) -> u32 {
        u32::from_le_bytes(get(&self.0, 24))
    }

    /// CRC32C of the payload.
    #[must_use]
    pub fn payload_crc(&self) -> u32 {
        u32::from_le_bytes(get(&self.0, 28))
    }

    /// CRC32C of bytes 0..32 and 36..56.
    #[must_use]
    pub fn header_crc(&self) -> u32 {
        u32::from_le_bytes(get(&self.0, 32))
    }

    /// The epoch; [`Epoch::ZERO`] in a log of Engram's.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        Epoch(u64::from_le_bytes(get(&self.0, 36)))
    }

    /// The chain value.
    #[must_use]
    pub fn chain(&self) -> u32 {
        u32::from_le_bytes(get(&self.0, 44))
    }

    /// The control bytes.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::from_bytes(get(&self.0, 48))
    }

    /// The node-local bytes: sequences since the last synced one, and a witness bound to the entry's place.
    #[must_use]
    pub fn node_local(&self) -> [u8; 8] {
        get(&self.0, 56)
    }

    /// The same header with these node-local bytes. Only the WAL's writer calls it.
    #[must_use]
    pub fn with_node_local(mut self, bytes: [u8; 8]) -> Self {
        put(&mut self.0, 56, &bytes);
        self
    }

    /// The entry's position.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch(), sequence: self.sequence(), chain: self.chain() }
    }

    /// The chain value that this header should have after one whose chain is `previous`.
    #[must_use]
    pub fn chain_after(&self, previous: u32) -> u32 {
        chain(previous, self.epoch(), self.sequence(), self.entry_type(), self.control(), self.payload_crc())
    }
}

impl fmt::Debug for WalEntryHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}+{}", self.position(), self.payload_size())
    }
}

fn header_crc(bytes: &[u8; HEADER_SIZE]) -> u32 {
    let (before, rest) = bytes.split_at(32);
    let covered = rest.get(4..24).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(before), covered)
}

fn put<const N: usize>(bytes: &mut [u8; HEADER_SIZE], offset: usize, value: &[u8; N]) {
    if let Some(place) = bytes.get_mut(offset..offset + N) {
        place.copy_from_slice(value);
    }
}

fn get<const N: usize>(bytes: &[u8; HEADER_SIZE], offset: usize) -> [u8; N] {
    let mut value = [0; N];
    if let Some(place) = bytes.get(offset..offset + N) {
        value.copy_from_slice(place);
    }
    value
}

/// The chain value where a space begins: CRC32C over cluster and space.
#[must_use]
pub fn chain_start(cluster: ClusterId, space: SpaceId) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&cluster.0), &space.0)
}

/// The chain value of an entry: CRC32C over the previous chain, epoch, sequence, type, control bytes and payload CRC.
#[must_use]
pub fn chain(
    previous: u32,
    epoch: Epoch,
    sequence: Sequence,
    entry_type: WalEntryType,
    control: Control,
    payload_crc: u32,
) -> u32 {
    let mut bytes = [0_u8; 36];
    let (a, rest) = bytes.split_at_mut(4);
    let (b, rest) = rest.split_at_mut(8);
    let (c, rest) = rest.split_at_mut(8);
    let (d, rest) = rest.split_at_mut(4);
    let (e, f) = rest.split_at_mut(8);
    a.copy_from_slice(&previous.to_le_bytes());
    b.copy_from_slice(&epoch.0.to_le_bytes());
    c.copy_from_slice(&sequence.0.to_le_bytes());
    d.copy_from_slice(&entry_type.number().to_le_bytes());
    e.copy_from_slice(&control.to_bytes());
    f.copy_from_slice(&payload_crc.to_le_bytes());
    crc32c::crc32c(&bytes)
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

//! The 64 bytes before each payload, laid out by hand to match Engram's, and the chain that runs through them.
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

use crate::types::{ClusterId, Epoch, Position, Sequence, SpaceId};

use super::{Control, EntryError, WalEntryType};

/// The bytes of an entry header.
pub const HEADER_SIZE: usize = 64;
/// The first four bytes of every entry, read as a little-endian number.
pub const WAL_MAGIC: u32 = 0xDEAD_BEEF;

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

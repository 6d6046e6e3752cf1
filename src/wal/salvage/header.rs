//! What a salvage file says of itself.

use crate::types::{ClusterId, Epoch, NodeId, Position, Sequence, SpaceName};
use crate::wal::salvage::SalvageBreak;

/// The header's bytes.
pub(super) const HEADER_SIZE: usize = 192;
pub(super) const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"ENGRSALV";
const NAME: usize = 96;
const NAME_MAX: usize = 64;
const ENTRIES_CRC: usize = 184;
const CRC: usize = 188;

/// What a salvage file holds, and whose it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvageHeader {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node whose log the entries were in.
    pub node: NodeId,
    /// The space.
    pub space: SpaceName,
    /// The epoch whose primary had another log.
    pub by: Epoch,
    /// The first entry.
    pub first: Position,
    /// The last entry.
    pub last: Position,
    /// How many.
    pub entries: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// CRC32C of those bytes.
    pub(super) crc: u32,
}

/// What the first bytes of a file are.
pub(super) enum Decoded {
    /// A header.
    Header(SalvageHeader),
    /// That of another version.
    Version(u32),
}

impl SalvageHeader {
    /// The name that a file of these entries has.
    #[must_use]
    pub fn file_name(&self) -> String {
        let Position { epoch, sequence, chain } = self.last;
        format!("salvage-{:016x}-{:016x}-{:016x}-{chain:08x}.log", self.first.sequence.0, sequence.0, epoch.0)
    }

    pub(super) fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let name = self.space.as_str().as_bytes();
        put(&mut bytes, 0, MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 12, &self.node.0.to_le_bytes());
        put(&mut bytes, 14, &u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        put(&mut bytes, 16, &self.cluster.0);
        put(&mut bytes, 32, &self.by.0.to_le_bytes());
        for (at, position) in [(40, self.first), (60, self.last)] {
            put(&mut bytes, at, &position.sequence.0.to_le_bytes());
            put(&mut bytes, at + 8, &position.epoch.0.to_le_bytes());
            put(&mut bytes, at + 16, &position.chain.to_le_bytes());
        }
        put(&mut bytes, 80, &self.entries.to_le_bytes());
        put(&mut bytes, 88, &self.bytes.to_le_bytes());
        put(&mut bytes, NAME, name);
        put(&mut bytes, ENTRIES_CRC, &self.crc.to_le_bytes());
        let crc = crc32c::crc32c(bytes.get(..CRC).unwrap_or_default());
        put(&mut bytes, CRC, &crc.to_le_bytes());
        bytes
    }

    /// Believes a header once its checksum holds and it says what can be.
    pub(super) fn decode(bytes: &[u8; HEADER_SIZE]) -> Result<Decoded, (u64, SalvageBreak)> {
        let crc = crc32c::crc32c(bytes.get(..CRC).unwrap_or_default());
        if get::<8>(bytes, 0) != *MAGIC || u32::from_le_bytes(get(bytes, CRC)) != crc {
            return Err((0, SalvageBreak::Header));
        }
        let version = u32::from_le_bytes(get(bytes, 8));
        if version != VERSION {
            return Ok(Decoded::Version(version));
        }
        let long = |at| u64::from_le_bytes(get(bytes, at));
        let position = |at: usize| Position {
            sequence: Sequence(long(at)),
            epoch: Epoch(long(at + 8)),
            chain: u32::from_le_bytes(get(bytes, at + 16)),
        };
        let name_size = usize::from(u16::from_le_bytes(get(bytes, 14)));
        let name = bytes.get(NAME..NAME + name_size.min(NAME_MAX + 1)).unwrap_or_default();
        let space = core::str::from_utf8(name).ok().and_then(|name| SpaceName::new(name).ok());
        let header = Self {
            cluster: ClusterId(get(bytes, 16)),
            node: NodeId(u16::from_le_bytes(get(bytes, 12))),
            space: space.ok_or((NAME as u64, SalvageBreak::Field("name of the space")))?,
            by: Epoch(long(32)),
            first: position(40),
            last: position(60),
            entries: long(80),
            bytes: long(88),
            crc: u32::from_le_bytes(get(bytes, ENTRIES_CRC)),
        };
        let count = header.last.sequence.0.checked_sub(header.first.sequence.0).and_then(|more| more.checked_add(1));
        // Something follows every entry of a log.
        let ends = header.first.sequence == Sequence::ZERO || header.last.sequence.0 == u64::MAX;
        if ends || count != Some(header.entries) {
            return Err((80, SalvageBreak::Field("number of entries")));
        }
        Ok(Decoded::Header(header))
    }
}

fn put(bytes: &mut [u8; HEADER_SIZE], offset: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(offset..offset + value.len()) {
        place.copy_from_slice(value);
    }
}

fn get<const N: usize>(bytes: &[u8; HEADER_SIZE], offset: usize) -> [u8; N] {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

//! The body of a batch: the [`ReplicationBatchHeader`], then entries as they stand on disk.
//!
//! All integers are little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | format version, 1 |
//! | 2 | 1 | compression, 0: none |
//! | 3 | 1 | reserved, 0 |
//! | 4 | 16 | space |
//! | 20 | 8 | epoch |
//! | 28 | 8 | lineage: the epoch of the last forced start in the sender's log, 0 where there was none |
//! | 36 | 8 | sequence of the first entry: that of the entry before, and one |
//! | 44 | 8 | epoch of the entry before |
//! | 52 | 8 | sequence of the entry before |
//! | 60 | 4 | chain of the entry before |
//! | 64 | 8 | commit |
//! | 72 | 8 | the sender's clock when it sent |
//! | 80 | 4 | count of the entries |
//! | 84 | 4 | size of the entries in bytes |
//! | 88 | 4 | CRC32C of bytes 0..88 and of the entries |
//! | 92 | | the entries: 64 bytes of header and the payload, each |
//!
//! The checksum stands at the same place in every version of the format.

use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes};

use crate::types::message::{ReplicationBatch, ReplicationBatchHeader};
use crate::types::{Entry, EntryLists, Epoch, HEADER_SIZE, Position, Sequence, SpaceId, Time, WalEntryHeader};

use super::frame::{FrameHeader, Kind};
use super::{FRAME_HEADER_SIZE, WireError, WriteBuffer};

/// The bytes of a batch's header.
pub const BATCH_HEADER_SIZE: usize = 92;
/// The version of the format that this build writes and reads.
pub const FORMAT_VERSION: u16 = 1;
/// Entries are not compressed; no other number is defined.
pub const COMPRESSION_NONE: u8 = 0;

/// Where the checksum stands: behind all that it covers of the header.
const CHECKSUM_OFFSET: usize = 88;

/// The bytes of a batch's body.
pub(super) fn body_size(batch: &ReplicationBatch) -> u64 {
    BATCH_HEADER_SIZE as u64 + entries_size(&batch.entries)
}

fn entries_size(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.size() as u64).sum()
}

/// Adds the batch's frame to the buffer; how many bytes it has.
pub(super) fn encode(batch: &ReplicationBatch, out: &mut WriteBuffer) -> u64 {
    let size = entries_size(&batch.entries);
    let body = BATCH_HEADER_SIZE as u64 + size;
    let mut start = [0_u8; FRAME_HEADER_SIZE + BATCH_HEADER_SIZE];
    let (frame, header) = start.split_at_mut(FRAME_HEADER_SIZE);
    frame.copy_from_slice(&FrameHeader::encode(Kind::Batch, body));
    let (covered, mut checksum) = header.split_at_mut(CHECKSUM_OFFSET);
    put_header(&batch.header, batch.entries.len(), size, covered);
    let crc = batch.entries.iter().fold(crc32c::crc32c(covered), |crc, entry| {
        crc32c::crc32c_append(crc32c::crc32c_append(crc, entry.header.as_bytes()), &entry.payload)
    });
    checksum.put_u32_le(crc);
    out.push_copied(&start);
    for entry in &batch.entries {
        out.push_copied(entry.header.as_bytes());
        out.push_bytes(entry.payload.clone());
    }
    FRAME_HEADER_SIZE as u64 + body
}

/// Lays the fields out, in order, up to the checksum.
fn put_header(header: &ReplicationBatchHeader, count: usize, size: u64, mut place: &mut [u8]) {
    const FITS: &str = "a frame's length has 32 bits, and it holds the entries";
    place.put_u16_le(FORMAT_VERSION);
    place.put_u8(COMPRESSION_NONE);
    place.put_u8(0);
    place.put_slice(&header.space.0);
    place.put_u64_le(header.epoch.0);
    place.put_u64_le(header.lineage.0);
    place.put_u64_le(header.previous.sequence.0.wrapping_add(1));
    place.put_u64_le(header.previous.epoch.0);
    place.put_u64_le(header.previous.sequence.0);
    place.put_u32_le(header.previous.chain);
    place.put_u64_le(header.commit.0);
    place.put_u64_le(header.sent.0);
    place.put_u32_le(u32::try_from(count).expect(FITS));
    place.put_u32_le(u32::try_from(size).expect(FITS));
}

/// Believes a batch once everything in it holds: the checksum over all of it first, then what its header says about its
/// size, then each entry with its own checksums and its place behind the one before.
///
/// Whether the batch fits a log (epoch, chain) is not for the format to say.
pub(super) fn decode(mut body: Bytes, lists: &mut EntryLists) -> Result<ReplicationBatch, WireError> {
    if body.len() < BATCH_HEADER_SIZE {
        return Err(WireError::TooShort {
            message: Kind::Batch.name(),
            expected: BATCH_HEADER_SIZE as u64,
            found: body.len() as u64,
        });
    }
    let mut start = body.split_to(BATCH_HEADER_SIZE);
    let covered = crc32c::crc32c(start.get(..CHECKSUM_OFFSET).unwrap_or_default());
    let found = crc32c::crc32c_append(covered, &body);
    let parts = HeaderParts::take(&mut start);
    if parts.checksum != found {
        return Err(WireError::BodyChecksum { message: Kind::Batch.name(), expected: parts.checksum, found });
    }
    parts.check(body.len() as u64)?;
    let header = parts.header;
    // The bytes hold as many headers at least: no memory is taken on the word of the count.
    let mut entries = lists.take(usize::try_from(parts.count).unwrap_or(0));
    decode_entries(&mut body, parts.count, header.previous.sequence, &mut entries)?;
    Ok(ReplicationBatch { header, entries })
}

/// The fields of the header as they stand, not yet believed.
struct HeaderParts {
    version: u16,
    compression: u8,
    reserved: u8,
    first: Sequence,
    header: ReplicationBatchHeader,
    count: u32,
    size: u32,
    checksum: u32,
}

impl HeaderParts {
    /// Takes the fields in order from [`BATCH_HEADER_SIZE`] bytes.
    fn take(bytes: &mut Bytes) -> Self {
        let (version, compression, reserved) = (bytes.get_u16_le(), bytes.get_u8(), bytes.get_u8());
        let mut space = [0; 16];
        bytes.copy_to_slice(&mut space);
        let (epoch, lineage) = (Epoch(bytes.get_u64_le()), Epoch(bytes.get_u64_le()));
        let first = Sequence(bytes.get_u64_le());
        let previous = Position {
            epoch: Epoch(bytes.get_u64_le()),
            sequence: Sequence(bytes.get_u64_le()),
            chain: bytes.get_u32_le(),
        };
        let (commit, sent) = (Sequence(bytes.get_u64_le()), Time(bytes.get_u64_le()));
        Self {
            version,
            compression,
            reserved,
            first,
            header: ReplicationBatchHeader { space: SpaceId(space), epoch, lineage, previous, commit, sent },
            count: bytes.get_u32_le(),
            size: bytes.get_u32_le(),
            checksum: bytes.get_u32_le(),
        }
    }

    /// Checks all that can be checked before the entries are read; `found` bytes of them are there.
    fn check(&self, found: u64) -> Result<(), WireError> {
        if self.version != FORMAT_VERSION {
            return Err(WireError::BatchVersion { expected: FORMAT_VERSION, found: self.version });
        }
        if self.compression != COMPRESSION_NONE {
            return Err(WireError::BatchCompression { found: self.compression });
        }
        if self.reserved != 0 {
            return Err(WireError::BatchReserved { found: self.reserved });
        }
        if u64::from(self.size) != found {
            return Err(WireError::BatchSize { expected: u64::from(self.size), found });
        }
        let (expected, claimed) = (found / HEADER_SIZE as u64, u64::from(self.count));
        if claimed > expected {
            return Err(WireError::BatchCount { expected, found: claimed });
        }
        // Whoever takes the batch may count on: a sequence behind its last entry exists.
        let previous = self.header.previous.sequence;
        if previous.0.checked_add(claimed).is_none_or(|last| last == u64::MAX) {
            return Err(WireError::SequencesUsedUp { previous, found: self.count });
        }
        if self.first != previous.next() {
            return Err(WireError::BatchFirst { expected: previous.next(), found: self.first });
        }
        Ok(())
    }
}

/// Takes that many entries, and nothing may be left behind them.
fn decode_entries(body: &mut Bytes, count: u32, previous: Sequence, entries: &mut Vec<Entry>) -> Result<(), WireError> {
    let size = body.len() as u64;
    let mut sequence = previous;
    for index in 0..count {
        sequence = sequence.next();
        entries.push(decode_entry(body, index, sequence)?);
    }
    if !body.is_empty() {
        return Err(WireError::TrailingBytes {
            message: Kind::Batch.name(),
            expected: BATCH_HEADER_SIZE as u64 + size - body.len() as u64,
            found: BATCH_HEADER_SIZE as u64 + size,
        });
    }
    Ok(())
}

fn decode_entry(body: &mut Bytes, index: u32, sequence: Sequence) -> Result<Entry, WireError> {
    let cut = |size: u64, found: usize| WireError::EntryCut { index, expected: size, found: found as u64 };
    let Some((bytes, _)) = body.split_first_chunk::<HEADER_SIZE>() else {
        return Err(cut(HEADER_SIZE as u64, body.len()));
    };
    let header = WalEntryHeader::parse(bytes).map_err(|error| WireError::Entry { index, error })?;
    if header.sequence() != sequence {
        return Err(WireError::EntrySequence { index, expected: sequence, found: header.sequence() });
    }
    let size = HEADER_SIZE as u64 + u64::from(header.payload_size());
    if (body.len() as u64) < size {
        return Err(cut(size, body.len()));
    }
    body.advance(HEADER_SIZE);
    let payload = body.split_to(usize::try_from(header.payload_size()).unwrap_or(usize::MAX));
    Entry::join(header, payload).map_err(|error| WireError::Entry { index, error })
}

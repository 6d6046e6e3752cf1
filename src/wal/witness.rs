//! The node-local bytes of an entry: what was on disk when it was written, bound to its place.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 56 | 4 | sequence − last synced sequence when written; `u32::MAX` says nothing |
//! | 60 | 4 | CRC32C over header CRC (4), bytes 56..60 (4), the segment's name (24), offset in the file (8) |

use crate::types::{Sequence, WalEntryHeader};

use super::error::BreakReason;
use super::segment_name::{NAME_SIZE, SegmentName};

/// The node-local bytes of an entry that is written at `offset` of `segment` while `synced` is known to be on disk.
#[must_use]
pub fn node_local(header: &WalEntryHeader, synced: Sequence, segment: &[u8; NAME_SIZE], offset: u64) -> [u8; 8] {
    // A distance that does not fit testifies nothing; a smaller one would testify too much.
    let distance = u32::try_from(header.sequence().above(synced)).unwrap_or(u32::MAX);
    let checksum = checksum(header.header_crc(), distance, segment, offset);
    let [a, b, c, d] = distance.to_le_bytes();
    let [e, f, g, h] = checksum.to_le_bytes();
    [a, b, c, d, e, f, g, h]
}

/// The last sequence that was on disk when this entry was written here; sequence 0 where it says nothing.
///
/// # Errors
/// [`BreakReason::Witness`] where the bytes were not written for this entry at this place.
pub fn synced_when_written(
    header: &WalEntryHeader,
    segment: SegmentName,
    offset: u64,
) -> Result<Sequence, BreakReason> {
    let [a, b, c, d, e, f, g, h] = header.node_local();
    let distance = u32::from_le_bytes([a, b, c, d]);
    let found = u32::from_le_bytes([e, f, g, h]);
    let expected = checksum(header.header_crc(), distance, &segment.to_bytes(), offset);
    if expected != found {
        return Err(BreakReason::Witness { expected, found });
    }
    if distance == u32::MAX {
        return Ok(Sequence::ZERO);
    }
    Ok(Sequence(header.sequence().0.saturating_sub(u64::from(distance))))
}

fn checksum(header_crc: u32, distance: u32, segment: &[u8; NAME_SIZE], offset: u64) -> u32 {
    let mut bytes = [0_u8; 4 + 4 + NAME_SIZE + 8];
    let (first, rest) = bytes.split_at_mut(4);
    let (second, rest) = rest.split_at_mut(4);
    let (third, fourth) = rest.split_at_mut(NAME_SIZE);
    first.copy_from_slice(&header_crc.to_le_bytes());
    second.copy_from_slice(&distance.to_le_bytes());
    third.copy_from_slice(segment);
    fourth.copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c(&bytes)
}

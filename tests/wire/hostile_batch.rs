//! Batches whose checksum holds and that are wrong all the same.

use bytes::Bytes;
use engraft::types::message::{Message, ReplicationBatch};
use engraft::types::{EntryError, Sequence};
use engraft::wire::{BATCH_HEADER_SIZE, FRAME_HEADER_SIZE, WireError};
use proptest::collection::vec;
use proptest::prelude::*;

use super::arbitrary::{self, cases};
use super::build::{batch, changed_batch, decode, frame, frame_of, refused};

const KIND_BATCH: u8 = 5;
/// Where fields stand in the header.
const FIRST: usize = 36;
const PREVIOUS_SEQUENCE: usize = 52;
const COUNT: usize = 80;
const SIZE: usize = 84;
/// Where the second entry of [`two`] begins.
const SECOND: usize = BATCH_HEADER_SIZE + 64 + 5;

fn two() -> ReplicationBatch {
    batch(&[Bytes::from_static(b"first"), Bytes::from_static(b"second")])
}

fn put(body: &mut [u8], at: usize, bytes: &[u8]) {
    body[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The error of the batch after a change under a checksum that holds.
fn after(batch: &ReplicationBatch, change: impl FnOnce(&mut Vec<u8>)) -> WireError {
    refused(&frame_of(KIND_BATCH, &changed_batch(batch, change)))
}

#[test]
fn an_unchanged_batch_is_believed() {
    let body = changed_batch(&two(), |_| {});
    assert_eq!(decode(&frame_of(KIND_BATCH, &body)), (vec![Message::Batch(two())], None));
}

#[test]
fn a_body_shorter_than_the_header_is_refused() {
    let bytes = frame(&Message::Batch(two()));
    for size in 0..BATCH_HEADER_SIZE {
        let body = &bytes[FRAME_HEADER_SIZE..FRAME_HEADER_SIZE + size];
        let error = WireError::TooShort { message: "Batch", expected: 92, found: size as u64 };
        assert_eq!(refused(&frame_of(KIND_BATCH, body)), error);
    }
}

#[test]
fn the_checksum_is_looked_at_first() {
    let mut body = frame(&Message::Batch(two())).split_off(FRAME_HEADER_SIZE);
    put(&mut body, 0, &[9, 9, 9, 9]);
    let error = refused(&frame_of(KIND_BATCH, &body));
    assert!(matches!(error, WireError::BodyChecksum { message: "Batch", .. }), "{error:?}");
}

#[test]
fn another_version_is_refused() {
    for found in [0_u16, 2, 0x0101, u16::MAX] {
        let error = after(&two(), |body| put(body, 0, &found.to_le_bytes()));
        assert_eq!(error, WireError::BatchVersion { expected: 1, found });
    }
}

#[test]
fn compression_is_refused() {
    for found in 1..=u8::MAX {
        assert_eq!(after(&two(), |body| put(body, 2, &[found])), WireError::BatchCompression { found });
    }
}

#[test]
fn the_reserved_byte_is_refused() {
    for found in 1..=u8::MAX {
        assert_eq!(after(&two(), |body| put(body, 3, &[found])), WireError::BatchReserved { found });
    }
}

#[test]
fn another_size_than_that_of_the_entries_is_refused() {
    let found = 64 + 5 + 64 + 6;
    for expected in [0_u32, 138, 140, u32::MAX] {
        let error = after(&two(), |body| put(body, SIZE, &expected.to_le_bytes()));
        assert_eq!(error, WireError::BatchSize { expected: u64::from(expected), found });
    }
}

#[test]
fn more_entries_than_the_bytes_hold_are_refused() {
    for found in [3_u32, 1_000_000, u32::MAX] {
        let error = after(&two(), |body| put(body, COUNT, &found.to_le_bytes()));
        assert_eq!(error, WireError::BatchCount { expected: 2, found: u64::from(found) });
    }
}

#[test]
fn one_entry_more_than_there_are_is_refused() {
    let large = batch(&[Bytes::from(vec![1; 64])]);
    let error = after(&large, |body| put(body, COUNT, &2_u32.to_le_bytes()));
    assert_eq!(error, WireError::EntryCut { index: 1, expected: 64, found: 0 });
}

#[test]
fn entries_behind_the_counted_ones_are_refused() {
    for (count, expected) in [(0_u32, 92), (1, 92 + 69)] {
        let error = after(&two(), |body| put(body, COUNT, &count.to_le_bytes()));
        assert_eq!(error, WireError::TrailingBytes { message: "Batch", expected, found: 92 + 139 });
    }
}

#[test]
fn bytes_behind_the_last_entry_are_refused() {
    let error = after(&two(), |body| {
        body.push(0);
        put(body, SIZE, &140_u32.to_le_bytes());
    });
    assert_eq!(error, WireError::TrailingBytes { message: "Batch", expected: 92 + 139, found: 92 + 140 });
}

#[test]
fn an_entry_cut_at_the_end_is_refused() {
    let error = after(&two(), |body| {
        body.pop();
        put(body, SIZE, &138_u32.to_le_bytes());
    });
    assert_eq!(error, WireError::EntryCut { index: 1, expected: 70, found: 69 });
}

#[test]
fn a_first_sequence_that_does_not_follow_is_refused() {
    for found in [0_u64, 40, 42, u64::MAX] {
        let error = after(&two(), |body| put(body, FIRST, &found.to_le_bytes()));
        assert_eq!(error, WireError::BatchFirst { expected: Sequence(41), found: Sequence(found) });
    }
}

#[test]
fn sequences_that_leave_none_behind_them_are_refused() {
    for (batch, count, previous) in [(two(), 2, u64::MAX - 2), (two(), 2, u64::MAX), (batch(&[]), 0, u64::MAX)] {
        let error = after(&batch, |body| {
            put(body, PREVIOUS_SEQUENCE, &previous.to_le_bytes());
            put(body, FIRST, &previous.wrapping_add(1).to_le_bytes());
        });
        assert_eq!(error, WireError::SequencesUsedUp { previous: Sequence(previous), found: count });
    }
}

#[test]
fn the_last_sequence_but_one_can_be_reached() {
    let mut batch = batch(&[]);
    batch.header.previous.sequence = Sequence(u64::MAX - 1);
    assert_eq!(decode(&frame(&Message::Batch(batch.clone()))), (vec![Message::Batch(batch)], None));
}

#[test]
fn an_entry_that_does_not_follow_the_one_before_is_refused() {
    let entries = two().entries;
    for (order, index, expected, found) in [([0, 0], 1, 42, 41), ([1, 1], 0, 41, 42), ([1, 0], 0, 41, 42)] {
        let batch =
            ReplicationBatch { entries: order.map(|at: usize| entries[at].clone()).to_vec(), header: two().header };
        let error = refused(&frame(&Message::Batch(batch)));
        let (expected, found) = (Sequence(expected), Sequence(found));
        assert_eq!(error, WireError::EntrySequence { index, expected, found });
    }
}

#[test]
fn an_entry_without_magic_is_refused() {
    let error = after(&two(), |body| put(body, SECOND, &[0; 4]));
    assert_eq!(error, WireError::Entry { index: 1, error: EntryError::Magic { found: 0 } });
}

#[test]
fn an_entry_header_is_believed_by_its_own_checksum_only() {
    // All but the header's checksum itself (32..36) and the bytes of the sending node's own disk (56..64).
    for at in (4..32).chain(36..56) {
        let error = after(&two(), |body| body[SECOND + at] ^= 1);
        let entry = matches!(error, WireError::Entry { index: 1, error: EntryError::HeaderChecksum { .. } });
        assert!(entry, "byte {at}: {error:?}");
    }
}

#[test]
fn a_payload_is_believed_by_its_own_checksum_only() {
    for at in 0..6 {
        let error = after(&two(), |body| body[SECOND + 64 + at] ^= 1);
        let entry = matches!(error, WireError::Entry { index: 1, error: EntryError::PayloadChecksum { .. } });
        assert!(entry, "byte {at}: {error:?}");
    }
}

proptest! {
    #![proptest_config(cases(256))]

    /// Where the change leaves a batch that holds, it is one that is encoded the same way.
    #[test]
    fn any_change_under_a_checksum_that_holds_is_refused_or_is_a_batch(
        batch in arbitrary::batch(),
        changes in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let body = changed_batch(&batch, |body| {
            for (at, byte) in changes {
                // The header is where a change can mean something.
                let at = at.index(BATCH_HEADER_SIZE.min(body.len()));
                body[at] = byte;
            }
        });
        let bytes = frame_of(KIND_BATCH, &body);
        let (messages, error) = decode(&bytes);
        match messages.as_slice() {
            [] => prop_assert!(error.is_some()),
            [message] => prop_assert_eq!(frame(message), bytes),
            _ => prop_assert!(false, "one frame gave {} messages", messages.len()),
        }
    }

    #[test]
    fn any_cut_under_a_checksum_that_holds_is_refused(batch in arbitrary::batch(), cut in 1..500_usize) {
        prop_assume!(!batch.entries.is_empty());
        let body = changed_batch(&batch, |body| {
            let left = body.len().saturating_sub(cut).max(BATCH_HEADER_SIZE);
            body.truncate(left);
            let size = u32::try_from(left - BATCH_HEADER_SIZE).expect("a short body");
            put(body, SIZE, &size.to_le_bytes());
        });
        let (messages, error) = decode(&frame_of(KIND_BATCH, &body));
        prop_assert_eq!(messages, []);
        prop_assert!(error.is_some());
    }
}

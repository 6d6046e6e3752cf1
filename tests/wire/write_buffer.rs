//! Frames on their way out.

use std::io::IoSlice;

use bytes::{Buf, Bytes};
use engraft::types::message::Message;
use engraft::wire::{WriteBuffer, encode};
use proptest::collection::vec;
use proptest::prelude::*;

use super::arbitrary::cases;
use super::build::{batch, frame, messages};

fn contents(buffer: &WriteBuffer) -> Vec<u8> {
    buffer.pieces().flatten().copied().collect()
}

#[test]
fn a_new_one_is_empty() {
    let mut buffer = WriteBuffer::new();
    assert!(buffer.is_empty() && buffer.pieces().next().is_none() && buffer.chunk().is_empty());
    buffer.push_copied(&[]);
    buffer.push_bytes(Bytes::new());
    assert!(buffer.is_empty() && buffer.pieces().next().is_none());
}

#[test]
fn small_frames_become_one_piece() {
    let mut buffer = WriteBuffer::new();
    let mut expected = Vec::new();
    for (_, message) in messages() {
        encode(&message, &mut buffer);
        expected.extend_from_slice(&frame(&message));
    }
    assert_eq!(buffer.pieces().collect::<Vec<_>>(), [expected]);
}

#[test]
fn large_payloads_are_not_copied() {
    let payload = Bytes::from(vec![5; 100_000]);
    let mut buffer = WriteBuffer::new();
    encode(&Message::Batch(batch(&[payload.clone(), Bytes::from_static(b"small"), payload.clone()])), &mut buffer);
    let uncopied = buffer.pieces().filter(|piece| piece.as_ptr() == payload.as_ptr()).count();
    assert_eq!((uncopied, buffer.pieces().count()), (2, 4));
}

#[test]
fn copied_bytes_stand_in_few_pieces() {
    let mut buffer = WriteBuffer::new();
    for _ in 0..10_000 {
        buffer.push_copied(&[1; 100]);
    }
    assert_eq!(buffer.len(), 1_000_000);
    assert!(buffer.pieces().count() <= 1_000_000 / 65_536 + 1, "{buffer:?}");
}

#[test]
fn a_vectored_write_sees_the_pieces_from_the_front() {
    let mut buffer = WriteBuffer::new();
    buffer.push_copied(b"header");
    buffer.push_bytes(Bytes::from(vec![1; 8192]));
    buffer.push_copied(b"behind");
    buffer.advance(2);
    let mut slices = [IoSlice::new(&[]); 2];
    assert_eq!(buffer.chunks_vectored(&mut slices), 2);
    assert_eq!((&*slices[0], slices[1].len()), (b"ader".as_slice(), 8192));
    let mut slices = [IoSlice::new(&[]); 8];
    assert_eq!(buffer.chunks_vectored(&mut slices), 3);
    assert_eq!(&*slices[2], b"behind");
}

#[test]
#[should_panic(expected = "4 bytes written of 3")]
fn more_than_waits_cannot_have_been_written() {
    let mut buffer = WriteBuffer::new();
    buffer.push_copied(b"abc");
    buffer.advance(4);
}

#[derive(Debug, Clone)]
enum Step {
    Copied(u8, usize),
    Bytes(u8, usize),
    /// Of what waits, in thousandths.
    Advance(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let size = || prop_oneof![4 => 0..300_usize, 1 => 4000..4200_usize, 1 => 60_000..200_000_usize];
    prop_oneof![
        (any::<u8>(), size()).prop_map(|(byte, size)| Step::Copied(byte, size)),
        (any::<u8>(), size()).prop_map(|(byte, size)| Step::Bytes(byte, size)),
        (0..=1000_usize).prop_map(Step::Advance),
    ]
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn any_steps_keep_the_bytes_in_order(steps in vec(step(), 0..30)) {
        let mut buffer = WriteBuffer::new();
        let mut model = Vec::new();
        let mut count = 0_u8;
        for step in steps {
            let mut filled = |byte, size: usize| -> Vec<u8> {
                count = count.wrapping_add(1);
                (0..size).map(|at| byte ^ count ^ at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect()
            };
            match step {
                Step::Copied(byte, size) => {
                    let bytes = filled(byte, size);
                    buffer.push_copied(&bytes);
                    model.extend_from_slice(&bytes);
                }
                Step::Bytes(byte, size) => {
                    let bytes = filled(byte, size);
                    model.extend_from_slice(&bytes);
                    buffer.push_bytes(Bytes::from(bytes));
                }
                Step::Advance(part) => {
                    let written = model.len() * part / 1000;
                    buffer.advance(written);
                    model.drain(..written);
                }
            }
            prop_assert!(contents(&buffer) == model, "other bytes");
            prop_assert_eq!((buffer.len(), buffer.is_empty()), (model.len(), model.is_empty()));
            prop_assert!(buffer.pieces().all(|piece| !piece.is_empty()), "an empty piece");
        }
        prop_assert!(buffer.copy_to_bytes(model.len()) == model, "other bytes at the end");
    }
}

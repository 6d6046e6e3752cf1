//! What is encoded comes back, however the stream is split.

use core::hash::{Hash, Hasher};

use bytes::Bytes;
use engraft::types::message::Message;
use engraft::wire::{FrameDecoder, batch_frame_size};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::arbitrary::{self, cases};
use super::build::{batch, decode, decode_pieces, frame, limits, messages, stream};

#[test]
fn every_message_comes_back() {
    for (name, message) in messages() {
        assert_eq!(decode(&frame(&message)), (vec![message], None), "{name}");
    }
}

#[test]
fn a_stream_of_single_bytes_gives_the_same_messages() {
    let messages: Vec<Message> = messages().into_iter().map(|(_, message)| message).collect();
    let bytes = Bytes::from(stream(&messages));
    let pieces = (0..bytes.len()).map(|at| bytes.slice(at..=at));
    assert_eq!(decode_pieces(pieces), (messages, None));
}

#[test]
fn pieces_that_came_before_the_first_call_give_the_same_messages() {
    let messages: Vec<Message> = messages().into_iter().map(|(_, message)| message).collect();
    let mut decoder = FrameDecoder::new(limits());
    for piece in stream(&messages).chunks(7) {
        decoder.push(Bytes::copy_from_slice(piece));
    }
    for message in messages {
        assert_eq!(decoder.next(), Ok(Some(message)));
    }
    assert_eq!((decoder.next(), decoder.buffered_bytes()), (Ok(None), 0));
}

#[test]
fn small_and_large_pieces_keep_their_order() {
    let large: Vec<u8> = (0..60_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    let message = Message::Batch(batch(&[Bytes::from(large), Bytes::from_static(b"small")]));
    let bytes = Bytes::from(stream(&[message.clone(), message.clone()]));
    let sizes = [1, 5000, 7, 8, 4096, 4095, 1, 20_000];
    let mut pieces = Vec::new();
    let mut start = 0;
    for size in sizes.into_iter().cycle() {
        let end = bytes.len().min(start + size);
        pieces.push(bytes.slice(start..end));
        start = end;
        if end == bytes.len() {
            break;
        }
    }
    assert_eq!(decode_pieces(pieces), (vec![message.clone(), message], None));
}

#[test]
fn payloads_are_slices_of_the_piece_that_holds_the_frame() {
    let message = Message::Batch(batch(&[Bytes::from_static(b"small"), Bytes::from(vec![7; 5000])]));
    let piece = Bytes::from(stream(&[message.clone(), message]));
    let mut decoder = FrameDecoder::new(limits());
    decoder.push(piece.clone());
    for _ in 0..2 {
        let Ok(Some(Message::Batch(batch))) = decoder.next() else { panic!("a batch was sent") };
        for entry in &batch.entries {
            assert!(piece.as_ptr_range().contains(&entry.payload.as_ptr()), "{entry:?} was copied");
        }
    }
}

#[test]
fn payloads_of_a_small_piece_are_slices_of_it_too() {
    let piece = Bytes::from(frame(&Message::Batch(batch(&[Bytes::from_static(b"small")]))));
    let mut decoder = FrameDecoder::new(limits());
    for _ in 0..2 {
        decoder.push(piece.clone());
        let Ok(Some(Message::Batch(batch))) = decoder.next() else { panic!("a batch was sent") };
        assert!(piece.as_ptr_range().contains(&batch.entries[0].payload.as_ptr()), "it was copied");
    }
}

#[test]
fn an_empty_piece_changes_nothing() {
    let (_, message) = messages().remove(0);
    let bytes = frame(&message);
    let (front, back) = bytes.split_at(5);
    let pieces = [b"".as_slice(), front, b"", b"", back, b""].map(Bytes::copy_from_slice);
    assert_eq!(decode_pieces(pieces), (vec![message], None));
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_message_comes_back(message in arbitrary::message()) {
        prop_assert_eq!(decode(&frame(&message)), (vec![message], None));
    }

    #[test]
    fn any_batch_has_the_size_that_is_foretold(batch in arbitrary::batch()) {
        let size = batch_frame_size(&batch);
        prop_assert_eq!(size, frame(&Message::Batch(batch)).len() as u64);
    }

    #[test]
    fn any_split_gives_the_same_messages(messages in vec(arbitrary::message(), 1..6), cuts in vec(any::<Index>(), 0..12)) {
        let bytes = stream(&messages);
        prop_assert_eq!(decode_pieces(split(&bytes, &cuts)), (messages, None));
    }

    #[test]
    fn any_split_leaves_the_same_decoder(
        messages in vec(arbitrary::message(), 1..3),
        end in any::<Index>(),
        cuts in vec(any::<Index>(), 0..12),
        flip in proptest::option::of((any::<Index>(), 0..8_u32)),
    ) {
        let mut bytes = stream(&messages);
        bytes.truncate(end.index(bytes.len()) + 1);
        if let Some((at, bit)) = flip {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        let whole = drained([Bytes::from(bytes.clone())]);
        let pieces = drained(split(&bytes, &cuts));
        prop_assert_eq!(whole.buffered_bytes(), pieces.buffered_bytes());
        prop_assert_eq!(writes(&whole), writes(&pieces));
    }
}

#[test]
fn decoders_that_hold_other_bytes_differ() {
    let (_, message) = messages().remove(0);
    let bytes = frame(&message);
    let all: Vec<_> = (0..bytes.len()).map(|end| writes(&drained([Bytes::copy_from_slice(&bytes[..end])]))).collect();
    for (index, one) in all.iter().enumerate() {
        assert!(!all[..index].contains(one), "{index} bytes look like fewer");
    }
    let mut other = bytes[..8].to_vec();
    other[7] ^= 1;
    assert_ne!(writes(&drained([Bytes::from(other)])), all[8]);
}

/// The stream in pieces, cut at these places.
fn split(bytes: &[u8], cuts: &[Index]) -> Vec<Bytes> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut start = 0;
    let piece = |end| Bytes::copy_from_slice(&bytes[core::mem::replace(&mut start, end)..end]);
    places.into_iter().map(piece).collect()
}

/// A decoder that took these pieces and gave all that it could.
fn drained(pieces: impl IntoIterator<Item = Bytes>) -> FrameDecoder {
    let mut decoder = FrameDecoder::new(limits());
    for piece in pieces {
        decoder.push(piece);
        while let Ok(Some(_)) = decoder.next() {}
    }
    decoder
}

/// Every write that the decoder makes to a hasher, each on its own: a hasher may tell two writes from one.
fn writes(decoder: &FrameDecoder) -> Vec<Vec<u8>> {
    let mut writes = Writes(Vec::new());
    decoder.hash(&mut writes);
    writes.0
}

struct Writes(Vec<Vec<u8>>);

impl Hasher for Writes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.push(bytes.to_vec());
    }

    fn finish(&self) -> u64 {
        0
    }
}

//! Bytes that no honest peer sends: each is refused, with what was expected and found, and no message is believed.

use bytes::Bytes;
use engraft::types::message::{CloseReason, Message};
use engraft::wire::{FRAME_HEADER_SIZE, FrameDecoder, WireError};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::arbitrary::{self, cases};
use super::build::{
    close_reasons, decode, decode_pieces, frame, frame_of, header_of, limits, messages, refusal, refusal_reasons,
    refused, sealed, stream, verdicts,
};

const KIND_HELLO: u8 = 1;
const KIND_GOODBYE: u8 = 3;
const KIND_SPACE_HELLO: u8 = 4;
const KIND_BATCH: u8 = 5;
const KIND_REFUSAL: u8 = 7;
const KIND_HEARTBEAT: u8 = 8;
const KIND_VOTE_REQUEST: u8 = 10;
const KIND_VOTE_ANSWER: u8 = 11;
const KIND_PROBE: u8 = 12;
const KIND_PROBE_ECHO: u8 = 13;
const KIND_DETACH: u8 = 14;
const KIND_LAST: u8 = KIND_DETACH;

#[test]
fn each_flipped_bit_of_each_message_is_found() {
    let (_, before) = messages().remove(1);
    for (name, message) in messages() {
        let bytes = stream(&[before.clone(), message]);
        let start = frame(&before).len();
        for bit in start * 8..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (believed, error) = decode(&flipped);
            assert_eq!(believed, core::slice::from_ref(&before), "{name}, bit {}", bit - start * 8);
            assert!(error.is_some(), "{name}, bit {} was not found", bit - start * 8);
        }
    }
}

#[test]
fn a_cut_stream_gives_what_is_whole_and_waits() {
    let messages: Vec<Message> = messages().into_iter().map(|(_, message)| message).collect();
    let bytes = stream(&messages);
    let mut ends = vec![0];
    for message in &messages {
        ends.push(ends.last().expect("one") + frame(message).len());
    }
    for cut in 0..bytes.len() {
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        let mut decoder = FrameDecoder::new(limits());
        decoder.push(Bytes::copy_from_slice(&bytes[..cut]));
        for message in &messages[..whole] {
            assert_eq!(decoder.next().as_ref(), Ok(&Some(message.clone())));
        }
        assert_eq!(decoder.next(), Ok(None), "{cut} bytes");
        assert_eq!(decoder.buffered_bytes(), (cut - ends[whole]) as u64, "{cut} bytes");
    }
}

#[test]
fn a_header_whose_checksum_does_not_hold_is_refused_before_all_else() {
    let mut header = header_of(u32::MAX, 99, [1, 2, 3]);
    let expected = u32::from_le_bytes([header[8] ^ 1, header[9], header[10], header[11]]);
    header[8] ^= 1;
    assert_eq!(refused(&header), WireError::HeaderChecksum { expected, found: expected ^ 1 });
}

#[test]
fn reserved_bytes_are_refused() {
    for reserved in [[1, 0, 0], [0, 1, 0], [0, 0, 0x80]] {
        assert_eq!(refused(&header_of(10, KIND_HELLO, reserved)), WireError::HeaderReserved { found: reserved });
    }
}

#[test]
fn unknown_kinds_are_refused() {
    for found in [0].into_iter().chain(KIND_LAST + 1..=u8::MAX) {
        let error = WireError::UnknownKind { expected_min: 1, expected_max: KIND_LAST, found };
        assert_eq!(refused(&header_of(10, found, [0; 3])), error);
    }
}

#[test]
fn a_length_over_the_limit_is_refused_at_once() {
    let (batch_max, control_max) = (limits().batch_bytes_max, limits().control_bytes_max);
    for kind in 1..=KIND_LAST {
        let (expected, other) = if kind == KIND_BATCH { (batch_max, control_max) } else { (control_max, batch_max) };
        assert_ne!(expected, other);
        let most = u32::try_from(expected).expect("the limits are below 4 GiB");
        for length in [most + 1, u32::MAX] {
            let error = refused(&header_of(length, kind, [0; 3]));
            let WireError::TooLong { expected: at_most, found, .. } = error else { panic!("{error:?}") };
            assert_eq!((at_most, found), (expected, u64::from(length)), "kind {kind}");
        }
        assert_eq!(decode(&header_of(most, kind, [0; 3])), (vec![], None), "kind {kind} at the limit");
    }
}

#[test]
fn only_what_has_come_is_kept() {
    let most = u32::try_from(limits().batch_bytes_max).expect("the limits are below 4 GiB");
    let mut decoder = FrameDecoder::new(limits());
    decoder.push(Bytes::from(header_of(most, KIND_BATCH, [0; 3])));
    for sent in 0..10_000_u64 {
        assert_eq!((decoder.next(), decoder.buffered_bytes()), (Ok(None), FRAME_HEADER_SIZE as u64 + sent));
        decoder.push(Bytes::from_static(&[0]));
    }
}

#[test]
fn no_more_than_a_frame_is_buffered() {
    let most = limits().batch_bytes_max;
    let mut decoder = FrameDecoder::new(limits());
    decoder.push(Bytes::from(header_of(u32::try_from(most).expect("below 4 GiB"), KIND_BATCH, [0; 3])));
    let piece = Bytes::from(vec![0; 64 * 1024]);
    let mut largest = 0;
    while let Ok(None) = decoder.next() {
        largest = largest.max(decoder.buffered_bytes());
        decoder.push(piece.clone());
    }
    assert!(largest < FRAME_HEADER_SIZE as u64 + most, "{largest} bytes were kept for a frame of {most}");
    assert_eq!(decoder.buffered_bytes(), 0, "after the error");
}

#[test]
fn an_error_is_final() {
    let (_, message) = messages().remove(0);
    let mut decoder = FrameDecoder::new(limits());
    let mut bytes = frame(&message);
    bytes.extend_from_slice(&header_of(1, 77, [0; 3]));
    bytes.extend_from_slice(&frame(&message));
    decoder.push(Bytes::from(bytes));
    assert_eq!(decoder.next(), Ok(Some(message.clone())));
    let error = WireError::UnknownKind { expected_min: 1, expected_max: KIND_LAST, found: 77 };
    for _ in 0..3 {
        assert_eq!((decoder.next(), decoder.buffered_bytes()), (Err(error.clone()), 0));
        decoder.push(Bytes::from(frame(&message)));
    }
}

#[test]
fn a_control_body_too_short_for_its_checksum_is_refused() {
    for size in 0..4 {
        let error = WireError::TooShort { message: "Hello", expected: 4, found: size };
        assert_eq!(refused(&frame_of(KIND_HELLO, &vec![0; usize::try_from(size).expect("small")])), error);
    }
}

#[test]
fn a_control_body_whose_checksum_does_not_hold_is_refused() {
    for (name, message) in messages().into_iter().filter(|(_, message)| message.name() != "Batch") {
        let mut bytes = frame(&message);
        *bytes.last_mut().expect("bytes") ^= 0x80;
        let error = refused(&bytes);
        let WireError::BodyChecksum { message: of, expected, found } = error else { panic!("{name}: {error:?}") };
        assert_eq!((of, expected ^ found), (message.name(), 0x8000_0000), "{name}");
    }
}

#[test]
fn bytes_behind_a_control_message_are_refused() {
    for (name, message) in messages().into_iter().filter(|(_, message)| message.name() != "Batch") {
        let bytes = frame(&message);
        let (kind, body) = (bytes[4], &bytes[FRAME_HEADER_SIZE..bytes.len() - 4]);
        let expected = body.len() as u64 + 4;
        let error = WireError::TrailingBytes { message: message.name(), expected, found: expected + 1 };
        assert_eq!(refused(&frame_of(kind, &sealed(&[body, &[0]].concat()))), error, "{name}");
    }
}

#[test]
fn a_control_message_that_ends_early_is_refused() {
    for (name, message) in messages().into_iter().filter(|(_, message)| message.name() != "Batch") {
        let bytes = frame(&message);
        let (kind, body) = (bytes[4], &bytes[FRAME_HEADER_SIZE..bytes.len() - 4]);
        for size in 0..body.len() {
            assert_malformed(&frame_of(kind, &sealed(&body[..size])), message.name(), "", &format!("{name} {size}"));
        }
    }
}

#[test]
fn a_claimed_length_is_not_believed_though_the_checksum_holds() {
    for claimed in [4, 2047, 1 << 20, 1 << 32, u64::MAX / 32, u64::MAX] {
        let mut heartbeat = 7_u64.to_le_bytes().to_vec();
        heartbeat.extend_from_slice(&claimed.to_le_bytes());
        heartbeat.extend_from_slice(&[0; 96]);
        assert_malformed(&frame_of(KIND_HEARTBEAT, &sealed(&heartbeat)), "Heartbeat", "", &claimed.to_string());

        let mut list = claimed.to_le_bytes().to_vec();
        list.extend_from_slice(&[0; 90]);
        for (kind, name) in
            [(KIND_VOTE_REQUEST, "VoteRequest"), (KIND_VOTE_ANSWER, "VoteAnswer"), (KIND_DETACH, "Detach")]
        {
            assert_malformed(&frame_of(kind, &sealed(&list)), name, "", &claimed.to_string());
        }
        let timed = [7_u64.to_le_bytes().as_slice(), &list].concat();
        for (kind, name) in [(KIND_PROBE, "Probe"), (KIND_PROBE_ECHO, "ProbeEcho")] {
            assert_malformed(&frame_of(kind, &sealed(&timed)), name, "", &claimed.to_string());
        }

        let mut goodbye = 6_u32.to_le_bytes().to_vec();
        goodbye.extend_from_slice(&claimed.to_le_bytes());
        goodbye.extend_from_slice(b"abc");
        assert_malformed(&frame_of(KIND_GOODBYE, &sealed(&goodbye)), "Goodbye", "", &claimed.to_string());

        let mut bytes = frame(&Message::Refusal(refusal(refusal_reasons().remove(1))));
        bytes.truncate(bytes.len() - 4);
        // Space, epoch, the reason's number and the end stand before the count of starts.
        let count = FRAME_HEADER_SIZE + 16 + 8 + 4 + 20;
        bytes[count..count + 8].copy_from_slice(&claimed.to_le_bytes());
        let body = sealed(&bytes[FRAME_HEADER_SIZE..]);
        assert_malformed(&frame_of(KIND_REFUSAL, &body), "Refusal", "", &claimed.to_string());
    }
}

/// The first unknown number is that of the reasons that are tried: a new one without golden bytes shows here.
#[test]
fn an_unknown_reason_is_refused() {
    for number in [u32::try_from(close_reasons().len()).expect("few"), u32::MAX] {
        let body = sealed(&[number.to_le_bytes().as_slice(), &[0; 64]].concat());
        assert_malformed(&frame_of(KIND_GOODBYE, &body), "Goodbye", &number.to_string(), "its number");
    }
    for number in [u32::try_from(refusal_reasons().len()).expect("few"), u32::MAX] {
        // Space and epoch stand before the reason's number.
        let body = sealed(&[[0; 24].as_slice(), &number.to_le_bytes(), &[0; 64]].concat());
        assert_malformed(&frame_of(KIND_REFUSAL, &body), "Refusal", &number.to_string(), "its number");
    }
}

#[test]
fn an_unknown_round_or_verdict_is_refused() {
    // The count, the space and the epoch stand before the round, and the round before the verdict.
    let (round, verdict) = (8 + 16 + 8, 8 + 16 + 8 + 4);
    let places = [
        (KIND_VOTE_REQUEST, "VoteRequest", round, 2),
        (KIND_VOTE_ANSWER, "VoteAnswer", round, 2),
        (KIND_VOTE_ANSWER, "VoteAnswer", verdict, u32::try_from(verdicts().len()).expect("few")),
    ];
    for (kind, name, place, first) in places {
        for number in [first, u32::MAX] {
            let mut body = 1_u64.to_le_bytes().to_vec();
            body.resize(8 + 64, 0);
            body[place..place + 4].copy_from_slice(&number.to_le_bytes());
            assert_malformed(&frame_of(kind, &sealed(&body)), name, &number.to_string(), "its number");
        }
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let mut body = 6_u32.to_le_bytes().to_vec();
    body.extend_from_slice(&2_u64.to_le_bytes());
    body.extend_from_slice(&[0xff, 0xfe]);
    assert_malformed(&frame_of(KIND_GOODBYE, &sealed(&body)), "Goodbye", "Utf8", "its text");
}

#[test]
fn a_name_that_is_none_is_refused() {
    for name in ["ab", "Orders", "a/b", &"n".repeat(65), &"\u{1}".repeat(60_000)] {
        let mut body = [0; 16].to_vec();
        body.extend_from_slice(&(name.len() as u64).to_le_bytes());
        body.extend_from_slice(name.as_bytes());
        assert_malformed(&frame_of(KIND_SPACE_HELLO, &sealed(&body)), "SpaceHello", "the space name", name);
    }
}

#[test]
fn an_epoch_history_that_does_not_rise_is_refused() {
    let bytes = frame(&Message::Refusal(refusal(refusal_reasons().remove(1))));
    let body = &bytes[FRAME_HEADER_SIZE..bytes.len() - 4];
    let second = 16 + 8 + 4 + 20 + 8 + 16;
    for (field, value) in [(second, 0x0001_0001_u64), (second + 8, 1)] {
        let mut changed = body.to_vec();
        changed[field..field + 8].copy_from_slice(&value.to_le_bytes());
        assert_malformed(&frame_of(KIND_REFUSAL, &sealed(&changed)), "Refusal", "start 1 of the epoch history", "");
    }
}

#[test]
fn an_error_fits_into_the_goodbye_that_tells_it() {
    let mut body = [0; 16].to_vec();
    body.extend_from_slice(&60_000_u64.to_le_bytes());
    body.resize(60_024, b'X');
    let reason = CloseReason::BadFrame(refused(&frame_of(KIND_SPACE_HELLO, &sealed(&body))).to_string());
    let goodbye = Message::Goodbye(reason);
    assert_eq!(decode(&frame(&goodbye)), (vec![goodbye], None));
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_garbage_is_refused_or_waits(pieces in vec(vec(any::<u8>(), 0..200), 0..20)) {
        let size: usize = pieces.iter().map(Vec::len).sum();
        let (messages, error) = decode_pieces(pieces.into_iter().map(Bytes::from));
        prop_assert_eq!(messages, []);
        prop_assert_eq!(error.is_some(), size >= FRAME_HEADER_SIZE);
    }

    #[test]
    fn any_garbage_in_a_frame_that_holds_is_refused(kind in 1..=KIND_LAST, body in vec(any::<u8>(), 0..300)) {
        let (messages, error) = decode(&frame_of(kind, &body));
        prop_assert_eq!(messages, []);
        prop_assert!(error.is_some());
    }

    /// With a checksum that holds, garbage may be a message; it is then one that is encoded the same way.
    #[test]
    fn any_garbage_whose_checksum_holds_is_refused_or_is_a_message(kind in 1..=KIND_LAST, body in vec(any::<u8>(), 0..300)) {
        let bytes = frame_of(kind, &sealed(&body));
        let (messages, error) = decode(&bytes);
        match messages.as_slice() {
            [] => prop_assert!(error.is_some()),
            [message] => prop_assert_eq!(frame(message), bytes),
            _ => prop_assert!(false, "one frame gave {} messages", messages.len()),
        }
    }

    #[test]
    fn any_flipped_bit_is_found(
        messages in vec(arbitrary::message(), 1..4),
        at in any::<Index>(),
        bit in 0..8_u32,
    ) {
        let mut bytes = stream(&messages);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let mut whole = messages.len();
        let mut end = 0;
        for (index, message) in messages.iter().enumerate() {
            end += frame(message).len();
            if at < end {
                whole = index;
                break;
            }
        }
        let (believed, error) = decode(&bytes);
        prop_assert_eq!(believed.as_slice(), &messages[..whole]);
        prop_assert!(error.is_some());
    }
}

#[track_caller]
fn assert_malformed(bytes: &[u8], message: &str, words: &str, context: &str) {
    let error = refused(bytes);
    let WireError::Malformed { message: of, detail } = &error else { panic!("{context}: {error:?}") };
    assert_eq!(*of, message, "{context}");
    assert!(detail.contains(words), "{context}: {detail}");
}

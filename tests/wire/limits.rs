//! The bounds that senders keep, and that what keeps them is taken.

use bytes::Bytes;
use engraft::types::message::{
    CloseReason, Echo, Heartbeat, Message, Probe, ProbeEcho, Refusal, RefusalReason, Verdict, VoteAnswer, VoteRequest,
};
use engraft::types::{Epoch, EpochHistory, EpochStart, Sequence, Time};
use engraft::wire::{
    BATCH_HEADER_SIZE, CONTROL_BYTES_MAX, FRAME_HEADER_SIZE, FrameDecoder, HEARTBEAT_COMMITS_MAX, HISTORY_STARTS_MAX,
    PROBED_SPACES_MAX, SPACE_EPOCHS_MAX, TEXT_BYTES_MAX, VOTE_ASKS_MAX, VOTE_REPLIES_MAX, WireError, WireLimits,
    WriteBuffer, encode,
};

use super::build::{asks, batch, commits, decode, frame, probed_spaces, refusal, reply, space_epochs};

fn heartbeat(count: usize) -> Message {
    Message::Heartbeat(Heartbeat { sent: Time(1), commits: commits(count) })
}

fn refusal_of(starts: usize, text: usize) -> Message {
    let start = |n| EpochStart { epoch: Epoch(n), first: Sequence(n) };
    let history = EpochHistory::from_starts((1..=starts as u64).map(start).collect()).expect("rising starts");
    let reason = RefusalReason::Stopped { reason: "x".repeat(text) };
    Message::Refusal(Refusal { history, ..refusal(reason) })
}

/// The largest message of its kind fits, and leaves no room for another element of that size.
fn check_largest(message: Message, element: usize) {
    let bytes = frame(&message);
    let body = bytes.len() - FRAME_HEADER_SIZE;
    assert!(body <= CONTROL_BYTES_MAX && body + element > CONTROL_BYTES_MAX, "{} has {body} bytes", message.name());
    assert_eq!(decode(&bytes), (vec![message], None));
}

#[test]
fn the_largest_heartbeat_fits() {
    check_largest(heartbeat(HEARTBEAT_COMMITS_MAX), 32);
}

#[test]
fn the_largest_echo_fits() {
    check_largest(Message::Echo(Echo { sent: Time(1), commits: commits(HEARTBEAT_COMMITS_MAX) }), 32);
}

#[test]
fn the_largest_frames_of_elections_fit() {
    check_largest(Message::VoteRequest(VoteRequest { asks: asks(VOTE_ASKS_MAX) }), 60);
    let replies = vec![reply(Verdict::Granted); VOTE_REPLIES_MAX];
    check_largest(Message::VoteAnswer(VoteAnswer { replies }), 48);
    let spaces = probed_spaces(PROBED_SPACES_MAX as u64);
    check_largest(Message::Probe(Probe { sent: Time(1), spaces }), 32);
    let promised = space_epochs(SPACE_EPOCHS_MAX as u64);
    check_largest(Message::ProbeEcho(ProbeEcho { sent: Time(1), promised }), 24);
}

#[test]
fn the_largest_refusal_fits() {
    check_largest(refusal_of(HISTORY_STARTS_MAX, TEXT_BYTES_MAX), 16);
}

#[test]
#[should_panic(expected = "its sender has to keep it within 65536")]
fn a_larger_heartbeat_is_a_bug_of_its_sender() {
    encode(&heartbeat(HEARTBEAT_COMMITS_MAX + 1), &mut WriteBuffer::new());
}

#[test]
#[should_panic(expected = "its sender has to keep it within 65536")]
fn a_larger_history_is_a_bug_of_its_sender() {
    encode(&refusal_of(HISTORY_STARTS_MAX + 1, TEXT_BYTES_MAX), &mut WriteBuffer::new());
}

#[test]
fn a_long_text_is_cut_at_a_character() {
    // Two bytes each, after one of one: the bound falls into a character.
    let long = format!("x{}", "ß".repeat(TEXT_BYTES_MAX));
    let cut = format!("x{}", "ß".repeat(TEXT_BYTES_MAX / 2 - 1));
    let pairs = [
        (Message::Goodbye(CloseReason::BadFrame(long.clone())), Message::Goodbye(CloseReason::BadFrame(cut.clone()))),
        (Message::Goodbye(CloseReason::Lost(long.clone())), Message::Goodbye(CloseReason::Lost(cut.clone()))),
        (
            Message::Goodbye(CloseReason::Unexpected { expected: long.clone(), found: long.clone() }),
            Message::Goodbye(CloseReason::Unexpected { expected: cut.clone(), found: cut.clone() }),
        ),
        (
            Message::Refusal(refusal(RefusalReason::Stopped { reason: long })),
            Message::Refusal(refusal(RefusalReason::Stopped { reason: cut })),
        ),
    ];
    for (sent, received) in pairs {
        assert_eq!(decode(&frame(&sent)), (vec![received], None));
    }
}

#[test]
fn a_text_of_the_longest_length_is_not_cut() {
    let message = Message::Goodbye(CloseReason::Lost("x".repeat(TEXT_BYTES_MAX)));
    assert_eq!(decode(&frame(&message)), (vec![message], None));
}

#[test]
fn the_limits_follow_from_the_numbers_of_the_node() {
    let header = BATCH_HEADER_SIZE as u64;
    assert_eq!(WireLimits::new(4096, 100).batch_bytes_max, header + 4096);
    assert_eq!(WireLimits::new(4096, 4096).batch_bytes_max, header + 64 + 4096);
    assert_eq!(WireLimits::new(4096, 4096).control_bytes_max, CONTROL_BYTES_MAX as u64);
    assert_eq!(WireLimits::new(u64::MAX, u64::MAX).batch_bytes_max, u64::MAX);
}

#[test]
fn the_largest_entry_travels_alone_and_a_larger_one_not_at_all() {
    let decode = |payload: usize| {
        let mut decoder = FrameDecoder::new(WireLimits::new(4096, 10_000));
        decoder.push(Bytes::from(frame(&Message::Batch(batch(&[Bytes::from(vec![1; payload])])))));
        decoder.next().map(|message| message.map(|message| message.name()))
    };
    assert_eq!(decode(10_000), Ok(Some("Batch")));
    let expected = (BATCH_HEADER_SIZE + 64 + 10_000) as u64;
    assert_eq!(decode(10_001), Err(WireError::TooLong { message: "Batch", expected, found: expected + 1 }));
}

#[test]
fn a_smaller_limit_for_control_messages_holds_and_a_larger_one_does_not() {
    let decode = |control_bytes_max, count| {
        let mut decoder = FrameDecoder::new(WireLimits { control_bytes_max, ..WireLimits::new(4096, 100) });
        decoder.push(Bytes::from(frame(&heartbeat(count))));
        decoder.next().map(|message| message.map(|message| message.name()))
    };
    let too_long = |expected, found| Err(WireError::TooLong { message: "Heartbeat", expected, found });
    assert_eq!(decode(52, 1), Ok(Some("Heartbeat")));
    assert_eq!(decode(52, 2), too_long(52, 84));
    let mut decoder = FrameDecoder::new(WireLimits { control_bytes_max: u64::MAX, ..WireLimits::new(4096, 100) });
    decoder.push(Bytes::from(super::build::header_of(65_537, 8, [0; 3])));
    assert_eq!(decoder.next().map(|_| None), too_long(CONTROL_BYTES_MAX as u64, CONTROL_BYTES_MAX as u64 + 1));
}

//! The bytes of every kind of message, as they stand on the wire. They change with the protocol's version only.

use core::fmt::Write as _;

use bytes::Bytes;
use engraft::types::WalEntryType;
use engraft::types::message::{Message, ReplicationBatch};
use engraft::wire::{BATCH_HEADER_SIZE, FRAME_HEADER_SIZE};

use super::build::{EPOCH, batch, frame, messages, space};
use crate::support;

/// One snapshot per kind: each message's line, then its frame in hex.
fn check(kind: &str, snapshot: &str) {
    let mut text = String::new();
    for (name, message) in messages() {
        if message.name() == kind {
            writeln!(text, "{name}: {message}\n{}", hex(&frame(&message))).expect("a string takes everything");
        }
    }
    support::snapshot("wire", snapshot, text.trim_end());
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, part) in bytes.chunks(16).enumerate() {
        write!(text, "{:04x} ", line * 16).expect("a string takes everything");
        for byte in part {
            write!(text, " {byte:02x}").expect("a string takes everything");
        }
        text.push('\n');
    }
    text
}

#[test]
fn hello_has_its_golden_bytes() {
    check("Hello", "hello");
}

#[test]
fn welcome_has_its_golden_bytes() {
    check("Welcome", "welcome");
}

#[test]
fn goodbye_has_its_golden_bytes() {
    check("Goodbye", "goodbye");
}

#[test]
fn space_hello_has_its_golden_bytes() {
    check("SpaceHello", "space_hello");
}

#[test]
fn batch_has_its_golden_bytes() {
    check("Batch", "batch");
}

#[test]
fn ack_has_its_golden_bytes() {
    check("Ack", "ack");
}

#[test]
fn refusal_has_its_golden_bytes() {
    check("Refusal", "refusal");
}

#[test]
fn heartbeat_has_its_golden_bytes() {
    check("Heartbeat", "heartbeat");
}

#[test]
fn echo_has_its_golden_bytes() {
    check("Echo", "echo");
}

#[test]
fn vote_request_has_its_golden_bytes() {
    check("VoteRequest", "vote_request");
}

#[test]
fn vote_answer_has_its_golden_bytes() {
    check("VoteAnswer", "vote_answer");
}

#[test]
fn probe_has_its_golden_bytes() {
    check("Probe", "probe");
}

#[test]
fn probe_echo_has_its_golden_bytes() {
    check("ProbeEcho", "probe_echo");
}

#[test]
fn detach_has_its_golden_bytes() {
    check("Detach", "detach");
}

#[test]
fn kinds_are_numbered_as_the_protocol_numbers_them() {
    let numbers = [
        ("Hello", 1),
        ("Welcome", 2),
        ("Goodbye", 3),
        ("SpaceHello", 4),
        ("Batch", 5),
        ("Ack", 6),
        ("Refusal", 7),
        ("Heartbeat", 8),
        ("Echo", 9),
        ("VoteRequest", 10),
        ("VoteAnswer", 11),
        ("Probe", 12),
        ("ProbeEcho", 13),
        ("Detach", 14),
    ];
    for (name, message) in messages() {
        let number = numbers.iter().find(|(kind, _)| *kind == message.name()).map(|(_, number)| *number);
        assert_eq!(frame(&message).get(4).copied(), number, "{name}");
    }
}

/// The table of the format, written out a second time: not with the encoder's own hands.
#[test]
fn a_batch_is_laid_out_as_its_table_says() {
    assert_eq!((FRAME_HEADER_SIZE, BATCH_HEADER_SIZE), (12, 92));
    let ReplicationBatch { header, entries } = batch(&[Bytes::from_static(b"payload")]);
    let mut entry = Vec::new();
    entry.extend_from_slice(&0xDEAD_BEEF_u32.to_le_bytes());
    entry.extend_from_slice(&41_u64.to_le_bytes());
    entry.extend_from_slice(&1_700_000_000_000_000_000_u64.to_le_bytes());
    entry.extend_from_slice(&WalEntryType::EpisodeStore.number().to_le_bytes());
    entry.extend_from_slice(&7_u32.to_le_bytes());
    entry.extend_from_slice(&crc32c::crc32c(b"payload").to_le_bytes());
    entry.extend_from_slice(&entries[0].header.header_crc().to_le_bytes());
    entry.extend_from_slice(&EPOCH.0.to_le_bytes());
    entry.extend_from_slice(&entries[0].header.chain().to_le_bytes());
    entry.extend_from_slice(&[0; 16]);
    entry.extend_from_slice(b"payload");

    let mut body = vec![1, 0, 0, 0];
    body.extend_from_slice(&space().0);
    body.extend_from_slice(&0x0000_0000_0003_0001_u64.to_le_bytes());
    body.extend_from_slice(&0x0001_0000_0002_0003_u64.to_le_bytes());
    body.extend_from_slice(&41_u64.to_le_bytes());
    body.extend_from_slice(&0x0000_0000_0002_0002_u64.to_le_bytes());
    body.extend_from_slice(&40_u64.to_le_bytes());
    body.extend_from_slice(&0x0102_0304_u32.to_le_bytes());
    body.extend_from_slice(&39_u64.to_le_bytes());
    body.extend_from_slice(&1_500_000_u64.to_le_bytes());
    body.extend_from_slice(&1_u32.to_le_bytes());
    body.extend_from_slice(&71_u32.to_le_bytes());
    let covered = [body.clone(), entry.clone()].concat();
    body.extend_from_slice(&crc32c::crc32c(&covered).to_le_bytes());
    body.extend_from_slice(&entry);

    let mut expected = u32::try_from(body.len()).expect("a short body").to_le_bytes().to_vec();
    expected.extend_from_slice(&[5, 0, 0, 0]);
    let crc = crc32c::crc32c(&expected);
    expected.extend_from_slice(&crc.to_le_bytes());
    expected.extend_from_slice(&body);
    assert_eq!(hex(&frame(&Message::Batch(ReplicationBatch { header, entries }))), hex(&expected));
}

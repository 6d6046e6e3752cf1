//! Messages to try, one of each kind, and the bytes of their frames.

use bytes::{Buf, Bytes};
use engraft::types::message::{
    CloseReason, Detach, Echo, Heartbeat, Hello, Message, Probe, ProbeEcho, ProbedSpace, Refusal, RefusalReason,
    ReplicationAck, ReplicationBatch, ReplicationBatchHeader, SpaceCommit, SpaceEpoch, SpaceHello, Verdict, VoteAnswer,
    VoteAsk, VoteReply, VoteRequest, VoteRound, Welcome,
};
use engraft::types::{
    ClusterId, Control, Entry, Epoch, EpochHistory, EpochStart, Incarnation, NodeId, Position, Sequence, SpaceId,
    SpaceName, Time, WalEntryType,
};
use engraft::wire::{FRAME_HEADER_SIZE, FrameDecoder, WireError, WireLimits, WriteBuffer, encode};

pub(super) const EPOCH: Epoch = Epoch::new(0, 3, NodeId(1));
/// A number that is seen in the bytes; whether it can be a lineage of that epoch is not for the format to say.
pub(super) const LINEAGE: Epoch = Epoch::new(1, 2, NodeId(3));
pub(super) const LIMITS_BATCH_BYTES: u64 = 1 << 20;

/// The limits of a node with the default numbers.
pub(super) fn limits() -> WireLimits {
    WireLimits::new(LIMITS_BATCH_BYTES, 16 << 20)
}

pub(super) fn space() -> SpaceId {
    SpaceName::new("orders").expect("a name").id()
}

pub(super) fn cluster() -> ClusterId {
    ClusterId::from_name("harbour").expect("a name")
}

pub(super) const fn incarnation(byte: u8) -> Incarnation {
    Incarnation([byte; 16])
}

/// A batch of entries with these payloads, behind sequence 40.
pub(super) fn batch(payloads: &[Bytes]) -> ReplicationBatch {
    let previous = Position { epoch: Epoch::new(0, 2, NodeId(2)), sequence: Sequence(40), chain: 0x0102_0304 };
    let mut last = previous;
    let mut entries = Vec::new();
    for payload in payloads {
        let entry = Entry::following(
            &last,
            EPOCH,
            WalEntryType::EpisodeStore,
            Control::user(),
            1_700_000_000_000_000_000,
            payload.clone(),
        );
        last = entry.position();
        entries.push(entry);
    }
    let header = ReplicationBatchHeader {
        space: space(),
        epoch: EPOCH,
        lineage: LINEAGE,
        previous,
        commit: Sequence(39),
        sent: Time(1_500_000),
    };
    ReplicationBatch { header, entries }
}

/// Every reason for which a link is closed.
pub(super) fn close_reasons() -> Vec<CloseReason> {
    vec![
        CloseReason::WrongCluster { expected: cluster(), found: ClusterId([7; 16]) },
        CloseReason::WrongNode { expected: NodeId(1), found: NodeId(2) },
        CloseReason::UnknownNode { found: NodeId(9) },
        CloseReason::OtherIncarnation { node: NodeId(2), expected: incarnation(1), found: incarnation(2) },
        CloseReason::UnsupportedVersion { expected_min: 1, expected_max: 2, found_min: 3, found_max: 4 },
        CloseReason::UnknownSpace { space: space() },
        CloseReason::BadFrame("not so".into()),
        CloseReason::Unexpected { expected: "Hello".into(), found: "Ack".into() },
        CloseReason::Silent { millis: 1000 },
        CloseReason::ConnectTimeout { millis: 500 },
        CloseReason::Replaced,
        CloseReason::Shutdown,
        CloseReason::Lost("reset by peer".into()),
        CloseReason::TooManyLinks { limit: 68 },
    ]
}

/// Every reason for which a batch is refused.
pub(super) fn refusal_reasons() -> Vec<RefusalReason> {
    vec![
        RefusalReason::Stale { promised: Epoch::new(1, 4, NodeId(3)) },
        RefusalReason::Gap,
        RefusalReason::Diverged { at: Sequence(38) },
        RefusalReason::Stopped { reason: "disk full".into() },
        RefusalReason::NotVoter,
        RefusalReason::Lineage { ours: Epoch::new(1, 2, NodeId(3)) },
    ]
}

pub(super) fn refusal(reason: RefusalReason) -> Refusal {
    let starts = vec![
        EpochStart { epoch: Epoch::new(0, 1, NodeId(1)), first: Sequence(1) },
        EpochStart { epoch: Epoch::new(0, 2, NodeId(2)), first: Sequence(17) },
    ];
    Refusal {
        space: space(),
        epoch: EPOCH,
        reason,
        end: Position { epoch: Epoch::new(0, 2, NodeId(2)), sequence: Sequence(37), chain: 0x0a0b_0c0d },
        history: EpochHistory::from_starts(starts).expect("rising starts"),
        echo: Time(1_500_000),
    }
}

pub(super) fn commits(count: usize) -> Vec<SpaceCommit> {
    (0..count as u64).map(|n| SpaceCommit { space: space(), epoch: EPOCH, commit: Sequence(n) }).collect()
}

/// What a candidate asks in that many spaces, for a pre-vote and a vote in turn.
pub(super) fn asks(count: usize) -> Vec<VoteAsk> {
    let rounds = [VoteRound::PreVote, VoteRound::Vote].into_iter().cycle();
    let ask = |round| VoteAsk {
        space: space(),
        epoch: EPOCH,
        round,
        end_epoch: Epoch::new(0, 2, NodeId(2)),
        end_sequence: Sequence(40),
        lineage: LINEAGE,
        sent: Time(1_500_000),
    };
    rounds.take(count).map(ask).collect()
}

/// Everything that a voter says.
pub(super) fn verdicts() -> Vec<Verdict> {
    vec![
        Verdict::Granted,
        Verdict::Promised,
        Verdict::Sticky,
        Verdict::Restarted,
        Verdict::Behind,
        Verdict::NotVoter,
        Verdict::Lineage,
        Verdict::Stopped,
        Verdict::UnknownSpace,
        Verdict::Recovering,
    ]
}

pub(super) fn reply(verdict: Verdict) -> VoteReply {
    let round = VoteRound::Vote;
    let promised = Epoch::new(0, 4, NodeId(3));
    VoteReply { space: space(), epoch: EPOCH, round, verdict, promised, sent: Time(1_500_000) }
}

pub(super) fn space_epochs(count: u64) -> Vec<SpaceEpoch> {
    (0..count).map(|n| SpaceEpoch { space: space(), epoch: Epoch(EPOCH.0 + n) }).collect()
}

/// As many spaces in which a primary asks whether it is followed.
pub(super) fn probed_spaces(count: u64) -> Vec<ProbedSpace> {
    (0..count).map(|n| ProbedSpace { space: space(), epoch: Epoch(EPOCH.0 + n), lineage: LINEAGE }).collect()
}

/// Messages of every kind, and of every variant inside them, with names.
pub(super) fn messages() -> Vec<(String, Message)> {
    let mut named = vec![
        (
            "hello".to_owned(),
            Message::Hello(Hello {
                version_min: 1,
                version_max: 2,
                cluster: cluster(),
                from: NodeId(1),
                to: NodeId(2),
                incarnation: incarnation(0x11),
            }),
        ),
        (
            "welcome".to_owned(),
            Message::Welcome(Welcome { version: 1, from: NodeId(2), incarnation: incarnation(0x22) }),
        ),
        (
            "space_hello".to_owned(),
            Message::SpaceHello(SpaceHello {
                space: space(),
                name: SpaceName::new("orders").expect("a name"),
                epoch: EPOCH,
                end: Sequence(43),
            }),
        ),
        ("batch_empty".to_owned(), Message::Batch(batch(&[]))),
        (
            "batch".to_owned(),
            Message::Batch(batch(&[Bytes::from_static(b"first"), Bytes::new(), Bytes::from_static(b"third entry")])),
        ),
        (
            "ack".to_owned(),
            Message::Ack(ReplicationAck {
                space: space(),
                epoch: EPOCH,
                durable: Sequence(43),
                applied: Sequence(42),
                commit: Sequence(41),
                echo: Time(1_500_000),
                recovering: true,
            }),
        ),
        ("heartbeat".to_owned(), Message::Heartbeat(Heartbeat { sent: Time(2_000_000), commits: commits(2) })),
        ("echo".to_owned(), Message::Echo(Echo { sent: Time(2_000_000), commits: commits(1) })),
        ("vote_request".to_owned(), Message::VoteRequest(VoteRequest { asks: asks(2) })),
        (
            "vote_answer".to_owned(),
            Message::VoteAnswer(VoteAnswer { replies: verdicts().into_iter().map(reply).collect() }),
        ),
        ("probe".to_owned(), Message::Probe(Probe { sent: Time(2_500_000), spaces: probed_spaces(2) })),
        ("probe_echo".to_owned(), Message::ProbeEcho(ProbeEcho { sent: Time(2_500_000), promised: space_epochs(1) })),
        ("detach".to_owned(), Message::Detach(Detach { spaces: space_epochs(2) })),
    ];
    for reason in close_reasons() {
        named.push((format!("goodbye_{}", first_word(&format!("{reason:?}"))), Message::Goodbye(reason)));
    }
    for reason in refusal_reasons() {
        named.push((format!("refusal_{}", first_word(&format!("{reason:?}"))), Message::Refusal(refusal(reason))));
    }
    named
}

fn first_word(text: &str) -> String {
    text.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

/// The bytes of a message's frame; what `encode` says about their number is checked on the way.
pub(super) fn frame(message: &Message) -> Vec<u8> {
    let mut out = WriteBuffer::new();
    let size = encode(message, &mut out);
    let bytes = out.copy_to_bytes(out.remaining()).to_vec();
    assert_eq!(size, bytes.len() as u64, "what encode returns for {}", message.name());
    bytes
}

/// The bytes of several frames behind each other.
pub(super) fn stream(messages: &[Message]) -> Vec<u8> {
    messages.iter().flat_map(frame).collect()
}

/// A frame with this body and a header that holds.
pub(super) fn frame_of(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = header_of(u32::try_from(body.len()).expect("a short body"), kind, [0; 3]);
    bytes.extend_from_slice(body);
    bytes
}

/// A frame's header whose checksum holds, whatever else it says.
pub(super) fn header_of(length: u32, kind: u8, reserved: [u8; 3]) -> Vec<u8> {
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(&reserved);
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// A body that ends with the checksum of what stands before.
pub(super) fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    bytes
}

/// The body of a batch whose header or entries were changed by `change`, with a checksum that holds again.
pub(super) fn changed_batch(batch: &ReplicationBatch, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = frame(&Message::Batch(batch.clone())).split_off(FRAME_HEADER_SIZE);
    change(&mut body);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&body[..88]), &body[92..]);
    body[88..92].copy_from_slice(&crc.to_le_bytes());
    body
}

/// All messages of a stream that comes in one piece, and the error that ends it.
pub(super) fn decode(bytes: &[u8]) -> (Vec<Message>, Option<WireError>) {
    decode_pieces([Bytes::copy_from_slice(bytes)])
}

/// All messages of a stream that comes in these pieces, and the error that ends it.
pub(super) fn decode_pieces(pieces: impl IntoIterator<Item = Bytes>) -> (Vec<Message>, Option<WireError>) {
    let mut decoder = FrameDecoder::new(limits());
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// The error of a stream that gives no message.
pub(super) fn refused(bytes: &[u8]) -> WireError {
    let (messages, error) = decode(bytes);
    assert_eq!(messages, [], "messages were believed");
    let error = error.expect("an error");
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 400, "more than a line: {text}");
    error
}

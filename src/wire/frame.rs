//! Frames: what stands before each body, and messages put into frames.

use crate::types::HEADER_SIZE;
use crate::types::message::{Message, ReplicationBatch};

use super::{CONTROL_BYTES_MAX, WireError, WriteBuffer, control, wal_format};

/// The bytes before a body: length u32, kind u8, three zeros, CRC32C u32 of these eight; little-endian.
pub const FRAME_HEADER_SIZE: usize = 12;

/// The kinds of frames. The numbers are the protocol's and never change; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hello = 1,
    Welcome = 2,
    Goodbye = 3,
    SpaceHello = 4,
    Batch = 5,
    Ack = 6,
    Refusal = 7,
    Heartbeat = 8,
    Echo = 9,
    VoteRequest = 10,
    VoteAnswer = 11,
    Probe = 12,
    ProbeEcho = 13,
    Detach = 14,
}

impl Kind {
    const fn from_number(number: u8) -> Result<Self, WireError> {
        Ok(match number {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Goodbye,
            4 => Self::SpaceHello,
            5 => Self::Batch,
            6 => Self::Ack,
            7 => Self::Refusal,
            8 => Self::Heartbeat,
            9 => Self::Echo,
            10 => Self::VoteRequest,
            11 => Self::VoteAnswer,
            12 => Self::Probe,
            13 => Self::ProbeEcho,
            14 => Self::Detach,
            found => return Err(WireError::UnknownKind { expected_min: 1, expected_max: 14, found }),
        })
    }

    /// What its message is called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hello => "Hello",
            Self::Welcome => "Welcome",
            Self::Goodbye => "Goodbye",
            Self::SpaceHello => "SpaceHello",
            Self::Batch => "Batch",
            Self::Ack => "Ack",
            Self::Refusal => "Refusal",
            Self::Heartbeat => "Heartbeat",
            Self::Echo => "Echo",
            Self::VoteRequest => "VoteRequest",
            Self::VoteAnswer => "VoteAnswer",
            Self::Probe => "Probe",
            Self::ProbeEcho => "ProbeEcho",
            Self::Detach => "Detach",
        }
    }
}

/// How large a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WireLimits {
    /// The largest body of a batch, in bytes.
    pub batch_bytes_max: u64,
    /// The largest body of any other message, in bytes; [`CONTROL_BYTES_MAX`] at most, whatever stands here.
    pub control_bytes_max: u64,
}

impl WireLimits {
    /// The limits that follow from a node's numbers.
    ///
    /// A batch holds entries of at most `batch_bytes` together (headers included), or one larger entry, whose payload
    /// has at most `entry_bytes_max` bytes. All nodes of a cluster need the same two numbers, or a batch that one may
    /// send is refused by another.
    #[must_use]
    pub fn new(batch_bytes: u64, entry_bytes_max: u64) -> Self {
        let entries = batch_bytes.max(entry_bytes_max.saturating_add(HEADER_SIZE as u64));
        Self {
            batch_bytes_max: entries.saturating_add(wal_format::BATCH_HEADER_SIZE as u64),
            control_bytes_max: CONTROL_BYTES_MAX as u64,
        }
    }

    const fn bytes_max(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Batch => self.batch_bytes_max,
            Kind::Hello
            | Kind::Welcome
            | Kind::Goodbye
            | Kind::SpaceHello
            | Kind::Ack
            | Kind::Refusal
            | Kind::Heartbeat
            | Kind::Echo
            | Kind::VoteRequest
            | Kind::VoteAnswer
            | Kind::Probe
            | Kind::ProbeEcho
            | Kind::Detach => {
                if self.control_bytes_max < CONTROL_BYTES_MAX as u64 {
                    self.control_bytes_max
                } else {
                    CONTROL_BYTES_MAX as u64
                }
            }
        }
    }
}

/// A frame's header that can be believed.
#[derive(Debug, Clone, Copy)]
pub(super) struct FrameHeader {
    pub(super) kind: Kind,
    /// The bytes of the body; within the limit of its kind.
    pub(super) length: u32,
}

impl FrameHeader {
    /// The header before a body of `length` bytes.
    ///
    /// # Panics
    /// Where the length does not fit into 32 bits: the limits of whoever built the message are wrong.
    pub(super) fn encode(kind: Kind, length: u64) -> [u8; FRAME_HEADER_SIZE] {
        let length = u32::try_from(length).expect("the limits keep every body below 4 GiB");
        let [l0, l1, l2, l3] = length.to_le_bytes();
        let covered = [l0, l1, l2, l3, kind as u8, 0, 0, 0];
        let [c0, c1, c2, c3] = crc32c::crc32c(&covered).to_le_bytes();
        [l0, l1, l2, l3, kind as u8, 0, 0, 0, c0, c1, c2, c3]
    }

    /// Believes a header once its checksum holds, its reserved bytes are zero, its kind is known and its length is
    /// within the limit of the kind.
    pub(super) fn parse(bytes: [u8; FRAME_HEADER_SIZE], limits: &WireLimits) -> Result<Self, WireError> {
        let [l0, l1, l2, l3, kind, r0, r1, r2, c0, c1, c2, c3] = bytes;
        let expected = u32::from_le_bytes([c0, c1, c2, c3]);
        let found = crc32c::crc32c(&[l0, l1, l2, l3, kind, r0, r1, r2]);
        if expected != found {
            return Err(WireError::HeaderChecksum { expected, found });
        }
        if [r0, r1, r2] != [0; 3] {
            return Err(WireError::HeaderReserved { found: [r0, r1, r2] });
        }
        let kind = Kind::from_number(kind)?;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let (expected, found) = (limits.bytes_max(kind), u64::from(length));
        if found > expected {
            return Err(WireError::TooLong { message: kind.name(), expected, found });
        }
        Ok(Self { kind, length })
    }
}

/// Adds the message's frame to the buffer; how many bytes it has, header included.
///
/// It cannot fail. Texts (the words of a reason) are cut to [`TEXT_BYTES_MAX`](super::TEXT_BYTES_MAX) bytes.
///
/// # Panics
/// Where a message breaks the bounds that its sender has to keep: more than
/// [`HEARTBEAT_COMMITS_MAX`](super::HEARTBEAT_COMMITS_MAX) commits, more than
/// [`HISTORY_STARTS_MAX`](super::HISTORY_STARTS_MAX) starts of epochs, more spaces in an election's frame than
/// [`VOTE_ASKS_MAX`](super::VOTE_ASKS_MAX), [`VOTE_REPLIES_MAX`](super::VOTE_REPLIES_MAX) or
/// [`SPACE_EPOCHS_MAX`](super::SPACE_EPOCHS_MAX), or 4 GiB of entries.
pub fn encode(message: &Message, out: &mut WriteBuffer) -> u64 {
    match message {
        Message::Batch(batch) => wal_format::encode(batch, out),
        Message::Hello(body) => control::encode(Kind::Hello, body, out),
        Message::Welcome(body) => control::encode(Kind::Welcome, body, out),
        Message::Goodbye(body) => control::encode(Kind::Goodbye, &control::cut_reason(body), out),
        Message::SpaceHello(body) => control::encode(Kind::SpaceHello, body, out),
        Message::Ack(body) => control::encode(Kind::Ack, body, out),
        Message::Refusal(body) => control::encode(Kind::Refusal, &control::cut_refusal(body), out),
        Message::Heartbeat(body) => control::encode(Kind::Heartbeat, body, out),
        Message::Echo(body) => control::encode(Kind::Echo, body, out),
        Message::VoteRequest(body) => control::encode(Kind::VoteRequest, body, out),
        Message::VoteAnswer(body) => control::encode(Kind::VoteAnswer, body, out),
        Message::Probe(body) => control::encode(Kind::Probe, body, out),
        Message::ProbeEcho(body) => control::encode(Kind::ProbeEcho, body, out),
        Message::Detach(body) => control::encode(Kind::Detach, body, out),
    }
}

/// The size of the frame that a batch becomes, in bytes, without encoding it.
#[must_use]
pub fn batch_frame_size(batch: &ReplicationBatch) -> u64 {
    FRAME_HEADER_SIZE as u64 + wal_format::body_size(batch)
}

//! The bodies of all messages but batches: the one module that knows bincode.
//!
//! A body is the message as bincode lays it out, little-endian with integers of fixed size, and a CRC32C of it. Fixed
//! sizes, because then a message's size follows from its counts alone, which makes the caps below constants, and because
//! each value has one encoding only.
//!
//! Fields and variants are laid out in the order of their declaration: whoever reorders them changes the protocol, and
//! the golden bytes show it.

use alloc::borrow::{Cow, ToOwned};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::message::{CloseReason, Refusal, RefusalReason};

use super::frame::{FrameHeader, Kind};
use super::{FRAME_HEADER_SIZE, WireError, WriteBuffer};

/// The largest body of a message that is no batch, in bytes.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;
/// The longest text in a message (the words of a reason), in bytes; a longer one is cut when it is sent.
pub const TEXT_BYTES_MAX: usize = 1024;
/// How many commits a heartbeat or an echo holds at most.
pub const HEARTBEAT_COMMITS_MAX: usize = (CONTROL_BYTES_MAX - HEARTBEAT_BASE) / COMMIT_SIZE;
/// How many starts of epochs a refusal's history holds at most.
pub const HISTORY_STARTS_MAX: usize = (CONTROL_BYTES_MAX - REFUSAL_BASE) / START_SIZE;
/// How many spaces a request for votes names at most.
pub const VOTE_ASKS_MAX: usize = (CONTROL_BYTES_MAX - LIST_BASE) / ASK_SIZE;
/// How many spaces an answer to it names at most.
pub const VOTE_REPLIES_MAX: usize = (CONTROL_BYTES_MAX - LIST_BASE) / REPLY_SIZE;
/// How many spaces a probe names at most.
pub const PROBED_SPACES_MAX: usize = (CONTROL_BYTES_MAX - HEARTBEAT_BASE) / PROBED_SPACE_SIZE;
/// How many spaces the echo of a probe or a detach names at most.
pub const SPACE_EPOCHS_MAX: usize = (CONTROL_BYTES_MAX - HEARTBEAT_BASE) / SPACE_EPOCH_SIZE;

const CHECKSUM_SIZE: usize = 4;
/// The count of a list, the checksum.
const LIST_BASE: usize = 8 + CHECKSUM_SIZE;
/// Space, epoch, round, end (epoch, sequence), lineage, time of sending.
const ASK_SIZE: usize = 16 + 8 + 4 + 8 + 8 + 8 + 8;
/// Space, epoch, round, verdict, promise, time of sending.
const REPLY_SIZE: usize = 16 + 8 + 4 + 4 + 8 + 8;
/// Space, epoch, lineage.
const PROBED_SPACE_SIZE: usize = 16 + 8 + 8;
/// Space, epoch.
const SPACE_EPOCH_SIZE: usize = 16 + 8;
/// The time of sending, the count of commits, the checksum.
const HEARTBEAT_BASE: usize = 8 + 8 + CHECKSUM_SIZE;
/// Space, epoch, commit.
const COMMIT_SIZE: usize = 16 + 8 + 8;
/// Space, epoch, the longest reason (variant, length, text), end, count of starts, echo, checksum.
const REFUSAL_BASE: usize = 16 + 8 + (4 + 8 + TEXT_BYTES_MAX) + 20 + 8 + 8 + CHECKSUM_SIZE;
/// Epoch, first sequence.
const START_SIZE: usize = 8 + 8;
/// The longest description of what is wrong with a body, in bytes.
const DETAIL_BYTES_MAX: usize = 200;

/// The limit bounds what a text's length can make bincode allocate; lists do not allocate by their claimed length.
const CONFIG: Configuration<LittleEndian, Fixint, Limit<CONTROL_BYTES_MAX>> =
    bincode::config::legacy().with_limit::<CONTROL_BYTES_MAX>();

/// Adds the frame of a message to the buffer; how many bytes it has.
pub(super) fn encode<T: Serialize>(kind: Kind, message: &T, out: &mut WriteBuffer) -> u64 {
    let mut frame = Frame(out.take_scratch());
    frame.0.resize(FRAME_HEADER_SIZE, 0);
    bincode::serde::encode_into_writer(message, &mut frame, CONFIG)
        .expect("messages are plain data, and the writer takes everything");
    let body = frame.0.get(FRAME_HEADER_SIZE..).unwrap_or_default();
    let crc = crc32c::crc32c(body);
    let length = body.len() + CHECKSUM_SIZE;
    assert!(
        length <= CONTROL_BYTES_MAX,
        "a {} of {length} bytes: its sender has to keep it within {CONTROL_BYTES_MAX}",
        kind.name()
    );
    frame.0.extend_from_slice(&crc.to_le_bytes());
    let header = FrameHeader::encode(kind, length as u64);
    frame.0.iter_mut().zip(header).for_each(|(place, byte)| *place = byte);
    out.push_copied(&frame.0);
    out.give_scratch(frame.0);
    (FRAME_HEADER_SIZE + length) as u64
}

/// Believes a body once its checksum holds, and it is a message of that kind from its first byte to its last.
pub(super) fn decode<T: DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<T, WireError> {
    let message = kind.name();
    let Some((covered, checksum)) = body.split_last_chunk::<CHECKSUM_SIZE>() else {
        return Err(WireError::TooShort { message, expected: CHECKSUM_SIZE as u64, found: body.len() as u64 });
    };
    let (expected, found) = (u32::from_le_bytes(*checksum), crc32c::crc32c(covered));
    if expected != found {
        return Err(WireError::BodyChecksum { message, expected, found });
    }
    let (decoded, used) = bincode::serde::decode_from_slice(covered, CONFIG)
        .map_err(|error| WireError::Malformed { message, detail: describe(error) })?;
    if used != covered.len() {
        return Err(WireError::TrailingBytes {
            message,
            expected: (used + CHECKSUM_SIZE) as u64,
            found: body.len() as u64,
        });
    }
    Ok(decoded)
}

/// The reason with its texts cut to the bound.
pub(super) fn cut_reason(reason: &CloseReason) -> CloseReason {
    let mut reason = reason.clone();
    match &mut reason {
        CloseReason::BadFrame(text) | CloseReason::Lost(text) => cut(text, TEXT_BYTES_MAX),
        CloseReason::Unexpected { expected, found } => {
            cut(expected, TEXT_BYTES_MAX);
            cut(found, TEXT_BYTES_MAX);
        }
        CloseReason::WrongCluster { .. }
        | CloseReason::WrongNode { .. }
        | CloseReason::UnknownNode { .. }
        | CloseReason::OtherIncarnation { .. }
        | CloseReason::UnsupportedVersion { .. }
        | CloseReason::UnknownSpace { .. }
        | CloseReason::Silent { .. }
        | CloseReason::ConnectTimeout { .. }
        | CloseReason::TooManyLinks { .. }
        | CloseReason::Replaced
        | CloseReason::Shutdown => {}
    }
    reason
}

/// The refusal with its text cut to the bound.
pub(super) fn cut_refusal(refusal: &Refusal) -> Cow<'_, Refusal> {
    match &refusal.reason {
        RefusalReason::Stopped { reason } if reason.len() > TEXT_BYTES_MAX => {
            let mut reason = reason.to_owned();
            cut(&mut reason, TEXT_BYTES_MAX);
            Cow::Owned(Refusal { reason: RefusalReason::Stopped { reason }, ..refusal.clone() })
        }
        RefusalReason::Stopped { .. }
        | RefusalReason::Stale { .. }
        | RefusalReason::NotVoter
        | RefusalReason::Lineage { .. }
        | RefusalReason::Gap
        | RefusalReason::Diverged { .. } => Cow::Borrowed(refusal),
    }
}

fn cut(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}

fn describe(error: DecodeError) -> String {
    // Other strings are what the types themselves say about a value that they refuse.
    let mut detail = if let DecodeError::OtherString(text) = error { text } else { error.to_string() };
    cut(&mut detail, DETAIL_BYTES_MAX);
    detail
}

/// A frame in the making.
struct Frame(Vec<u8>);

impl Writer for Frame {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

//! What is wrong with bytes from a peer.

use alloc::string::String;

use crate::types::{EntryError, Sequence};

/// What is wrong with bytes from a peer: what was expected, and what was found.
///
/// Each is final for the link: behind a frame that cannot be believed nobody knows where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WireError {
    /// The checksum of a frame's header does not hold.
    #[error("the frame header's checksum does not hold: expected {expected:#010x}, computed {found:#010x}")]
    HeaderChecksum {
        /// What stands in the header.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
    /// The reserved bytes of a frame's header are not zero.
    #[error("the frame header's reserved bytes: expected zeros, found {found:02x?}")]
    HeaderReserved {
        /// What stood there.
        found: [u8; 3],
    },
    /// No message has this number.
    #[error("unknown kind of frame: expected {expected_min} to {expected_max}, found {found}")]
    UnknownKind {
        /// The lowest number of a kind.
        expected_min: u8,
        /// The highest.
        expected_max: u8,
        /// What stood there.
        found: u8,
    },
    /// The body is longer than a message of this kind may be.
    #[error("a {message} of {found} bytes: expected at most {expected}")]
    TooLong {
        /// What the message is called.
        message: &'static str,
        /// The largest body, in bytes.
        expected: u64,
        /// The body's length by its frame's header.
        found: u64,
    },
    /// The body is shorter than the least that a message of this kind needs.
    #[error("a {message} of {found} bytes: expected at least {expected}")]
    TooShort {
        /// What the message is called.
        message: &'static str,
        /// The smallest body, in bytes.
        expected: u64,
        /// The body's length.
        found: u64,
    },
    /// The body's checksum does not hold.
    #[error("the {message}'s checksum does not hold: expected {expected:#010x}, computed {found:#010x}")]
    BodyChecksum {
        /// What the message is called.
        message: &'static str,
        /// What stands in the body.
        expected: u32,
        /// What its bytes give.
        found: u32,
    },
    /// The body's checksum holds, and yet it is no such message.
    #[error("the body is no {message}: {detail}")]
    Malformed {
        /// What the message is called.
        message: &'static str,
        /// What is wrong with it, in words; cut to a bound.
        detail: String,
    },
    /// The message ends before its body does.
    #[error("bytes behind the end of the {message}: expected {expected} bytes, found {found}")]
    TrailingBytes {
        /// What the message is called.
        message: &'static str,
        /// How long the message is.
        expected: u64,
        /// How long the body is.
        found: u64,
    },
    /// A batch of another format.
    #[error("unsupported batch format: expected version {expected}, found {found}")]
    BatchVersion {
        /// The version of this build.
        expected: u16,
        /// The version in the batch.
        found: u16,
    },
    /// A batch whose compression is unknown here.
    #[error("unsupported batch compression: expected 0 (none), found {found}")]
    BatchCompression {
        /// What stood there.
        found: u8,
    },
    /// The reserved byte of a batch's header is not zero.
    #[error("the batch header's reserved byte: expected zero, found {found:#04x}")]
    BatchReserved {
        /// What stood there.
        found: u8,
    },
    /// The entries of a batch have another size than its header says.
    #[error("the batch's entries have another size: the header says {expected} bytes, there are {found}")]
    BatchSize {
        /// What stands in the header.
        expected: u64,
        /// How many bytes there are.
        found: u64,
    },
    /// A batch claims more entries than its bytes can hold.
    #[error("the batch claims {found} entries: its bytes hold at most {expected}")]
    BatchCount {
        /// How many could be there.
        expected: u64,
        /// What stands in the header.
        found: u64,
    },
    /// A batch does not begin behind the entry that it names as the one before it.
    #[error("the batch begins at {found}: expected {expected}, behind the entry before it")]
    BatchFirst {
        /// The sequence behind the entry before.
        expected: Sequence,
        /// What stands in the header.
        found: Sequence,
    },
    /// The sequences of a batch leave no sequence behind its end.
    #[error("{found} entries behind {previous}: expected sequences below {}", u64::MAX)]
    SequencesUsedUp {
        /// The entry before the batch.
        previous: Sequence,
        /// How many entries the batch claims.
        found: u32,
    },
    /// An entry reaches over the end of its batch.
    #[error("entry {index} of the batch is cut: expected {expected} bytes, found {found}")]
    EntryCut {
        /// Which, counted from 0.
        index: u32,
        /// How many bytes the entry needs.
        expected: u64,
        /// How many are left.
        found: u64,
    },
    /// An entry of a batch cannot be believed.
    #[error("entry {index} of the batch: {error}")]
    Entry {
        /// Which, counted from 0.
        index: u32,
        /// What is wrong with it.
        error: EntryError,
    },
    /// An entry of a batch does not follow the one before it.
    #[error("entry {index} of the batch is {found}: expected {expected}")]
    EntrySequence {
        /// Which, counted from 0.
        index: u32,
        /// The sequence behind the one before.
        expected: Sequence,
        /// The sequence that it has.
        found: Sequence,
    },
}

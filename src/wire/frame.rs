//! Frames: the stream cut into messages, and messages into frames.

use bytes::Bytes;

use crate::types::message::{Message, ReplicationBatch};

use super::{WireError, WriteBuffer};

/// The bytes before a body.
pub const FRAME_HEADER_SIZE: usize = 12;

/// How large a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WireLimits {
    /// The largest body of a batch, in bytes.
    pub batch_bytes_max: u64,
    /// The largest body of any other message, in bytes.
    pub control_bytes_max: u64,
}

/// Cuts a link's byte stream, split anywhere, into messages.
#[derive(Debug, Clone, Hash)]
pub struct FrameDecoder {
    limits: WireLimits,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(limits: WireLimits) -> Self {
        Self { limits }
    }

    /// Takes the next piece of the stream.
    pub fn push(&mut self, _bytes: Bytes) {
        let _ = self.limits;
    }

    /// The next message; `None` until more bytes come.
    ///
    /// # Errors
    /// What is wrong with the stream. It is final: the same error is given from then on.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end at None; a stream goes on")]
    pub fn next(&mut self) -> Result<Option<Message>, WireError> {
        Ok(None)
    }

    /// Bytes that were pushed and are not yet part of a message.
    #[must_use]
    pub fn buffered_bytes(&self) -> u64 {
        0
    }
}

/// Adds the message's frame to the buffer; how many bytes it has. It cannot fail.
pub fn encode(_message: &Message, _out: &mut WriteBuffer) -> u64 {
    0
}

/// The size of the frame that a batch becomes, in bytes, without encoding it.
#[must_use]
pub fn batch_frame_size(_batch: &ReplicationBatch) -> u64 {
    0
}

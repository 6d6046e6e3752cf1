//! Encoded frames on their way out: copied small pieces, payloads uncopied.

use alloc::collections::VecDeque;

use bytes::Bytes;

/// Encoded frames on their way out.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    pieces: VecDeque<Bytes>,
}

impl WriteBuffer {
    /// The pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }
}

//! Encoded frames on their way out: copied small pieces, large payloads uncopied.

use ::core::fmt;
#[cfg(feature = "std")]
use std::io::IoSlice;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};

/// Payloads of at least this many bytes are queued uncopied.
///
/// A smaller one is copied behind its header: an element of a vectored write of its own costs the kernel more than
/// copying that many bytes does, and the number of elements per write is limited. Measured over a loopback socket,
/// entries of 64 bytes took three times as long uncopied, entries of 256 bytes nearly twice as long; from one or two
/// kilobytes on there was no difference that showed.
const UNCOPIED_MIN: usize = 4096;

/// Copied bytes are collected in blocks of this size; a full one is queued and never grows, so that nothing is copied
/// twice.
const BLOCK_SIZE: usize = 64 * 1024;

/// Encoded frames on their way out.
///
/// [`encode`](super::encode) adds to it; whoever writes takes [`pieces`](Self::pieces), or the same through
/// [`Buf`], and calls [`advance`](Self::advance) with what was written.
#[derive(Default)]
pub struct WriteBuffer {
    /// Full blocks and uncopied payloads, none empty.
    pieces: VecDeque<Bytes>,
    /// The block that is being filled, behind `pieces`.
    block: BytesMut,
    /// The bytes of `pieces` and `block`.
    length: usize,
    /// Where a control body is laid out before its length and checksum are known; empty in between.
    scratch: Vec<u8>,
}

impl WriteBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many bytes wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds a copy of these bytes.
    pub fn push_copied(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() {
            let mut room = self.block.capacity() - self.block.len();
            if room == 0 {
                self.seal();
                if !self.block.try_reclaim(BLOCK_SIZE) {
                    self.block = BytesMut::with_capacity(BLOCK_SIZE);
                }
                room = self.block.capacity();
            }
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.block.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Adds these bytes, uncopied where they are many.
    pub fn push_bytes(&mut self, bytes: Bytes) {
        if bytes.len() < UNCOPIED_MIN {
            self.push_copied(&bytes);
            return;
        }
        self.seal();
        self.length += bytes.len();
        self.pieces.push_back(bytes);
    }

    /// The pieces in order, none empty.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| &**piece).chain((!self.block.is_empty()).then_some(&*self.block))
    }

    /// Forgets the first `written` bytes.
    ///
    /// # Panics
    /// Where fewer wait: more was counted as written than was there.
    pub fn advance(&mut self, mut written: usize) {
        assert!(written <= self.length, "{written} bytes written of {}", self.length);
        self.length -= written;
        while let Some(front) = self.pieces.front_mut() {
            if front.len() > written {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.pieces.pop_front();
        }
        self.block.advance(written);
    }

    /// Puts the block's bytes behind the pieces; what is left of its room stays.
    fn seal(&mut self) {
        if !self.block.is_empty() {
            self.pieces.push_back(self.block.split().freeze());
        }
    }

    /// The scratch space, empty, with the memory of its last use. Give it back.
    pub(super) fn take_scratch(&mut self) -> Vec<u8> {
        ::core::mem::take(&mut self.scratch)
    }

    /// Takes the scratch space back.
    pub(super) fn give_scratch(&mut self, mut scratch: Vec<u8>) {
        scratch.clear();
        self.scratch = scratch;
    }
}

impl Buf for WriteBuffer {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.pieces().next().unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        Self::advance(self, count);
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (place, piece) in slices.iter_mut().zip(self.pieces()) {
            *place = IoSlice::new(piece);
            filled += 1;
        }
        filled
    }
}

impl fmt::Debug for WriteBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("WriteBuffer")
            .field("bytes", &self.length)
            .field("pieces", &self.pieces().count())
            .finish()
    }
}

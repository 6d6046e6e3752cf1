//! The stream cut into messages.

use ::core::fmt;
use ::core::hash::{Hash, Hasher};
use alloc::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

use crate::types::EntryLists;
use crate::types::message::Message;

use super::frame::{FrameHeader, Kind};
use super::{FRAME_HEADER_SIZE, WireError, WireLimits, control, wal_format};

/// Pieces below this are joined while a frame is incomplete, so that a stream of single bytes does not become a queue of
/// single bytes. Larger ones wait as they are: the frame's body is then allocated once, at its exact size.
const JOIN_BELOW: usize = 4096;

/// Cuts a link's byte stream, split anywhere, into messages.
///
/// Call [`push`](Self::push) with each piece, then [`next`](Self::next) until it gives `None`. Any split of a stream
/// gives the same messages. Between a `None` and the next piece, no more is buffered than one frame of the largest
/// size, and no memory is taken on the word of a header: only bytes that have come are kept.
///
/// Payloads are uncopied where a piece holds the whole frame: they are slices of it. A payload that is kept keeps alive
/// the whole piece that it came in (or, where the frame was split, its whole body); who keeps a small one for long copies
/// it.
///
/// Two decoders are the same to [`Hash`] when they have the same limits, the same unread bytes and the same error,
/// however the bytes were split.
#[derive(Clone)]
pub struct FrameDecoder {
    limits: WireLimits,
    /// Unread pieces, none empty.
    pieces: VecDeque<Bytes>,
    /// Small pieces joined; the stream's newest bytes, behind `pieces`.
    joined: BytesMut,
    /// The bytes of `pieces` and `joined`.
    buffered: usize,
    failed: Option<WireError>,
}

impl FrameDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new(limits: WireLimits) -> Self {
        Self { limits, pieces: VecDeque::new(), joined: BytesMut::new(), buffered: 0, failed: None }
    }

    /// Takes the next piece of the stream; after an error it is dropped.
    ///
    /// A large piece waits as it is and keeps its whole buffer alive: let the pieces of a buffer fill it.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() || self.failed.is_some() {
            return;
        }
        let first = self.buffered == 0;
        self.buffered += bytes.len();
        if bytes.len() < JOIN_BELOW && !first {
            self.joined.extend_from_slice(&bytes);
            return;
        }
        self.seal();
        self.pieces.push_back(bytes);
    }

    /// The next message; `None` until more bytes come.
    ///
    /// # Errors
    /// What is wrong with the stream. It is final: the same error is given from then on.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end at None; a stream goes on")]
    pub fn next(&mut self) -> Result<Option<Message>, WireError> {
        self.next_in(&mut EntryLists::default())
    }

    /// As [`next`](Self::next); the entries of a batch come in one of these lists where there is one.
    ///
    /// # Errors
    /// As those of [`next`](Self::next).
    pub fn next_in(&mut self, lists: &mut EntryLists) -> Result<Option<Message>, WireError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let message = self.decode(lists);
        if let Err(error) = &message {
            self.failed = Some(error.clone());
            self.pieces = VecDeque::new();
            self.joined = BytesMut::new();
            self.buffered = 0;
        }
        message
    }

    /// Bytes that were pushed and are not yet part of a message; 0 after an error.
    #[must_use]
    pub const fn buffered_bytes(&self) -> u64 {
        self.buffered as u64
    }

    /// The header is not taken out before its body is there: what the decoder knows is what is buffered, nothing else.
    fn decode(&mut self, lists: &mut EntryLists) -> Result<Option<Message>, WireError> {
        let Some(header) = self.peek_header() else { return Ok(None) };
        let FrameHeader { kind, length } = FrameHeader::parse(header, &self.limits)?;
        let frame_size = FRAME_HEADER_SIZE.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        if self.buffered < frame_size {
            return Ok(None);
        }
        let mut frame = self.take(frame_size);
        frame.advance(FRAME_HEADER_SIZE);
        decode_body(kind, frame, lists).map(Some)
    }

    fn peek_header(&self) -> Option<[u8; FRAME_HEADER_SIZE]> {
        let mut header = [0; FRAME_HEADER_SIZE];
        let mut room = header.as_mut_slice();
        for piece in self.unread() {
            let (now, later) = room.split_at_mut(piece.len().min(room.len()));
            now.copy_from_slice(piece.get(..now.len())?);
            room = later;
            if room.is_empty() {
                return Some(header);
            }
        }
        None
    }

    /// Takes that many bytes, which are there; uncopied where one piece holds them all.
    fn take(&mut self, size: usize) -> Bytes {
        self.buffered -= size;
        if self.pieces.front().is_none_or(|front| front.len() < size) {
            self.seal();
        }
        match self.pieces.front_mut() {
            Some(front) if front.len() > size => return front.split_to(size),
            Some(front) if front.len() == size => return self.pieces.pop_front().unwrap_or_default(),
            Some(_) | None => {}
        }
        let mut whole = BytesMut::with_capacity(size);
        while whole.len() < size
            && let Some(front) = self.pieces.front_mut()
        {
            let part = front.split_to(front.len().min(size - whole.len()));
            whole.extend_from_slice(&part);
            if front.is_empty() {
                self.pieces.pop_front();
            }
        }
        whole.freeze()
    }

    /// Puts the joined bytes behind the pieces.
    fn seal(&mut self) {
        if !self.joined.is_empty() {
            self.pieces.push_back(self.joined.split().freeze());
        }
    }

    fn unread(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| &**piece).chain((!self.joined.is_empty()).then_some(&*self.joined))
    }
}

fn decode_body(kind: Kind, body: Bytes, lists: &mut EntryLists) -> Result<Message, WireError> {
    Ok(match kind {
        Kind::Batch => Message::Batch(wal_format::decode(body, lists)?),
        Kind::Hello => Message::Hello(control::decode(kind, &body)?),
        Kind::Welcome => Message::Welcome(control::decode(kind, &body)?),
        Kind::Goodbye => Message::Goodbye(control::decode(kind, &body)?),
        Kind::SpaceHello => Message::SpaceHello(control::decode(kind, &body)?),
        Kind::Ack => Message::Ack(control::decode(kind, &body)?),
        Kind::Refusal => Message::Refusal(control::decode(kind, &body)?),
        Kind::Heartbeat => Message::Heartbeat(control::decode(kind, &body)?),
        Kind::Echo => Message::Echo(control::decode(kind, &body)?),
        Kind::VoteRequest => Message::VoteRequest(control::decode(kind, &body)?),
        Kind::VoteAnswer => Message::VoteAnswer(control::decode(kind, &body)?),
        Kind::Probe => Message::Probe(control::decode(kind, &body)?),
        Kind::ProbeEcho => Message::ProbeEcho(control::decode(kind, &body)?),
        Kind::Detach => Message::Detach(control::decode(kind, &body)?),
    })
}

impl Hash for FrameDecoder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.limits.hash(state);
        self.failed.hash(state);
        self.buffered_bytes().hash(state);
        // A hasher may tell two writes from one: the bytes go in by blocks that the split has no part in.
        let mut block = [0_u8; 64];
        let mut filled = 0;
        for mut piece in self.unread() {
            while !piece.is_empty() {
                let room = block.get_mut(filled..).unwrap_or_default();
                let (now, later) = piece.split_at(piece.len().min(room.len()));
                if let Some(place) = room.get_mut(..now.len()) {
                    place.copy_from_slice(now);
                }
                filled += now.len();
                piece = later;
                if filled == block.len() {
                    state.write(&block);
                    filled = 0;
                }
            }
        }
        state.write(block.get(..filled).unwrap_or_default());
    }
}

impl fmt::Debug for FrameDecoder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FrameDecoder")
            .field("limits", &self.limits)
            .field("buffered_bytes", &self.buffered_bytes())
            .field("failed", &self.failed)
            .finish()
    }
}

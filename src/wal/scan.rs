//! A walk through one segment's bytes, in a window of fixed size: no header's size is believed before its checksum
//! holds, and no payload is ever held whole.

use std::io;

use crate::types::{EntryError, HEADER_SIZE, WAL_MAGIC, WalEntryHeader};

use super::disk::DiskFile;
use super::error::BreakReason;

/// The bytes that are held of a file at a time.
const WINDOW: usize = 256 * 1024;
/// A page of zeros to compare with.
static ZEROS: [u8; 4096] = [0; 4096];
const HEADER: u64 = HEADER_SIZE as u64;

/// Header and payload, in bytes.
pub(crate) fn entry_size(header: &WalEntryHeader) -> u64 {
    HEADER + u64::from(header.payload_size())
}

/// What stands at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// An entry whose header and payload check out.
    Entry(WalEntryHeader),
    /// Nothing but zeros up to the file's end, or the end itself.
    End,
    /// Something else; the header where it alone holds.
    Bad { reason: BreakReason, header: Option<WalEntryHeader> },
}

/// The walk.
pub(crate) struct Scanner<F> {
    file: F,
    size: u64,
    window: Vec<u8>,
    start: u64,
    /// Payload bytes that are still looked at for headers that are not believed: garbage costs a bounded time.
    claims_left: u64,
}

impl<F: DiskFile> Scanner<F> {
    pub(crate) fn new(file: F) -> io::Result<Self> {
        let size = file.size()?;
        Ok(Self { file, size, window: Vec::new(), start: 0, claims_left: size.saturating_mul(4) })
    }

    pub(crate) const fn file(&self) -> &F {
        &self.file
    }

    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Up to `count` bytes at `offset` (at most a window), fewer only at the file's end.
    fn bytes(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let wanted = count.min(WINDOW).min(usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX));
        let held = offset.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let from = match held {
            Some(from) if from + wanted <= self.window.len() => from,
            Some(_) | None => {
                let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
                self.window.resize(left.min(WINDOW), 0);
                self.start = offset;
                let read = self.file.read_at(&mut self.window, offset)?;
                self.window.truncate(read);
                0
            }
        };
        let end = (from + wanted).min(self.window.len());
        Ok(self.window.get(from..end).unwrap_or_default())
    }

    /// The 64 bytes at `offset`; `None` where the file ends before.
    fn header_bytes(&mut self, offset: u64) -> io::Result<Option<[u8; HEADER_SIZE]>> {
        Ok(self.bytes(offset, HEADER_SIZE)?.first_chunk().copied())
    }

    /// The first four bytes at `offset`, as a number.
    pub(crate) fn word(&mut self, offset: u64) -> io::Result<Option<u32>> {
        Ok(self.bytes(offset, 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)))
    }

    /// The header at `offset`; its payload is not looked at.
    pub(crate) fn header(&mut self, offset: u64) -> io::Result<Result<WalEntryHeader, BreakReason>> {
        let found = self.size.saturating_sub(offset);
        Ok(match self.header_bytes(offset)? {
            Some(bytes) => WalEntryHeader::parse(&bytes).map_err(Into::into),
            None => Err(BreakReason::CutShort { expected: HEADER, found }),
        })
    }

    /// Judges what stands at `offset`.
    pub(crate) fn step(&mut self, offset: u64) -> io::Result<Step> {
        let left = self.size.saturating_sub(offset);
        let Some(bytes) = self.header_bytes(offset)? else {
            let rest = self.bytes(offset, HEADER_SIZE)?;
            if rest.iter().all(|byte| *byte == 0) {
                return Ok(Step::End);
            }
            return Ok(Step::Bad { reason: BreakReason::CutShort { expected: HEADER, found: left }, header: None });
        };
        if bytes == [0; HEADER_SIZE] && self.first_non_zero(offset)?.is_none() {
            return Ok(Step::End);
        }
        let header = match WalEntryHeader::parse(&bytes) {
            Ok(header) => header,
            Err(error) => return Ok(Step::Bad { reason: error.into(), header: None }),
        };
        let needed = HEADER + u64::from(header.payload_size());
        if needed > left {
            let reason = BreakReason::CutShort { expected: needed, found: left };
            return Ok(Step::Bad { reason, header: Some(header) });
        }
        let found = self.payload_crc(offset + HEADER, u64::from(header.payload_size()))?;
        if found != header.payload_crc() {
            let reason = EntryError::PayloadChecksum { expected: header.payload_crc(), found }.into();
            return Ok(Step::Bad { reason, header: Some(header) });
        }
        Ok(Step::Entry(header))
    }

    fn payload_crc(&mut self, offset: u64, size: u64) -> io::Result<u32> {
        let (mut place, end, mut crc) = (offset, offset + size, 0);
        while place < end {
            let count = usize::try_from(end - place).unwrap_or(WINDOW).min(WINDOW);
            let piece = self.bytes(place, count)?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            crc = crc32c::crc32c_append(crc, piece);
            place += piece.len() as u64;
        }
        Ok(crc)
    }

    /// The first byte from `offset` on that is not zero.
    pub(crate) fn first_non_zero(&mut self, offset: u64) -> io::Result<Option<u64>> {
        let mut place = offset;
        while place < self.size {
            let piece = self.bytes(place, WINDOW)?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // Compared by the page, for most of what is asked about is zeros.
            for chunk in piece.chunks(ZEROS.len()) {
                if ZEROS.get(..chunk.len()) != Some(chunk)
                    && let Some(index) = chunk.iter().position(|byte| *byte != 0)
                {
                    return Ok(Some(place + index as u64));
                }
                place += chunk.len() as u64;
            }
        }
        Ok(None)
    }

    /// The next header behind a bad one that `accept` takes, found by its magic and its checksum.
    pub(crate) fn header_behind(
        &mut self,
        offset: u64,
        header: Option<&WalEntryHeader>,
        accept: impl Fn(u64, &WalEntryHeader) -> bool,
    ) -> io::Result<Option<(u64, WalEntryHeader)>> {
        // A believed header tells where its payload ends.
        let end = |size: u32| offset + HEADER + u64::from(size);
        if let Some(header) = header {
            let whole = end(header.payload_size()) <= self.size;
            return self.next_header(if whole { end(header.payload_size()) } else { offset + HEADER }, accept);
        }
        // One that is not believed may still be right about its payload, where size and checksum agree: following it
        // keeps a header that is quoted in the payload from being taken for one of the log.
        if self.word(offset)? == Some(WAL_MAGIC)
            && let (Some(size), Some(crc)) = (self.word(offset + 24)?, self.word(offset + 28)?)
            && end(size) <= self.size
            && let Some(left) = self.claims_left.checked_sub(u64::from(size))
        {
            self.claims_left = left;
            if self.payload_crc(offset + HEADER, u64::from(size))? == crc {
                return self.next_header(end(size), accept);
            }
        }
        self.next_header(offset + 1, accept)
    }

    /// The first header from `offset` on, found by its magic and its checksum.
    pub(crate) fn next_header(
        &mut self,
        offset: u64,
        accept: impl Fn(u64, &WalEntryHeader) -> bool,
    ) -> io::Result<Option<(u64, WalEntryHeader)>> {
        let [first, ..] = WAL_MAGIC.to_le_bytes();
        let mut place = offset;
        while place + HEADER <= self.size {
            let piece = self.bytes(place, WINDOW)?;
            if piece.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let length = piece.len() as u64;
            let Some(index) = piece.iter().position(|byte| *byte == first) else {
                place += length;
                continue;
            };
            place += index as u64;
            if let Some(bytes) = self.header_bytes(place)?
                && let Ok(header) = WalEntryHeader::parse(&bytes)
                && accept(place, &header)
            {
                return Ok(Some((place, header)));
            }
            place += 1;
        }
        Ok(None)
    }
}

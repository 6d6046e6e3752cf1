//! Salvage files read back.

use std::io;
use std::path::{Path, PathBuf};

use bytes::BytesMut;

use crate::types::{Entry, HEADER_SIZE as ENTRY_HEADER, Position, WalEntryHeader};
use crate::wal::disk::{Access, Disk, DiskFile};
use crate::wal::error::{BreakReason, WalError};
use crate::wal::recovery::follows;

use super::header::{Decoded, HEADER_SIZE, VERSION};
use super::{SalvageBreak, SalvageError, SalvageHeader};

/// A salvage file of which everything holds.
#[derive(Debug)]
pub struct SalvageFile<F: DiskFile> {
    path: PathBuf,
    file: F,
    header: SalvageHeader,
}

/// The entries of a salvage file, one after the other.
#[derive(Debug)]
pub struct SalvageEntries<'f, F: DiskFile> {
    salvage: &'f SalvageFile<F>,
    offset: u64,
    previous: Option<Position>,
    crc: u32,
    failed: bool,
}

impl<F: DiskFile> SalvageFile<F> {
    /// Opens a file and reads all of it, entry by entry: nothing is believed before every checksum holds.
    ///
    /// # Errors
    /// [`SalvageError::Corrupt`] with file and offset, [`SalvageError::Version`], or those of the operating system.
    pub fn open<D: Disk<File = F>>(disk: &D, path: &Path) -> Result<Self, SalvageError> {
        let file = disk.open(path, Access::Read).map_err(WalError::io("open", path))?;
        let found = file.size().map_err(WalError::io("measure", path))?;
        let mut bytes = [0; HEADER_SIZE];
        let read = file.read_at(&mut bytes, 0).map_err(WalError::io("read", path))?;
        let corrupt = |offset, reason| SalvageError::Corrupt { path: path.to_owned(), offset, reason };
        if read < HEADER_SIZE {
            return Err(corrupt(0, SalvageBreak::Size { expected: HEADER_SIZE as u64, found }));
        }
        let header = match SalvageHeader::decode(&bytes).map_err(|(offset, reason)| corrupt(offset, reason))? {
            Decoded::Header(header) => header,
            Decoded::Version(found) => {
                return Err(SalvageError::Version { path: path.to_owned(), expected: VERSION, found });
            }
        };
        let expected = header.bytes.saturating_add(HEADER_SIZE as u64);
        if expected != found {
            return Err(corrupt(found.min(expected), SalvageBreak::Size { expected, found }));
        }
        let salvage = Self { path: path.to_owned(), file, header };
        let mut entries = salvage.entries();
        for entry in entries.by_ref() {
            entry?;
        }
        let (last, crc) = (entries.previous.unwrap_or_default(), entries.crc);
        if last != salvage.header.last {
            let reason = SalvageBreak::Position { expected: salvage.header.last, found: last };
            return Err(corrupt(expected, reason));
        }
        if crc != salvage.header.crc {
            let reason = SalvageBreak::Checksum { expected: salvage.header.crc, found: crc };
            return Err(corrupt(HEADER_SIZE as u64, reason));
        }
        Ok(salvage)
    }

    /// What the file says of itself.
    #[must_use]
    pub const fn header(&self) -> &SalvageHeader {
        &self.header
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its entries in order; ends with the first that does not hold.
    #[must_use]
    pub const fn entries(&self) -> SalvageEntries<'_, F> {
        SalvageEntries { salvage: self, offset: HEADER_SIZE as u64, previous: None, crc: 0, failed: false }
    }
}

impl<F: DiskFile> SalvageEntries<'_, F> {
    fn read(&mut self) -> Result<Entry, SalvageError> {
        let salvage = self.salvage;
        let (path, offset) = (&salvage.path, self.offset);
        let corrupt = |reason| SalvageError::Corrupt { path: path.clone(), offset, reason };
        let cut_short = |expected, found| corrupt(BreakReason::CutShort { expected, found }.into());
        let left = self.end() - offset;
        let mut bytes = [0; ENTRY_HEADER];
        if left < ENTRY_HEADER as u64 {
            return Err(cut_short(ENTRY_HEADER as u64, left));
        }
        read_exact(&salvage.file, &mut bytes, offset).map_err(WalError::io("read", path))?;
        let header = WalEntryHeader::parse(&bytes).map_err(|error| corrupt(error.into()))?;
        let size = ENTRY_HEADER as u64 + u64::from(header.payload_size());
        if left < size {
            return Err(cut_short(size, left));
        }
        match &self.previous {
            Some(previous) => follows(previous, &header).map_err(|reason| corrupt(reason.into()))?,
            None if header.position() != salvage.header.first => {
                let (expected, found) = (salvage.header.first, header.position());
                return Err(corrupt(SalvageBreak::Position { expected, found }));
            }
            None => {}
        }
        // The file is this long, so the payload is no larger than what is there.
        let mut payload = BytesMut::zeroed(usize::try_from(header.payload_size()).unwrap_or(usize::MAX));
        read_exact(&salvage.file, &mut payload, offset + ENTRY_HEADER as u64).map_err(WalError::io("read", path))?;
        self.crc = crc32c::crc32c_append(crc32c::crc32c_append(self.crc, &bytes), &payload);
        let entry = Entry::join(header, payload.freeze()).map_err(|error| corrupt(error.into()))?;
        self.offset += size;
        self.previous = Some(entry.position());
        Ok(entry)
    }

    const fn end(&self) -> u64 {
        HEADER_SIZE as u64 + self.salvage.header.bytes
    }
}

impl<F: DiskFile> Iterator for SalvageEntries<'_, F> {
    type Item = Result<Entry, SalvageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.offset >= self.end() {
            return None;
        }
        let read = self.read();
        self.failed = read.is_err();
        Some(read)
    }
}

fn read_exact<F: DiskFile>(file: &F, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let wanted = buffer.len();
    if file.read_at(buffer, offset)? == wanted { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

//! A directory, entry by entry.

use std::path::{Path, PathBuf};

use crate::types::{HEADER_SIZE, WalEntryHeader};

use super::disk::{Access, Disk, DiskFile};
use super::error::{BreakReason, WalError};
use super::walk::{DirectoryWalk, Met, Origin};

/// What stands in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspected {
    /// An entry whose header and payload check out.
    Entry(InspectedEntry),
    /// Bytes that are no entry; the next item is the next entry behind them.
    Break {
        /// The file's name.
        file: String,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: BreakReason,
    },
}

/// An entry and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedEntry {
    /// The file's name.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// The header.
    pub header: WalEntryHeader,
}

/// The entries of a space's directory (ours or Engram's) in the order of files and offsets, through damage.
///
/// It reads only, and holds no payload: see [`Inspect::payload`].
pub struct Inspect<D: Disk> {
    disk: D,
    directory: PathBuf,
    walk: DirectoryWalk<D>,
    failed: bool,
}

/// Begins to inspect a directory.
///
/// # Errors
/// Those of the operating system.
pub fn inspect<D: Disk>(disk: D, directory: &Path) -> Result<Inspect<D>, WalError> {
    let walk = DirectoryWalk::new(disk.clone(), directory)?;
    Ok(Inspect { disk, directory: directory.to_owned(), walk, failed: false })
}

impl<D: Disk> Inspect<D> {
    /// Who wrote the directory; known from the first entry on.
    #[must_use]
    pub const fn origin(&self) -> Option<Origin> {
        self.walk.origin()
    }

    /// The payload of an entry of this directory.
    ///
    /// # Errors
    /// Those of the operating system, and [`WalError::Corrupt`] where the payload has changed since.
    pub fn payload(&self, entry: &InspectedEntry) -> Result<Vec<u8>, WalError> {
        let path = self.directory.join(&entry.file);
        let file = self.disk.open(&path, Access::Read).map_err(WalError::io("open", &path))?;
        let mut payload = vec![0; entry.header.payload_size() as usize];
        let offset = entry.offset + HEADER_SIZE as u64;
        let read = file.read_at(&mut payload, offset).map_err(WalError::io("read", &path))?;
        payload.truncate(read);
        let found = crc32c::crc32c(&payload);
        if found != entry.header.payload_crc() {
            let expected = entry.header.payload_crc();
            let reason = crate::types::EntryError::PayloadChecksum { expected, found }.into();
            return Err(WalError::Corrupt { path, offset: entry.offset, reason });
        }
        Ok(payload)
    }
}

impl<D: Disk> Iterator for Inspect<D> {
    type Item = Result<Inspected, WalError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            match self.walk.step() {
                Ok(None) => return None,
                Ok(Some((_, Met::End { .. }))) => {}
                Ok(Some((name, Met::Entry { offset, header }))) => {
                    return Some(Ok(Inspected::Entry(InspectedEntry { file: name.to_string(), offset, header })));
                }
                Ok(Some((name, Met::Break { offset, reason }))) => {
                    return Some(Ok(Inspected::Break { file: name.to_string(), offset, reason }));
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

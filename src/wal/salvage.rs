//! Entries that are about to be truncated, in files of their own.
//!
//! ```text
//! salvage/<space>/salvage-<first>-<last>-<epoch>-<chain>.log     numbers in hex, epoch and chain the last entry's
//! file   = header entry*
//! header | 0 "ENGRSALV" | 8 version u32 | 12 node u16 | 14 size of the name u16 | 16 cluster 16
//!        | 32 by: epoch u64 | 40 first: sequence u64, epoch u64, chain u32 | 60 last: the same
//!        | 80 entries u64 | 88 their bytes u64 | 96 name of the space, 64 bytes, zeros behind
//!        | 160 zeros | 184 CRC32C of the entries | 188 CRC32C(0..188) |
//! entry  = header and payload as in a segment, its node-local bytes zero
//! ```
//!
//! All little-endian. A file is written under another name, synced, renamed, and its directory synced: what has the
//! name is whole. What the name says follows from the entries, so saving the same ones again replaces the file.

mod file;
mod header;

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use crate::types::{ClusterId, Entry, EntryError, Epoch, NodeId, Position, Sequence, SpaceName};

use super::disk::{Access, Disk, DiskFile};
use super::error::{BreakReason, WalError};

pub use file::{SalvageEntries, SalvageFile};
pub use header::SalvageHeader;

use header::HEADER_SIZE;

/// The folder of a data directory that the files are in.
pub const SALVAGE: &str = "salvage";
const FILE_NEW: &str = "salvage.new";
/// What is read of the log at a time.
const ENTRIES_AT_A_TIME: u32 = 1_000;
const BYTES_AT_A_TIME: u64 = 1 << 20;

/// Where the salvage files of a space are, and what they say of whose they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvagePlace {
    /// The space's directory of salvage files; made when it is needed.
    pub directory: PathBuf,
    /// The cluster.
    pub cluster: ClusterId,
    /// The node whose entries they were.
    pub node: NodeId,
    /// The space.
    pub space: SpaceName,
}

/// Why the entries of a log could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The log did not give them.
    #[error(transparent)]
    Read(WalError),
    /// The file could not be written: it is not there then, and may be tried again.
    #[error(transparent)]
    Write(WalError),
    /// What was written could not be made durable.
    #[error(transparent)]
    Sync(WalError),
}

/// Why a salvage file is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// The operating system said no.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The bytes are not those that were written.
    #[error("{} at offset {offset}: {reason}; nothing was changed: restore the file from a copy", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: SalvageBreak,
    },
    /// A format of a later version.
    #[error(
        "{} has format version {found}, expected {expected}; use the version of engraft that wrote it",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that this program writes.
        expected: u32,
        /// What stands there.
        found: u32,
    },
}

/// What is wrong with a salvage file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SalvageBreak {
    /// No header stands at its beginning.
    #[error("this is no salvage file: its header's magic or checksum does not hold")]
    Header,
    /// The header holds, and says what cannot be.
    #[error("the header's {0} cannot be")]
    Field(&'static str),
    /// The file is not as long as its header says.
    #[error("the file has another size: expected {expected} bytes, found {found}")]
    Size {
        /// What follows from the header.
        expected: u64,
        /// The file's size.
        found: u64,
    },
    /// An entry does not check out, or does not follow the one before it.
    #[error(transparent)]
    Entry(#[from] BreakReason),
    /// The entries are not those that the header speaks of.
    #[error("the entries are not those of the header: expected {expected}, found {found}")]
    Position {
        /// What the header says.
        expected: Position,
        /// What stands there.
        found: Position,
    },
    /// The checksum over all entries does not hold.
    #[error("the checksum of the entries does not hold: expected {expected:#010x}, computed {found:#010x}")]
    Checksum {
        /// What stands in the header.
        expected: u32,
        /// What the entries give.
        found: u32,
    },
}

impl From<EntryError> for SalvageBreak {
    fn from(error: EntryError) -> Self {
        Self::Entry(error.into())
    }
}

/// Makes the entries from `first` to `last` durable in a file of the place, in bounded memory. `read` gives entries of
/// the log from a sequence on, at most so many and of so many bytes, and one however large it is.
///
/// A file of the same entries that is there already is replaced, at once for every reader.
///
/// # Errors
/// What failed; no file has come into being then, and one that was there before is as it was.
pub fn save<D: Disk>(
    disk: &D,
    place: &SalvagePlace,
    by: Epoch,
    (first, last): (Sequence, Sequence),
    mut read: impl FnMut(Sequence, u32, u64) -> Result<Vec<Entry>, WalError>,
) -> Result<SalvageHeader, SaveError> {
    disk.create_dir_all(&place.directory).map_err(|error| write_error("create", &place.directory)(error))?;
    let new = place.directory.join(FILE_NEW);
    remove_new(disk, &place.directory).map_err(SaveError::Write)?;
    let saved = write_new(disk, place, by, (first, last), &mut read);
    if saved.is_err() {
        // Half a file only takes the room that the next one needs. The first error is the one to tell of.
        let _ = disk.remove_file(&new);
    }
    let header = saved?;
    let path = place.directory.join(header.file_name());
    disk.rename(&new, &path).map_err(write_error("rename", &new))?;
    disk.sync_directory(&place.directory).map_err(sync_error(&place.directory))?;
    Ok(header)
}

/// Removes what a crash left of a file that was being written.
///
/// # Errors
/// Those of the operating system.
pub fn remove_new<D: Disk>(disk: &D, directory: &Path) -> Result<(), WalError> {
    let new = directory.join(FILE_NEW);
    match disk.remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(WalError::io("remove", &new)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write_new<D: Disk>(
    disk: &D,
    place: &SalvagePlace,
    by: Epoch,
    (first, last): (Sequence, Sequence),
    read: &mut impl FnMut(Sequence, u32, u64) -> Result<Vec<Entry>, WalError>,
) -> Result<SalvageHeader, SaveError> {
    let new = place.directory.join(FILE_NEW);
    let file = disk.open(&new, Access::CreateNew).map_err(write_error("create", &new))?;
    let (mut bytes, mut crc) = (0, 0);
    let mut ends: Option<(Position, Position)> = None;
    let mut next = first;
    while next <= last {
        let left = u32::try_from(last.next().above(next)).unwrap_or(ENTRIES_AT_A_TIME).min(ENTRIES_AT_A_TIME);
        let entries = read(next, left, BYTES_AT_A_TIME).map_err(SaveError::Read)?;
        let (Some(begin), Some(end)) = (entries.first(), entries.last()) else {
            // The log holds less than what it was asked to give up.
            let held = next.previous();
            return Err(SaveError::Read(WalError::NoSuchCut { first, last: held, found: last }));
        };
        ends = Some((ends.map_or_else(|| begin.position(), |(begin, _)| begin), end.position()));
        next = end.header.sequence().next();
        let headers: Vec<_> = entries.iter().map(|entry| entry.header.with_node_local([0; 8])).collect();
        let mut pieces = Vec::with_capacity(2 * entries.len());
        for (header, entry) in headers.iter().zip(&entries) {
            pieces.extend([IoSlice::new(header.as_bytes()), IoSlice::new(&entry.payload)]);
        }
        crc = pieces.iter().fold(crc, |crc, piece| crc32c::crc32c_append(crc, piece));
        file.write_at(&pieces, HEADER_SIZE as u64 + bytes).map_err(write_error("write", &new))?;
        bytes += entries.iter().map(|entry| entry.size() as u64).sum::<u64>();
    }
    let Some((begin, end)) = ends else {
        return Err(SaveError::Read(WalError::NoSuchCut { first, last, found: last }));
    };
    let (cluster, node, space) = (place.cluster, place.node, place.space.clone());
    let entries = last.next().above(first);
    let header = SalvageHeader { cluster, node, space, by, first: begin, last: end, entries, bytes, crc };
    file.write_at(&[IoSlice::new(&header.encode())], 0).map_err(write_error("write", &new))?;
    file.sync().map_err(sync_error(&new))?;
    Ok(header)
}

fn write_error(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SaveError {
    let error = WalError::io(operation, path);
    move |source| SaveError::Write(error(source))
}

fn sync_error(path: &Path) -> impl FnOnce(std::io::Error) -> SaveError {
    let error = WalError::io("sync", path);
    // A disk that allocates late may say only now that it is full: nothing was believed yet, so that is no end.
    move |source| match error(source) {
        error if error.is_full() => SaveError::Write(error),
        error => SaveError::Sync(error),
    }
}

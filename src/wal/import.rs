//! Engram's directories, copied into a log of ours: every entry once, in the order of files and offsets.
//!
//! Engram's numbers restart and repeat, so they cannot be ours: an entry's sequence is its place in that order, counted
//! from 1, and its number is kept in a report beside the log.

mod report;

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::types::{Control, Entry, Epoch, Position, SpaceName};

use super::disk::{Access, Disk};
use super::error::{StorageOpenError, WalError};
use super::handles::Handles;
use super::inspect::{Inspect, Inspected, InspectedEntry, inspect};
use super::ledger::SpaceMemory;
use super::log::Wal;
use super::options::WalOptions;
use super::recovery::WalPlace;
use super::verify::{VerifyReport, verify};
use super::walk::Origin;

pub use report::{IMPORT_REPORT, ImportReport};

use report::ReportFile;

/// Entries that share an fsync.
const GROUP_ENTRIES: usize = 1_000;
/// Bytes that share an fsync; what is held in memory is this and one entry.
const GROUP_BYTES: usize = 4 << 20;

/// What is copied, and where to.
#[derive(Debug, Clone)]
pub struct EngramCopy {
    /// Engram's directory. It is read only, and nobody may write to it meanwhile.
    pub source: PathBuf,
    /// The space that the entries are for.
    pub space: SpaceName,
    /// An empty directory, and whose log it is to be.
    pub place: WalPlace,
    /// The epoch of the entries.
    pub epoch: Epoch,
    /// The numbers of the log.
    pub wal: WalOptions,
    /// The largest payload that may be shipped later, in bytes.
    pub entry_bytes_max: u64,
}

/// Why a directory of Engram's is not imported. Nothing was changed in it, and there is no new space.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageOpenError),
    /// The operating system said no, or the log did.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// There is nothing to import.
    #[error("{}: expected segments of Engram's (wal-<16 hex digits>.log), found no entry that checks out", path.display())]
    Nothing {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is ours.
    #[error("{} was written by engraft, expected a directory of Engram's; a log of engraft's is copied by replicating it", path.display())]
    NotEngram {
        /// The directory.
        path: PathBuf,
    },
    /// The space is there already.
    #[error("the space {space} exists already in {}; import under another name", path.display())]
    SpaceExists {
        /// The space.
        space: SpaceName,
        /// Its directory.
        path: PathBuf,
    },
    /// The node has promised or written something in a space of that name.
    #[error("this node remembers a space {space} that it promised {promise} in; import under another name")]
    SpaceRemembered {
        /// The space.
        space: SpaceName,
        /// The highest epoch promised.
        promise: Epoch,
    },
    /// An entry that no node would take.
    #[error(
        "{} at offset {offset}: the payload has {found} bytes, expected at most {expected}; raise `replication.entry_bytes_max` on every node",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// The largest.
        expected: u64,
        /// Its size.
        found: u64,
    },
    /// The directory changed while it was read.
    #[error("{} changed while it was read: expected {expected} entries, found {found}; stop Engram, then import again", path.display())]
    Changed {
        /// The directory.
        path: PathBuf,
        /// How many there were first.
        expected: u64,
        /// How many were read.
        found: u64,
    },
}

/// Copies every entry that checks out into the log at `copy.place`, and its report beside it; all of it is durable when
/// this returns. Payload, type and timestamp are kept; damage is passed over and reported.
///
/// # Errors
/// Where the directory is not Engram's, holds an entry that cannot be shipped, or changes meanwhile, and those of the
/// operating system. The directory at `copy.place` holds a part of the log then and is to be emptied.
pub fn copy_engram<D: Disk>(disk: &D, copy: &EngramCopy) -> Result<(ImportReport, Position), ImportError> {
    let verified = verify(disk, &copy.source)?;
    let source = || copy.source.clone();
    if verified.entries == 0 {
        return Err(ImportError::Nothing { path: source() });
    }
    if verified.origin != Origin::Engram {
        return Err(ImportError::NotEngram { path: source() });
    }
    let expected = verified.entries;
    let mut writer = Writer::new(disk, copy)?;
    let mut entries = inspect(disk.clone(), &copy.source)?;
    while let Some(item) = entries.next() {
        // What is damaged was told by the verification.
        let Inspected::Entry(entry) = item? else { continue };
        writer.entry(copy, &entries, &entry)?;
    }
    let found = writer.entries;
    if found != expected {
        return Err(ImportError::Changed { path: source(), expected, found });
    }
    writer.finish(disk, copy, verified)
}

/// The log in the making.
struct Writer<D: Disk> {
    wal: Wal<D>,
    report: ReportFile<D::File>,
    group: Vec<Entry>,
    group_bytes: usize,
    entries: u64,
    end: Position,
}

impl<D: Disk> Writer<D> {
    fn new(disk: &D, copy: &EngramCopy) -> Result<Self, WalError> {
        let handles = Handles::new(disk.clone(), 2);
        let (wal, ..) = Wal::open(handles, copy.place.clone(), copy.wal.clone(), &SpaceMemory::default())?;
        let path = copy.place.directory.join(IMPORT_REPORT);
        let file = disk.open(&path, Access::CreateNew).map_err(WalError::io("create", &path))?;
        let end = wal.end();
        let mut report = ReportFile::new(file, path);
        report.begin(&copy.source, &copy.space, copy.epoch)?;
        Ok(Self { wal, report, group: Vec::new(), group_bytes: 0, entries: 0, end })
    }

    fn entry(&mut self, copy: &EngramCopy, source: &Inspect<D>, entry: &InspectedEntry) -> Result<(), ImportError> {
        let found = u64::from(entry.header.payload_size());
        if found > copy.entry_bytes_max {
            let (path, offset) = (copy.source.join(&entry.file), entry.offset);
            return Err(ImportError::TooLarge { path, offset, expected: copy.entry_bytes_max, found });
        }
        let payload = Bytes::from(source.payload(entry)?);
        let header = &entry.header;
        let (kind, timestamp) = (header.entry_type(), header.timestamp());
        let ours = Entry::following(&self.end, copy.epoch, kind, Control::user(), timestamp, payload);
        self.end = ours.position();
        self.entries += 1;
        self.report.entry(self.end.sequence, entry)?;
        self.group_bytes += ours.size();
        self.group.push(ours);
        if self.group.len() >= GROUP_ENTRIES || self.group_bytes >= GROUP_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), WalError> {
        self.wal.append(&self.group)?;
        self.wal.sync()?;
        self.group.clear();
        self.group_bytes = 0;
        Ok(())
    }

    fn finish(
        mut self,
        disk: &D,
        copy: &EngramCopy,
        verified: VerifyReport,
    ) -> Result<(ImportReport, Position), ImportError> {
        self.write()?;
        let report = ImportReport::new(copy, self.end.sequence, verified);
        self.report.finish(&report)?;
        let directory: &Path = &copy.place.directory;
        disk.sync_directory(directory).map_err(WalError::io("sync", directory))?;
        Ok((report, self.end))
    }
}

//! One segment: a file of zeros that entries are written into.

use alloc::sync::Arc;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use crate::types::Sequence;

use super::disk::{Access, Disk, DiskFile};
use super::error::WalError;
use super::segment_name::{NAME_SIZE, SegmentName};

/// Segments are whole pages.
pub(crate) const PAGE: u64 = 4096;
/// What is written at a time when a file is filled with zeros.
const ZEROS: usize = 256 * 1024;

/// Where each entry of a segment begins, the first one first: four bytes per entry.
pub(crate) type Index = Arc<Vec<u32>>;

/// A segment as memory knows it.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    /// The name's bytes, which every entry's witness covers.
    pub(crate) name_bytes: [u8; NAME_SIZE],
    /// The file's size.
    pub(crate) size: u64,
    /// Where the next entry goes.
    pub(crate) used: u64,
    /// How many entries it holds.
    pub(crate) entries: u64,
    /// Absent where it was dropped to save memory; built again from the headers when it is needed.
    pub(crate) index: Option<Index>,
}

impl Segment {
    pub(crate) fn new(name: SegmentName, size: u64, used: u64, index: Vec<u32>) -> Self {
        let (entries, index) = (index.len() as u64, Some(Arc::new(index)));
        Self { name, name_bytes: name.to_bytes(), size, used, entries, index }
    }

    pub(crate) fn path(&self, directory: &Path) -> PathBuf {
        directory.join(self.name.to_string())
    }

    /// The sequence after its last entry.
    pub(crate) const fn next(&self) -> Sequence {
        Sequence(self.name.0.0 + self.entries)
    }
}

/// Fills `from..to` of a file with zeros.
pub(crate) fn write_zeros<F: DiskFile>(file: &F, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS];
    let mut place = from;
    while place < to {
        let count = usize::try_from(to - place).unwrap_or(ZEROS).min(ZEROS);
        file.write_at(&[IoSlice::new(zeros.get(..count).unwrap_or(&zeros))], place)?;
        place += count as u64;
    }
    Ok(())
}

/// Makes a segment's file: zeros that are durable, under a name that is durable, before any entry is written.
pub(crate) fn create<D: Disk>(disk: &D, directory: &Path, name: SegmentName, size: u64) -> Result<D::File, WalError> {
    let path = directory.join(name.to_string());
    let file = disk.open(&path, Access::CreateNew).map_err(WalError::io("create", &path))?;
    let filled = write_zeros(&file, 0, size).map_err(WalError::io("allocate", &path));
    let made = filled.and_then(|()| {
        file.sync().map_err(WalError::io("sync", &path))?;
        disk.sync_directory(directory).map_err(WalError::io("sync", directory))
    });
    match made {
        Ok(()) => Ok(file),
        Err(error) => {
            // A full disk gets back what it gave. Where this fails too, the next recovery finds the file unused.
            let _ = disk.remove_file(&path);
            Err(error)
        }
    }
}

/// The segments in a directory by name, with their sizes.
///
/// # Errors
/// [`WalError::Corrupt`] where something that is no file has a segment's name.
pub(crate) fn list<D: Disk>(disk: &D, directory: &Path) -> Result<Vec<(SegmentName, u64)>, WalError> {
    let mut segments = Vec::new();
    for entry in disk.list(directory).map_err(WalError::io("list", directory))? {
        let Some(name) = SegmentName::parse(&entry.name) else { continue };
        if !entry.is_file {
            let path = directory.join(&entry.name);
            return Err(WalError::Corrupt { path, offset: 0, reason: super::error::BreakReason::NotAFile });
        }
        segments.push((name, entry.size));
    }
    segments.sort_unstable();
    Ok(segments)
}

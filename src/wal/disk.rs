//! What the log asks of a disk: the one door between the WAL's code and files, real or simulated.

use alloc::sync::Arc;
use std::io::{self, IoSlice};
use std::path::Path;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// To read; an error where it is not there.
    Read,
    /// To read and write; an error where it is not there.
    ReadWrite,
    /// Made anew, to read and write; an error where it is there already.
    CreateNew,
}

/// What stands in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskEntry {
    /// The name within the directory.
    pub name: String,
    /// Whether it is a regular file.
    pub is_file: bool,
    /// The size in bytes; 0 for what is no file.
    pub size: u64,
}

/// A disk. Every call blocks; none is retried by the caller.
///
/// Errors are those of [`std::io`]; a full disk is [`io::ErrorKind::StorageFull`].
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// Makes the directory and those above it. Their names are durable when it returns.
    ///
    /// # Errors
    /// Those of the operating system.
    fn create_dir_all(&self, directory: &Path) -> io::Result<()>;

    /// What stands in the directory, by name.
    ///
    /// # Errors
    /// Those of the operating system.
    fn list(&self, directory: &Path) -> io::Result<Vec<DiskEntry>>;

    /// Opens a file.
    ///
    /// # Errors
    /// Those of the operating system.
    fn open(&self, path: &Path, access: Access) -> io::Result<Self::File>;

    /// Puts a file in the place of another, at once for every reader; durable after [`Disk::sync_directory`].
    ///
    /// # Errors
    /// Those of the operating system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; durable after [`Disk::sync_directory`].
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
}

/// An open file. Reads and writes name their offset; none moves a cursor.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads up to the buffer's size; fewer bytes only at the file's end.
    ///
    /// # Errors
    /// Those of the operating system.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of the pieces, one behind the other.
    ///
    /// # Errors
    /// Those of the operating system; what was written by then is unknown.
    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes what was written durable, the file's size included (`fdatasync`).
    ///
    /// # Errors
    /// Those of the operating system. After one, nothing that was written since the last sync may be believed.
    fn sync(&self) -> io::Result<()>;

    /// The size in bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn size(&self) -> io::Result<u64>;

    /// Cuts or extends the file with zeros.
    ///
    /// # Errors
    /// Those of the operating system.
    fn set_size(&self, size: u64) -> io::Result<()>;

    /// Takes the file for this process until it is closed; `false` where another process has it.
    ///
    /// A disk that only one process can reach has nothing to do here.
    ///
    /// # Errors
    /// Those of the operating system.
    fn try_lock(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// A shared file is a file.
impl<F: DiskFile> DiskFile for Arc<F> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        F::read_at(self, buffer, offset)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        F::write_at(self, pieces, offset)
    }

    fn sync(&self) -> io::Result<()> {
        F::sync(self)
    }

    fn size(&self) -> io::Result<u64> {
        F::size(self)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        F::set_size(self, size)
    }

    fn try_lock(&self) -> io::Result<bool> {
        F::try_lock(self)
    }
}

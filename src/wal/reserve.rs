//! Space put aside, so that a node whose disk is full can still write down what it must.

use std::io;
use std::path::Path;

use super::disk::{Access, Disk, DiskFile};
use super::error::{BreakReason, WalError};
use super::segment::write_zeros;

const FILE: &str = "reserve";

/// A file of zeros that is deleted when the disk is full, and made again at the next start that finds room.
#[derive(Debug)]
pub struct Reserve {
    kept: bool,
}

impl Reserve {
    /// The reserve of a directory, as it was left.
    ///
    /// # Errors
    /// Those of the operating system, and where something of its name is no regular file.
    pub fn find<D: Disk>(disk: &D, directory: &Path) -> Result<Self, WalError> {
        let listed = disk.list(directory).map_err(WalError::io("list", directory))?;
        match listed.iter().find(|entry| entry.name == FILE) {
            Some(entry) if !entry.is_file => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, BreakReason::NotAFile);
                Err(WalError::io("open", &directory.join(FILE))(error))
            }
            found => Ok(Self { kept: found.is_some() }),
        }
    }

    /// Fills the reserve up to `bytes`. A disk that has no room for it is no error.
    pub(crate) fn keep<D: Disk>(&mut self, disk: &D, directory: &Path, bytes: u64) -> Result<(), WalError> {
        if bytes == 0 && !self.kept {
            return Ok(());
        }
        let path = directory.join(FILE);
        let access = if self.kept { Access::ReadWrite } else { Access::CreateNew };
        let filled = disk.open(&path, access).and_then(|file| {
            self.kept = true;
            let size = file.size()?;
            if size < bytes {
                write_zeros(&file, size, bytes)?;
                file.sync()?;
                disk.sync_directory(directory)?;
            }
            Ok(())
        });
        match filled {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => self.release(disk, directory).map(|_| ()),
            other => other.map_err(WalError::io("allocate", &path)),
        }
    }

    /// Gives the reserve up; whether there was one.
    pub(crate) fn release<D: Disk>(&mut self, disk: &D, directory: &Path) -> Result<bool, WalError> {
        if !core::mem::take(&mut self.kept) {
            return Ok(false);
        }
        let path = directory.join(FILE);
        match disk.remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(WalError::io("remove", &path))?,
        }
        disk.sync_directory(directory).map_err(WalError::io("sync", directory))?;
        Ok(true)
    }
}

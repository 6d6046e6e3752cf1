//! Space put aside, so that a node whose disk is full can still write down what it must.

use std::io;
use std::path::Path;

use super::disk::{Access, Disk, DiskFile};
use super::error::WalError;
use super::segment::write_zeros;

const FILE: &str = "reserve";

/// A file of zeros that is deleted when the disk is full, and made again at the next start that finds room.
#[derive(Debug)]
pub struct Reserve {
    kept: bool,
}

impl Reserve {
    /// Makes the reserve where it is not there whole. A disk that has no room for it is no error.
    ///
    /// # Errors
    /// Those of the operating system, but for a full disk.
    pub fn keep<D: Disk>(disk: &D, directory: &Path, bytes: u64) -> Result<Self, WalError> {
        let path = directory.join(FILE);
        let file = match disk.open(&path, Access::ReadWrite) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && bytes > 0 => disk.open(&path, Access::CreateNew),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { kept: false }),
            other => other,
        };
        let filled = file.and_then(|file| {
            let size = file.size()?;
            if size < bytes {
                write_zeros(&file, size, bytes)?;
                file.sync()?;
            }
            Ok(())
        });
        match filled {
            Ok(()) => Ok(Self { kept: true }),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                let mut reserve = Self { kept: true };
                reserve.release(disk, directory)?;
                Ok(reserve)
            }
            Err(error) => Err(WalError::io("allocate", &path)(error)),
        }
    }

    /// Gives the reserve up; whether there was one.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn release<D: Disk>(&mut self, disk: &D, directory: &Path) -> Result<bool, WalError> {
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

//! The operating system's files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::disk::{Access, Disk, DiskEntry, DiskFile};

/// The operating system's files, through positioned reads and writes.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdDisk;

/// An open file of [`StdDisk`].
#[derive(Debug)]
pub struct StdFile(File);

impl Disk for StdDisk {
    type File = StdFile;

    fn create_dir_all(&self, directory: &Path) -> io::Result<()> {
        if directory.is_dir() {
            return Ok(());
        }
        let parent = parent_of(directory);
        if parent != directory {
            self.create_dir_all(parent)?;
        }
        match fs::create_dir(directory) {
            Ok(()) => self.sync_directory(parent),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DiskEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // Follows links: a segment may have been moved to another volume and linked. A link that leads nowhere or
            // round in a circle is no file; it must not hide the names beside it.
            let metadata = match fs::metadata(entry.path()) {
                Err(_) if entry.file_type().is_ok_and(|kind| kind.is_symlink()) => entry.metadata()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            entries.push(DiskEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_file: metadata.is_file(),
                size: if metadata.is_file() { metadata.len() } else { 0 },
            });
        }
        entries.sort();
        Ok(entries)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<StdFile> {
        if access != Access::CreateNew {
            // To open a pipe waits for whoever opens its other end, which may be never.
            let kind = fs::metadata(path)?.file_type();
            if !kind.is_file() && !kind.is_dir() {
                let found = format!("{}: expected a file, found {kind:?}", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, found));
            }
        }
        let mut options = OpenOptions::new();
        options.read(true);
        match access {
            Access::Read => {}
            Access::ReadWrite => {
                options.write(true);
            }
            Access::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        options.open(path).map(StdFile)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

/// The directory that a name stands in; `.` for a bare name.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

impl DiskFile for StdFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..)
            && !rest.is_empty()
        {
            match self.0.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        // The standard library has no positioned vectored write; the log gathers small pieces before it comes here.
        let mut place = offset;
        for piece in pieces {
            self.0.write_all_at(piece, place)?;
            place += piece.len() as u64;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

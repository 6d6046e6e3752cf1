//! A real disk whose process is killed at some call, and that knows what of it is not durable.

use alloc::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::sync::Arc;

use engraft::wal::{Access, Disk, DiskEntry, DiskFile, StdDisk, StdFile};

/// The disk; a clone is the same one.
#[derive(Clone)]
pub(crate) struct KillDisk(Arc<Mutex<Kill>>);

#[derive(Default)]
pub(crate) struct Kill {
    calls: u64,
    left: Option<u64>,
    /// Files and directories with something that was not synced.
    pub(crate) dirty: BTreeSet<PathBuf>,
    pub(crate) renamed_dirty: Vec<PathBuf>,
}

pub(crate) struct KillFile {
    file: StdFile,
    path: PathBuf,
    disk: KillDisk,
}

impl KillDisk {
    pub(crate) fn new(left: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Kill { left, ..Kill::default() })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Kill> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that changes something; an error once the process is dead.
    fn change(&self, then: impl FnOnce(&mut Kill)) -> io::Result<()> {
        let mut kill = self.lock();
        if kill.left == Some(kill.calls) {
            return Err(io::Error::other("killed"));
        }
        kill.calls += 1;
        then(&mut kill);
        Ok(())
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().expect("a parent").to_owned()
}

impl Disk for KillDisk {
    type File = KillFile;

    fn create_dir_all(&self, directory: &Path) -> io::Result<()> {
        self.change(|_| {})?;
        StdDisk.create_dir_all(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DiskEntry>> {
        StdDisk.list(directory)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<KillFile> {
        if access == Access::CreateNew {
            self.change(|kill| {
                kill.dirty.insert(parent(path));
            })?;
        }
        Ok(KillFile { file: StdDisk.open(path, access)?, path: path.to_owned(), disk: self.clone() })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|kill| {
            let dirty: Vec<_> = kill.dirty.iter().filter(|path| path.starts_with(from)).cloned().collect();
            kill.renamed_dirty.extend(dirty);
            kill.dirty.extend([parent(from), parent(to)]);
        })?;
        StdDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(|kill| {
            kill.dirty.remove(path);
            kill.dirty.insert(parent(path));
        })?;
        StdDisk.remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.change(|kill| {
            kill.dirty.remove(directory);
        })?;
        StdDisk.sync_directory(directory)
    }
}

impl DiskFile for KillFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.disk.change(|kill| {
            kill.dirty.insert(self.path.clone());
        })?;
        self.file.write_at(pieces, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.change(|kill| {
            kill.dirty.remove(&self.path);
        })?;
        self.file.sync()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.disk.change(|kill| {
            kill.dirty.insert(self.path.clone());
        })?;
        self.file.set_size(size)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

//! The file system, on which a test may hold every sync.

use alloc::sync::Arc;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Condvar, Mutex};

use engraft::wal::{Access, Disk, DiskEntry, DiskFile, StdDisk};

#[derive(Clone, Default)]
pub(super) struct HeldDisk {
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl HeldDisk {
    /// Holds every sync from now on, or lets all go.
    pub(super) fn hold(&self, held: bool) {
        *self.gate.0.lock().expect("nobody panics with it") = held;
        self.gate.1.notify_all();
    }
}

impl Disk for HeldDisk {
    type File = HeldFile;

    fn create_dir_all(&self, directory: &Path) -> io::Result<()> {
        StdDisk.create_dir_all(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DiskEntry>> {
        StdDisk.list(directory)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<HeldFile> {
        Ok(HeldFile { file: StdDisk.open(path, access)?, disk: self.clone() })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        StdDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        StdDisk.remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        StdDisk.sync_directory(directory)
    }
}

pub(super) struct HeldFile {
    file: <StdDisk as Disk>::File,
    disk: HeldDisk,
}

impl DiskFile for HeldFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.file.write_at(pieces, offset)
    }

    fn sync(&self) -> io::Result<()> {
        let (lock, let_go) = &*self.disk.gate;
        let held = lock.lock().expect("nobody panics with it");
        drop(let_go.wait_while(held, |held| *held).expect("nobody panics with it"));
        self.file.sync()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

//! The file system, on which a test may hold every sync, let the next one of a log fail, or deny the files of a name.

use alloc::sync::Arc;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Condvar, Mutex};

use engraft::wal::{Access, Disk, DiskEntry, DiskFile, StdDisk};

#[derive(Clone, Default)]
pub(crate) struct TestDisk {
    gate: Arc<(Mutex<Gate>, Condvar)>,
    denied: Option<&'static str>,
}

#[derive(Default)]
struct Gate {
    held: bool,
    /// What becomes of the next sync of a log. Not of a sync of what else a node keeps: marks are saved whenever a log has
    /// been quiet for a while, and would take the fault for themselves.
    next: Option<Fault>,
}

#[derive(Clone, Copy)]
enum Fault {
    Fails,
    Panics,
}

impl TestDisk {
    /// Nobody may open the files of this name: what a user without rights meets, whoever runs the test.
    pub(crate) fn denying(name: &'static str) -> Self {
        Self { denied: Some(name), ..Self::default() }
    }

    /// Holds every sync from now on, or lets all go.
    pub(crate) fn hold(&self, held: bool) {
        self.gate.0.lock().expect("nobody panics with it").held = held;
        self.gate.1.notify_all();
    }

    /// Lets the next sync of a log fail.
    pub(crate) fn fail_next_sync(&self) {
        self.gate.0.lock().expect("nobody panics with it").next = Some(Fault::Fails);
    }

    /// Lets the next sync of a log panic, as no disk of ours does.
    pub(crate) fn panic_at_next_sync(&self) {
        self.gate.0.lock().expect("nobody panics with it").next = Some(Fault::Panics);
    }
}

impl Disk for TestDisk {
    type File = TestFile;

    fn create_dir_all(&self, directory: &Path) -> io::Result<()> {
        StdDisk.create_dir_all(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DiskEntry>> {
        StdDisk.list(directory)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<TestFile> {
        if self.denied.is_some_and(|name| path.ends_with(name)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let of_a_log = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wal-"));
        Ok(TestFile { file: StdDisk.open(path, access)?, of_a_log, disk: self.clone() })
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

pub(crate) struct TestFile {
    file: <StdDisk as Disk>::File,
    of_a_log: bool,
    disk: TestDisk,
}

impl DiskFile for TestFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.file.write_at(pieces, offset)
    }

    fn sync(&self) -> io::Result<()> {
        let (lock, let_go) = &*self.disk.gate;
        let gate = lock.lock().expect("nobody panics with it");
        let mut gate = let_go.wait_while(gate, |gate| gate.held).expect("nobody panics with it");
        let fault = if self.of_a_log { gate.next.take() } else { None };
        drop(gate);
        match fault {
            None => self.file.sync(),
            Some(Fault::Fails) => Err(io::Error::other("the test lets it fail")),
            Some(Fault::Panics) => panic!("the test lets it panic"),
        }
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

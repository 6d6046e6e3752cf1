//! A disk in memory that forgets what was not synced.
//!
//! It stores the bytes that the production encoder wrote and gives them back to the production recovery.
//! A crash leaves any subset of the unsynced blocks and names, some of them torn: as keyed draws say
//! ([`SimDisk::crash`]), or as a test chooses ([`SimDisk::crash_point`]).

mod change;
mod crash_point;
mod file;
mod inode;
mod names;
mod state;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use engraft::wal::{Access, Disk, DiskEntry};

use inode::Inode;
use names::{Name, Names};
use state::{DiskState, Faults};

pub use change::DiskChange;
pub use crash_point::{CrashPoint, Survivor, Survivors, UnsyncedChange, UnsyncedKind, UnsyncedName};
pub use file::SimFile;
pub use inode::BLOCK_SIZE;

/// A file's number, never used again on the same disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNumber(pub u64);

/// A disk in memory that forgets what was not synced. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    shared: Arc<Mutex<DiskState>>,
}

impl SimDisk {
    /// An empty disk; `seed` and `node` key every draw about it.
    #[must_use]
    pub fn new(seed: u64, node: u16) -> Self {
        Self {
            shared: Arc::new(Mutex::new(DiskState {
                seed,
                node: u64::from(node),
                generation: 0,
                files: BTreeMap::new(),
                files_made: 0,
                changes_made: 0,
                names: Names::default(),
                faults: Faults::default(),
                syncs_failed: 0,
                journal: None,
                crash_points: None,
            })),
        }
    }

    /// The power fails: of what was not synced, each block and each name is kept, lost or torn, as the draws under
    /// `draw` say. Open handles are dead from here on. A sync that was to fail no longer is.
    pub fn crash(&self, draw: u64) {
        let mut state = self.lock();
        let state = &mut *state;
        state.generation += 1;
        let key = state.seed ^ draw.rotate_left(17) ^ (state.node << 48);
        for (number, file) in &mut state.files {
            file.crash(key, number.0);
        }
        state.names.crash(key);
        state.forget_nameless();
        state.faults.end_with_the_power();
    }

    /// The process dies, the machine lives: written bytes and names are still there, open handles are dead.
    pub fn kill(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.faults.syncs_to_fail = 0;
        state.faults.operations_left = None;
    }

    /// Takes everything away, as a new disk would.
    pub fn wipe(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.files.clear();
        state.names = Names::default();
        state.faults = Faults::default();
    }

    /// Makes everything durable, names included: for setting up.
    pub fn settle(&self) {
        let mut state = self.lock();
        state.names.settle();
        for file in state.files.values_mut() {
            file.sync();
        }
    }

    /// The next sync of a file fails. Some of its pages are called clean and are never written.
    pub fn fail_next_sync(&self) {
        self.lock().faults.syncs_to_fail += 1;
    }

    /// From here on syncs are answered well and do nothing, or are honest again.
    pub fn set_lying(&self, lying: bool) {
        self.lock().faults.lying = lying;
    }

    /// From here on every change is refused, or taken again, as on a file system that is mounted to be read only.
    pub fn set_read_only(&self, read_only: bool) {
        self.lock().faults.read_only = read_only;
    }

    /// The next sync writes one block over another one of the same file. It shows after a crash.
    pub fn misdirect_next_write(&self) {
        self.lock().faults.misdirect_next = true;
    }

    /// The disk holds at most so many bytes; `None` for as many as are wanted.
    pub fn fill(&self, bytes_max: Option<u64>) {
        self.lock().faults.bytes_max = bytes_max;
    }

    /// Every operation after this many more fails as if the process had died: for tests that stop at each step.
    pub fn kill_after(&self, operations: u64) {
        self.lock().faults.operations_left = Some(operations);
    }

    /// Nothing more goes wrong: no sync fails or lies, no write goes astray, and there is room.
    pub fn heal(&self) {
        self.lock().faults = Faults::default();
    }

    /// Turns one bit of a file, on the medium and in the page cache. False where there is no such byte.
    pub fn rot(&self, path: &Path, offset: u64, bit: u8) -> bool {
        let mut state = self.lock();
        let Some(number) = state.names.file(path) else { return false };
        state.files.get_mut(&number).is_some_and(|file| file.rot(offset, bit))
    }

    /// Turns one bit of the file of that number. False where there is no such byte.
    pub fn rot_file(&self, file: FileNumber, offset: u64, bit: u8) -> bool {
        self.lock().files.get_mut(&file).is_some_and(|inode| inode.rot(offset, bit))
    }

    /// Puts zeros in the place of bytes, durably and behind the back of whoever has the file open.
    pub fn zero(&self, path: &Path, offset: u64, bytes: usize) -> bool {
        let mut state = self.lock();
        let Some(number) = state.names.file(path) else { return false };
        let change = state.number_change();
        let Some(file) = state.files.get_mut(&number) else { return false };
        file.write(change, &[IoSlice::new(&vec![0; bytes])], offset, bytes as u64);
        file.sync();
        true
    }

    /// A copy that shares nothing with this one: what happens to it happens to it alone.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { shared: Arc::new(Mutex::new(self.lock().fork())) }
    }

    /// Every file as a reader sees it now, unsynced bytes included.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.lock();
        state
            .names
            .files()
            .filter_map(|(path, number)| Some((path, state.files.get(&number)?.bytes().to_vec())))
            .collect()
    }

    /// The paths and numbers of all files.
    #[must_use]
    pub fn paths(&self) -> Vec<(PathBuf, FileNumber)> {
        self.lock().names.files().collect()
    }

    /// The bytes in all files.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        self.lock().bytes_used()
    }

    /// How many syncs have failed.
    #[must_use]
    pub fn syncs_failed(&self) -> u64 {
        self.lock().syncs_failed
    }

    /// Whether anything would be lost by a crash now.
    #[must_use]
    pub fn has_unsynced(&self) -> bool {
        let state = self.lock();
        state.names.has_unsynced() || state.files.values().any(Inode::has_unsynced)
    }

    /// Begins to keep what the disk is asked to do; taken by [`Self::take_changes`].
    pub fn keep_changes(&self) {
        self.lock().journal.get_or_insert_default();
    }

    /// Moves what the disk was asked to do since the last call into `changes`.
    pub fn take_changes(&self, changes: &mut Vec<DiskChange>) {
        if let Some(journal) = &mut self.lock().journal {
            changes.append(journal);
        }
    }

    /// Looks at a file's bytes without copying them; `None` where it is gone.
    pub fn with_bytes<T>(&self, file: FileNumber, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.lock().files.get(&file).map(|inode| look(inode.bytes()))
    }

    /// Whether a crash now would leave the file its path.
    #[must_use]
    pub fn name_is_durable(&self, file: FileNumber) -> bool {
        self.lock().names.is_durable(file)
    }

    /// Whether a crash now would leave every byte of the file.
    #[must_use]
    pub fn file_is_durable(&self, file: FileNumber) -> bool {
        self.lock().files.get(&file).is_some_and(|inode| !inode.has_unsynced())
    }

    fn lock(&self) -> MutexGuard<'_, DiskState> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn create_dir_all(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        if state.names.list(directory).is_err() {
            state.writable()?;
        }
        state.names.create_directories(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DiskEntry>> {
        let state = self.lock();
        let mut entries = Vec::new();
        for (name, what) in state.names.list(directory)? {
            let (is_file, size) = match what {
                Name::Directory => (false, 0),
                Name::File(number) => (true, state.files.get(&number).map_or(0, |file| file.bytes().len() as u64)),
            };
            entries.push(DiskEntry { name, is_file, size });
        }
        Ok(entries)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<SimFile> {
        let mut state = self.lock();
        state.step()?;
        if access != Access::Read {
            state.writable()?;
        }
        let number = match access {
            Access::Read | Access::ReadWrite => state.names.file(path).ok_or(io::ErrorKind::NotFound)?,
            Access::CreateNew => {
                if state.faults.bytes_max.is_some_and(|bytes_max| state.bytes_used() >= bytes_max) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                state.files_made += 1;
                let number = FileNumber(state.files_made);
                state.names.create(path, number)?;
                state.files.insert(number, Inode::default());
                state.note(|| DiskChange::Created { file: number, path: path.to_path_buf() });
                number
            }
        };
        Ok(SimFile { disk: self.clone(), number, generation: state.generation, writable: access != Access::Read })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        state.writable()?;
        let (moved, replaced) = state.names.rename(from, to)?;
        if let Some(replaced) = replaced {
            state.note(|| DiskChange::Removed { file: replaced });
        }
        for (file, path) in moved {
            state.note(|| DiskChange::Renamed { file, path });
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        state.writable()?;
        let number = state.names.remove(path)?;
        state.note(|| DiskChange::Removed { file: number });
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.step()?;
        if !state.faults.lying {
            state.names.sync(directory);
            // A removed file whose removal is durable has no name left.
            state.forget_nameless();
            state.note(|| DiskChange::DirectorySynced { directory: directory.to_path_buf() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

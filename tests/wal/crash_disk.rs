//! A disk in memory that remembers every call, so that any crash can be played: any cut, tear and order of what was
//! not synced. What a crash leaves is a new disk, with what was chosen of the unsynced bytes.

use alloc::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use alloc::sync::Arc;

use engraft::wal::{Access, Disk, DiskEntry, DiskFile};

/// What was asked of the disk.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Name(PathBuf, Option<usize>),
    Write(usize, u64, Vec<u8>),
    Resize(usize, u64),
    Sync(usize),
    /// What was not durable never will be, though it is still shown: the kernel calls it clean.
    SyncFailed(usize),
    SyncDirectory(PathBuf),
}

#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) names: BTreeMap<PathBuf, usize>,
    pub(crate) files: Vec<Vec<u8>>,
    directories: Vec<PathBuf>,
    pub(crate) calls: Vec<Call>,
    pub(crate) recording: bool,
    /// Every change is refused.
    pub(crate) read_only: bool,
    /// Bytes that all files together may have.
    pub(crate) bytes_max: Option<u64>,
    /// Syncs of files that still succeed.
    pub(crate) syncs_left: Option<u64>,
}

impl core::fmt::Display for Call {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Name(path, number) => write!(formatter, "name {} {number:?}", path.display()),
            Self::Write(number, offset, bytes) => {
                write!(formatter, "write {number} at {offset}, {} bytes", bytes.len())
            }
            Self::Resize(number, size) => write!(formatter, "resize {number} to {size}"),
            Self::Sync(number) => write!(formatter, "sync {number}"),
            Self::SyncFailed(number) => write!(formatter, "failed sync {number}"),
            Self::SyncDirectory(path) => write!(formatter, "sync {}", path.display()),
        }
    }
}

/// The disk; a clone is the same one.
#[derive(Clone, Default)]
pub(crate) struct CrashDisk(Arc<Mutex<Contents>>);

pub(crate) struct CrashFile {
    disk: CrashDisk,
    number: usize,
}

impl CrashDisk {
    pub(crate) fn recording() -> Self {
        let disk = Self::default();
        disk.contents().recording = true;
        disk
    }

    pub(crate) fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    pub(crate) fn calls(&self) -> usize {
        self.contents().calls.len()
    }

    /// The same files on a disk of their own.
    pub(crate) fn copy(&self) -> Self {
        let from = self.contents();
        let to = Self::default();
        {
            let mut contents = to.contents();
            contents.names = from.names.clone();
            contents.files = from.files.clone();
            contents.directories = from.directories.clone();
        }
        to
    }

    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let contents = self.contents();
        contents.files[contents.names[path]].clone()
    }

    pub(crate) fn flip(&self, path: &Path, byte: usize, mask: u8) {
        let mut contents = self.contents();
        let number = contents.names[path];
        contents.files[number][byte] ^= mask;
    }
}

impl Contents {
    fn record(&mut self, call: impl FnOnce() -> Call) {
        if self.recording {
            let call = call();
            self.calls.push(call);
        }
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for CrashDisk {
    type File = CrashFile;

    fn create_dir_all(&self, directory: &Path) -> io::Result<()> {
        let mut contents = self.contents();
        for one in directory.ancestors() {
            if !contents.directories.iter().any(|known| known == one) {
                contents.directories.push(one.to_owned());
            }
        }
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DiskEntry>> {
        let contents = self.contents();
        if !contents.directories.iter().any(|known| known == directory) {
            return Err(not_found());
        }
        let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
        let files = contents.names.iter().filter(|(path, _)| path.parent() == Some(directory));
        let files = files.map(|(path, number)| DiskEntry {
            name: name(path),
            is_file: true,
            size: contents.files[*number].len() as u64,
        });
        let below = contents.directories.iter().filter(|path| path.parent() == Some(directory));
        let below = below.map(|path| DiskEntry { name: name(path), is_file: false, size: 0 });
        let mut entries: Vec<_> = files.chain(below).collect();
        entries.sort();
        Ok(entries)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<CrashFile> {
        let mut contents = self.contents();
        if contents.read_only && access != Access::Read {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let number = match (contents.names.get(path).copied(), access) {
            (Some(_), Access::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(number), Access::Read | Access::ReadWrite) => number,
            (None, Access::CreateNew) => {
                contents.files.push(Vec::new());
                let number = contents.files.len() - 1;
                contents.names.insert(path.to_owned(), number);
                contents.record(|| Call::Name(path.to_owned(), Some(number)));
                number
            }
            (None, Access::Read | Access::ReadWrite) => return Err(not_found()),
        };
        drop(contents);
        Ok(CrashFile { disk: self.clone(), number })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut contents = self.contents();
        let number = contents.names.remove(from).ok_or_else(not_found)?;
        contents.names.insert(to.to_owned(), number);
        contents.record(|| Call::Name(to.to_owned(), Some(number)));
        contents.record(|| Call::Name(from.to_owned(), None));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut contents = self.contents();
        contents.names.remove(path).ok_or_else(not_found)?;
        contents.record(|| Call::Name(path.to_owned(), None));
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.contents().record(|| Call::SyncDirectory(directory.to_owned()));
        Ok(())
    }
}

impl DiskFile for CrashFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let contents = self.disk.contents();
        let bytes = &contents.files[self.number];
        let from = usize::try_from(offset).expect("small").min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut contents = self.disk.contents();
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        let grows = (offset + bytes.len() as u64).saturating_sub(contents.files[self.number].len() as u64);
        let names: Vec<usize> = contents.names.values().copied().collect();
        let used: u64 = names.iter().map(|number| contents.files[*number].len() as u64).sum();
        if contents.bytes_max.is_some_and(|most| grows > 0 && used + grows > most) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        put(&mut contents.files[self.number], offset, &bytes);
        contents.record(|| Call::Write(self.number, offset, bytes));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut contents = self.disk.contents();
        if let Some(left) = contents.syncs_left {
            let Some(left) = left.checked_sub(1) else {
                contents.record(|| Call::SyncFailed(self.number));
                return Err(io::Error::other("the disk is gone"));
            };
            contents.syncs_left = Some(left);
        }
        contents.record(|| Call::Sync(self.number));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.contents().files[self.number].len() as u64)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut contents = self.disk.contents();
        contents.files[self.number].resize(usize::try_from(size).expect("small"), 0);
        contents.record(|| Call::Resize(self.number, size));
        Ok(())
    }
}

fn put(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let from = usize::try_from(offset).expect("small");
    let end = from + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[from..end].copy_from_slice(bytes);
}

/// What is on disk after a number of calls, and what may or may not be.
#[derive(Clone, Default)]
pub(crate) struct Replay {
    durable: BTreeMap<usize, Vec<u8>>,
    /// Unsynced writes, in the order they were made.
    pending: Vec<(usize, u64, Vec<u8>)>,
    names: BTreeMap<PathBuf, usize>,
    names_pending: Vec<(PathBuf, Option<usize>)>,
}

impl Replay {
    /// The disk makes one more call.
    pub(crate) fn step(&mut self, call: &Call) {
        match call {
            Call::Name(path, number) => self.names_pending.push((path.clone(), *number)),
            Call::Write(number, offset, bytes) => self.pending.push((*number, *offset, bytes.clone())),
            Call::Resize(number, size) => {
                let file = self.durable.entry(*number).or_default();
                file.resize(usize::try_from(*size).expect("small"), 0);
            }
            Call::Sync(number) => {
                for (_, offset, bytes) in self.pending.iter().filter(|(file, _, _)| file == number) {
                    put(self.durable.entry(*number).or_default(), *offset, bytes);
                }
                self.pending.retain(|(file, _, _)| file != number);
            }
            Call::SyncFailed(number) => self.pending.retain(|(file, _, _)| file != number),
            Call::SyncDirectory(directory) => {
                for (path, number) in &self.names_pending {
                    if path.parent() == Some(directory) {
                        set_name(&mut self.names, path, *number);
                    }
                }
                self.names_pending.retain(|(path, _)| path.parent() != Some(directory));
            }
        }
    }

    /// How many pieces of at most `block` bytes are unsynced.
    pub(crate) fn pieces(&self, block: usize) -> usize {
        self.pending.iter().map(|(_, offset, bytes)| pieces_of(*offset, bytes, block).count()).sum()
    }

    pub(crate) fn names_pending(&self) -> usize {
        self.names_pending.len()
    }

    /// How many bytes of the last write may be on disk: every number that differs from the one before by what it
    /// leaves, so that zeros over zeros are not tried one by one.
    pub(crate) fn tears(&self) -> Vec<usize> {
        let Some((number, offset, written)) = self.pending.last() else { return Vec::new() };
        let mut before = self.durable.get(number).cloned().unwrap_or_default();
        for (file, place, bytes) in self.pending.iter().take(self.pending.len() - 1) {
            if file == number {
                put(&mut before, *place, bytes);
            }
        }
        let from = usize::try_from(*offset).expect("small");
        let differs = |at: &usize| before.get(from + at - 1).copied().unwrap_or_default() != written[at - 1];
        (1..written.len()).filter(differs).collect()
    }

    /// The disk after a crash: the unsynced pieces for which `keep` says so, and the first `names` unsynced names.
    pub(crate) fn crash(&self, block: usize, names: usize, keep: impl Fn(usize) -> bool) -> CrashDisk {
        let mut files = self.durable.clone();
        let mut piece = 0;
        for (number, offset, bytes) in &self.pending {
            for (place, part) in pieces_of(*offset, bytes, block) {
                if keep(piece) {
                    put(files.entry(*number).or_default(), place, part);
                }
                piece += 1;
            }
        }
        self.disk_of(files, names)
    }

    /// The disk after a crash in the last write: everything before it, and its first `bytes` bytes.
    pub(crate) fn tear(&self, bytes: usize) -> CrashDisk {
        let mut files = self.durable.clone();
        let last = self.pending.len().saturating_sub(1);
        for (at, (number, offset, written)) in self.pending.iter().enumerate() {
            let kept = if at == last { &written[..bytes] } else { written };
            put(files.entry(*number).or_default(), *offset, kept);
        }
        self.disk_of(files, self.names_pending.len())
    }

    fn disk_of(&self, files: BTreeMap<usize, Vec<u8>>, names: usize) -> CrashDisk {
        let disk = CrashDisk::default();
        {
            let mut contents = disk.contents();
            contents.names = self.names.clone();
            for (path, number) in self.names_pending.iter().take(names) {
                set_name(&mut contents.names, path, *number);
            }
            let most = contents.names.values().copied().max().map_or(0, |most| most + 1);
            contents.files = vec![Vec::new(); most];
            for (number, bytes) in files {
                if let Some(file) = contents.files.get_mut(number) {
                    *file = bytes;
                }
            }
        }
        disk.create_dir_all(Path::new("/node/spaces/orders")).expect("in memory");
        disk
    }
}

fn set_name(names: &mut BTreeMap<PathBuf, usize>, path: &Path, number: Option<usize>) {
    match number {
        Some(number) => names.insert(path.to_owned(), number),
        None => names.remove(path),
    };
}

/// A write cut at the block boundaries of the disk.
fn pieces_of(offset: u64, bytes: &[u8], block: usize) -> impl Iterator<Item = (u64, &[u8])> {
    let mut from = 0;
    core::iter::from_fn(move || {
        let place = offset + from as u64;
        let to_boundary = block - usize::try_from(place % block as u64).expect("below the block");
        let part = bytes.get(from..(from + to_boundary).min(bytes.len())).filter(|part| !part.is_empty())?;
        from += part.len();
        Some((place, part))
    })
}

//! A crash whose outcome is chosen, in the place of one that is drawn.
//!
//! [`SimDisk::crash_point`] tells what is not durable at this moment, block by block.
//! A test chooses which of it reaches the medium, how much of each block, and in which order, and gets the disk that
//! is left.
//! [`SimDisk::keep_crash_points`] takes such a point after each change of a whole history, so that the history runs
//! once and every crash in it can be tried.

use core::ops::Range;
use std::path::PathBuf;

use alloc::sync::Arc;
use std::sync::Mutex;

use super::{DiskChange, DiskState, FileNumber, SimDisk};

/// The moment of a power failure: what is durable, and what may be.
#[derive(Debug, Clone)]
pub struct CrashPoint {
    durable: DiskState,
    changes: Vec<UnsyncedChange>,
    names: Vec<UnsyncedName>,
}

/// A piece of an unsynced change of a file: of a write, one for each block of [`BLOCK_SIZE`](super::BLOCK_SIZE) bytes
/// that it touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsyncedChange {
    /// The number of the write or change of size, rising over all files of the disk; its pieces share it.
    pub change: u64,
    /// The file.
    pub file: FileNumber,
    /// What was done.
    pub kind: UnsyncedKind,
}

/// What an unsynced change does to its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnsyncedKind {
    /// Bytes within one block.
    Bytes {
        /// Where they begin in the file.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
        /// What a reader saw there before the write; zeros behind the end of the file.
        over: Vec<u8>,
    },
    /// The file is cut, or extended with zeros, to so many bytes.
    Size(u64),
}

/// An unsynced change of a directory: all of it reaches the medium, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsyncedName {
    /// The paths whose meaning it changes: one for a file that was made or removed, two for a rename.
    pub paths: Vec<PathBuf>,
}

/// What reaches the medium of all that is unsynced, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survivors {
    /// The pieces. One piece covers what an earlier one of the list wrote to the same bytes.
    pub changes: Vec<Survivor>,
    /// The changes of directories, as indexes of [`CrashPoint::names`].
    pub names: Vec<usize>,
}

/// A piece that reaches the medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survivor {
    /// Its index in [`CrashPoint::changes`].
    pub change: usize,
    /// The bytes of it that do, counted from its own beginning; a range that is past its end is cut there. A change of
    /// size is taken whole.
    pub bytes: Range<usize>,
}

impl Survivor {
    /// The whole piece.
    #[must_use]
    pub const fn whole(change: usize) -> Self {
        Self { change, bytes: 0..usize::MAX }
    }
}

impl SimDisk {
    /// What a power failure would find now. The disk stays as it is.
    #[must_use]
    pub fn crash_point(&self) -> CrashPoint {
        CrashPoint::of(&mut self.lock())
    }

    /// Begins to keep a crash point after each change; taken by [`Self::take_crash_points`].
    ///
    /// Each holds a copy of the disk: for histories of some hundred changes of small files.
    pub fn keep_crash_points(&self) {
        self.lock().crash_points.get_or_insert_default();
    }

    /// How many crash points were kept since the last were taken.
    #[must_use]
    pub fn crash_points_kept(&self) -> usize {
        self.lock().crash_points.as_ref().map_or(0, Vec::len)
    }

    /// The crash points that were kept, each with the change that it follows.
    #[must_use]
    pub fn take_crash_points(&self) -> Vec<(DiskChange, CrashPoint)> {
        self.lock().crash_points.as_mut().map(core::mem::take).unwrap_or_default()
    }
}

impl CrashPoint {
    pub(super) fn of(state: &mut DiskState) -> Self {
        let of_file = |(number, inode): (&FileNumber, &super::Inode)| {
            let file = *number;
            let pieces = inode.unsynced().into_iter();
            pieces.map(move |(change, kind)| UnsyncedChange { change, file, kind }).collect::<Vec<_>>()
        };
        let mut changes: Vec<_> = state.files.iter().flat_map(of_file).collect();
        changes.sort_by_key(|piece| piece.change);
        let paths = |sets: &[(PathBuf, _)]| sets.iter().map(|(path, _)| path.clone()).collect();
        let names = state.names.unsynced().map(|sets| UnsyncedName { paths: paths(sets) }).collect();
        let mut durable = state.fork();
        durable.generation += 1;
        for file in durable.files.values_mut() {
            *file = file.durable();
        }
        durable.faults.end_with_the_power();
        (durable.journal, durable.crash_points) = (None, None);
        Self { durable, changes, names }
    }

    /// The pieces of all unsynced changes of files, in the order in which they were made.
    #[must_use]
    pub fn changes(&self) -> &[UnsyncedChange] {
        &self.changes
    }

    /// The unsynced changes of directories, in the order in which they were made.
    #[must_use]
    pub fn names(&self) -> &[UnsyncedName] {
        &self.names
    }

    /// All names, and the pieces whose index is taken by `keep`, in the order in which they were made.
    #[must_use]
    pub fn keeping(&self, mut keep: impl FnMut(usize) -> bool) -> Survivors {
        let changes = (0..self.changes.len()).filter(|index| keep(*index)).map(Survivor::whole).collect();
        Survivors { changes, names: (0..self.names.len()).collect() }
    }

    /// All tears of the last write: everything that was made before it, and of itself all bytes before each byte in
    /// turn. Bytes that are what stood there already are passed over, for they leave the same disk.
    pub fn tears(&self) -> impl Iterator<Item = Survivors> {
        let last = self.changes.last().map_or(0, |piece| piece.change);
        let first = self.changes.partition_point(|piece| piece.change < last);
        let pieces = self.changes.iter().enumerate().skip(first);
        let tears = pieces.flat_map(|(index, piece)| match &piece.kind {
            UnsyncedKind::Bytes { bytes, over, .. } => {
                let differs = |at: &usize| bytes.get(*at) != over.get(*at);
                (0..bytes.len()).filter(differs).map(|at| (index, at + 1)).collect::<Vec<_>>()
            }
            UnsyncedKind::Size(_) => Vec::new(),
        });
        tears.map(|(index, bytes)| {
            let mut survivors = self.keeping(|other| other < index);
            survivors.changes.push(Survivor { change: index, bytes: 0..bytes });
            survivors
        })
    }

    /// The disk that is left where these survive, and nothing else of what is unsynced. It is a disk of its own.
    ///
    /// A disk in the world writes whole blocks, so of two writes to one block it can keep the first without the second
    /// but not the reverse; here both can be chosen.
    #[must_use]
    pub fn disk(&self, survivors: &Survivors) -> SimDisk {
        let mut state = self.durable.clone();
        for survivor in &survivors.changes {
            let Some(piece) = self.changes.get(survivor.change) else { continue };
            let Some(file) = state.files.get_mut(&piece.file) else { continue };
            match &piece.kind {
                UnsyncedKind::Bytes { offset, bytes, .. } => {
                    let from = survivor.bytes.start.min(bytes.len());
                    let kept = bytes.get(from..survivor.bytes.end.min(bytes.len())).unwrap_or_default();
                    if !kept.is_empty() {
                        file.survived(offset + from as u64, kept);
                    }
                }
                UnsyncedKind::Size(size) => file.resized(*size),
            }
        }
        state.names.survive(&survivors.names);
        state.forget_nameless();
        SimDisk { shared: Arc::new(Mutex::new(state)) }
    }
}

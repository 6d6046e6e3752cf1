//! What a node must not forget: promises, synced marks, cuts and starts of its spaces, and who its peers are, in one
//! append-only file.
//!
//! ```text
//! promises.log = frame*
//! frame  | 0 magic 0x4C524745 | 4 body size u32 | 8 number u64 | 16 CRC32C(0..16, body) u32 | 20 body = record* |
//! record | 0 space 16 | 16 promise u64 | 24 mark u64 | 32 start: sequence u64, epoch u64, chain u32
//!        | 52 flags u32 (1: a cut, 4: weak, 8: recovering) | 56 cut: segment u64, offset u64, last kept sequence u64 |
//! record | 0 peer u16, zeros | 16 incarnation 16, zeros | 52 flags u32 (2: a peer) | 56 zeros |
//! ```
//!
//! All little-endian. A record holds everything that is known of its space or peer, so the last one wins.
//! What is saved together is one frame; each frame is synced before the next is written,
//! so only the last one can be torn: any other break means lost memory.

mod record;

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use crate::types::{Epoch, Incarnation, NodeId, Position, Sequence, SpaceId};

use super::disk::{Access, Disk, DiskFile};
use super::error::{StorageOpenError, WalError};
use super::reserve::Reserve;

pub use record::NodeMemory;
use record::RECORD_SIZE;

const FILE: &str = "promises.log";
const FILE_NEW: &str = "promises.new";
const FRAME_MAGIC: u32 = 0x4C52_4745;
const FRAME_HEADER: usize = 20;
/// Records in one frame at most; a larger set is an operator's error before it comes here.
const FRAME_BODY_MAX: usize = 1_000_000 * RECORD_SIZE;
/// The file is compacted once it is larger than this and than four times its live records.
const COMPACT_BYTES: u64 = 1 << 20;

/// A truncation that has begun: everything behind it is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cut {
    /// The first sequence of the segment that is cut, which is its name.
    pub segment: Sequence,
    /// Where in it.
    pub offset: u64,
    /// The last sequence that is kept.
    pub last: Sequence,
}

/// What is remembered of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SpaceMemory {
    /// The highest epoch promised.
    pub promise: Epoch,
    /// The synced mark: every entry up to it is known to be on disk.
    pub mark: Sequence,
    /// The entry before the log's first; sequence 0 where the log begins at its beginning.
    pub start: Position,
    /// A truncation that has begun.
    pub cut: Option<Cut>,
    /// Whether the log was written in an fsync mode that acknowledges what is not synced.
    pub weak: bool,
    /// Whether entries may be gone that were acknowledged so, and the node has not got them again.
    pub recovering: bool,
}

/// What a file of promises holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// What is remembered.
    pub memory: NodeMemory,
    /// Where the last frame was torn: it was never answered for.
    pub torn_at: Option<u64>,
}

/// The file of promises, open for appending.
pub struct Ledger<D: Disk> {
    disk: D,
    directory: PathBuf,
    file: D::File,
    size: u64,
    number: u64,
    memory: NodeMemory,
    changed: NodeMemory,
    reserve: Reserve,
    unsynced: bool,
    failed: bool,
}

impl<D: Disk> Ledger<D> {
    /// What the file in this directory holds.
    ///
    /// # Errors
    /// [`StorageOpenError::MemoryLost`] where it is not there, or where any frame but the last is broken.
    pub fn load(disk: &D, directory: &Path) -> Result<Loaded, StorageOpenError> {
        let path = directory.join(FILE);
        let lost = |offset, reason| StorageOpenError::MemoryLost { path: directory.join(FILE), offset, reason };
        let file = match disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(lost(0, "the file of promises is not there"));
            }
            Err(error) => return Err(WalError::io("open", &path)(error).into()),
        };
        let size = file.size().map_err(WalError::io("measure", &path))?;
        let mut memory = NodeMemory::default();
        let (mut offset, mut number) = (0, 0_u64);
        while let Some((frame, body)) = read_frame(&file, offset, size).map_err(WalError::io("read", &path))? {
            if number != 0 && frame != number + 1 {
                return Err(lost(offset, "a frame is missing before this one"));
            }
            number = frame;
            offset += (FRAME_HEADER + body.len()) as u64;
            memory.decode(&body);
        }
        if number == 0 {
            return Err(lost(0, "its first frame does not hold"));
        }
        if frame_behind(&file, offset, size, number).map_err(WalError::io("read", &path))? {
            return Err(lost(offset, "a frame that is not the last does not hold"));
        }
        Ok(Loaded { memory, torn_at: (offset < size).then_some(offset) })
    }

    /// Puts a file in place that holds exactly this, durably, and opens it. Where the disk is full,
    /// the reserve is given up for it.
    ///
    /// # Errors
    /// Those of the operating system; the file before it still stands then.
    pub fn replace(disk: D, directory: &Path, memory: NodeMemory, mut reserve: Reserve) -> Result<Self, WalError> {
        let (file, size) = match put_in_place(&disk, directory, &memory) {
            Err(error) if error.is_full() && reserve.release(&disk, directory)? => {
                put_in_place(&disk, directory, &memory)?
            }
            other => other?,
        };
        let (directory, changed) = (directory.to_owned(), NodeMemory::default());
        Ok(Self { disk, directory, file, size, number: 1, memory, changed, reserve, unsynced: false, failed: false })
    }

    /// What is remembered of a space, changes that are not yet written included.
    #[must_use]
    pub fn memory(&self, space: SpaceId) -> SpaceMemory {
        self.changed.spaces.get(&space).or_else(|| self.memory.spaces.get(&space)).copied().unwrap_or_default()
    }

    /// Changes what is remembered; durable after [`Ledger::write`] and [`Ledger::sync`].
    pub fn change(&mut self, space: SpaceId, change: impl FnOnce(&mut SpaceMemory)) {
        let before = self.memory(space);
        let mut after = before;
        change(&mut after);
        // A promise never goes back.
        after.promise = after.promise.max(before.promise);
        if after != before {
            self.changed.spaces.insert(space, after);
        }
    }

    /// Notes under which incarnation a peer is known; durable after [`Ledger::write`] and [`Ledger::sync`].
    pub fn know(&mut self, peer: NodeId, incarnation: Incarnation) {
        self.changed.peers.insert(peer, incarnation);
    }

    /// Whether something waits to be written.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Fills the reserve up, where the disk has room.
    ///
    /// # Errors
    /// Those of the operating system, but for a full disk.
    pub fn keep_reserve(&mut self, bytes: u64) -> Result<(), WalError> {
        self.reserve.keep(&self.disk, &self.directory, bytes)
    }

    /// Writes all changes as one frame. Where the disk is full, the reserve is given up for it.
    ///
    /// # Errors
    /// Those of the operating system; final.
    pub fn write(&mut self) -> Result<(), WalError> {
        self.check()?;
        if self.changed.is_empty() {
            return Ok(());
        }
        if self.unsynced {
            // Two unsynced frames could tear apart in the middle, which would look like lost memory.
            self.sync()?;
        }
        let frame = encode_frame(self.number + 1, &self.changed);
        let (path, size) = (self.path(), self.size);
        self.failed = true;
        let write = |file: &D::File| file.write_at(&[IoSlice::new(&frame)], size);
        match write(&self.file).map_err(WalError::io("write", &path)) {
            Err(error) if error.is_full() && self.reserve.release(&self.disk, &self.directory)? => {
                write(&self.file).map_err(WalError::io("write", &path))?;
            }
            other => other?,
        }
        self.failed = false;
        self.number += 1;
        self.size += frame.len() as u64;
        self.memory.append(&mut self.changed);
        self.unsynced = true;
        Ok(())
    }

    /// Makes what was written durable, and compacts the file where it has grown.
    ///
    /// # Errors
    /// Those of the operating system; final.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.check()?;
        if !self.unsynced {
            return Ok(());
        }
        self.failed = true;
        self.file.sync().map_err(WalError::io("sync", &self.path()))?;
        self.unsynced = false;
        let live = (self.memory.records() * RECORD_SIZE) as u64;
        if self.size > COMPACT_BYTES.max(4 * live) {
            match put_in_place(&self.disk, &self.directory, &self.memory) {
                Ok((file, size)) => (self.file, self.size, self.number) = (file, size, 1),
                // The file goes on growing until there is room.
                Err(error) if error.is_full() => {}
                Err(error) => return Err(error),
            }
        }
        self.failed = false;
        Ok(())
    }

    fn check(&self) -> Result<(), WalError> {
        if self.failed { Err(WalError::Stopped { path: self.path() }) } else { Ok(()) }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }
}

/// Writes a file of one frame beside the old one, and puts it in its place.
fn put_in_place<D: Disk>(disk: &D, directory: &Path, memory: &NodeMemory) -> Result<(D::File, u64), WalError> {
    let (path, new) = (directory.join(FILE), directory.join(FILE_NEW));
    match disk.remove_file(&new) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(WalError::io("remove", &new)(error)),
    }
    let file = disk.open(&new, Access::CreateNew).map_err(WalError::io("create", &new))?;
    let frame = encode_frame(1, memory);
    file.write_at(&[IoSlice::new(&frame)], 0).map_err(WalError::io("write", &new))?;
    file.sync().map_err(WalError::io("sync", &new))?;
    disk.rename(&new, &path).map_err(WalError::io("rename", &new))?;
    disk.sync_directory(directory).map_err(WalError::io("sync", directory))?;
    Ok((file, frame.len() as u64))
}

fn encode_frame(number: u64, records: &NodeMemory) -> Vec<u8> {
    let body = records.encode();
    let mut frame = Vec::with_capacity(FRAME_HEADER + body.len());
    frame.extend_from_slice(&FRAME_MAGIC.to_le_bytes());
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    frame.extend_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&frame), &body);
    frame.extend_from_slice(&crc.to_le_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// The frame at `offset`: its number and body; `None` where none stands there whole.
fn read_frame<F: DiskFile>(file: &F, offset: u64, size: u64) -> std::io::Result<Option<(u64, Vec<u8>)>> {
    let mut header = [0; FRAME_HEADER];
    if file.read_at(&mut header, offset)? < FRAME_HEADER {
        return Ok(None);
    }
    let (covered, crc) = header.split_at(16);
    let word = |at: usize| covered.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_le_bytes);
    let number = covered.get(8..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_le_bytes);
    let crc = crc.first_chunk().copied().map_or(0, u32::from_le_bytes);
    let body_size = word(4) as usize;
    let left = size.saturating_sub(offset + FRAME_HEADER as u64);
    if word(0) != FRAME_MAGIC
        || body_size > FRAME_BODY_MAX
        || !body_size.is_multiple_of(RECORD_SIZE)
        || body_size as u64 > left
    {
        return Ok(None);
    }
    let mut body = vec![0; body_size];
    let read = file.read_at(&mut body, offset + FRAME_HEADER as u64)?;
    let holds = read == body_size && crc32c::crc32c_append(crc32c::crc32c(covered), &body) == crc;
    Ok(holds.then_some((number, body)))
}

/// Whether a whole frame with a later number stands anywhere behind `offset`.
fn frame_behind<F: DiskFile>(file: &F, offset: u64, size: u64, number: u64) -> std::io::Result<bool> {
    let magic = FRAME_MAGIC.to_le_bytes();
    let mut window = vec![0; 64 * 1024];
    let mut place = offset;
    while place < size {
        let read = file.read_at(&mut window, place)?;
        let piece = window.get(..read).unwrap_or_default();
        for (index, four) in piece.windows(4).enumerate() {
            if four == magic
                && let Some((found, _)) = read_frame(file, place + index as u64, size)?
                && found > number
            {
                return Ok(true);
            }
        }
        if read <= 3 {
            break;
        }
        place += (read - 3) as u64;
    }
    Ok(false)
}

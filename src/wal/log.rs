//! The log of one space: appends, syncs, reads.

mod cut;

use alloc::sync::Arc;
use std::io::IoSlice;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};

use crate::types::{Entry, EpochHistory, HEADER_SIZE, Position, Sequence, WalEntryHeader};

use super::disk::{Disk, DiskFile};
use super::error::{BreakReason, WalError};
use super::handles::Handles;
use super::ledger::SpaceMemory;
use super::options::WalOptions;
use super::recovery::{RecoveryReport, WalPlace, follows, recover};
use super::scan::{Scanner, entry_size};
use super::segment::{self, Index, PAGE, Segment};
use super::segment_name::SegmentName;
use super::witness::{node_local, synced_when_written};

/// Payloads up to this size are copied into the group's buffer; larger ones are written from where they are.
const GATHER_MAX: usize = 16 * 1024;

/// The log of one space.
///
/// Entries are written by [`Wal::append`] and durable after [`Wal::sync`]. After a failed write or sync
/// nothing more is taken: what the disk holds is known only after the next recovery.
pub struct Wal<D: Disk> {
    place: WalPlace,
    options: WalOptions,
    handles: Handles<D>,
    number: u64,
    segments: Vec<Segment>,
    start: Position,
    end: Position,
    synced: Sequence,
    /// The file that holds unsynced entries: kept open until it is synced.
    dirty: Option<Arc<D::File>>,
    group: Group,
    rolled: bool,
    failed: bool,
}

/// What is written with the next call to the disk; its memory is used again.
#[derive(Default)]
struct Group {
    /// Headers and small payloads.
    gathered: Vec<u8>,
    /// Large payloads, and where in the gathered bytes each belongs.
    large: Vec<(usize, Bytes)>,
    bytes: u64,
}

impl<D: Disk> Wal<D> {
    /// Recovers the log and opens it. Everything in it is durable then; the caller saves the mark, which is
    /// [`Wal::synced`], clears the recorded cut, and only then opens the space.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] with file and offset, [`WalError::Engram`], or those of the operating system.
    /// Nothing was deleted then.
    pub fn open(
        handles: Handles<D>,
        place: WalPlace,
        options: WalOptions,
        memory: &SpaceMemory,
    ) -> Result<(Self, EpochHistory, RecoveryReport), WalError> {
        let disk = handles.disk().clone();
        disk.create_dir_all(&place.directory).map_err(WalError::io("create", &place.directory))?;
        let recovered = recover(&disk, &place, memory, options.indexes_max)?;
        let number = handles.register();
        let wal = Self {
            place,
            options,
            handles,
            number,
            segments: recovered.segments,
            start: recovered.start,
            end: recovered.end,
            synced: recovered.end.sequence,
            dirty: None,
            group: Group::default(),
            rolled: false,
            failed: false,
        };
        Ok((wal, recovered.history, recovered.report))
    }

    /// The last entry, written but perhaps not synced.
    #[must_use]
    pub const fn end(&self) -> Position {
        self.end
    }

    /// The entry before the first one.
    #[must_use]
    pub const fn start(&self) -> Position {
        self.start
    }

    /// The last entry that is known to be on disk.
    #[must_use]
    pub const fn synced(&self) -> Sequence {
        self.synced
    }

    /// Whether a segment was begun since this was last asked: the mark is to be saved then.
    pub const fn take_rolled(&mut self) -> bool {
        core::mem::replace(&mut self.rolled, false)
    }

    /// Writes entries behind the last one. They are durable after [`Wal::sync`].
    ///
    /// Their checksums were made or verified where they came from, and are not computed again.
    ///
    /// # Errors
    /// [`WalError::NotContiguous`] (nothing of the entries from there on is written),
    /// or those of the operating system, which are final.
    pub fn append<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), WalError> {
        if self.failed {
            return Err(self.stopped());
        }
        self.failed = true;
        for entry in entries {
            follows(&self.end, &entry.header).map_err(|reason| WalError::NotContiguous { reason })?;
            self.gather(entry)?;
        }
        self.flush()?;
        self.failed = false;
        Ok(())
    }

    fn gather(&mut self, entry: &Entry) -> Result<(), WalError> {
        let size = entry.size() as u64;
        let has_room = self.segments.last().is_some_and(|segment| segment.used + size <= segment.size);
        if !has_room {
            self.flush()?;
            self.roll(entry.header.sequence(), size)?;
        }
        let Some(segment) = self.segments.last_mut() else { return Err(self.stopped()) };
        let offset = segment.used;
        let index = segment.index.get_or_insert_default();
        // The index is shared only with a read that is over: this copies nothing.
        Arc::make_mut(index).push(u32::try_from(offset).unwrap_or(u32::MAX));
        segment.used += size;
        segment.entries += 1;
        let local = node_local(&entry.header, self.synced, &segment.name_bytes, offset);
        self.group.add(entry, local);
        self.end = entry.position();
        Ok(())
    }

    /// Writes what was gathered: it ends where the last segment's used part ends.
    fn flush(&mut self) -> Result<(), WalError> {
        if self.group.bytes == 0 {
            return Ok(());
        }
        let Some(segment) = self.segments.last() else { return Err(self.stopped()) };
        let offset = segment.used - self.group.bytes;
        // The path is made where it is needed only: a group is written to an open file.
        let path = || segment.path(&self.place.directory);
        let file = self.handles.get(self.number, segment.name.0.0, path);
        let file = file.map_err(|error| WalError::io("open", &path())(error))?;
        self.group.write(file.as_ref(), offset).map_err(|error| WalError::io("write", &path())(error))?;
        self.dirty = Some(file);
        Ok(())
    }

    /// Begins a segment with `first`, which needs `size` bytes. The one before is synced, so that the mark may rise to
    /// its end.
    fn roll(&mut self, first: Sequence, size: u64) -> Result<(), WalError> {
        self.sync_dirty()?;
        let doubled = self.segments.last().map_or(self.options.segment_bytes_min, |segment| segment.size * 2);
        let bytes = doubled.min(self.options.segment_bytes_max).max(size).next_multiple_of(PAGE);
        if bytes > u64::from(u32::MAX) {
            return Err(WalError::TooLarge { expected: u64::from(u32::MAX), found: size });
        }
        let name = SegmentName(first);
        let file = segment::create(self.handles.disk(), &self.place.directory, name, bytes)?;
        self.handles.put(self.number, first.0, Arc::new(file));
        self.segments.push(Segment::new(name, bytes, 0, Vec::new()));
        self.drop_indexes();
        self.rolled = true;
        Ok(())
    }

    /// Makes everything durable that was written.
    ///
    /// # Errors
    /// Those of the operating system, which are final.
    pub fn sync(&mut self) -> Result<(), WalError> {
        if self.failed {
            return Err(self.stopped());
        }
        self.failed = true;
        self.sync_dirty()?;
        self.failed = false;
        Ok(())
    }

    fn sync_dirty(&mut self) -> Result<(), WalError> {
        if let Some(file) = self.dirty.take() {
            let last = self.segments.last();
            let path = || last.map_or_else(PathBuf::new, |segment| segment.path(&self.place.directory));
            file.sync().map_err(|error| WalError::io("sync", &path())(error))?;
        }
        self.synced = self.end.sequence;
        Ok(())
    }

    /// Reads entries from `from` on, contiguous, as many as the limits allow, and one however large it is.
    /// None where `from` lies outside of the log. Every checksum is verified.
    ///
    /// # Errors
    /// [`WalError::Corrupt`] with file and offset, or those of the operating system.
    pub fn read(&mut self, from: Sequence, entries_max: u32, bytes_max: u64) -> Result<Vec<Entry>, WalError> {
        let mut entries = Vec::new();
        let (mut next, mut bytes) = (from, 0);
        while next > self.start.sequence && next <= self.end.sequence {
            let entries_left = (entries_max.max(1) as usize).saturating_sub(entries.len());
            let bytes_left = bytes_max.saturating_sub(bytes);
            if entries_left == 0 || (!entries.is_empty() && bytes_left == 0) {
                break;
            }
            let before = entries.len();
            bytes += self.read_segment(next, entries_left, bytes_left, &mut entries)?;
            if entries.len() == before {
                break;
            }
            next = Sequence(from.0 + entries.len() as u64);
        }
        Ok(entries)
    }

    /// Reads from the one segment that holds `from`; the bytes read.
    fn read_segment(
        &mut self,
        from: Sequence,
        entries_max: usize,
        bytes_max: u64,
        entries: &mut Vec<Entry>,
    ) -> Result<u64, WalError> {
        let after = self.segments.partition_point(|segment| segment.name.0 <= from);
        let Some(at) = after.checked_sub(1) else { return Ok(0) };
        let index = self.index(at)?;
        let Some(segment) = self.segments.get(at) else { return Ok(0) };
        let first = usize::try_from(from.above(segment.name.0)).unwrap_or(usize::MAX);
        let starts = index.get(first..).unwrap_or_default();
        let Some(begin) = starts.first().map(|begin| u64::from(*begin)) else { return Ok(0) };
        // How many end within the limit: an entry ends where the next begins.
        let ends = starts.get(1..).unwrap_or_default().iter().map(|end| u64::from(*end)).chain([segment.used]);
        let fitting: Vec<u64> = ends.take(entries_max).take_while(|end| end - begin <= bytes_max).collect();
        let (count, end) = match fitting.last() {
            Some(end) => (fitting.len(), *end),
            None if entries.is_empty() => (1, starts.get(1).map_or(segment.used, |end| u64::from(*end))),
            None => return Ok(0),
        };
        let path = || segment.path(&self.place.directory);
        let name = segment.name;
        let file = self.handles.get(self.number, name.0.0, path);
        let file = file.map_err(|error| WalError::io("open", &path())(error))?;
        let mut bytes = BytesMut::zeroed(usize::try_from(end - begin).unwrap_or(usize::MAX));
        let read = file.read_at(&mut bytes, begin).map_err(|error| WalError::io("read", &path())(error))?;
        bytes.truncate(read);
        let mut rest = bytes.freeze();
        let mut offset = begin;
        for sequence in (from.0..).map(Sequence).take(count) {
            let entry = take_entry(&mut rest, sequence, name, offset).map_err(|reason| WalError::Corrupt {
                path: path(),
                offset,
                reason,
            })?;
            offset += entry.size() as u64;
            entries.push(entry);
        }
        Ok(end - begin)
    }

    /// The index of a segment, built again from its headers where it was dropped.
    fn index(&mut self, at: usize) -> Result<Index, WalError> {
        let Some(segment) = self.segments.get(at) else { return Ok(Index::default()) };
        if let Some(index) = &segment.index {
            return Ok(Arc::clone(index));
        }
        let path = segment.path(&self.place.directory);
        let file =
            self.handles.get(self.number, segment.name.0.0, || path.clone()).map_err(WalError::io("open", &path))?;
        let mut scanner = Scanner::new(file).map_err(WalError::io("read", &path))?;
        let mut offsets = Vec::new();
        let mut offset = 0;
        while offset < segment.used {
            let header = scanner
                .header(offset)
                .map_err(WalError::io("read", &path))?
                .map_err(|reason| WalError::Corrupt { path: path.clone(), offset, reason })?;
            offsets.push(u32::try_from(offset).unwrap_or(u32::MAX));
            offset += entry_size(&header);
        }
        let index = Arc::new(offsets);
        if let Some(segment) = self.segments.get_mut(at) {
            segment.index = Some(Arc::clone(&index));
        }
        self.drop_indexes_but(at);
        Ok(index)
    }

    fn drop_indexes(&mut self) {
        self.drop_indexes_but(self.segments.len().saturating_sub(1));
    }

    /// Keeps the index of the last segment, that of `kept`, and the limit's number of others, the newest ones.
    fn drop_indexes_but(&mut self, kept: usize) {
        let last = self.segments.len().saturating_sub(1);
        let mut left = self.options.indexes_max;
        for (at, segment) in self.segments.iter_mut().enumerate().rev() {
            if at == last || at == kept || segment.index.is_none() {
                continue;
            }
            if left == 0 {
                segment.index = None;
            } else {
                left -= 1;
            }
        }
    }

    fn stopped(&self) -> WalError {
        WalError::Stopped { path: self.place.directory.clone() }
    }
}

/// Takes the entry that begins `rest`, once everything about it holds.
fn take_entry(rest: &mut Bytes, expected: Sequence, name: SegmentName, offset: u64) -> Result<Entry, BreakReason> {
    let cut_short =
        |expected: usize, found: usize| BreakReason::CutShort { expected: expected as u64, found: found as u64 };
    let bytes = *rest.first_chunk::<HEADER_SIZE>().ok_or_else(|| cut_short(HEADER_SIZE, rest.len()))?;
    let header = WalEntryHeader::parse(&bytes)?;
    if header.sequence() != expected {
        return Err(BreakReason::Sequence { expected, found: header.sequence() });
    }
    synced_when_written(&header, name, offset)?;
    let size = HEADER_SIZE + header.payload_size() as usize;
    if rest.len() < size {
        return Err(cut_short(size, rest.len()));
    }
    let whole = rest.split_to(size);
    Ok(Entry::join(header, whole.slice(HEADER_SIZE..))?)
}

impl Group {
    fn add(&mut self, entry: &Entry, local: [u8; 8]) {
        self.gathered.extend_from_slice(entry.header.with_node_local(local).as_bytes());
        if entry.payload.len() <= GATHER_MAX {
            self.gathered.extend_from_slice(&entry.payload);
        } else {
            self.large.push((self.gathered.len(), entry.payload.clone()));
        }
        self.bytes += entry.size() as u64;
    }

    fn write<F: DiskFile>(&mut self, file: &F, offset: u64) -> std::io::Result<()> {
        let written = if self.large.is_empty() {
            file.write_at(&[IoSlice::new(&self.gathered)], offset)
        } else {
            let mut pieces = Vec::with_capacity(2 * self.large.len() + 1);
            let mut from = 0;
            for (until, payload) in &self.large {
                pieces.push(IoSlice::new(self.gathered.get(from..*until).unwrap_or_default()));
                pieces.push(IoSlice::new(payload));
                from = *until;
            }
            pieces.push(IoSlice::new(self.gathered.get(from..).unwrap_or_default()));
            file.write_at(&pieces, offset)
        };
        self.gathered.clear();
        self.large.clear();
        self.bytes = 0;
        written
    }
}

//! What a log is after a stop of any kind: the longest prefix that holds, made durable again, or a typed refusal.

mod repair;

use alloc::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::types::{
    ClusterId, Epoch, EpochHistory, Position, Sequence, SpaceId, WAL_MAGIC, WalEntryHeader, entry::chain_start,
};

use super::disk::{Access, Disk, DiskFile};
use super::error::{BreakReason, WalError};
use super::ledger::SpaceMemory;
use super::scan::{Scanner, Step};
use super::segment::{self, Segment};
use super::segment_name::SegmentName;
use super::witness::synced_when_written;

use repair::{complete_cut, remove_retired, rewrite, zero_tail};

/// Which log it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalPlace {
    /// The directory of the space's segments.
    pub directory: PathBuf,
    /// The cluster.
    pub cluster: ClusterId,
    /// The space.
    pub space: SpaceId,
}

impl WalPlace {
    /// The position before the log's first entry.
    #[must_use]
    pub fn start(&self, memory: &SpaceMemory) -> Position {
        if memory.start.sequence > Sequence::ZERO {
            return memory.start;
        }
        Position { epoch: Epoch::ZERO, sequence: Sequence::ZERO, chain: chain_start(self.cluster, self.space) }
    }
}

/// Where the log was cut because its last group was torn.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TornTail {
    /// The segment's file name.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// What stood there.
    pub reason: BreakReason,
}

/// What recovery found and did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RecoveryReport {
    /// The segments that the log has now.
    pub segments: u64,
    /// The entries that it has.
    pub entries: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// The last sequence; 0 where it is empty.
    pub last_sequence: Sequence,
    /// The last group was torn here, and was cut.
    pub torn_tail: Option<TornTail>,
    /// Entries that no witness said to be on disk: written again.
    pub rewritten: u64,
    /// Segments that did not continue the log: deleted.
    pub unused: Vec<String>,
    /// A truncation that a crash had interrupted, and that was completed.
    pub completed_cut: Option<Sequence>,
}

/// A recovered log.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Segment>,
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) history: EpochHistory,
    pub(crate) report: RecoveryReport,
}

/// Recovers the log. Everything accepted is durable when it returns; the caller saves the mark and clears the cut.
pub(crate) fn recover<D: Disk>(
    disk: &D,
    place: &WalPlace,
    memory: &SpaceMemory,
    indexes_max: usize,
) -> Result<Recovered, WalError> {
    let directory = place.directory.as_path();
    let mut report = RecoveryReport::default();
    let mut files = segment::list(disk, directory)?;
    if let Some(cut) = memory.cut {
        complete_cut(disk, directory, &cut, &mut files)?;
        report.completed_cut = Some(cut.last);
    }
    let start = place.start(memory);
    remove_retired(disk, directory, start.sequence, &mut files)?;

    let mut walk = Walk { disk, directory, previous: start, witnessed: memory.mark, history: EpochHistory::default() };
    let (mut segments, stop) = walk.accept(&files, indexes_max)?;
    walk.judge(&files, &segments, stop.as_ref(), memory.mark)?;

    let kept: Vec<SegmentName> = segments.iter().filter(|segment| segment.entries > 0).map(|one| one.name).collect();
    segments.retain(|segment| segment.entries > 0);
    if let Some(stop) = &stop
        && let Some(last) = segments.last()
        && last.name == stop.segment
    {
        zero_tail(disk, directory, last)?;
    }
    report.torn_tail = stop.filter(|stop| stop.tears).map(|stop| TornTail {
        file: stop.segment.to_string(),
        offset: stop.offset,
        reason: stop.reason,
    });
    for (name, _) in files.iter().rev().filter(|(name, _)| !kept.contains(name)) {
        let path = directory.join(name.to_string());
        disk.remove_file(&path).map_err(WalError::io("remove", &path))?;
        report.unused.push(name.to_string());
    }
    let witnessed = walk.witnessed;
    report.rewritten = rewrite(disk, directory, &segments, witnessed)?;
    disk.sync_directory(directory).map_err(WalError::io("sync", directory))?;

    report.segments = segments.len() as u64;
    report.entries = segments.iter().map(|segment| segment.entries).sum();
    report.bytes = segments.iter().map(|segment| segment.used).sum();
    report.last_sequence = walk.previous.sequence;
    Ok(Recovered { segments, start, end: walk.previous, history: walk.history, report })
}

/// Where the walk stopped.
#[derive(Debug)]
struct Stop {
    segment: SegmentName,
    offset: u64,
    reason: BreakReason,
    header: Option<WalEntryHeader>,
    /// Bytes stand there that are no whole entry; otherwise a whole segment does not continue the log.
    tears: bool,
}

struct Walk<'d, D> {
    disk: &'d D,
    directory: &'d Path,
    previous: Position,
    witnessed: Sequence,
    history: EpochHistory,
}

impl<D: Disk> Walk<'_, D> {
    /// Takes entries from the beginning for as long as each continues the one before.
    fn accept(
        &mut self,
        files: &[(SegmentName, u64)],
        indexes_max: usize,
    ) -> Result<(Vec<Segment>, Option<Stop>), WalError> {
        let mut segments: Vec<Segment> = Vec::new();
        let mut indexed = VecDeque::new();
        for (name, size) in files {
            let expected = self.previous.sequence.next();
            if name.0 != expected {
                let reason = BreakReason::MissingSegment { expected, found: name.0 };
                return Ok((segments, Some(Stop { segment: *name, offset: 0, reason, header: None, tears: false })));
            }
            let (segment, stop) = self.accept_segment(*name, *size)?;
            indexed.push_back(segments.len());
            segments.push(segment);
            // One more than the limit: the last one is the segment that is written to.
            if indexed.len() > indexes_max + 1
                && let Some(oldest) = indexed.pop_front().and_then(|oldest| segments.get_mut(oldest))
            {
                oldest.index = None;
            }
            if stop.is_some() {
                return Ok((segments, stop));
            }
        }
        Ok((segments, None))
    }

    fn accept_segment(&mut self, name: SegmentName, size: u64) -> Result<(Segment, Option<Stop>), WalError> {
        let path = self.directory.join(name.to_string());
        let file = self.disk.open(&path, Access::Read).map_err(WalError::io("open", &path))?;
        let mut scanner = Scanner::new(file).map_err(WalError::io("read", &path))?;
        let mut index = Vec::new();
        let mut offset = 0;
        let stop = loop {
            let (reason, header) = match scanner.step(offset).map_err(WalError::io("read", &path))? {
                Step::End => break None,
                Step::Bad { reason, header } => (reason, header),
                Step::Entry(header) => match self.continues(&header, name, offset) {
                    Ok(synced) => {
                        self.witnessed = self.witnessed.max(synced);
                        self.previous = header.position();
                        self.history.note(header.epoch(), header.sequence());
                        index.push(u32::try_from(offset).unwrap_or(u32::MAX));
                        offset += super::scan::entry_size(&header);
                        continue;
                    }
                    Err(reason) => {
                        if header.epoch() == Epoch::ZERO && self.previous.epoch == Epoch::ZERO {
                            return Err(WalError::Engram { path: self.directory.to_owned() });
                        }
                        (reason, Some(header))
                    }
                },
            };
            break Some(Stop { segment: name, offset, reason, header, tears: true });
        };
        Ok((Segment::new(name, size, offset, index), stop))
    }

    /// Whether an entry that checks out is the next one of this log; the sequence that it knew to be on disk.
    fn continues(&self, header: &WalEntryHeader, name: SegmentName, offset: u64) -> Result<Sequence, BreakReason> {
        if header.epoch() == Epoch::ZERO {
            return Err(BreakReason::Epoch { expected: self.previous.epoch, found: Epoch::ZERO });
        }
        follows(&self.previous, header)?;
        synced_when_written(header, name, offset)
    }

    /// Torn or corrupt: the log may end before its bytes do only where nothing says that more of it was on disk.
    ///
    /// Valid entries behind a break prove nothing by themselves: the pages of one unsynced group reach the disk in
    /// any order. What they knew to be synced when they were written proves it.
    fn judge(
        &self,
        files: &[(SegmentName, u64)],
        segments: &[Segment],
        stop: Option<&Stop>,
        mark: Sequence,
    ) -> Result<(), WalError> {
        let next = self.previous.sequence.next();
        let (file, offset, reason) = match (stop, segments.last()) {
            (Some(stop), _) => (stop.segment.to_string(), stop.offset, stop.reason),
            (None, Some(last)) => {
                let reason = BreakReason::EndsEarly { expected: mark, found: self.previous.sequence };
                (last.name.to_string(), last.used, reason)
            }
            (None, None) => {
                (String::new(), 0, BreakReason::EndsEarly { expected: mark, found: self.previous.sequence })
            }
        };
        let corrupt = |reason| Err(WalError::Corrupt { path: self.directory.join(&file), offset, reason });
        if let Some(stop) = stop {
            self.refuse_foreign(files, segments, stop)?;
        }
        if next <= mark {
            return corrupt(reason);
        }
        // The next segment goes on exactly here: it was made after this one was synced, so nothing is torn.
        if stop.is_some_and(|stop| stop.tears && files.iter().any(|(name, _)| name.0 == next && *name > stop.segment)) {
            return corrupt(reason);
        }
        if let Some(stop) = stop
            && self.testimony(files, stop)? >= next
        {
            return corrupt(reason);
        }
        Ok(())
    }

    /// Refuses to cut or delete what this log never wrote.
    fn refuse_foreign(&self, files: &[(SegmentName, u64)], segments: &[Segment], stop: &Stop) -> Result<(), WalError> {
        for (name, _) in files.iter().filter(|(name, _)| *name >= stop.segment) {
            let path = self.directory.join(name.to_string());
            let file = self.disk.open(&path, Access::Read).map_err(WalError::io("open", &path))?;
            let mut scanner = Scanner::new(file).map_err(WalError::io("read", &path))?;
            if let Some(found) = foreign(&mut scanner).map_err(WalError::io("read", &path))? {
                return Err(WalError::Corrupt { path, offset: 0, reason: BreakReason::Foreign { found } });
            }
            let empty = segments.iter().all(|segment| segment.entries == 0);
            if empty
                && scanner.header_behind(0, None, |_, header| header.epoch() == Epoch::ZERO).is_ok_and(|f| f.is_some())
            {
                return Err(WalError::Engram { path: self.directory.to_owned() });
            }
        }
        Ok(())
    }

    /// The highest sequence that valid entries behind the break knew to be on disk when they were written.
    fn testimony(&self, files: &[(SegmentName, u64)], stop: &Stop) -> Result<Sequence, WalError> {
        // A segment is made only once everything before it is synced, so its name testifies too.
        let made = |name: &SegmentName| *name > stop.segment || (*name == stop.segment && !stop.tears);
        let names = files.iter().map(|(name, _)| name).filter(|name| made(name));
        let mut highest = names.map(|name| name.0.previous()).max().unwrap_or_default();
        for (name, _) in files.iter().filter(|(name, _)| *name >= stop.segment) {
            let path = self.directory.join(name.to_string());
            let file = self.disk.open(&path, Access::Read).map_err(WalError::io("open", &path))?;
            let mut scanner = Scanner::new(file).map_err(WalError::io("read", &path))?;
            let holds = |offset: u64, header: &WalEntryHeader| synced_when_written(header, *name, offset).is_ok();
            let mut found = if *name == stop.segment && stop.tears {
                scanner.header_behind(stop.offset, stop.header.as_ref(), holds)
            } else {
                scanner.next_header(0, holds)
            };
            while let Some((offset, header)) = found.map_err(WalError::io("read", &path))? {
                if let Ok(synced) = synced_when_written(&header, *name, offset) {
                    highest = highest.max(synced);
                }
                found = scanner.header_behind(offset, Some(&header), holds);
            }
        }
        Ok(highest)
    }
}

/// Whether `header` continues a log that ends at `previous`.
pub(crate) fn follows(previous: &Position, header: &WalEntryHeader) -> Result<(), BreakReason> {
    let expected = previous.sequence.next();
    if header.sequence() != expected {
        return Err(BreakReason::Sequence { expected, found: header.sequence() });
    }
    if header.epoch() < previous.epoch {
        return Err(BreakReason::Epoch { expected: previous.epoch, found: header.epoch() });
    }
    let expected = header.chain_after(previous.chain);
    if header.chain() != expected {
        return Err(BreakReason::Chain { expected, found: header.chain() });
    }
    Ok(())
}

/// The first word of a file that no write of this log can have left, torn anywhere: a byte neither old nor new.
pub(crate) fn foreign<F: DiskFile>(scanner: &mut Scanner<F>) -> std::io::Result<Option<u32>> {
    let Some(word) = scanner.word(0)? else { return Ok(None) };
    let ours = word.to_le_bytes().iter().zip(WAL_MAGIC.to_le_bytes()).all(|(byte, new)| *byte == 0 || *byte == new);
    Ok((!ours).then_some(word))
}

//! Whether a directory holds what was written to it: reading only, through damage, ours or Engram's.

use std::collections::BTreeMap;
use std::path::Path;

use crate::types::{Epoch, Position, Sequence, SpaceId, SpaceName, WalEntryHeader};

use super::disk::{Access, Disk};
use super::error::{BreakReason, StorageOpenError, WalError};
use super::ledger::{Cut, Ledger, SpaceMemory};
use super::recovery::{WalPlace, follows};
use super::scan::{Scanner, entry_size};
use super::segment::PAGE;
use super::segment_name::SegmentName;
use super::sequence_set::SequenceSet;
use super::superblock::Superblock;
use super::walk::{DirectoryWalk, Met, Origin};
use super::witness::synced_when_written;

/// Damaged places that are listed one by one; one more item counts the rest.
const DAMAGE_MAX: usize = 10_000;

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// The segment files.
    pub segments: u64,
    /// The entries whose header and payload check out, those behind damage included.
    pub entries: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// The lowest sequence among them.
    pub first_sequence: Option<u64>,
    /// The highest.
    pub last_sequence: Option<u64>,
    /// Where the last group was torn: what stands there was never acknowledged, and the next start cuts it.
    pub torn_tail: Option<TornPlace>,
    /// What is not as it was written.
    pub damage: Vec<Damage>,
    /// In a directory of Engram's, entries whose sequence was seen before; in ours such an entry is damage.
    pub duplicates: u64,
    /// Who wrote the directory.
    pub origin: Origin,
}

/// Where the last group was torn.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TornPlace {
    /// The file, relative to the directory that was verified.
    pub file: String,
    /// Where in it.
    pub offset: u64,
}

/// A damaged place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The file, relative to the directory that was verified.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// What was expected and what stands there.
    pub reason: String,
}

/// What is known of a space from outside its directory.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The mark; sequence 0 where nothing is known.
    mark: Sequence,
    /// The position before the log's first entry.
    start: Option<Position>,
    /// A truncation that has begun: what stands behind it is no part of the log any more.
    cut: Option<Cut>,
    /// The node stopped cleanly: nothing can be torn.
    clean: bool,
}

impl Known {
    /// Whether this place lies behind a truncation that has begun.
    fn is_cut(&self, name: SegmentName, offset: u64) -> bool {
        self.cut.is_some_and(|cut| (name.0, offset) >= (cut.segment, cut.offset))
    }

    /// Whether this segment lies before the log's start: its deletion has begun.
    fn is_retired(&self, name: SegmentName) -> bool {
        self.start.is_some_and(|start| name.0 <= start.sequence)
    }
}

/// Verifies a space's directory, ours or Engram's, or a node's whole data directory.
///
/// A data directory is verified file by file: superblock, promises, reserve, and every space under `spaces/`;
/// counts are sums, and the names of files are relative to it. A space's directory that still stands in its data
/// directory is judged with what the file of promises and the superblock know of it.
/// Damage is no error: it is in the report.
///
/// # Errors
/// Those of the operating system.
pub fn verify<D: Disk>(disk: &D, directory: &Path) -> Result<VerifyReport, WalError> {
    let listed = disk.list(directory).map_err(WalError::io("list", directory))?;
    let is_node = listed.iter().any(|entry| matches!(entry.name.as_str(), "superblock" | "promises.log" | "spaces"));
    let mut report = Report::default();
    if is_node {
        verify_node(disk, directory, &mut report)?;
    } else {
        let known = known_from_outside(disk, directory);
        verify_space(disk, directory, "", known, &mut report)?;
    }
    Ok(report.finish())
}

/// Collects a report.
#[derive(Default)]
struct Report {
    segments: u64,
    entries: u64,
    bytes: u64,
    bounds: Option<(u64, u64)>,
    torn_tail: Option<TornPlace>,
    damage: Vec<Damage>,
    damage_left_out: u64,
    duplicates: u64,
    origin: Option<Origin>,
}

impl Report {
    fn damage(&mut self, file: String, offset: u64, reason: &dyn std::fmt::Display) {
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(Damage { file, offset, reason: reason.to_string() });
        } else {
            self.damage_left_out += 1;
        }
    }

    fn torn(&mut self, file: String, offset: u64) {
        if self.torn_tail.is_none() {
            self.torn_tail = Some(TornPlace { file, offset });
        }
    }

    fn finish(mut self) -> VerifyReport {
        self.damage.sort_by(|left, right| (&left.file, left.offset).cmp(&(&right.file, right.offset)));
        if self.damage_left_out > 0 {
            let reason = format!("{} more damaged places are not listed", self.damage_left_out);
            self.damage.push(Damage { file: String::new(), offset: 0, reason });
        }
        VerifyReport {
            segments: self.segments,
            entries: self.entries,
            bytes: self.bytes,
            first_sequence: self.bounds.map(|bounds| bounds.0),
            last_sequence: self.bounds.map(|bounds| bounds.1),
            torn_tail: self.torn_tail,
            damage: self.damage,
            duplicates: self.duplicates,
            origin: self.origin.unwrap_or(Origin::Engraft),
        }
    }
}

fn verify_node<D: Disk>(disk: &D, directory: &Path, report: &mut Report) -> Result<(), WalError> {
    let found = match Superblock::load(disk, directory) {
        Ok(Some(found)) => Some(found),
        Ok(None) => {
            report.damage("superblock".into(), 0, &"it is not there");
            None
        }
        Err(error) => {
            report.damage("superblock".into(), 0, &passed(error)?);
            None
        }
    };
    let clean = found.is_some_and(|found| found.block.clean);
    if let Some(offset) = found.and_then(|found| found.broken_slot) {
        if clean {
            report.damage("superblock".into(), offset, &"one of its two copies does not hold");
        } else {
            report.torn("superblock".into(), offset);
        }
    }
    let memory = verify_ledger(disk, directory, clean, report)?;
    verify_reserve(disk, directory, report)?;
    let spaces = directory.join("spaces");
    let listed = match disk.list(&spaces) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(WalError::io("list", &spaces))?,
    };
    for entry in listed.iter().filter(|entry| !entry.is_file) {
        let known = known_of(&entry.name, &memory, found.map(|found| found.block));
        verify_space(disk, &spaces.join(&entry.name), &format!("spaces/{}/", entry.name), known, report)?;
    }
    Ok(())
}

/// An error that is a finding, as its words; the operating system's are passed on.
fn passed(error: StorageOpenError) -> Result<String, WalError> {
    match error {
        StorageOpenError::Wal(error) => Err(error),
        StorageOpenError::Locked { .. }
        | StorageOpenError::OtherCluster { .. }
        | StorageOpenError::OtherNode { .. }
        | StorageOpenError::Superblock { .. }
        | StorageOpenError::MemoryLost { .. }
        | StorageOpenError::Version { .. }
        | StorageOpenError::Option { .. } => Ok(error.to_string()),
    }
}

fn verify_ledger<D: Disk>(
    disk: &D,
    directory: &Path,
    clean: bool,
    report: &mut Report,
) -> Result<BTreeMap<SpaceId, SpaceMemory>, WalError> {
    let file = "promises.log";
    match Ledger::load(disk, directory) {
        Ok(loaded) => {
            match loaded.torn_at {
                Some(offset) if clean => report.damage(file.into(), offset, &"the last frame does not hold"),
                Some(offset) => report.torn(file.into(), offset),
                None => {}
            }
            Ok(loaded.memory)
        }
        Err(StorageOpenError::MemoryLost { offset, reason, .. }) => {
            report.damage(file.into(), offset, &reason);
            Ok(BTreeMap::new())
        }
        Err(error) => {
            report.damage(file.into(), 0, &passed(error)?);
            Ok(BTreeMap::new())
        }
    }
}

fn verify_reserve<D: Disk>(disk: &D, directory: &Path, report: &mut Report) -> Result<(), WalError> {
    let path = directory.join("reserve");
    let file = match disk.open(&path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(WalError::io("open", &path)(error)),
    };
    let found = Scanner::new(file).and_then(|mut scanner| scanner.first_non_zero(0));
    if let Some(offset) = found.map_err(WalError::io("read", &path))? {
        report.damage("reserve".into(), offset, &BreakReason::NotZero);
    }
    Ok(())
}

/// What the data directory around a space's directory knows of it, where there is one that holds.
fn known_from_outside<D: Disk>(disk: &D, directory: &Path) -> Known {
    let Ok(directory) = std::path::absolute(directory) else { return Known::default() };
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let Some(spaces) = directory.parent().filter(|parent| parent.ends_with("spaces")) else {
        return Known::default();
    };
    let Some(node) = spaces.parent() else { return Known::default() };
    let memory = Ledger::load(disk, node).map(|loaded| loaded.memory).unwrap_or_default();
    let block = Superblock::load(disk, node).ok().flatten().map(|found| found.block);
    known_of(&name, &memory, block)
}

fn known_of(name: &str, memory: &BTreeMap<SpaceId, SpaceMemory>, block: Option<Superblock>) -> Known {
    let (Ok(name), Some(block)) = (SpaceName::new(name), block) else { return Known::default() };
    let space = name.id();
    let memory = memory.get(&space).copied().unwrap_or_default();
    let place = WalPlace { directory: name.as_str().into(), cluster: block.cluster, space };
    Known { mark: memory.mark, start: Some(place.start(&memory)), cut: memory.cut, clean: block.clean }
}

/// A break whose meaning depends on what comes behind it.
struct Open {
    file: SegmentName,
    offset: u64,
    reason: BreakReason,
    /// The sequence that was expected there.
    before: Sequence,
    /// The highest sequence that was known to be on disk when something behind it, and before the next break,
    /// was written.
    testimony: Sequence,
    /// Whether any entry stands there.
    followed: bool,
    /// Whether the next segment goes on exactly here: then nothing was torn.
    continued: bool,
}

/// The state of a walk over one space's directory.
struct SpaceCheck<'r> {
    prefix: &'r str,
    report: &'r mut Report,
    known: Known,
    seen: SequenceSet,
    /// The entry before, where the next one has to continue it.
    previous: Option<Position>,
    /// The highest sequence so far.
    highest: Sequence,
    open: Vec<Open>,
}

fn verify_space<D: Disk>(
    disk: &D,
    directory: &Path,
    prefix: &str,
    known: Known,
    report: &mut Report,
) -> Result<(), WalError> {
    let mut walk = DirectoryWalk::new(disk.clone(), directory)?;
    report.segments += walk.segments().len() as u64;
    let sizes: BTreeMap<SegmentName, u64> =
        walk.segments().iter().map(|(name, size)| (*name, size.unwrap_or_default())).collect();
    let (previous, highest) = (known.start, known.start.map_or(Sequence::ZERO, |start| start.sequence));
    let mut check =
        SpaceCheck { prefix, report, known, seen: SequenceSet::default(), previous, highest, open: Vec::new() };
    let mut end = None;
    let mut current = None;
    while let Some((name, met)) = walk.step()? {
        let (Met::Entry { offset, .. } | Met::Break { offset, .. } | Met::End { offset }) = met;
        if known.is_retired(name) {
            continue;
        }
        if known.is_cut(name, offset) {
            if !matches!(met, Met::End { .. }) {
                check.report.torn(format!("{prefix}{name}"), offset);
            }
            continue;
        }
        if current != Some(name) {
            current = Some(name);
            check.begin_segment(name, walk.origin());
        }
        match met {
            Met::Entry { offset, header } => {
                let origin = walk.origin().unwrap_or(Origin::Engraft);
                check.entry(name, offset, &header, origin);
            }
            Met::Break { offset, reason } => check.open_break(name, offset, reason),
            Met::End { offset } => {
                end = Some((name, offset));
                check.end_segment(name, offset, sizes.get(&name).copied().unwrap_or_default(), walk.origin());
            }
        }
    }
    let origin = walk.origin().unwrap_or(Origin::Engraft);
    check.finish(origin, end);
    Ok(())
}

impl SpaceCheck<'_> {
    fn file(&self, name: SegmentName) -> String {
        format!("{}{name}", self.prefix)
    }

    fn damage(&mut self, name: SegmentName, offset: u64, reason: BreakReason) {
        let file = self.file(name);
        self.report.damage(file, offset, &reason);
    }

    fn open_break(&mut self, file: SegmentName, offset: u64, reason: BreakReason) {
        self.push_open(file, offset, reason, self.highest.next());
        // Only a break in the unused part of a segment leaves the entry before it the one to continue.
        if reason != BreakReason::NotZero {
            self.previous = None;
        }
    }

    fn push_open(&mut self, file: SegmentName, offset: u64, reason: BreakReason, before: Sequence) {
        if self.open.len() < DAMAGE_MAX {
            let (testimony, followed, continued) = (Sequence::ZERO, false, false);
            self.open.push(Open { file, offset, reason, before, testimony, followed, continued });
        } else {
            self.report.damage_left_out += 1;
        }
    }

    fn testify(&mut self, synced: Sequence) {
        if let Some(open) = self.open.last_mut() {
            open.testimony = open.testimony.max(synced);
        }
    }

    fn begin_segment(&mut self, name: SegmentName, origin: Option<Origin>) {
        if origin == Some(Origin::Engram) {
            return;
        }
        // A segment is made only once everything before it is synced.
        self.testify(name.0.previous());
        if let Some(open) = self.open.last_mut() {
            open.continued |= open.file < name && open.before == name.0;
        }
        if let Some(previous) = self.previous
            && name.0 != previous.sequence.next()
        {
            let expected = previous.sequence.next();
            self.damage(name, 0, BreakReason::MissingSegment { expected, found: name.0 });
            self.previous = None;
        }
    }

    fn entry(&mut self, name: SegmentName, offset: u64, header: &WalEntryHeader, origin: Origin) {
        self.report.entries += 1;
        self.report.bytes += entry_size(header);
        if let Some(open) = self.open.last_mut() {
            open.followed = true;
        }
        let repeated = !self.seen.insert(header.sequence().0);
        match origin {
            Origin::Engram => {
                self.report.duplicates += u64::from(repeated);
                if header.epoch() == Epoch::ZERO && header.node_local() != [0; 8] {
                    self.damage(name, offset + 56, BreakReason::NodeLocalNotZero);
                }
            }
            Origin::Engraft => self.our_entry(name, offset, header, repeated),
        }
        self.highest = self.highest.max(header.sequence());
    }

    fn our_entry(&mut self, name: SegmentName, offset: u64, header: &WalEntryHeader, repeated: bool) {
        match synced_when_written(header, name, offset) {
            Ok(synced) => self.testify(synced),
            Err(reason) => self.open_break_at_entry(name, offset + 56, reason, header),
        }
        let fits = match &self.previous {
            Some(previous) => follows(previous, header),
            None if offset == 0 && header.sequence() != name.0 => {
                Err(BreakReason::Sequence { expected: name.0, found: header.sequence() })
            }
            None => Ok(()),
        };
        if repeated {
            self.damage(name, offset, BreakReason::Repeated { found: header.sequence() });
        } else if let Err(reason) = fits {
            self.damage(name, offset, reason);
        }
        self.previous = Some(header.position());
    }

    /// An entry whose node-local bytes do not hold: the log is broken before it, though the entry itself is whole.
    fn open_break_at_entry(&mut self, file: SegmentName, offset: u64, reason: BreakReason, header: &WalEntryHeader) {
        self.push_open(file, offset, reason, header.sequence());
    }

    fn end_segment(&mut self, name: SegmentName, offset: u64, size: u64, origin: Option<Origin>) {
        if origin == Some(Origin::Engraft) && offset > 0 && !size.is_multiple_of(PAGE) {
            let broken = self.open.last().is_some_and(|open| open.file == name && !open.followed);
            if !broken {
                self.push_open(name, size, BreakReason::NotWholePages { found: size }, self.highest.next());
            }
        }
    }

    fn finish(mut self, origin: Origin, end: Option<(SegmentName, u64)>) {
        let mark = self.known.mark;
        let mut open_breaks = core::mem::take(&mut self.open);
        let ends_in_a_break = open_breaks.last().is_some_and(|open| !open.followed);
        let (mut testimony, mut followed) = (mark, false);
        for open in open_breaks.iter_mut().rev() {
            // What stands behind a later break stands behind this one too.
            testimony = testimony.max(open.testimony);
            followed |= open.followed;
            (open.testimony, open.followed) = (testimony, followed);
        }
        for open in open_breaks {
            let damaged = match origin {
                Origin::Engram => open.followed,
                Origin::Engraft => open.before <= open.testimony || open.continued || self.known.clean,
            };
            // No write leaves these behind, torn or not.
            let impossible = match open.reason {
                BreakReason::Foreign { .. } | BreakReason::NotAFile | BreakReason::NotWholePages { .. } => true,
                BreakReason::Entry(_)
                | BreakReason::CutShort { .. }
                | BreakReason::Sequence { .. }
                | BreakReason::Epoch { .. }
                | BreakReason::Chain { .. }
                | BreakReason::Witness { .. }
                | BreakReason::NodeLocalNotZero
                | BreakReason::EndsEarly { .. }
                | BreakReason::MissingSegment { .. }
                | BreakReason::NotZero
                | BreakReason::Repeated { .. } => false,
            };
            if damaged || impossible {
                self.damage(open.file, open.offset, open.reason);
            } else {
                let file = self.file(open.file);
                self.report.torn(file, open.offset);
            }
        }
        if origin == Origin::Engraft && self.highest < mark && !ends_in_a_break {
            let (name, offset) = end.unwrap_or((SegmentName(Sequence(1)), 0));
            self.damage(name, offset, BreakReason::EndsEarly { expected: mark, found: self.highest });
        }
        self.report.origin = Some(match self.report.origin {
            Some(Origin::Engram) => Origin::Engram,
            Some(Origin::Engraft) | None => origin,
        });
        if let Some((low, high)) = self.seen.bounds() {
            let (first, last) = self.report.bounds.unwrap_or((low, high));
            self.report.bounds = Some((first.min(low), last.max(high)));
        }
    }
}

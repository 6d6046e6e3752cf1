//! One space's directory, entry by entry, and what its breaks mean.

use alloc::collections::BTreeMap;
use std::path::Path;

use crate::types::{Control, Epoch, Position, Sequence, WalEntryHeader};
use crate::wal::disk::Disk;
use crate::wal::error::{BreakReason, WalError};
use crate::wal::ledger::Cut;
use crate::wal::recovery::follows;
use crate::wal::scan::entry_size;
use crate::wal::segment::PAGE;
use crate::wal::segment_name::SegmentName;
use crate::wal::sequence_set::SequenceSet;
use crate::wal::walk::{DirectoryWalk, Met, Origin};
use crate::wal::witness::synced_when_written;

use super::engram_check::{EngramCheck, Found};
use super::{DAMAGE_MAX, Gap, Report};

/// What is known of a space from outside its directory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    /// The mark; sequence 0 where nothing is known.
    pub(super) mark: Sequence,
    /// The position before the log's first entry.
    pub(super) start: Option<Position>,
    /// A truncation that has begun: what stands behind it is no part of the log any more.
    pub(super) cut: Option<Cut>,
    /// The node stopped cleanly: nothing can be torn.
    pub(super) clean: bool,
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
    /// The order of files, where they are Engram's.
    engram: EngramCheck,
    found: Vec<Found>,
}

pub(super) fn verify_space<D: Disk>(
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
    let mut check = SpaceCheck {
        prefix,
        report,
        known,
        seen: SequenceSet::new(),
        previous,
        highest,
        open: Vec::new(),
        engram: EngramCheck::default(),
        found: Vec::new(),
    };
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
        self.engram.broken(file, &mut self.found);
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
                self.engram.entry(name, offset, header, &mut self.found);
                self.report.duplicates += u64::from(repeated);
                if (header.epoch(), header.chain(), header.control()) != (Epoch::ZERO, 0, Control::user()) {
                    self.damage(name, offset + 36, BreakReason::NotEngrams);
                } else if header.node_local() != [0; 8] {
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
                | BreakReason::Start(_)
                | BreakReason::CutShort { .. }
                | BreakReason::Sequence { .. }
                | BreakReason::Epoch { .. }
                | BreakReason::Chain { .. }
                | BreakReason::Witness { .. }
                | BreakReason::NodeLocalNotZero
                | BreakReason::NotEngrams
                | BreakReason::EndsEarly { .. }
                | BreakReason::MissingSegment { .. }
                | BreakReason::NotZero
                | BreakReason::Repeated { .. }
                | BreakReason::MissingEngramFile { .. }
                | BreakReason::OlderThanFileBefore { .. } => false,
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
        if origin == Origin::Engram {
            self.tell_engrams_order();
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
    fn tell_engrams_order(&mut self) {
        self.engram.finish(&mut self.found);
        for found in core::mem::take(&mut self.found) {
            match found {
                Found::Damage { file, offset, reason } => self.damage(file, offset, reason),
                Found::Gap { file, offset, expected, found } => {
                    let file = self.file(file);
                    self.report.gap(Gap { file, offset, expected, found });
                }
            }
        }
    }
}

//! Files of Engram's that are missing or stand in another's place, as far as what is left testifies.
//!
//! Engram's writer makes one file whenever it starts, named by the clock's second, and both of its counters begin at 0
//! in it; compaction writes one that begins at 0 as well. So in a whole directory each file's lowest number is 0 or
//! goes on from the file before, where one log was split.

use crate::types::{Sequence, WalEntryHeader};
use crate::wal::error::BreakReason;
use crate::wal::segment_name::SegmentName;
use crate::wal::sequence_set::SequenceSet;

use super::DAMAGE_MAX;

/// What the walk has found out about the order of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It is not as any writer leaves it.
    Damage { file: SegmentName, offset: u64, reason: BreakReason },
    /// Numbers are left out: where they went cannot be told.
    Gap { file: SegmentName, offset: u64, expected: u64, found: u64 },
}

/// What was met of one file.
#[derive(Debug)]
struct File {
    name: SegmentName,
    seen: SequenceSet,
    /// The lowest number and where it stands.
    lowest: Option<(u64, u64)>,
    /// Whether a break stands before that entry.
    broken_before_lowest: bool,
    /// Whether any break was met.
    broken: bool,
    /// Whether a break was met since the last entry.
    broken_before_next: bool,
    /// The lowest and the highest timestamp.
    timestamps: (u64, u64),
    /// Entries whose predecessor had not been met: number and offset.
    jumps: Vec<(u64, u64)>,
}

impl File {
    const fn new(name: SegmentName) -> Self {
        Self {
            name,
            seen: SequenceSet::new(),
            lowest: None,
            broken_before_lowest: false,
            broken: false,
            broken_before_next: false,
            timestamps: (u64::MAX, 0),
            jumps: Vec::new(),
        }
    }

    /// Whether an entry of that number can follow what stands here.
    fn leads_to(&self, number: u64) -> bool {
        number.checked_sub(1).is_none_or(|before| self.seen.contains(before))
    }
}

/// The walk over the files of a directory, in their order.
#[derive(Debug, Default)]
pub(super) struct EngramCheck {
    /// The last file before the current one that has entries.
    before: Option<File>,
    /// Whether a file behind that one was broken and has none.
    broken_between: bool,
    current: Option<File>,
}

impl EngramCheck {
    /// A break in a file.
    pub(super) fn broken(&mut self, name: SegmentName, found: &mut Vec<Found>) {
        let file = self.enter(name, found);
        file.broken = true;
        file.broken_before_next = true;
    }

    /// An entry that checks out.
    pub(super) fn entry(&mut self, name: SegmentName, offset: u64, header: &WalEntryHeader, found: &mut Vec<Found>) {
        let file = self.enter(name, found);
        let number = header.sequence().0;
        let after_a_break = core::mem::take(&mut file.broken_before_next);
        let is_first = file.lowest.is_none();
        if !is_first && !after_a_break && !file.leads_to(number) && file.jumps.len() < DAMAGE_MAX {
            file.jumps.push((number, offset));
        }
        if file.lowest.is_none_or(|(lowest, _)| number < lowest) {
            file.lowest = Some((number, offset));
            file.broken_before_lowest = file.broken;
        }
        file.seen.insert(number);
        let (oldest, newest) = file.timestamps;
        file.timestamps = (oldest.min(header.timestamp()), newest.max(header.timestamp()));
    }

    /// Behind the last file.
    pub(super) fn finish(&mut self, found: &mut Vec<Found>) {
        let Some(file) = self.current.take() else { return };
        self.judge(&file, found);
        if file.lowest.is_some() {
            self.before = Some(file);
            self.broken_between = false;
        } else {
            self.broken_between |= file.broken;
        }
    }

    fn enter(&mut self, name: SegmentName, found: &mut Vec<Found>) -> &mut File {
        if self.current.as_ref().is_none_or(|file| file.name != name) {
            self.finish(found);
        }
        self.current.get_or_insert_with(|| File::new(name))
    }

    fn judge(&self, file: &File, found: &mut Vec<Found>) {
        let Some((lowest, offset)) = file.lowest else { return };
        // A break may have cost the entries in between, and is reported itself.
        let told = self.broken_between || file.broken_before_lowest;
        let goes_on = self.before.as_ref().is_some_and(|before| before.broken || before.leads_to(lowest));
        if lowest > 0 && !goes_on && !told {
            let expected = self.before.as_ref().and_then(|before| before.seen.bounds());
            let expected = Sequence(expected.map_or(0, |(_, highest)| highest.saturating_add(1)));
            let reason = BreakReason::MissingEngramFile { expected, found: Sequence(lowest) };
            found.push(Found::Damage { file: file.name, offset, reason });
        }
        if let Some(before) = &self.before
            && file.timestamps.1 < before.timestamps.0
            && file.timestamps.1 < file.name.0.0.saturating_mul(1_000_000_000)
        {
            let (expected, newest) = (before.timestamps.0, file.timestamps.1);
            let reason = BreakReason::OlderThanFileBefore { expected, found: newest };
            found.push(Found::Damage { file: file.name, offset: 0, reason });
        }
        // Where a log was split, its other counter goes on from the file before as well.
        let split_from = self.before.as_ref().filter(|_| lowest > 0);
        for (number, offset) in &file.jumps {
            let led_to = file.leads_to(*number) || split_from.is_some_and(|before| before.leads_to(*number));
            if !led_to {
                let expected = file.seen.highest_below(*number).map_or(0, |below| below.saturating_add(1));
                found.push(Found::Gap { file: file.name, offset: *offset, expected, found: *number });
            }
        }
    }
}

//! The newest entries of a log, kept in memory so that replicas that keep up are served without reading the disk.

use alloc::collections::VecDeque;

use crate::types::{Entry, Position, Sequence};

/// A contiguous run of entries up to the log's end, durable ones and those under way.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Tail {
    /// The entry before the first; the log's end where there is none.
    before: Position,
    entries: VecDeque<Kept>,
    /// Bytes of all entries that were ever added.
    total: u64,
}

#[derive(Debug, Clone, Hash)]
struct Kept {
    entry: Entry,
    /// Bytes of all entries that were ever added, up to and including this one.
    total: u64,
}

impl Tail {
    /// An empty tail behind the log's end.
    pub(crate) fn new(end: Position) -> Self {
        Self { before: end, entries: VecDeque::new(), total: 0 }
    }

    /// The first sequence that is kept; one past the end where none is.
    pub(crate) fn first(&self) -> Sequence {
        self.before.sequence.next()
    }

    /// The position of the entry at `sequence`, where it is kept or stands right before.
    pub(crate) fn position(&self, sequence: Sequence) -> Option<Position> {
        if sequence == self.before.sequence {
            return Some(self.before);
        }
        self.kept(sequence).map(|kept| kept.entry.position())
    }

    /// Adds the entry behind the end.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.total += entry.size() as u64;
        self.entries.push_back(Kept { entry, total: self.total });
    }

    /// The entries from `first` up to and including `last`.
    pub(crate) fn range(&self, first: Sequence, last: Sequence) -> impl Iterator<Item = &Entry> {
        let skip = usize::try_from(first.0.saturating_sub(self.first().0)).unwrap_or(usize::MAX);
        let count = usize::try_from(last.next().0.saturating_sub(first.0)).unwrap_or(usize::MAX);
        let end = skip.saturating_add(count).min(self.entries.len());
        self.entries.range(skip.min(end)..end).map(|kept| &kept.entry)
    }

    /// The bytes of the entries from `first` up to and including `last`, without walking them.
    pub(crate) fn bytes(&self, first: Sequence, last: Sequence) -> u64 {
        let Some(lowest) = self.kept(first) else { return 0 };
        let highest = self.kept(last).map_or(self.total, |kept| kept.total);
        (highest + lowest.entry.size() as u64).saturating_sub(lowest.total)
    }

    /// Drops what nobody needs (up to `needless`), and durable entries beyond `bytes_max`, oldest first.
    pub(crate) fn trim(&mut self, needless: Sequence, durable: Sequence, bytes_max: u64) {
        while let Some(kept) = self.entries.front() {
            let sequence = kept.entry.header.sequence();
            let bytes = (self.total + kept.entry.size() as u64).saturating_sub(kept.total);
            if sequence > durable || (sequence > needless && bytes <= bytes_max) {
                break;
            }
            self.before = kept.entry.position();
            self.entries.pop_front();
        }
    }

    fn kept(&self, sequence: Sequence) -> Option<&Kept> {
        let index = sequence.0.checked_sub(self.first().0)?;
        self.entries.get(usize::try_from(index).ok()?)
    }
}

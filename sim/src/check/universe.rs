//! Every entry that any node ever wrote, and which of them are committed.

use alloc::collections::BTreeMap;

use engraft::types::{Epoch, Sequence};

use super::log::Record;
use super::members::Start;

/// Every entry of a space that any node ever wrote.
#[derive(Debug, Default)]
pub(crate) struct Universe {
    /// By sequence less one: the entry that was seen there first.
    first: Vec<Option<Known>>,
    /// Others of the same sequence.
    others: BTreeMap<(Sequence, Epoch), Known>,
    /// By lineage, and by sequence less one: epoch and chain of what is committed, and the epoch by which it is.
    committed: BTreeMap<Epoch, Vec<(Epoch, u32, Epoch)>>,
    /// The first entry of each epoch, and what it says.
    starts: BTreeMap<Epoch, (Sequence, Start)>,
}

/// What two nodes must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) epoch: Epoch,
    pub(crate) chain: u32,
    pub(crate) header_crc: u32,
    pub(crate) payload_crc: u32,
}

impl From<&Record> for Known {
    fn from(record: &Record) -> Self {
        Self {
            epoch: record.epoch,
            chain: record.chain,
            header_crc: record.header_crc,
            payload_crc: record.payload_crc,
        }
    }
}

impl Universe {
    /// What is known of the entry of this epoch and sequence.
    pub(crate) fn known(&self, epoch: Epoch, sequence: Sequence) -> Option<Known> {
        match self.first.get(index(sequence)).copied().flatten() {
            Some(known) if known.epoch == epoch => Some(known),
            _ => self.others.get(&(sequence, epoch)).copied(),
        }
    }

    pub(crate) fn learn(&mut self, sequence: Sequence, known: Known) {
        let at = index(sequence);
        if self.first.len() <= at {
            self.first.resize(at + 1, None);
        }
        match self.first.get_mut(at) {
            Some(place @ None) => *place = Some(known),
            Some(Some(_)) | None => {
                self.others.insert((sequence, known.epoch), known);
            }
        }
    }

    /// The first entry of an epoch was written.
    pub(crate) fn learn_start(&mut self, epoch: Epoch, first: Sequence, start: Start) {
        self.starts.insert(epoch, (first, start));
    }

    /// Where an epoch began first, and what it says.
    pub(crate) fn start(&self, epoch: Epoch) -> Option<(Sequence, Start)> {
        self.starts.get(&epoch).copied()
    }

    /// An epoch between two of the same owner that another node began.
    pub(crate) fn start_of_another(&self, above: Epoch, below: Epoch) -> Option<Epoch> {
        let between = |epoch: &&Epoch| **epoch > above && epoch.owner() != below.owner();
        self.starts.range(..below).map(|(epoch, _)| epoch).rfind(between).copied()
    }

    /// The lineage of an epoch, as its first entry says.
    pub(crate) fn lineage_of(&self, epoch: Epoch) -> Epoch {
        self.start(epoch).map_or(Epoch::ZERO, |(_, start)| start.lineage)
    }

    fn of(&self, lineage: Epoch) -> &[(Epoch, u32, Epoch)] {
        self.committed.get(&lineage).map_or(&[], Vec::as_slice)
    }

    /// The lineages in which anything is committed, and those that were begun by force.
    pub(crate) fn lineages(&self) -> impl Iterator<Item = Epoch> {
        self.committed.keys().copied()
    }

    /// The lineage of the highest generation.
    pub(crate) fn newest_lineage(&self) -> Epoch {
        self.committed.last_key_value().map_or(Epoch::ZERO, |(lineage, _)| *lineage)
    }

    /// A forced start begins a lineage with what is committed in the one before and is in the log there.
    pub(crate) fn fork(&mut self, lineage: Epoch, before: Epoch, is_there: impl Fn(Sequence, Epoch, u32) -> bool) {
        let old = self.of(before).iter().zip(1..);
        let kept = old.take_while(|((epoch, chain, _), sequence)| is_there(Sequence(*sequence), *epoch, *chain));
        let kept = kept.map(|(committed, _)| *committed).collect();
        self.committed.insert(lineage, kept);
    }

    /// The lineages above a generation in which this entry is not committed.
    pub(crate) fn lineages_without(&self, generation: u16, sequence: Sequence, epoch: Epoch) -> Vec<Epoch> {
        let without = |lineage: &Epoch| self.committed_at(*lineage, sequence).is_none_or(|(other, _)| other != epoch);
        self.committed.keys().copied().filter(|lineage| lineage.generation() > generation).filter(without).collect()
    }

    pub(crate) fn committed(&self, lineage: Epoch) -> Sequence {
        Sequence(self.of(lineage).len() as u64)
    }

    /// The last entry known to be committed in a lineage: sequence, epoch, chain.
    pub(crate) fn committed_end(&self, lineage: Epoch) -> Option<(Sequence, Epoch, u32)> {
        self.of(lineage).last().map(|(epoch, chain, _)| (self.committed(lineage), *epoch, *chain))
    }

    /// The last entry that was committed in a lineage before an epoch: sequence, epoch, chain. A primary of that epoch need
    /// not have what a later one committed, and commits nothing any more once there is such.
    pub(crate) fn committed_before(&self, lineage: Epoch, epoch: Epoch) -> Option<(Sequence, Epoch, u32)> {
        let committed = self.of(lineage);
        let last = committed.iter().rposition(|(.., by)| *by < epoch)?;
        committed.get(last).map(|(epoch, chain, _)| (Sequence(last as u64 + 1), *epoch, *chain))
    }

    /// Epoch and chain of the committed entry of that sequence.
    pub(crate) fn committed_at(&self, lineage: Epoch, sequence: Sequence) -> Option<(Epoch, u32)> {
        self.of(lineage).get(index(sequence)).map(|(epoch, chain, _)| (*epoch, *chain))
    }

    /// The last committed entry is on no voter's disk any more.
    pub(crate) fn lose_last(&mut self, lineage: Epoch) {
        self.committed.entry(lineage).or_default().pop();
    }

    /// The next entry is committed, by one of the epoch `by`.
    pub(crate) fn commit(&mut self, lineage: Epoch, epoch: Epoch, chain: u32, by: Epoch) {
        self.committed.entry(lineage).or_default().push((epoch, chain, by));
    }
}

fn index(sequence: Sequence) -> usize {
    usize::try_from(sequence.0.saturating_sub(1)).unwrap_or(usize::MAX)
}

//! Who votes in which epoch, as the entries say that begin epochs, and whether changes of that keep their rule.

use engraft::types::entry::StartBody;
use engraft::types::{Epoch, Sequence};

use super::log::Record;
use super::{Checks, Invariant, SpaceChecks, SpaceIndex, node_index};
use crate::queue::NodeIndex;

/// Some of at most 64 nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct NodeSet(u64);

/// What an entry says that begins an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// The voters that it names; none where they are the configured ones.
    named: NodeSet,
    /// The epoch of the last forced start.
    pub(crate) lineage: Epoch,
}

impl NodeSet {
    pub(super) fn of(nodes: impl IntoIterator<Item = NodeIndex>) -> Self {
        Self(nodes.into_iter().filter(|node| *node < 64).fold(0, |set, node| set | 1 << node))
    }

    pub(crate) const fn contains(self, node: NodeIndex) -> bool {
        node < 64 && self.0 & 1 << node != 0
    }

    pub(crate) const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    pub(crate) const fn majority(self) -> usize {
        self.len() / 2 + 1
    }

    /// Whether each majority of these has a node in common with each majority of the others.
    fn meets(self, other: Self) -> bool {
        let common = Self(self.0 & other.0).len();
        // A majority takes as few of the common nodes as it can.
        let taken = |set: Self| set.majority().saturating_sub(set.len() - common);
        taken(self) + taken(other) > common
    }
}

impl Start {
    /// What a start entry's payload says.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let StartBody { lineage, voters, .. } = StartBody::parse(payload).ok()?;
        Some(Self { named: NodeSet::of(voters.into_iter().map(node_index)), lineage })
    }
}

impl SpaceChecks {
    /// Who votes in an epoch; the configured voters where its first entry is not known.
    pub(crate) fn voters_in(&self, epoch: Epoch) -> NodeSet {
        let named = self.universe.start(epoch).map(|(_, start)| start.named);
        named.filter(|named| named.len() > 0).unwrap_or_else(|| NodeSet::of(self.voters.iter().copied()))
    }

    /// Who votes by a node's log.
    pub(super) fn voters_in_force(&self, node: NodeIndex) -> NodeSet {
        let log = &self.logs[node];
        self.voters_in(log.record(log.end()).map_or(Epoch::ZERO, |record| record.epoch))
    }

    /// The lineage that a node's log is of.
    pub(crate) fn lineage(&self, node: NodeIndex) -> Epoch {
        let log = &self.logs[node];
        log.record(log.end()).map_or(Epoch::ZERO, |record| self.universe.lineage_of(record.epoch))
    }

    /// The lineage in which this much is committed: that of the node's log, or that of its promise, whose entries may be on
    /// their way to its disk.
    pub(super) fn lineage_with(&self, node: NodeIndex, commit: Sequence) -> Option<Epoch> {
        let (ours, promised) = (self.lineage(node), self.views[node].saved.generation());
        let other = ours.generation() != promised;
        let of_promise = self.universe.lineages().filter(|lineage| other && lineage.generation() == promised);
        core::iter::once(ours).chain(of_promise).find(|lineage| commit <= self.universe.committed(*lineage))
    }

    /// How far is committed in the lineage in which that much is; in that of the node's log where it is in none.
    pub(super) fn committed_at_least(&self, node: NodeIndex, sequence: Sequence) -> Sequence {
        self.universe.committed(self.lineage_with(node, sequence).unwrap_or_else(|| self.lineage(node)))
    }

    /// Whether an operator forced a node on.
    pub(crate) fn is_forced(&self) -> bool {
        self.universe.newest_lineage() != Epoch::ZERO
    }
}

impl Checks {
    /// The entry that begins an epoch was written for the first time.
    pub(super) fn start_written(&mut self, node: NodeIndex, space: SpaceIndex, sequence: Sequence, record: &Record) {
        let Some(start) = record.start else { return };
        let at = &mut self.spaces[space];
        let before = at.logs[node].record(sequence.previous()).map_or(Epoch::ZERO, |record| record.epoch);
        at.universe.learn_start(record.epoch, sequence, start);
        let lineage = at.universe.lineage_of(before);
        let begins = sequence;
        if start.lineage == record.epoch && record.epoch != Epoch::ZERO {
            let log = &at.logs[node];
            let above = start.lineage.generation() > lineage.generation();
            at.universe.fork(start.lineage, lineage, |sequence, epoch, chain| {
                sequence < begins && log.record(sequence).is_some_and(|own| (own.epoch, own.chain) == (epoch, chain))
            });
            at.elects = true;
            self.require(above, Invariant::S29, node, space, || {
                format!("{} begins a lineage behind {lineage}, which is of its generation", record.epoch)
            });
            return;
        }
        self.require(start.lineage == lineage, Invariant::S29, node, space, || {
            format!("{} of {} follows {before} of {lineage}", record.epoch, start.lineage)
        });
        let at = &self.spaces[space];
        let (old, new) = (at.voters_in(before), at.voters_in(record.epoch));
        if old == new {
            return;
        }
        self.require(old.meets(new), Invariant::S17, node, space, || {
            format!("{} begins with voters whose quorums need not meet those of {before}", record.epoch)
        });
        let at = &self.spaces[space];
        if new == NodeSet::of([node]) && old.len() == 2 {
            let other = at.universe.start_of_another(before, record.epoch);
            self.require(other.is_none(), Invariant::S17, node, space, || {
                format!("is alone in {} from {before} on, though there was {other:?}", record.epoch)
            });
        } else {
            let opened = at.universe.start(before).map_or(Sequence::ZERO, |(first, _)| first);
            let committed = at.universe.committed_at(lineage, opened).is_some_and(|(epoch, _)| epoch == before);
            self.require(committed || opened == Sequence::ZERO, Invariant::S17, node, space, || {
                format!("changes the voters with {} before {before}{opened} is committed", record.epoch)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums_meet_where_no_two_of_them_can_be_apart() {
        let set = |nodes: &[NodeIndex]| NodeSet::of(nodes.iter().copied());
        let cases: &[(&[NodeIndex], &[NodeIndex], bool)] = &[
            (&[0, 1], &[0], true),
            (&[0], &[0, 1], true),
            (&[0], &[1], false),
            (&[0, 1], &[1, 2], true),
            (&[0, 1, 2], &[0, 1, 2, 3], true),
            (&[0, 1, 2], &[2, 3, 4], false),
            (&[0], &[0, 1, 2], false),
            (&[0, 1, 2], &[0], false),
        ];
        for (one, other, meet) in cases {
            assert_eq!(set(one).meets(set(other)), *meet, "{one:?} {other:?}");
        }
    }
}

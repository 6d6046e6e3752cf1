//! What a crash leaves, and what recovery makes of it.

use engraft::core::SpaceOpened;
use engraft::types::{Epoch, Sequence, SpaceName};

use super::log::Parsed;
use super::{Checks, Damage, Invariant, SpaceIndex};
use crate::disk::SimDisk;
use crate::queue::NodeIndex;

impl Checks {
    /// Reads all logs of a node again after its power failed: what is there now is what it has. Says whether anything is
    /// gone that a weak fsync mode had called durable.
    pub(crate) fn power_failed(&mut self, node: NodeIndex, disk: &SimDisk) -> bool {
        let mut forgot = false;
        let ends: Vec<_> =
            self.spaces.iter().map(|space| (space.logs[node].end(), space.logs[node].durable_end())).collect();
        for space in &mut self.spaces {
            space.logs[node].clear();
        }
        for (path, file) in disk.paths() {
            if let Some((space, first)) = self.segment_of(&path) {
                self.spaces[space].logs[node].add_segment(file, first);
            }
        }
        for (space, (end, synced)) in (0..self.spaces.len()).zip(ends) {
            // Segments continue each other's chains, so they are read in order.
            for (_, file) in self.files_of(node, space) {
                let log = &mut self.spaces[space].logs[node];
                let mut parsed = Parsed::default();
                disk.with_bytes(file, |bytes| log.parse(file, 0, u64::MAX, bytes, &mut parsed));
                if let Some((first, count)) = parsed.new {
                    self.survivors_are_known(node, space, first, count);
                }
            }
            let at = &mut self.spaces[space];
            let (weak, lineage) = (at.is_weak(), at.lineage(node));
            at.views[node].recovering |= weak;
            let log = &mut at.logs[node];
            log.left_by_power(synced);
            if weak && log.end() < end {
                log.damage.forgot = true;
                forgot = true;
                // What was answered at Local alone may be gone with it, and what comes next stands in its place.
                if let Some(answered) = at.answered.get_mut(&lineage).filter(|_| node == at.home) {
                    *answered = at.universe.committed(lineage).min(*answered);
                }
            }
        }
        forgot
    }

    /// Whether anything was done to a node's bytes behind its back.
    pub(crate) fn is_damaged(&self, node: NodeIndex) -> bool {
        let touched = |damage: Damage| damage.anything || damage.rotten.is_some();
        self.spaces.iter().any(|space| touched(space.logs[node].damage))
    }

    fn files_of(&self, node: NodeIndex, space: SpaceIndex) -> Vec<(Sequence, crate::disk::FileNumber)> {
        self.spaces[space].logs[node].files()
    }

    fn survivors_are_known(&mut self, node: NodeIndex, space: SpaceIndex, first: Sequence, count: usize) {
        for sequence in first.0..first.0 + count as u64 {
            let at = &self.spaces[space];
            let Some(record) = at.logs[node].record(Sequence(sequence)) else { continue };
            let epoch = record.epoch;
            let same = at.universe.known(epoch, Sequence(sequence)).is_some_and(|known| known == record.into());
            self.require(same, Invariant::S4, node, space, || format!("a crash left an unknown {epoch}#{sequence}"));
        }
    }

    /// A node's disk is new.
    pub(crate) fn wiped(&mut self, node: NodeIndex) {
        for space in &mut self.spaces {
            space.logs[node].clear();
            space.logs[node].damage = Damage { anything: true, ..Damage::default() };
            let view = &mut space.views[node];
            view.exposed = Epoch::ZERO;
            view.wiped = true;
        }
    }

    /// Whether a wiped node is in no quorum of a space.
    pub(crate) fn excluded(&mut self, node: NodeIndex, space: SpaceIndex, excluded: bool) {
        self.spaces[space].logs[node].damage.excluded = excluded;
    }

    /// Nothing that a node's disk says is durable can be trusted any more.
    pub(crate) fn untrusted(&mut self, node: NodeIndex) {
        for space in &mut self.spaces {
            space.logs[node].damage.anything = true;
        }
    }

    /// A bit of an entry has turned.
    pub(crate) fn rotted(&mut self, node: NodeIndex, space: SpaceIndex, sequence: Sequence) {
        let damage = &mut self.spaces[space].logs[node].damage;
        damage.rotten = Some(damage.rotten.map_or(sequence, |lowest| lowest.min(sequence)));
    }

    /// A process begins; nothing that it said in its last life as a process binds it, save promises.
    pub(crate) fn process_begins(&mut self, node: NodeIndex) {
        for space in &mut self.spaces {
            let view = &mut space.views[node];
            view.claimed = Sequence::ZERO;
            view.storage_failed = false;
            view.leaves();
        }
    }

    /// A process is gone, and what it had durable is noted.
    pub(crate) fn process_ends(&mut self, node: NodeIndex) {
        for space in &mut self.spaces {
            let view = &mut space.views[node];
            view.cut = None;
            view.leaves();
        }
    }

    /// Recovery opened a space. `durable` is what was durable when the process before it ended.
    pub(crate) fn opened(
        &mut self,
        node: NodeIndex,
        opened: &SpaceOpened,
        durable: Sequence,
        durable_before: Sequence,
    ) {
        let Some(space) = self.space(opened.name.id()) else { return };
        let at = &mut self.spaces[space];
        at.views[node].saved = opened.promise;
        // A truncation that a crash interrupted is completed by recovery.
        let cut = at.views[node].cut.take().unwrap_or(Sequence(u64::MAX));
        let (durable, durable_before) = (durable.min(cut), durable_before.min(cut));
        let log = &at.logs[node];
        let damage = log.damage;
        let exposed = at.views[node].exposed;
        let end = opened.end;
        let own = log.record(end.sequence).map(|record| (record.epoch, record.chain));
        let agrees = end.sequence == Sequence::ZERO || own == Some((end.epoch, end.chain));
        self.require(opened.promise >= exposed || damage.anything, Invariant::S2, node, space, || {
            format!("comes back with the promise {} after it went by {exposed}", opened.promise)
        });
        if damage.anything {
            // What it promised may be gone with the rest, and with it the epochs that it will open.
            let view = &mut self.spaces[space].views[node];
            view.exposed = opened.promise;
            view.earlier.clear();
            return;
        }
        self.opens_recovering(node, space, opened);
        let damage = self.spaces[space].logs[node].damage;
        match damage.rotten {
            Some(rotten) => {
                self.require(rotten > durable_before && end.sequence < rotten, Invariant::S20, node, space, || {
                    format!(
                        "opens with {} although {rotten} is rotten and {durable_before} is known to be synced",
                        end.sequence
                    )
                })
            }
            None => self.require(end.sequence >= durable, Invariant::S5, node, space, || {
                format!("comes back with {} where {durable} was durable", end.sequence)
            }),
        }
        self.require(agrees, Invariant::S4, node, space, || format!("opens with {end}, which its bytes do not say"));
        // What opening left is durable, and a rotten end that was cut is gone.
        self.spaces[space].logs[node].damage = Damage { forgot: damage.forgot, ..Damage::default() };
    }

    /// Recovery could not open a space.
    pub(crate) fn open_failed(&mut self, node: NodeIndex, name: &SpaceName, excused: bool, words: &str) {
        let Some(space) = self.space(name.id()) else { return };
        let damage = self.spaces[space].logs[node].damage;
        let reason = excused || damage.anything || damage.rotten.is_some();
        self.require(reason, Invariant::S5, node, space, || {
            format!("cannot be opened although nothing is wrong: {words}")
        });
    }
}

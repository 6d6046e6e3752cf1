//! Who forgot what it acknowledged in a power failure, and when it counts again.

use engraft::core::SpaceOpened;
use engraft::types::{Epoch, Sequence, SpaceId};

use super::{Checks, Invariant, SpaceIndex};
use crate::queue::NodeIndex;

impl Checks {
    /// A space opens: who lost what it acknowledged has to know.
    pub(super) fn opens_recovering(&mut self, node: NodeIndex, space: SpaceIndex, opened: &SpaceOpened) {
        let at = &mut self.spaces[space];
        at.views[node].recovering = opened.recovering;
        let damage = &mut at.logs[node].damage;
        // Who never promised anything acknowledged nothing.
        damage.forgot &= opened.promise != Epoch::ZERO;
        let forgot = damage.forgot;
        self.require(opened.recovering || !forgot, Invariant::S19, node, space, || {
            format!("lost power with what it acknowledged, and opens with {} as if nothing were", opened.end)
        });
    }

    /// A node says that it counts again: whatever it acknowledged and is committed, it has.
    pub(crate) fn recovered(&mut self, node: NodeIndex, id: SpaceId) {
        let Some(space) = self.space(id) else { return };
        let at = &mut self.spaces[space];
        at.views[node].recovering = false;
        at.logs[node].damage.forgot = false;
        if at.logs[node].damage.anything {
            return;
        }
        let lineage = at.lineage(node);
        let view = &at.views[node];
        let committed = (1..=at.universe.committed(lineage).0).rev().map(Sequence);
        // What it acknowledged at a sequence may have been another entry than the one that is committed there.
        let last = committed
            .filter_map(|last| Some((last, at.universe.committed_at(lineage, last)?)))
            .find(|(last, (epoch, _))| view.acknowledged(*epoch, *last));
        let has = last.is_none_or(|(last, committed)| {
            at.logs[node].record(last).is_some_and(|own| (own.epoch, own.chain) == committed)
        });
        let last = last.map_or(Sequence::ZERO, |(last, _)| last);
        self.require(has, Invariant::S19, node, space, || {
            format!("counts again without {last}, which it acknowledged and which is committed")
        });
    }

    /// A node is elected by all voters, since too few remember. Says whether anything committed is lost by it.
    pub(crate) fn committed_may_be_lost(&mut self, node: NodeIndex, id: SpaceId) -> bool {
        let Some(space) = self.space(id) else { return false };
        let at = &self.spaces[space];
        let in_force = at.voters_in_force(node);
        let counts = |voter: &&NodeIndex| in_force.contains(**voter) && !at.is_recovering(**voter);
        let remember = at.voters.iter().filter(counts).count();
        let (voters, majority) = (in_force.len(), in_force.majority());
        self.require(remember < majority, Invariant::S6, node, space, || {
            format!("gives up what it does not have, and {remember} of {voters} voters remember")
        });
        let at = &mut self.spaces[space];
        let lineage = at.lineage(node);
        let mut lost = false;
        while let Some((sequence, epoch, chain)) = at.universe.committed_end(lineage)
            && at.logs[node].record(sequence).is_none_or(|own| (own.epoch, own.chain) != (epoch, chain))
        {
            at.universe.lose_last(lineage);
            lost = true;
        }
        at.lost_committed |= lost;
        lost
    }
}

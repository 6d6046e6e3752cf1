//! Nodes that lose their disks, and whom they can still talk to.

use super::World;
use crate::mark::Mark;
use crate::queue::NodeIndex;

impl World<'_> {
    /// The node loses everything and will come back as new.
    pub(super) fn wipe(&mut self, node: NodeIndex) {
        let primary = self.checks.spaces.iter().any(|space| space.primary() == node);
        self.die(node, true);
        if primary {
            self.marks.hit(Mark::PrimaryWiped);
        }
        let at = &mut self.nodes[node];
        at.disk.wipe();
        at.disk.keep_changes();
        at.disks += 1;
        at.wiped = true;
        at.known.clear();
        self.checks.wiped(node);
        self.find_excluded();
    }

    /// Which wiped nodes are in no quorum: those that none of the others takes for who it was, or that take no other for
    /// it. Where one never met the node as it was, it takes what came back for it: what they agree on is not judged then.
    fn find_excluded(&mut self) {
        for wiped in (0..self.nodes.len()).filter(|node| self.nodes[*node].wiped) {
            for space in 0..self.checks.spaces.len() {
                let voters = &self.checks.spaces[space].voters;
                let others: Vec<NodeIndex> = voters.iter().copied().filter(|voter| *voter != wiped).collect();
                let excluded = !others.is_empty() && others.iter().all(|other| self.never_talk(wiped, *other));
                self.checks.excluded(wiped, space, excluded);
            }
        }
    }

    /// Whether one of the two knows the other as it is no more.
    fn never_talk(&self, one: NodeIndex, other: NodeIndex) -> bool {
        let refuses = |by: NodeIndex, of: NodeIndex| {
            self.nodes[by].known.get(&of).is_some_and(|disks| *disks != self.nodes[of].disks)
        };
        refuses(one, other) || refuses(other, one)
    }
}

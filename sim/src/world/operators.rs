//! What operators do to nodes.

use engraft::core::{Command, Event, PromoteBy};
use engraft::types::RequestId;

use super::World;
use crate::check::node_index;
use crate::mark::Mark;
use crate::queue::NodeIndex;
use crate::scenario::Fault;

impl World<'_> {
    pub(super) fn open_epochs(&mut self, node: NodeIndex) {
        self.net.recall(node);
        for space in 0..self.checks.spaces.len() {
            let at = &self.checks.spaces[space];
            if at.primary() == node && self.nodes[node].process.is_some() {
                let space = at.id;
                self.marks.hit(Mark::EpochOpenedAgain);
                self.handle(node, Event::Command(Command::OpenEpoch { space }));
            }
        }
    }

    /// Has a node go on by itself. Engines of others apply what is committed, and none of them is told to take it back here.
    pub(super) fn force(&mut self, node: NodeIndex, insists: bool) {
        let by = if insists { PromoteBy::ForceThoughAlive } else { PromoteBy::Force };
        for space in 0..self.checks.spaces.len() {
            let at = &self.checks.spaces[space];
            let runs = self.nodes[node].process.is_some() && self.own.engine.is_none();
            if at.voters.contains(&node) && runs {
                let (space, request) = (at.id, RequestId(u64::MAX));
                self.handle(node, Event::Command(Command::Promote { space, request, by }));
            }
        }
    }

    pub(super) fn command_replica(&mut self, fault: &Fault, pause: bool) {
        let node = node_index(fault.node);
        let Some(replica) = fault.peer else { return };
        for space in 0..self.checks.spaces.len() {
            let at = &self.checks.spaces[space];
            if at.primary() == node && at.voters.contains(&node_index(replica)) {
                let space = at.id;
                let command = if pause {
                    Command::PauseReplica { space, replica }
                } else {
                    Command::ResumeReplica { space, replica }
                };
                self.handle(node, Event::Command(command));
            }
        }
    }
}

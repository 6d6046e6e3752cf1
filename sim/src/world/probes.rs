//! Clients that ask until a space answers, and go from node to node for that.

use super::World;
use super::clients::Client;
use crate::check::SpaceIndex;
use crate::history::OperationState;
use crate::queue::{NodeIndex, Occurrence};
use crate::scenario::{Load, LoadAck};

/// How long a probe waits for an answer before it asks another node, and how many may wait.
const PROBE_PATIENCE_US: u64 = 1_500_000;
const PROBES_MAX: u64 = 64;

impl World<'_> {
    /// The client of an operation turns to another node: to the one that was named, or to the next. Whether it does.
    pub(super) fn look_elsewhere(&mut self, operation: usize, hint: Option<NodeIndex>) -> bool {
        let asked = &self.operations[operation];
        let client = &mut self.clients[asked.load];
        let at = client.others.iter().position(|other| *other == client.node);
        let next = client.others.get(at.map_or(0, |at| at + 1)).or(client.others.first()).copied();
        let next = hint.filter(|hint| client.others.contains(hint)).or(next);
        // Another answer may have turned it already.
        if client.node == asked.node
            && let Some(next) = next
        {
            client.node = next;
        }
        !client.others.is_empty()
    }

    /// A probe that has waited for too long asks another node beside: the one that it asked may stand still.
    pub(super) fn nudge(&mut self, probe: usize) {
        let last = self.operations.iter().rposition(|operation| operation.load == probe);
        let Some(operation) = last else { return };
        let asked = &self.operations[operation];
        let overdue = asked.state == OperationState::Waiting && asked.asked.0 + PROBE_PATIENCE_US <= self.now.0;
        if overdue && self.clients[probe].left == 0 && self.look_elsewhere(operation, None) {
            self.clients[probe].left += 1;
            self.plan_burst(probe);
        }
    }

    /// A client that wants to see one append committed, and asks these nodes first; tells whether a live quorum makes
    /// progress.
    pub(super) fn probe(&mut self, space: SpaceIndex, first: &[NodeIndex]) -> usize {
        let load = Load {
            at_us: self.now.0,
            space: self.checks.spaces[space].name.clone(),
            to: None,
            entries: 1,
            burst: 1,
            every_us: 20_000,
            in_flight: PROBES_MAX,
            bytes_min: 16,
            bytes_max: 16,
            ack: LoadAck::Quorum,
            // Whoever is cut off says nothing else for all that time.
            timeout_us: Some(if self.checks.spaces[space].elects { 1_000_000 } else { 4_000_000 }),
            reads_permille: 0,
            waits_permille: 0,
            follows: false,
        };
        let index = self.clients.len();
        let mut client = Client::new(&load, self.scenario);
        client.others.sort_by_key(|other| !first.contains(other));
        client.node = client.others.first().copied().unwrap_or(client.node);
        self.clients.push(client);
        self.queue.push(self.now, Occurrence::Burst { load: index });
        index
    }
}

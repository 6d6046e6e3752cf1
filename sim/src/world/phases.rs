//! Chaos, then a connected quorum healed, then everything healed and converging.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use engraft::types::{Incarnation, Sequence, Time};

use super::World;
use crate::check::{Invariant, SpaceIndex, node_id, node_index};
use crate::draws::{draw_below, purpose};
use crate::history::OperationState;
use crate::mark::Mark;
use crate::queue::NodeIndex;
use crate::run::Recovery;

/// From so many spaces on a node has many.
const MANY_SPACES: usize = 32;
/// Between two looks at whether all have converged.
const LOOK_US: u64 = 20_000;
/// Between two looks at what must not last, while things go wrong.
const LOOK_IN_CHAOS_US: u64 = 1_000_000;
/// A replica that has everything is Healthy after that long: a better status has to hold for a second, step by step.
const HEALTHY_WITHIN_US: u64 = 8_000_000;
/// Progress puts the deadline off for so many times what converging may take, and no longer: a log that grows and is
/// cut for ever does not converge.
const CONVERGE_ROUNDS_MAX: u64 = 40;
/// How often a node is started again whose storage fails after all was healed.
const MENDED_MAX: u32 = 5;

impl World<'_> {
    /// Goes through all phases. An assertion that fails on the way is a violation like any other.
    pub(super) fn phases(&mut self) {
        // What a panic leaves behind is looked at for the report and never goes on.
        let ended = catch_unwind(AssertUnwindSafe(|| self.go_through_phases()));
        if let Err(panic) = ended {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            let node = self.handling;
            self.checks.violated(Invariant::Assert, node, None, || words.unwrap_or_else(|| "a panic".to_owned()));
        }
    }

    fn go_through_phases(&mut self) {
        if self.checks.spaces.len() >= MANY_SPACES {
            self.marks.hit(Mark::ManySpaces);
        }
        let phases = &self.scenario.phases;
        while self.now.0 < phases.chaos_us {
            if !self.advance(Time(self.now.0 + LOOK_IN_CHAOS_US).min(Time(phases.chaos_us))) {
                return;
            }
            self.look_at_breakers();
        }
        if phases.quorum_us > 0 && !self.quorum_phase(phases.quorum_us) {
            return;
        }
        if phases.converge_us > 0 && self.converge_phase(phases.converge_us) {
            self.own_invariants_at_end();
            self.files_tell_the_same();
        }
    }

    /// Heals a connected quorum only, and expects it to make progress.
    fn quorum_phase(&mut self, quorum_us: u64) -> bool {
        let quorum = self.choose_quorum();
        self.healing = true;
        self.note_phase(format!("healing {}", Self::names(&quorum)));
        for fault in 0..self.in_force.len() {
            let plan = self.scenario.faults[fault];
            let inside = quorum.contains(&node_index(plan.node));
            let peer_inside = plan.peer.is_none_or(|peer| quorum.contains(&node_index(peer)));
            if inside && peer_inside {
                self.fault_ends(fault);
            }
        }
        for node in &quorum {
            self.mend(*node);
        }
        let mut probes = Vec::new();
        for space in 0..self.checks.spaces.len() {
            if self.is_live_among(space, &quorum) {
                probes.push((space, self.probe(space, &quorum)));
            }
        }
        // A long backlog on a narrow link keeps a probe waiting; the quorum is well while the replicas go on.
        if !self.advance_mending(Time(self.now.0 + quorum_us / 2), &quorum, &probes) {
            return false;
        }
        let before: Vec<u64> = (0..self.checks.spaces.len()).map(|space| self.replicated(space)).collect();
        if !self.advance_mending(Time(self.now.0 + quorum_us - quorum_us / 2), &quorum, &probes) {
            return false;
        }
        for (space, probe) in probes {
            // Outside of the quorum one may be well, too.
            if self.checks.spaces[space].leader().is_none() {
                self.checks.violated(Invariant::L1, None, Some(space), || {
                    format!("no primary within {} ms of healing {}", quorum_us / 1000, Self::names(&quorum))
                });
                return false;
            }
            let moved = before.get(space).is_some_and(|before| self.replicated(space) > *before);
            if self.clients[probe].row.answered == 0 && !moved {
                self.checks.violated(Invariant::L2, None, Some(space), || {
                    format!(
                        "no append was committed within {} ms of healing {}",
                        quorum_us / 1000,
                        Self::names(&quorum)
                    )
                });
                return false;
            }
        }
        true
    }

    /// Goes on; a storage that fails late, from a fault before the healing, is started again.
    fn advance_mending(&mut self, until: Time, nodes: &[NodeIndex], probes: &[(SpaceIndex, usize)]) -> bool {
        while self.now < until {
            if !self.advance(Time(self.now.0 + LOOK_US).min(until)) {
                return false;
            }
            for node in nodes {
                self.mend_failed(*node);
            }
            for (_, probe) in probes {
                self.nudge(*probe);
            }
        }
        true
    }

    fn look_at_breakers(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].pause.is_none()
                && let Some(local) = self.local_time(node)
            {
                self.checks.breakers_half_open(node, local);
            }
        }
    }

    /// Waits until every replica of a live space that has everything is Healthy.
    fn statuses_improve(&mut self, live: &[SpaceIndex]) -> bool {
        let deadline = Time(self.now.0 + HEALTHY_WITHIN_US);
        loop {
            let unwell = live.iter().find_map(|space| {
                let (replica, status) = self.checks.unhealthy(*space)?;
                (!self.is_lost(replica, *space)).then_some((*space, replica, status))
            });
            let Some((space, replica, status)) = unwell else { return true };
            if self.now >= deadline {
                let words = || format!("{} is {status:?} and has had everything for long", node_id(replica));
                self.checks.violated(Invariant::Status, Some(replica), Some(space), words);
                return false;
            }
            if !self.advance(Time(self.now.0 + LOOK_US)) {
                return false;
            }
        }
    }

    fn choose_quorum(&self) -> Vec<NodeIndex> {
        if !self.scenario.phases.quorum.is_empty() {
            return self.scenario.phases.quorum.iter().map(|node| node_index(*node)).collect();
        }
        let seed = self.scenario.seed;
        let spaces = self.checks.spaces.len() as u64;
        let space = &self.checks.spaces[usize::try_from(draw_below(seed, purpose::QUORUM, 0, 0, spaces)).unwrap_or(0)];
        let needed = (!space.elects).then_some(space.home);
        let mut others: Vec<NodeIndex> = space.voters.iter().copied().filter(|voter| Some(*voter) != needed).collect();
        let mut quorum: Vec<NodeIndex> = needed.into_iter().collect();
        let mut n = 0;
        while quorum.len() < space.majority() && !others.is_empty() {
            n += 1;
            let at = draw_below(seed, purpose::QUORUM, 1, n, others.len() as u64);
            quorum.push(others.swap_remove(usize::try_from(at).unwrap_or(0)));
        }
        quorum.sort_unstable();
        quorum
    }

    /// A node that is down starts; one whose storage failed starts again.
    fn mend(&mut self, node: NodeIndex) {
        self.nodes[node].down = 0;
        self.nodes[node].disk.heal();
        self.nodes[node].full = false;
        if self.nodes[node].process.as_ref().is_some_and(|process| process.storage_failed || process.told_to_stop) {
            self.die(node, false);
        }
        self.start(node);
    }

    /// An operator starts a node again whose storage failed; a few times, where a damaged log keeps it failing.
    fn mend_failed(&mut self, node: NodeIndex) {
        let failed = self.nodes[node].process.as_ref().is_none_or(|process| process.storage_failed);
        if failed && self.nodes[node].mended < MENDED_MAX {
            self.nodes[node].mended += 1;
            self.mend(node);
        }
    }

    /// Heals everything, and expects all logs to be equal in time; whether they are.
    fn converge_phase(&mut self, converge_us: u64) -> bool {
        self.healing = true;
        self.note_phase("healing all".to_owned());
        for fault in 0..self.in_force.len() {
            self.fault_ends(fault);
        }
        for node in 0..self.nodes.len() {
            self.mend(node);
        }
        self.closing_time = true;
        let live: Vec<SpaceIndex> = (0..self.checks.spaces.len()).filter(|space| self.is_live(*space)).collect();
        let alone = self.scenario.phases.alone;
        let mut probes: Vec<usize> = Vec::new();
        if !alone {
            probes.extend(live.iter().map(|space| self.probe(*space, &[])));
        }
        let healed = self.now;
        let backlog_us: u64 = live.iter().map(|space| self.backlog_us(*space)).sum();
        let mut deadline = Time(self.now.0 + converge_us);
        let latest = Time(self.now.0 + CONVERGE_ROUNDS_MAX * (converge_us + backlog_us));
        let mut progress = 0;
        while self.now < deadline {
            if !self.advance(Time(self.now.0 + LOOK_US).min(deadline)) {
                return false;
            }
            self.look_at_breakers();
            // A storage that was about to fail when all was healed is started again as well.
            for node in 0..self.nodes.len() {
                self.mend_failed(node);
            }
            // What counts is that it goes on: a long backlog on a narrow link takes its time. A log that was cut starts
            // lower, and what rises from there is progress as well.
            let moved = self.progress();
            if moved > progress {
                deadline = Time(self.now.0 + converge_us).min(latest);
            }
            progress = moved;
            if alone && probes.is_empty() && self.straggler(&live).is_none() {
                probes.extend(live.iter().map(|space| self.probe(*space, &[])));
            }
            let probed = probes.len() == live.len() && probes.iter().all(|probe| self.clients[*probe].row.answered > 0);
            let took_us = self.now.0 - healed.0;
            if probed && !live.is_empty() {
                self.recovery.get_or_insert(Recovery { backlog_us, committed_us: took_us, converged_us: 0 });
            }
            if probed && self.nothing_waits() && self.straggler(&live).is_none() {
                self.note_phase("converged".to_owned());
                if let Some(recovery) = &mut self.recovery {
                    recovery.converged_us = took_us;
                }
                return self.statuses_improve(&live);
            }
        }
        self.judge_deadline(&live, &probes, converge_us);
        false
    }

    fn judge_deadline(&mut self, live: &[SpaceIndex], probes: &[usize], converge_us: u64) {
        let millis = converge_us / 1000;
        if let Some((invariant, node, space, words)) = self.straggler(live) {
            self.checks.violated(invariant, Some(node), Some(space), || {
                format!("{millis} ms without progress after healing all, {words}")
            });
        }
        self.checks.all_resolved(&self.operations);
        for (space, probe) in live.iter().zip(probes) {
            if self.clients[*probe].row.answered == 0 {
                self.checks.violated(Invariant::L2, None, Some(*space), || {
                    format!("no append was committed within {millis} ms of healing all")
                });
            }
        }
    }

    /// How long the backlog of a space takes at most: what the slowest replica lacks, a window for each round trip, on
    /// disks and links as they are when nothing is wrong.
    fn backlog_us(&self, space: SpaceIndex) -> u64 {
        let at = &self.checks.spaces[space];
        let primary = &at.logs[at.primary()];
        let ends = at.voters.iter().filter(|voter| !self.is_lost(**voter, space)).map(|voter| at.logs[*voter].end());
        let lacks = primary.end().above(ends.min().unwrap_or(primary.end()));
        let bytes = primary.bytes_above(Sequence(primary.end().0 - lacks));
        let config = self.scenario.replication_config(node_id(at.primary()), Incarnation([0; 16]));
        let (network, disk) = (&self.scenario.network, &self.scenario.disk);
        let batches_of_entries = lacks.div_ceil(u64::from(config.batch_entries));
        let batches = batches_of_entries.max(bytes.div_ceil(config.batch_bytes));
        let in_flight = network.socket_bytes.min(config.window_bytes);
        let rounds = batches.div_ceil(u64::from(config.window_batches)).max(bytes.div_ceil(in_flight));
        let round_trip = 2 * network.latency_max_us + 2 * (disk.write_us + disk.sync_us + disk.complete_us);
        // Logs that are synced write by write take a sync for each batch.
        let syncs = batches * (disk.write_us + disk.sync_us + disk.complete_us);
        rounds * round_trip + syncs
    }

    /// A number that rises while replicas get on. A primary's own log does not count: clients that ask again and again
    /// make it grow for ever.
    fn progress(&self) -> u64 {
        (0..self.checks.spaces.len()).map(|space| self.replicated(space)).sum::<u64>() + self.applied()
    }

    /// A number that rises while a space's replicas get on.
    fn replicated(&self, space: SpaceIndex) -> u64 {
        let at = &self.checks.spaces[space];
        let primary = at.primary();
        let replicas = at.voters.iter().filter(|voter| **voter != primary);
        at.universe.committed(at.lineage(at.primary())).0 + replicas.map(|voter| at.logs[*voter].end().0).sum::<u64>()
    }

    fn nothing_waits(&self) -> bool {
        self.operations.iter().all(|operation| operation.state != OperationState::Waiting)
    }

    /// A replica whose log is not its primary's, or a primary whose log is not committed.
    fn straggler(&self, live: &[SpaceIndex]) -> Option<(Invariant, NodeIndex, SpaceIndex, String)> {
        for space in live {
            let at = &self.checks.spaces[*space];
            let Some(leader) = at.leader() else {
                return Some((Invariant::L1, at.home, *space, "no primary".to_owned()));
            };
            let primary = &at.logs[leader];
            for voter in &at.voters {
                let log = &at.logs[*voter];
                if !self.is_lost(*voter, *space) && (log.end(), log.end_chain()) != (primary.end(), primary.end_chain())
                {
                    let words = format!("it ends with {} and the primary with {}", log.end(), primary.end());
                    return Some((Invariant::L3, *voter, *space, words));
                }
            }
            let committed = at.universe.committed(at.lineage(at.primary()));
            if committed != primary.end() {
                let words = format!("{committed} is committed of {}", primary.end());
                return Some((Invariant::L6, leader, *space, words));
            }
            let forgetful = |voter: &&NodeIndex| at.is_recovering(**voter) && !self.is_lost(**voter, *space);
            if let Some(voter) = at.voters.iter().find(forgetful) {
                return Some((Invariant::L3, *voter, *space, "it is still recovering".to_owned()));
            }
            for voter in at.voters.iter().filter(|voter| !self.is_lost(**voter, *space)) {
                if let Some(applied) = self.engine_behind(*voter, *space) {
                    let words = format!("its engine has applied {applied} of {committed}");
                    return Some((Invariant::L6, *voter, *space, words));
                }
            }
        }
        None
    }
}

//! Faults: begun, ended, healed.

use engraft::core::{Action, Actions, Command, Event};
use engraft::types::{Sequence, Time};

use super::World;
use crate::check::{Invariant, SpaceIndex, node_id, node_index};
use crate::draws::{draw, draw_below, purpose};
use crate::mark::Mark;
use crate::queue::{NodeIndex, Occurrence, StorageStep, Way};
use crate::render::fault_words;
use crate::scenario::{Fault, FaultKind};
use crate::trace::{LineKind, Subject};

impl World<'_> {
    pub(super) fn fault_begins(&mut self, index: usize) {
        if self.healing {
            return;
        }
        let fault = self.scenario.faults[index];
        self.note(Subject::World, LineKind::Turn, || fault_words(&fault));
        if self.in_force.iter().any(|in_force| *in_force) {
            self.marks.hit(Mark::FaultDuringFault);
        }
        if self.begin(index, &fault) {
            self.in_force[index] = true;
            if let Some(for_us) = fault.for_us {
                self.queue.push(Time(self.now.0 + for_us), Occurrence::FaultEnds { fault: index });
            }
        }
    }

    pub(super) fn fault_ends(&mut self, index: usize) {
        if !core::mem::take(&mut self.in_force[index]) {
            return;
        }
        let fault = self.scenario.faults[index];
        self.note(Subject::World, LineKind::Turn, || format!("{} ends", fault_words(&fault)));
        self.end(&fault);
    }

    /// The other sides of a fault.
    fn peers(&self, fault: &Fault) -> Vec<NodeIndex> {
        match fault.peer {
            Some(peer) => vec![node_index(peer)],
            None => (0..self.nodes.len()).filter(|peer| *peer != node_index(fault.node)).collect(),
        }
    }

    /// Whether it lasts.
    fn begin(&mut self, index: usize, fault: &Fault) -> bool {
        let node = node_index(fault.node);
        let amount = fault.amount.unwrap_or(0).unsigned_abs();
        match fault.kind {
            FaultKind::Partition
            | FaultKind::PartitionOneWay
            | FaultKind::Delay
            | FaultKind::FrameLoss
            | FaultKind::FrameDuplicate
            | FaultKind::FrameReorder
            | FaultKind::FrameStale
            | FaultKind::FrameCorrupt
            | FaultKind::Split
            | FaultKind::SlowLink => {
                self.set_network(fault, true);
                return true;
            }
            FaultKind::Reset => self.reset_links(fault),
            FaultKind::HalfOpen => self.half_open(fault),
            FaultKind::Crash | FaultKind::Power | FaultKind::Shutdown | FaultKind::Wipe => {
                self.go_down(node, fault.kind);
                return true;
            }
            FaultKind::Pause => {
                self.stand_still(node);
                return true;
            }
            FaultKind::ClockJump => {
                self.marks.hit(Mark::ClockJumped);
                self.nodes[node].clock.jump(self.now, amount);
                self.rearm(node);
            }
            FaultKind::ClockDrift => {
                self.nodes[node].clock.set_drift(self.now, fault.amount.unwrap_or(0));
                self.rearm(node);
                return true;
            }
            FaultKind::SyncFails => self.nodes[node].disk.fail_next_sync(),
            FaultKind::DiskFull => {
                self.fill_disk(node, amount);
                return true;
            }
            FaultKind::SlowDisk => {
                self.nodes[node].slow = amount.max(1);
                return true;
            }
            FaultKind::LyingSync => {
                self.marks.hit(Mark::SyncLied);
                self.nodes[node].disk.set_lying(true);
                self.checks.untrusted(node);
                return true;
            }
            FaultKind::Rot => self.rot(index, node),
            FaultKind::Misdirect => self.misdirect(node),
            FaultKind::StaleCompletion => self.repeat_completion(node),
            FaultKind::PauseReplica => {
                self.marks.hit(Mark::ReplicaPaused);
                self.command_replica(fault, true);
                return true;
            }
            FaultKind::OpenEpoch => self.open_epochs(node),
            FaultKind::Force => self.force(node, fault.amount == Some(1)),
        }
        false
    }

    fn fill_disk(&mut self, node: NodeIndex, room: u64) {
        let disk = &self.nodes[node].disk;
        disk.fill(Some(disk.bytes_used() + room));
        self.nodes[node].full = true;
    }

    fn misdirect(&mut self, node: NodeIndex) {
        if self.checks.spaces.iter().any(|space| space.primary() == node) {
            self.marks.hit(Mark::PrimaryMisdirected);
        }
        self.nodes[node].disk.misdirect_next_write();
        self.checks.untrusted(node);
    }

    fn end(&mut self, fault: &Fault) {
        let node = node_index(fault.node);
        match fault.kind {
            FaultKind::Partition
            | FaultKind::PartitionOneWay
            | FaultKind::Delay
            | FaultKind::FrameLoss
            | FaultKind::FrameDuplicate
            | FaultKind::FrameReorder
            | FaultKind::FrameStale
            | FaultKind::FrameCorrupt
            | FaultKind::Split
            | FaultKind::SlowLink => {
                self.set_network(fault, false);
                self.unstall();
            }
            FaultKind::Crash | FaultKind::Power | FaultKind::Shutdown | FaultKind::Wipe => {
                self.nodes[node].down = self.nodes[node].down.saturating_sub(1);
                self.nodes[node].doomed = None;
                self.nodes[node].doomed_flush = None;
                if self.nodes[node].down == 0 {
                    // A shutdown that is still under way is cut short.
                    self.die(node, false);
                    self.start(node);
                }
            }
            FaultKind::Pause => {
                let other = (0_usize..).zip(&self.in_force).any(|(index, in_force)| {
                    *in_force
                        && self.scenario.faults[index].kind == FaultKind::Pause
                        && self.scenario.faults[index].node == fault.node
                });
                if let (false, Some(pause)) = (other, self.nodes[node].pause) {
                    self.resume(node, pause);
                }
            }
            FaultKind::ClockDrift => {
                let drift = self.nodes[node].drift_ppm;
                self.nodes[node].clock.set_drift(self.now, drift);
                self.rearm(node);
            }
            FaultKind::DiskFull => {
                self.nodes[node].disk.fill(None);
                self.nodes[node].full = false;
            }
            FaultKind::SlowDisk => self.nodes[node].slow = 1,
            FaultKind::LyingSync => self.nodes[node].disk.set_lying(false),
            FaultKind::PauseReplica => self.command_replica(fault, false),
            FaultKind::Reset
            | FaultKind::HalfOpen
            | FaultKind::ClockJump
            | FaultKind::SyncFails
            | FaultKind::Rot
            | FaultKind::Misdirect
            | FaultKind::StaleCompletion
            | FaultKind::OpenEpoch
            | FaultKind::Force => {}
        }
    }

    fn set_network(&mut self, fault: &Fault, begins: bool) {
        let node = node_index(fault.node);
        let amount = fault.amount.unwrap_or(0).unsigned_abs();
        for peer in self.peers(fault) {
            self.net.set(fault.kind, node, peer, amount, begins);
            if fault.kind == FaultKind::Partition {
                self.net.set(fault.kind, peer, node, amount, begins);
            }
        }
    }

    fn reset_links(&mut self, fault: &Fault) {
        for peer in self.peers(fault) {
            for link in self.net.between(node_index(fault.node), peer) {
                self.reset(link, Way::Out);
                self.reset(link, Way::Back);
            }
        }
    }

    fn half_open(&mut self, fault: &Fault) {
        for peer in self.peers(fault) {
            for link in self.net.between(node_index(fault.node), peer) {
                let side = if self.net.links[link as usize].ends[0].node == peer { Way::Out } else { Way::Back };
                let end = &mut self.net.links[link as usize].ends[side.index()];
                if end.up {
                    end.silent = true;
                    self.marks.hit(Mark::LinkHalfOpen);
                    self.lose(peer, link, side, "forgotten");
                }
            }
        }
    }

    fn go_down(&mut self, node: NodeIndex, kind: FaultKind) {
        self.nodes[node].down += 1;
        if matches!(kind, FaultKind::Crash | FaultKind::Power) && self.waits_for_a_flush(node) {
            self.nodes[node].doomed_flush = Some(kind == FaultKind::Power);
            return;
        }
        if kind == FaultKind::Power {
            self.lose_power(node);
        } else if kind == FaultKind::Wipe {
            self.wipe(node);
        } else if kind == FaultKind::Crash {
            self.die(node, false);
        } else if let Some(process) = &mut self.nodes[node].process {
            process.told_to_stop = true;
            self.handle(node, Event::Command(Command::Shutdown));
        }
    }

    /// Most power failures wait for the next moment where they hurt: between a write and its sync, or between a sync
    /// and its completion.
    fn lose_power(&mut self, node: NodeIndex) {
        let at = &self.nodes[node];
        let drawn = draw(self.scenario.seed, purpose::POWER, node as u64, at.crashes);
        let aim = match drawn % 8 {
            0 | 2 | 4 | 6 | 1 => Some(StorageStep::Write),
            3 => Some(StorageStep::Sync),
            _ => None,
        };
        match aim {
            Some(StorageStep::Write) if at.disk.has_unsynced() => self.die(node, true),
            Some(step) if at.process.is_some() => self.nodes[node].doomed = Some(step),
            Some(_) | None => self.die(node, true),
        }
    }

    /// Where an embedder has engines, half of all crashes wait for the next moment within a flush.
    fn waits_for_a_flush(&self, node: NodeIndex) -> bool {
        let at = &self.nodes[node];
        let aimed = draw(self.scenario.seed, purpose::ENGINE_CRASH, node as u64 | 1 << 32, at.crashes);
        self.own.engine.is_some() && at.process.is_some() && aimed.is_multiple_of(2)
    }

    fn rearm(&mut self, node: NodeIndex) {
        if let Some(process) = &mut self.nodes[node].process {
            process.armed = Time::MAX;
        }
        self.arm(node);
    }

    /// Turns a bit of an entry that later ones bear witness of.
    fn rot(&mut self, index: usize, node: NodeIndex) {
        let seed = self.scenario.seed;
        let spaces = self.checks.spaces.len() as u64;
        let subject = index as u64;
        let space = usize::try_from(draw_below(seed, purpose::ROT, subject, 0, spaces)).unwrap_or(0);
        let log = &self.checks.spaces[space].logs[node];
        let sequence = Sequence(1 + draw_below(seed, purpose::ROT, subject, 1, log.durable_before.0));
        if log.durable_before < sequence {
            return;
        }
        let Some((file, offset, size)) = log.place(sequence) else { return };
        // Bytes 56 to 64 of an entry are the node's own and verified by nobody.
        let drawn = draw_below(seed, purpose::ROT, subject, 2, size - 8);
        let at = if drawn < 56 { drawn } else { drawn + 8 };
        let bit = draw(seed, purpose::ROT, subject, 3).to_le_bytes()[0];
        if self.nodes[node].disk.rot_file(file, offset + at, bit) {
            self.checks.rotted(node, space, sequence);
        }
    }

    /// A completion that the core had before comes again: it must change nothing.
    fn repeat_completion(&mut self, node: NodeIndex) {
        let at = &mut self.nodes[node];
        let local = at.clock.local(self.now);
        let (Some(process), Some(event)) = (&mut at.process, &at.old_completion) else { return };
        // What is due happens with the next event, whichever it is, and says nothing about this one.
        if process.told_to_stop || process.core.next_wake().is_some_and(|deadline| deadline <= local) {
            return;
        }
        let event = if self.bugs.believes_stale(node) {
            Event::LinkUp { link: engraft::types::LinkId::accepted(1 << 40) }
        } else {
            event.clone()
        };
        let before = process.core.state_digest();
        let mut actions = Actions::new();
        let words = event.to_string();
        process.core.handle(local, event, &mut actions);
        let same = process.core.state_digest() == before && actions.as_slice().is_empty();
        let orders: Vec<String> = actions.as_slice().iter().map(Action::to_string).collect();
        self.marks.hit(Mark::StaleCompletionIgnored);
        if !same {
            self.checks.violated(Invariant::S26, Some(node), None, || {
                format!("{words} came a second time and changed the node, which orders {orders:?}")
            });
        }
    }

    /// Whether a scenario repeats completions, so that the old ones must be kept.
    pub(super) fn keeps_completions(&self) -> bool {
        self.repeats_completions
    }

    /// Whether a node is expected to be of no more use to a space.
    pub(super) fn is_lost(&self, node: NodeIndex, space: SpaceIndex) -> bool {
        let at = &self.checks.spaces[space];
        let damage = at.logs[node].damage;
        // A voter gets again what it forgot; who alone may be the primary has nobody to get it from.
        let forgot = damage.forgot && !at.elects && node == at.home;
        self.nodes[node].wiped || damage.anything || damage.rotten.is_some() || forgot
    }

    /// Whether a space can go on with these nodes: a majority of its voters is sound and remembers, or all voters are there,
    /// and its primary where no other can be it.
    pub(super) fn is_live_among(&self, space: SpaceIndex, nodes: &[NodeIndex]) -> bool {
        let at = &self.checks.spaces[space];
        let sound = |node: &NodeIndex| nodes.contains(node) && !self.is_lost(*node, space);
        let voters: Vec<NodeIndex> = at.voters.iter().copied().filter(sound).collect();
        let led = if at.elects { at.has_sound_disks() } else { sound(&at.home) };
        // Who goes by a forced start waits for those who vote in it. Where one of them forgot the start itself, under a weak
        // mode, nobody is left who could lead, until an operator forces one again.
        let forgets = |voter: &NodeIndex| at.is_recovering(*voter);
        let whole = !at.is_forced() || (voters.len() == at.voters.len() && !voters.iter().any(forgets));
        led && whole && voters.len() >= at.majority() && at.go_on(&voters)
    }

    /// The same once all nodes are healed.
    pub(super) fn is_live(&self, space: SpaceIndex) -> bool {
        let all: Vec<NodeIndex> = (0..self.nodes.len()).collect();
        self.is_live_among(space, &all)
    }

    pub(super) fn note_phase(&mut self, words: String) {
        self.note(Subject::World, LineKind::Turn, || words);
    }

    pub(super) fn names(nodes: &[NodeIndex]) -> String {
        nodes.iter().map(|node| node_id(*node).to_string()).collect::<Vec<_>>().join(" ")
    }
}

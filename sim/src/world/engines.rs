//! The embedder's engines: opened, given what is committed, flushed, and compared.
//!
//! The steps are those of the driver: read what is committed, apply it entry by entry, flush, tell the core.
//! A crash can come between any two steps and within a flush.

use alloc::collections::VecDeque;
use std::path::PathBuf;

use engraft::core::{AppendError, Command, Event, Outcome};
use engraft::types::{Control, Entry, RequestId, Sequence, SpaceId};
use engraft::wal::Disk;

use super::World;
use super::own_checks::guarded;
use crate::check::{Invariant, SpaceIndex, node_id};
use crate::draws::{draw_below, purpose};
use crate::embed::{OwnEngine, Place};
use crate::mark::Mark;
use crate::queue::{EngineStep, NodeIndex, Occurrence};
use crate::trace::{LineKind, Subject};

/// Requests from here on are an engine's, by the place of its space; clients' are numbered from 1.
const REQUESTS: u64 = 1 << 48;
/// Entries and bytes that are read for an engine at once.
const READ_ENTRIES: u32 = 200;
const READ_BYTES: u64 = 1 << 20;
/// Entries that are applied without a step between them, at most.
const RUN_MAX: u64 = 16;
/// The wait after a read that gave nothing.
const RETRY_US: u64 = 10_000;
/// The longest wait before any other step.
const STEP_US: u64 = 200;
/// Operations of the disk within a flush after which an aimed crash comes, at most.
const CRASH_WITHIN: u64 = 12;

/// An engine that was opened, the entry after which it goes on, and the digest of its state.
type Opened = (Box<dyn OwnEngine>, Sequence, u64);

/// One engine of one process.
pub(super) struct EngineRun {
    /// `None` where it is not there: it could not be opened, or it failed.
    pub(super) machine: Option<Box<dyn OwnEngine>>,
    /// The last entry that it applied.
    pub(super) at: Sequence,
    pub(super) flushed: Sequence,
    /// What the node last said is committed.
    commit: Sequence,
    entries: VecDeque<Entry>,
    /// Whether a step is planned or a read is under way.
    busy: bool,
}

impl World<'_> {
    /// Opens a starting node's engines.
    pub(super) fn open_engines(&mut self, node: NodeIndex) {
        let own = self.own;
        let Some(open) = &own.engine else { return };
        for space in 0..self.checks.spaces.len() {
            let at = &self.checks.spaces[space];
            let disk = self.nodes[node].disk.clone();
            let directory = PathBuf::from("/engine").join(at.name.as_str());
            let place = Place { node: node_id(node), space: at.name.clone(), disk, directory };
            let opened = if at.voters.contains(&node) {
                guarded(|| {
                    let directory = place.disk.create_dir_all(&place.directory);
                    directory.map_err(|error| error.to_string())?;
                    let machine = open(&place).map_err(|error| error.to_string())?;
                    let (applied, digest) = (machine.applied(), machine.digest());
                    Ok(Some((machine, applied, digest)))
                })
            } else {
                Ok(None)
            };
            self.engine_opened(node, space, opened);
        }
        self.checks.disk_changed(node, &self.nodes[node].disk);
    }

    fn engine_opened(&mut self, node: NodeIndex, space: SpaceIndex, opened: Result<Option<Opened>, String>) {
        let mut run = EngineRun {
            machine: None,
            at: Sequence::ZERO,
            flushed: Sequence::ZERO,
            commit: Sequence::ZERO,
            entries: VecDeque::new(),
            busy: false,
        };
        let mut failure = None;
        match opened {
            Ok(Some((machine, applied, digest))) => {
                (run.machine, run.at, run.flushed) = (Some(machine), applied, applied);
                self.note_engine(node, space, |name| format!("the engine of {name} begins after {applied}"));
                self.engine_begins_with(node, space, applied, digest);
            }
            Ok(None) => {}
            Err(words) => failure = Some(words),
        }
        if let Some(process) = &mut self.nodes[node].process {
            process.engines.push(run);
        }
        match failure {
            Some(words) => self.engine_failed(node, space, &format!("cannot be opened: {words}")),
            None => self.own_invariants(node, space),
        }
    }

    /// The commit of a space moved on at a node.
    pub(super) fn engine_hears(&mut self, node: NodeIndex, id: SpaceId, commit: Sequence) {
        if self.own.engine.is_none() {
            return;
        }
        let Some(space) = self.checks.space(id) else { return };
        if let Some(run) = self.engine(node, space) {
            run.commit = run.commit.max(commit);
            self.plan_engine(node, space, EngineStep::Look, STEP_US);
        }
    }

    pub(super) fn engine(&mut self, node: NodeIndex, space: SpaceIndex) -> Option<&mut EngineRun> {
        self.nodes[node].process.as_mut()?.engines.get_mut(space)
    }

    /// Plans a step of an engine that has none planned.
    fn plan_engine(&mut self, node: NodeIndex, space: SpaceIndex, step: EngineStep, longest_us: u64) {
        let Some(run) = self.engine(node, space) else { return };
        let done = step == EngineStep::Look && run.at >= run.commit;
        if run.busy || run.machine.is_none() || done {
            return;
        }
        run.busy = true;
        let at = &mut self.nodes[node];
        at.engine_steps += 1;
        let subject = (node as u64) << 32 | space as u64;
        let wait = 1 + draw_below(self.scenario.seed, purpose::ENGINE_STEP, subject, at.engine_steps, longest_us);
        // A scenario has 1024 spaces at most.
        let Ok(space) = u16::try_from(space) else { return };
        let what = Occurrence::Engine { node, life: at.life, space, step };
        self.queue.push(engraft::types::Time(self.now.0 + wait), what);
    }

    pub(super) fn engine_step(&mut self, node: NodeIndex, life: u32, space: SpaceIndex, step: EngineStep) {
        if self.nodes[node].life != life {
            return;
        }
        let Some(run) = self.engine(node, space) else { return };
        run.busy = false;
        match step {
            EngineStep::Look => self.engine_looks(node, space),
            EngineStep::Apply => self.engine_applies(node, space),
            EngineStep::Flush => self.engine_flushes(node, space),
        }
    }

    /// Asks the core for what is committed.
    fn engine_looks(&mut self, node: NodeIndex, space: SpaceIndex) {
        let Some(run) = self.engine(node, space) else { return };
        run.busy = true;
        let read = Command::Read {
            space: self.checks.spaces[space].id,
            request: RequestId(REQUESTS | space as u64),
            from: self.engine(node, space).map_or(Sequence::ZERO, |run| run.at.next()),
            entries_max: READ_ENTRIES,
            bytes_max: READ_BYTES,
        };
        self.handle(node, Event::Command(read));
    }

    /// A core answers an engine's read; whether it was one.
    pub(super) fn engine_reply(&mut self, node: NodeIndex, request: RequestId, outcome: &Outcome) -> bool {
        let Some(space) = request.0.checked_sub(REQUESTS).and_then(|space| usize::try_from(space).ok()) else {
            return false;
        };
        let Some(run) = self.engine(node, space) else { return false };
        run.busy = false;
        let entries = match outcome {
            Outcome::Entries { entries, .. } => entries.as_slice(),
            Outcome::Failed(AppendError::Overloaded { .. }) => &[],
            // A space that has stopped gives nothing until the node starts again.
            Outcome::Failed(_)
            | Outcome::Appended { .. }
            | Outcome::Unknown { .. }
            | Outcome::Resolved { .. }
            | Outcome::Standing { .. } => {
                run.busy = true;
                return true;
            }
        };
        if entries.is_empty() {
            self.plan_engine(node, space, EngineStep::Look, RETRY_US);
        } else {
            run.entries.extend(entries.iter().cloned());
            self.plan_engine(node, space, EngineStep::Apply, STEP_US);
        }
        true
    }

    /// Applies some of what was read.
    fn engine_applies(&mut self, node: NodeIndex, space: SpaceIndex) {
        let subject = (node as u64) << 32 | space as u64;
        let steps = self.nodes[node].engine_steps;
        let count = 1 + draw_below(self.scenario.seed, purpose::ENGINE_RUN, subject, steps, RUN_MAX);
        for _ in 0..count {
            let Some(entry) = self.engine(node, space).and_then(|run| run.entries.pop_front()) else { break };
            if !self.engine_applies_one(node, space, &entry) {
                return;
            }
        }
        self.own_invariants(node, space);
        let flushes = draw_below(self.scenario.seed, purpose::ENGINE_RUN, !subject, steps, 4) == 0;
        let Some(run) = self.engine(node, space) else { return };
        let next = if run.entries.is_empty() || flushes { EngineStep::Flush } else { EngineStep::Apply };
        self.plan_engine(node, space, next, STEP_US);
    }

    fn engine_applies_one(&mut self, node: NodeIndex, space: SpaceIndex, entry: &Entry) -> bool {
        let sequence = entry.header.sequence();
        self.engine_is_given(node, space, entry);
        let Some(run) = self.engine(node, space) else { return false };
        let Some(machine) = &mut run.machine else { return false };
        let is_clients = entry.header.control().kind == Control::USER;
        let applied = guarded(|| {
            if is_clients {
                machine.machine().apply(entry).map_err(|error| error.to_string())?;
            }
            Ok(machine.digest())
        });
        match applied {
            Ok(digest) => {
                run.at = sequence;
                self.compare(node, space, sequence, digest, "is");
                self.note_engine(node, space, |name| format!("{name} applied {sequence}"));
                true
            }
            Err(words) => {
                self.engine_failed(node, space, &format!("fails at {sequence}: {words}"));
                false
            }
        }
    }

    /// Lets an engine commit what it applied, and tells the core. An aimed crash comes within it.
    fn engine_flushes(&mut self, node: NodeIndex, space: SpaceIndex) {
        let aimed = core::mem::take(&mut self.nodes[node].doomed_flush);
        if aimed.is_some() {
            let subject = node as u64;
            let n = self.nodes[node].crashes;
            let left = draw_below(self.scenario.seed, purpose::ENGINE_CRASH, subject, n, CRASH_WITHIN);
            self.nodes[node].disk.kill_after(left);
        }
        let Some(run) = self.engine(node, space) else { return };
        let at = run.at;
        let Some(machine) = &mut run.machine else { return };
        let flushed = guarded(|| machine.machine().flush().map_err(|error| error.to_string()));
        if let Some(power) = aimed {
            self.marks.hit(Mark::CrashWithinFlush);
            self.die(node, power);
            return;
        }
        self.checks.disk_changed(node, &self.nodes[node].disk);
        if let Err(words) = flushed {
            self.engine_failed(node, space, &format!("cannot flush at {at}: {words}"));
            return;
        }
        let Some(run) = self.engine(node, space) else { return };
        run.flushed = at;
        let more = !run.entries.is_empty();
        let id = self.checks.spaces[space].id;
        self.handle(node, Event::Applied { space: id, sequence: at });
        let next = if more { EngineStep::Apply } else { EngineStep::Look };
        self.plan_engine(node, space, next, STEP_US);
    }

    /// An engine stops until its node starts again; without a fault of the disk it is the engine's own.
    pub(super) fn engine_failed(&mut self, node: NodeIndex, space: SpaceIndex, words: &str) {
        let at = &mut self.nodes[node];
        let excused = at.full || at.disk.syncs_failed() > at.syncs_failed;
        if let Some(process) = &mut at.process {
            process.storage_failed = true;
            if let Some(run) = process.engines.get_mut(space) {
                run.machine = None;
                run.entries.clear();
            }
        }
        self.note_engine(node, space, |name| format!("the engine of {name} {words}"));
        if !excused && !self.is_lost(node, space) {
            self.checks.violated(Invariant::S24, Some(node), Some(space), || format!("the engine {words}"));
        }
    }

    fn note_engine(&mut self, node: NodeIndex, space: SpaceIndex, words: impl FnOnce(&str) -> String) {
        let name = self.checks.spaces[space].name.as_str();
        self.trace.push(self.now, Subject::Node(node_id(node)), LineKind::Engine, || words(name));
    }
}

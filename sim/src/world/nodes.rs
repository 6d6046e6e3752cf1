//! Machines and processes: started, stepped, killed, paused.

use alloc::collections::{BTreeMap, VecDeque};

use engraft::core::{Event, ReplicationCoordinator, StorageErrorKind, StorageOperation};
use engraft::types::{NodeId, Sequence, Time};

use super::{Node, Process, World};
use crate::check::{Invariant, node_id};
use crate::clock::Clock;
use crate::disk::SimDisk;
use crate::draws::{draw_below, purpose};
use crate::mark::Mark;
use crate::queue::{NodeIndex, Occurrence, StorageStep};
use crate::scenario::Scenario;
use crate::storage::{self, DiskPlace};
use crate::trace::{LineKind, Subject};

/// How long a storage without work waits until it saves its marks.
const IDLE_US: u64 = 100_000;

impl Node {
    pub(super) fn new(id: NodeId, scenario: &Scenario) -> Self {
        let plan = scenario.clocks.iter().find(|clock| clock.node == id);
        let drift_ppm = plan.map_or(0, |clock| clock.drift_ppm);
        let offset = plan.map_or(0, |clock| clock.offset_us);
        let disk = SimDisk::new(scenario.seed, id.0);
        disk.keep_changes();
        Self {
            id,
            disk,
            disks: 1,
            boot: 1,
            life: 0,
            clock: Clock::new(Time::ZERO, Time(offset), drift_ppm),
            offset_us: offset,
            drift_ppm,
            process: None,
            silent: false,
            down: 0,
            pause: None,
            pauses: 0,
            held: VecDeque::new(),
            slow: 1,
            steps: 0,
            wiped: false,
            known: BTreeMap::new(),
            full: false,
            completions: VecDeque::new(),
            old_completion: None,
            crashes: 0,
            doomed: None,
            doomed_flush: None,
            engine_steps: 0,
            syncs_failed: 0,
            woken: Time::ZERO,
            wakes_now: 0,
            untold_votes: Vec::new(),
            timer_is_dead: false,
            mended: 0,
            left: vec![(Sequence::ZERO, Sequence::ZERO); scenario.spaces.len()],
        }
    }
}

impl World<'_> {
    /// Starts a node's process: recovery, then the core.
    pub(super) fn start(&mut self, node: NodeIndex) {
        if self.nodes[node].process.is_some() {
            return;
        }
        let at = &mut self.nodes[node];
        at.life += 1;
        at.silent = false;
        at.clock = Clock::new(self.now, Time(at.offset_us), at.clock.drift_ppm());
        self.bugs.before_opening(node, &at.disk);
        self.answer_with_resets(node);
        self.net.recall(node);
        let at = &mut self.nodes[node];
        let syncs_failed = at.disk.syncs_failed();
        at.syncs_failed = syncs_failed;
        let boot = if self.bugs.ignores_boots(node) { 1 } else { at.boot };
        let place = DiskPlace { node: at.id, disks: at.disks, boot };
        let opened = storage::open(self.scenario, self.own, place, &at.disk);
        self.checks.disk_changed(node, &at.disk);
        let (wal, opened) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let excused = at.full || at.wiped || at.disk.syncs_failed() > syncs_failed;
                let words = error.to_string();
                self.note(Subject::Node(node_id(node)), LineKind::Milestone, || format!("cannot start: {words}"));
                if !excused && !self.checks.is_damaged(node) {
                    self.checks.violated(Invariant::S5, Some(node), None, || format!("cannot start: {words}"));
                }
                return;
            }
        };
        for (name, report) in &opened.reports {
            if let Some(torn) = &report.torn_tail {
                self.marks.hit(Mark::TornTailCut);
                self.trace.push(self.now, Subject::Node(at.id), LineKind::Milestone, || {
                    format!("cuts {name} at {} of {}: {:?}", torn.offset, torn.file, torn.reason)
                });
            }
            if !report.unused.is_empty() {
                self.trace.push(self.now, Subject::Node(at.id), LineKind::Milestone, || {
                    format!("deletes of {name} {}", report.unused.join(" "))
                });
            }
        }
        let mut config = self.scenario.replication_config(at.id, opened.incarnation);
        self.bugs.before_starting(node, &mut config);
        config.clock_origin = self.now.0 * 1000;
        let Ok(core) = ReplicationCoordinator::new(config) else { return };
        at.process = Some(Process {
            core,
            wal,
            engines: Vec::new(),
            step: None,
            links: BTreeMap::new(),
            accepted: 0,
            armed: Time::MAX,
            told_to_stop: false,
            storage_failed: false,
        });
        self.checks.process_begins(node);
        self.open_engines(node);
        if let Some(local) = self.local_time(node) {
            self.checks.watch_begins(node, local);
        }
        let excused = self.nodes[node].full || self.nodes[node].disk.syncs_failed() > syncs_failed;
        for event in opened.events {
            self.space_opened(node, event, excused);
        }
        self.arm(node);
    }

    fn space_opened(&mut self, node: NodeIndex, mut event: Event, excused: bool) {
        self.bugs.before_opened(node, &mut event);
        if let Event::SpaceOpened(opened) = &event {
            let space = self.checks.space(opened.name.id());
            let left = space.and_then(|space| self.nodes[node].left.get(space).copied());
            let (durable, before) = left.unwrap_or_default();
            self.checks.opened(node, opened, durable, before);
            self.note(Subject::Node(node_id(node)), LineKind::Milestone, || {
                format!("opens {} with {} promised {}", opened.name, opened.end, opened.promise)
            });
        }
        if let Event::SpaceOpenFailed { name, error, .. } = &event {
            if error.kind == StorageErrorKind::Corrupt {
                self.marks.hit(Mark::RotFound);
            }
            self.checks.open_failed(node, name, excused, &error.to_string());
            if let Some(process) = &mut self.nodes[node].process {
                process.storage_failed = true;
            }
        }
        self.handle(node, event);
    }

    /// Plans the next step of a node's storage, where none is planned and there is work.
    pub(super) fn plan_storage(&mut self, node: NodeIndex) {
        let at = &mut self.nodes[node];
        let Some(process) = &mut at.process else { return };
        let idle = process.step == Some(StorageStep::Idle);
        if process.step.is_none() || idle {
            process.step = Some(StorageStep::Write);
            self.push_step(node, StorageStep::Write);
        }
    }

    fn push_step(&mut self, node: NodeIndex, step: StorageStep) {
        let plan = &self.scenario.disk;
        let (purpose, whole) = match step {
            StorageStep::Write => (purpose::WAL_WRITE, plan.write_us),
            StorageStep::Sync => (purpose::WAL_SYNC, plan.sync_us),
            StorageStep::Complete => (purpose::WAL_COMPLETE, plan.complete_us),
            StorageStep::Idle => (purpose::WAL_COMPLETE, IDLE_US),
        };
        let at = &mut self.nodes[node];
        at.steps += 1;
        // Waiting for work takes as long on a slow disk as on a fast one.
        let whole = if step == StorageStep::Idle { whole } else { whole * at.slow };
        let spread = draw_below(self.scenario.seed, purpose, node as u64, at.steps, whole / 2 + 1);
        let moment = Time(self.now.0 + whole - spread);
        self.queue.push(moment, Occurrence::Storage { node, life: at.life, step });
    }

    pub(super) fn storage_step(&mut self, node: NodeIndex, life: u32, step: StorageStep) {
        let at = &mut self.nodes[node];
        let Some(process) = &mut at.process else { return };
        // An idle step that work has overtaken is stale.
        if at.life != life || process.step != Some(step) {
            return;
        }
        let untold = core::mem::take(&mut at.untold_votes);
        if !untold.is_empty() {
            for event in untold {
                self.deliver_completion(node, event);
            }
            return self.storage_step(node, life, step);
        }
        let next = match step {
            StorageStep::Write => {
                process.wal.write();
                Some(StorageStep::Sync)
            }
            StorageStep::Sync => {
                process.wal.sync();
                self.bugs.after_writing(node, &at.disk);
                Some(StorageStep::Complete)
            }
            StorageStep::Idle => {
                process.wal.idle();
                None
            }
            StorageStep::Complete => {
                let mut completed = core::mem::take(&mut self.completed);
                process.wal.complete(&mut completed);
                process.step = None;
                self.checks.disk_changed(node, &self.nodes[node].disk);
                self.storage_completed(node, &mut completed);
                self.completed = completed;
                return;
            }
        };
        process.step = next;
        self.checks.disk_changed(node, &self.nodes[node].disk);
        if self.nodes[node].doomed == Some(step) && (step == StorageStep::Sync || self.nodes[node].disk.has_unsynced())
        {
            self.die(node, true);
            return;
        }
        if let Some(next) = next {
            self.push_step(node, next);
        }
        self.follow_ups(node);
    }

    fn storage_completed(&mut self, node: NodeIndex, completed: &mut Vec<Event>) {
        for mut event in completed.drain(..) {
            // Promises need not be told with the entries of the same step: nothing may count on it.
            let at = &mut self.nodes[node];
            if self.scenario.disk.promises_late
                && matches!(event, Event::VotesSaved { .. })
                && draw_below(self.scenario.seed, purpose::VOTE_TOLD, node as u64, at.steps, 2) == 0
            {
                at.untold_votes.push(event);
                continue;
            }
            self.bugs.before_completed(node, &mut event);
            self.deliver_completion(node, event);
        }
        let Some(process) = &mut self.nodes[node].process else { return };
        if process.step.is_some() {
            return;
        }
        let step = if process.wal.has_work() { StorageStep::Write } else { StorageStep::Idle };
        process.step = Some(step);
        self.push_step(node, step);
    }

    pub(super) fn storage_failure_marks(&mut self, operation: StorageOperation, error: &engraft::core::StorageError) {
        match error.kind {
            StorageErrorKind::Full => self.marks.hit(Mark::DiskFilled),
            StorageErrorKind::Corrupt => self.marks.hit(Mark::RotRead),
            StorageErrorKind::Io => {
                if operation == StorageOperation::Sync || operation == StorageOperation::SaveVote {
                    self.marks.hit(Mark::SyncFailed);
                }
            }
        }
    }

    /// The process dies at once; with `power` the machine goes too.
    pub(super) fn die(&mut self, node: NodeIndex, power: bool) {
        let primary = self.checks.spaces.iter().any(|space| space.primary() == node);
        let Some(process) = self.end_process(node, power) else { return };
        match process.step {
            Some(StorageStep::Sync) => self.marks.hit(Mark::CrashBetweenWriteAndSync),
            Some(StorageStep::Complete) => self.marks.hit(Mark::CrashBetweenSyncAndCompletion),
            Some(StorageStep::Write | StorageStep::Idle) | None => {}
        }
        self.marks.hit(if primary { Mark::PrimaryDied } else { Mark::ReplicaDied });
        let links: Vec<_> = process.links.into_iter().collect();
        // A dead process ends nothing in order: what its parts do when they are dropped reaches no disk.
        self.nodes[node].disk.kill_after(0);
        drop((process.wal, process.engines));
        let at = &mut self.nodes[node];
        at.crashes += 1;
        at.doomed = None;
        at.doomed_flush = None;
        at.silent = power;
        if power {
            at.boot += 1;
            if at.disk.has_unsynced() {
                self.marks.hit(Mark::UnsyncedLost);
            }
            at.disk.crash(at.crashes);
            if self.checks.power_failed(node, &at.disk) {
                self.marks.hit(Mark::AcknowledgedLost);
            }
        } else {
            at.disk.kill();
        }
        self.drop_links(links.into_iter(), !power);
    }

    /// Takes the process away, notes what its disk had durable, and leaves its clients without an answer.
    fn end_process(&mut self, node: NodeIndex, power: bool) -> Option<Process> {
        let process = self.nodes[node].process.take()?;
        let at = &mut self.nodes[node];
        self.checks.disk_changed(node, &at.disk);
        for (left, space) in at.left.iter_mut().zip(&self.checks.spaces) {
            *left = space.left(node, power);
        }
        self.checks.process_ends(node);
        at.completions.clear();
        at.old_completion = None;
        at.untold_votes.clear();
        at.life += 1;
        at.pause = None;
        at.held.clear();
        self.abandon_operations(node);
        Some(process)
    }

    /// The core has halted: the storage finishes, the links end.
    pub(super) fn stop_in_order(&mut self, node: NodeIndex) {
        let Some(mut process) = self.end_process(node, false) else { return };
        while process.wal.has_work() {
            process.wal.write();
            process.wal.sync();
            process.wal.complete(&mut self.completed);
            self.completed.clear();
        }
        let links: Vec<_> = process.links.into_iter().collect();
        if let Err(error) = process.wal.close() {
            self.note(Subject::Node(node_id(node)), LineKind::Milestone, || format!("stops, but {error}"));
        }
        let at = &mut self.nodes[node];
        self.checks.disk_changed(node, &at.disk);
        for (left, space) in at.left.iter_mut().zip(&self.checks.spaces) {
            *left = space.left(node, false);
        }
        at.silent = false;
        at.disk.kill();
        self.marks.hit(Mark::NodeShutDown);
        self.drop_links(links.into_iter(), true);
    }

    pub(super) fn stand_still(&mut self, node: NodeIndex) -> u32 {
        let at = &mut self.nodes[node];
        at.pauses += 1;
        at.pause = Some(at.pauses);
        self.marks.hit(Mark::NodePaused);
        at.pauses
    }

    pub(super) fn resume(&mut self, node: NodeIndex, pause: u32) {
        let at = &mut self.nodes[node];
        if at.pause != Some(pause) {
            return;
        }
        at.pause = None;
        let held = core::mem::take(&mut at.held);
        for what in held {
            self.queue.push(self.now, what);
        }
        self.arm(node);
    }
}

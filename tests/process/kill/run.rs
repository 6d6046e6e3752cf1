//! A run: the schedule is carried out, and the files are judged again and again.

mod healing;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use core::time::Duration;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

use engraft::core::draw::draw_below;

use super::clients::{self, Shared, Target};
use super::cluster::{Cluster, Manner, ended_by_file_size, nodes};
use super::disk::SmallDisk;
use super::files;
use super::judge::{SpaceLogs, When, judge};
use super::proxy::Weather;
use super::report::Report;
use super::schedule::{FILE_BYTES_MIN, Fault, Step, step};

/// The spaces: two, so that two nodes are primaries and one only follows.
pub(super) const TARGETS: &[Target] = &[
    Target { name: "orders", primary: 1, voters: &[1, 2, 3] },
    Target { name: "audit", primary: 2, voters: &[1, 2, 3] },
];
const CLIENTS: u32 = 6;
/// Between two moments at which every node is killed.
const ROUND: Duration = Duration::from_secs(4);
/// The draws of the order in which all nodes are killed, and of the node whose disk can be filled.
const ORDER: u64 = 300;
const SMALL: u64 = 301;

/// How something is undone.
#[derive(Debug, Clone, Copy)]
enum Undo {
    Start(u16),
    Resume(u16),
    Clear(u16, u16),
    FreeDisk(u16),
    LiftLimit(u16),
}

/// Carries out the schedule of a seed.
pub(super) struct Run {
    seed: u64,
    length: Duration,
    begun: Instant,
    cluster: Cluster,
    /// The node that has a disk of its own, where mounting is permitted.
    disk: Option<(u16, SmallDisk)>,
    /// Nodes whose disk is full, or whose files may not grow: they may stop spaces, and end.
    short: BTreeSet<u16>,
    /// Nodes that did not end in good order since their logs were opened last.
    unclean: BTreeSet<u16>,
    undo: Vec<(Instant, Undo)>,
    shared: Arc<Shared>,
    report: Report,
}

impl Run {
    /// Prepares a run in a directory.
    pub(super) fn new(directory: &Path, seed: u64, length: Duration) -> Self {
        let doors = Arc::new(Mutex::new([None; 3]));
        let cluster = Cluster::new(directory, seed, TARGETS, "", Arc::clone(&doors));
        // One node only: on a disk in memory a sync takes no time, and a kill never comes between a write and its sync.
        let small = u16::try_from(draw_below(seed, SMALL, 0, 0, 3)).unwrap_or(0) + 1;
        let disk = SmallDisk::mount(&directory.join(format!("n{small}"))).map(|disk| (small, disk));
        let begun = Instant::now();
        let shared = Arc::new(Shared {
            seed,
            targets: TARGETS,
            leaders: TARGETS.iter().map(|target| AtomicU16::new(target.primary)).collect(),
            doors,
            gate: RwLock::new(()),
            ended: AtomicBool::new(false),
            begun,
            operations: Mutex::default(),
            seen: Mutex::default(),
        });
        Self {
            seed,
            length,
            begun,
            cluster,
            disk,
            short: BTreeSet::new(),
            unclean: BTreeSet::new(),
            undo: Vec::new(),
            shared,
            report: Report::new(seed),
        }
    }

    /// Runs it to its end, or to the first moment at which something does not hold.
    pub(super) fn go(mut self) -> Report {
        for node in nodes() {
            self.start(node, Manner::Plain);
        }
        let mut threads: Vec<_> = (0..CLIENTS).map(|client| clients::start(&self.shared, client)).collect();
        threads.push(clients::start_reader(&self.shared));
        self.chaos();
        if self.report.is_clean() {
            self.heal();
        }
        self.shared.ended.store(true, Ordering::Relaxed);
        for thread in threads {
            if thread.join().is_err() {
                self.report.found("client", "a client's thread has panicked".to_owned());
            }
        }
        if self.report.is_clean() {
            self.finish();
        }
        if let Some((_, disk)) = self.disk.as_ref().filter(|_| !self.report.is_clean()) {
            // What lies in memory goes with the run; whoever looks for the cause needs it.
            disk.keep();
        }
        self.report.weather = self.cluster.weather_done();
        self.report.seconds = self.begun.elapsed().as_secs_f64();
        self.report
    }

    fn chaos(&mut self) {
        let (mut number, mut round) = (0, 0);
        let mut next = step(self.seed, number);
        let mut due = Instant::now() + next.after;
        while self.begun.elapsed() < self.length && self.report.is_clean() {
            let now = Instant::now();
            self.undo_what_is_due(now);
            if due <= now {
                self.carry_out(next);
                number += 1;
                next = step(self.seed, number);
                // What took long is made up for, so that a slow machine carries out as many steps.
                due = (due + next.after).max(now);
            }
            self.look_after();
            if self.begun.elapsed() > ROUND * (round + 1) {
                self.black_out(round);
                round += 1;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        self.report.steps = number;
    }

    fn carry_out(&mut self, step: Step) {
        let undo_at = Instant::now() + step.lasts;
        let undo = match step.fault {
            Fault::Kill { node } => {
                if !self.kill(node) {
                    return;
                }
                self.report.kills += 1;
                Undo::Start(node)
            }
            Fault::Stop { node } => {
                if !self.cluster.pause(node) {
                    return;
                }
                self.report.stops += 1;
                Undo::Resume(node)
            }
            Fault::Restart { node } => {
                if !self.terminate(node) {
                    return;
                }
                self.report.restarts += 1;
                Undo::Start(node)
            }
            Fault::Link { from, to, weather } => {
                self.set_weather(from, to, weather);
                self.undo.push((undo_at, Undo::Clear(from, to)));
                return;
            }
            Fault::Isolate { node, weather } => {
                for other in nodes().filter(|other| *other != node) {
                    for (from, to) in [(node, other), (other, node)] {
                        self.set_weather(from, to, weather);
                        self.undo.push((undo_at, Undo::Clear(from, to)));
                    }
                }
                return;
            }
            Fault::FillDisk { node, room } => {
                if self.short.contains(&node) {
                    return;
                }
                // Any other node shares its disk with this machine: its files may not grow instead.
                if !self.disk_of(node).is_some_and(|disk| disk.fill(room)) {
                    let fault = Fault::ShortFiles { node, bytes: FILE_BYTES_MIN + room, told: true };
                    return self.carry_out(Step { fault, ..step });
                }
                self.short.insert(node);
                self.report.full_disks += 1;
                Undo::FreeDisk(node)
            }
            Fault::ShortFiles { node, bytes, told } => {
                if self.short.contains(&node) || !self.kill(node) {
                    return;
                }
                self.report.kills += 1;
                self.report.short_files += 1;
                self.short.insert(node);
                self.start(node, Manner::Short { bytes, told });
                Undo::LiftLimit(node)
            }
        };
        self.undo.push((undo_at, undo));
    }

    fn set_weather(&mut self, from: u16, to: u16, weather: Weather) {
        self.cluster.set_weather(from, to, weather);
        self.report.weathers += 1;
    }

    fn undo_what_is_due(&mut self, now: Instant) {
        let due: Vec<Undo> = self.undo.iter().filter(|(at, _)| *at <= now).map(|(_, undo)| *undo).collect();
        self.undo.retain(|(at, _)| *at > now);
        for undo in due {
            self.undo_one(undo);
        }
    }

    fn undo_one(&mut self, undo: Undo) {
        match undo {
            Undo::Start(node) => self.start(node, Manner::Plain),
            Undo::Resume(node) => self.cluster.resume(node),
            Undo::Clear(from, to) => self.cluster.set_weather(from, to, Weather::Clear),
            Undo::FreeDisk(node) => {
                if let Some(disk) = self.disk_of(node) {
                    disk.free();
                }
                self.begin_anew(node);
            }
            Undo::LiftLimit(node) => self.begin_anew(node),
        }
    }

    fn disk_of(&self, node: u16) -> Option<&SmallDisk> {
        self.disk.as_ref().filter(|(owner, _)| *owner == node).map(|(_, disk)| disk)
    }

    /// A space that stopped for want of room stays stopped until its node starts again.
    fn begin_anew(&mut self, node: u16) {
        self.terminate(node);
        self.short.remove(&node);
        self.start(node, Manner::Plain);
    }

    fn start(&mut self, node: u16, manner: Manner) {
        if self.cluster.runs(node) {
            return;
        }
        match self.cluster.start(node, manner) {
            Ok(()) => {}
            // It comes back once there is room.
            Err(_) if self.short.contains(&node) => {
                self.unclean.insert(node);
                self.report.refused_starts += 1;
            }
            Err(words) => self.report.found("start", words),
        }
    }

    fn kill(&mut self, node: u16) -> bool {
        let ran = self.cluster.kill(node);
        if ran {
            self.unclean.insert(node);
        }
        ran
    }

    fn terminate(&mut self, node: u16) -> bool {
        let Some(status) = self.cluster.terminate(node) else { return false };
        if status.success() {
            self.unclean.remove(&node);
        } else {
            self.unclean.insert(node);
            if !self.short.contains(&node) {
                let words = format!("n{node} did not end in good order: {status}\n{}", self.cluster.last_words(node));
                self.report.found("end", words);
            }
        }
        true
    }

    /// Nodes that ended by themselves: only those whose files may not grow may do that.
    fn look_after(&mut self) {
        for (node, status) in self.cluster.ended() {
            self.unclean.insert(node);
            if !self.short.contains(&node) {
                let words = format!("n{node} ended by itself: {status}\n{}", self.cluster.last_words(node));
                self.report.found("end", words);
            } else if ended_by_file_size(status) {
                self.report.ended_by_file_size += 1;
            }
        }
    }

    /// Kills every node, and judges what is there by what clients were told until then.
    fn black_out(&mut self, round: u32) {
        let first = u16::try_from(draw_below(self.seed, ORDER, 0, round.into(), 3)).unwrap_or(0);
        let order = [first + 1, (first + 1) % 3 + 1, (first + 2) % 3 + 1];
        self.report.kills += self.cluster.kill_all(&order);
        self.unclean.extend(order);
        let shared = Arc::clone(&self.shared);
        // Every answer that was under way has come by now, or never will.
        let closed = shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        self.judge(When::Killed);
        drop(closed);
        for node in nodes() {
            if !self.short.contains(&node) {
                self.start(node, Manner::Plain);
            }
        }
        self.report.black_outs += 1;
    }

    fn judge(&mut self, when: When) {
        for node in nodes() {
            for words in files::damage(&self.cluster.data(node), self.unclean.contains(&node)) {
                self.report.found("damage", format!("n{node}: {words}"));
            }
        }
        let read = |node, target: &Target| files::read_log(&self.cluster.data(node), target.name, self.seed);
        let salvaged = |node, target: &Target| files::read_salvage(&self.cluster.data(node), target.name, self.seed);
        let logs = |target: &Target| SpaceLogs {
            logs: nodes().map(|node| (node, read(node, target))).collect(),
            salvaged: nodes().map(|node| (node, salvaged(node, target))).collect(),
        };
        let spaces: Vec<SpaceLogs> = TARGETS.iter().map(logs).collect();
        let operations = self.shared.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in judge(&spaces, &operations, &seen, when) {
            self.report.found(&format!("{:?}", finding.rule), finding.words);
        }
        self.report.count(&operations, seen.len());
        self.report.entries = spaces.iter().flat_map(|space| space.logs.values().map(Vec::len).max()).sum();
    }
}

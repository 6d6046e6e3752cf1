//! Primaries killed under load: another node takes over in time, and what was acknowledged at Quorum stays.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use core::time::Duration;
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use engraft::types::Epoch;
use serde_json::Value;

use super::clients::{Doors, Target, exchange, send};
use super::cluster::{Cluster, Manner, nodes};
use super::history::{Level, Operation, Told, parse_epoch};
use super::judge::{SpaceLogs, When, judge};
use super::payload::PayloadId;
use super::{files, say};

const TARGETS: &[Target] = &[Target { name: "orders", primary: 1, voters: &[1, 2, 3] }];
const CLIENTS: u32 = 4;
/// Kills where nothing else is asked for.
const KILLS: usize = 3;
/// The promise for the default time-outs, from the old primary's last answer to the new one's first.
const PROMOTED_WITHIN: Duration = Duration::from_secs(5);
/// What takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const SEED: u64 = 11;

/// What the clients share with those who kill.
struct Load {
    doors: Doors,
    begun: Instant,
    ended: AtomicBool,
    /// Who took something last.
    leader: AtomicU16,
    operations: Mutex<Vec<Operation>>,
}

impl Load {
    fn door(&self, node: u16) -> Option<core::net::SocketAddr> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(node) - 1]
    }

    fn operations(&self) -> Vec<Operation> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Appends one entry after another at Quorum, wherever one is taken.
    fn run(&self, client: u32) {
        for counter in 0.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let id = PayloadId { client, counter };
            let node = self.leader.load(Ordering::Relaxed);
            let sent = self.begun.elapsed();
            let told = match self.door(node) {
                None => Told::Failed("not sent".to_owned()),
                Some(door) => {
                    let path = "/v1/spaces/orders/entries?ack=quorum&timeout_ms=5000";
                    send(door, path, false, &id.bytes(SEED), 1, Duration::from_secs(8)).remove(0)
                }
            };
            if !matches!(told, Told::Appended(_)) {
                // Only the first of those who were refused moves on.
                let _ = self.leader.compare_exchange(node, node % 3 + 1, Ordering::Relaxed, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
            let answered = self.begun.elapsed();
            let operation = Operation { id, space: 0, level: Level::Quorum, sent, answered, line: 0, told };
            self.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
        }
    }

    fn space(&self, node: u16) -> Option<Value> {
        let stream = TcpStream::connect(self.door(node)?).ok()?;
        let (_, text) = exchange(stream, "GET", "/v1/status", "text/plain", b"", Duration::from_secs(5))?;
        let status: Value = serde_json::from_str(&text).ok()?;
        status["spaces"].as_array()?.first().cloned()
    }

    /// The node that is the primary, and its epoch.
    fn primary(&self) -> Option<(u16, Epoch)> {
        let roles = nodes().filter_map(|node| {
            let space = self.space(node)?;
            let epoch = parse_epoch(space["epoch"].as_str()?)?;
            (space["role"] == "primary").then_some((node, epoch))
        });
        roles.max_by_key(|(_, epoch)| *epoch)
    }

    /// When the last answer of this epoch came, and when the first of a later one.
    fn answers(&self, epoch: Epoch) -> (Option<Duration>, Option<Duration>) {
        let operations = self.operations();
        let answered = operations.iter().filter_map(|operation| match operation.told {
            Told::Appended(place) => Some((place.epoch, operation.answered)),
            Told::Unknown { .. } | Told::Failed(_) | Told::Nothing => None,
        });
        let answered: Vec<_> = answered.collect();
        let last = answered.iter().filter(|(at, _)| *at == epoch).map(|(_, when)| *when).max();
        (last, answered.iter().filter(|(at, _)| *at > epoch).map(|(_, when)| *when).min())
    }
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what} took longer than {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn kills() -> usize {
    let asked = std::env::var("ENGRAFT_KILL_PRIMARIES").ok();
    asked.map_or(KILLS, |text| text.parse().expect("ENGRAFT_KILL_PRIMARIES: a whole number"))
}

#[test]
fn a_primary_killed_under_load_is_replaced_in_time_and_nothing_acknowledged_at_quorum_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let (took, salvaged) = kill_primaries(directory.path(), kills());
    let mut sorted = took.clone();
    sorted.sort_unstable();
    let (median, worst) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
    say(&format!("{} primaries killed: median {median:?}, worst {worst:?}, {salvaged} salvage files", took.len()));
    assert!(worst < PROMOTED_WITHIN, "{took:?}");
}

/// Kills primaries one after the other; how long each promotion took, and how many files of salvage there are.
fn kill_primaries(directory: &Path, count: usize) -> (Vec<Duration>, usize) {
    let doors: Doors = Arc::new(Mutex::new([None; 3]));
    let mut cluster = Cluster::new(directory, SEED, TARGETS, Arc::clone(&doors));
    for node in nodes() {
        cluster.start(node, Manner::Plain).expect("it starts");
    }
    let (ended, leader) = (AtomicBool::new(false), AtomicU16::new(1));
    let load = Load { doors, begun: Instant::now(), ended, leader, operations: Mutex::default() };
    let mut took = Vec::new();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let load = &load;
            scope.spawn(move || load.run(client));
        }
        // Whatever is found wrong, the clients end: a scope waits for them.
        let found = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
            for _ in 0..count {
                took.push(kill_one(&mut cluster, &load));
            }
        }));
        load.ended.store(true, Ordering::Relaxed);
        if let Err(panic) = found {
            std::panic::resume_unwind(panic);
        }
    });
    finish(&mut cluster, &load);
    let files = |node| {
        let listed = std::fs::read_dir(cluster.data(node).join("salvage/orders"));
        listed.map_or(0, Iterator::count)
    };
    (took, nodes().map(files).sum())
}

/// Kills the primary, waits for the next one, starts the killed one again, and waits until it has what it missed.
fn kill_one(cluster: &mut Cluster, load: &Load) -> Duration {
    let (primary, epoch) = wait("a primary that answers", || {
        let (primary, epoch) = load.primary()?;
        load.answers(epoch).0.map(|_| (primary, epoch))
    });
    std::thread::sleep(Duration::from_millis(100));
    assert!(cluster.kill(primary), "it ran");
    let answered = wait("an answer of the next primary", || load.answers(epoch).1);
    let last = load.answers(epoch).0.expect("it answered before");
    cluster.start(primary, Manner::Plain).expect("it starts again");
    let (next, _) = wait("the next primary", || load.primary());
    let target = load.space(next).and_then(|space| space["durable"].as_u64()).unwrap_or(u64::MAX);
    wait("the return", || load.space(primary)?["commit"].as_u64().filter(|commit| *commit >= target));
    answered.saturating_sub(last)
}

/// Waits until all logs are the same, ends the nodes, and judges their files.
fn finish(cluster: &mut Cluster, load: &Load) {
    wait("the same logs everywhere", || {
        let spaces: Vec<Value> = nodes().filter_map(|node| load.space(node)).collect();
        let end = &spaces.first()?["end"];
        let same = |space: &Value| ["end", "durable", "commit"].iter().all(|key| space[*key] == *end);
        (spaces.len() == 3 && spaces.iter().all(same)).then_some(())
    });
    for node in nodes() {
        let status = cluster.terminate(node).expect("it runs");
        assert!(status.success(), "n{node}: {status}\n{}", cluster.last_words(node));
        assert_eq!(files::damage(&cluster.data(node), false), [] as [String; 0], "n{node}");
        assert!(!cluster.logged(node).contains("panicked at"), "n{node}: {}", cluster.last_words(node));
    }
    let logs: BTreeMap<_, _> =
        nodes().map(|node| (node, files::read_log(&cluster.data(node), "orders", SEED))).collect();
    let operations = load.operations();
    let appended = operations.iter().filter(|operation| matches!(operation.told, Told::Appended(_))).count();
    let nothing = operations.iter().filter(|operation| operation.told == Told::Nothing).count();
    say(&format!("{appended} entries acknowledged at quorum, {nothing} of which nothing is known"));
    assert!(appended > 0, "the clients were answered nothing");
    let salvaged = nodes().map(|node| (node, files::read_salvage(&cluster.data(node), "orders", SEED))).collect();
    let findings = judge(&[SpaceLogs { logs, salvaged }], &operations, &[], When::Healed);
    assert_eq!(findings, []);
}

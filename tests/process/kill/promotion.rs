//! Primaries killed and stopped under load: another node takes over in time, what was acknowledged at Quorum and All
//! stays, and what was acknowledged at Local is at least in a salvage file.

mod load;
mod past;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::panic::{catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use engraft::types::Epoch;
use serde_json::Value;

use super::clients::Target;
use super::cluster::{Cluster, Manner, nodes};
use super::history::{Level, Operation, Told};
use super::judge::{SpaceLogs, When, judge};
use super::proxy::Weather;
use super::{files, say};
use load::{CLIENTS, Load};
use past::{Limit, Lost};

const TARGETS: &[Target] = &[Target { name: "orders", primary: 1, voters: &[1, 2, 3] }];
/// Kills and stops where nothing else is asked for.
const KILLS: usize = 3;
const STOPS: usize = 1;
/// A stop lasts as long as this and until another node has taken over; in a run of many, the first two are long.
const STOPPED_FOR: Duration = Duration::from_secs(3);
const STOPPED_FOR_LONG: Duration = Duration::from_secs(30);
const MANY: usize = 10;
/// What a primary is asked to expose before it is stopped: less than the limit, mostly.
const EXPOSED: usize = 4;
/// How long at least the next primary goes on while the past one is stopped.
const PAST_FOR: Duration = Duration::from_secs(1);
/// The promise for the default time-outs, from the old primary's last answer to the new one's first.
const PROMOTED_WITHIN: Duration = Duration::from_secs(5);
/// Low enough to be felt: a stop is longer, and a hundred appends are more.
const LIMIT: Limit = Limit { bytes: 48 << 10, age: Duration::from_secs(2) };
const REPLICATION: &str = "entry_bytes_max = \"48KiB\"\nexposure_bytes_max = \"48KiB\"\nexposure_age_max = \"2s\"\n";
/// What takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const SEED: u64 = 11;

/// How long promotions took, and which primaries went on when they were of the past.
#[derive(Debug, Default)]
struct Promotions {
    after_kills: Vec<Duration>,
    after_stops: Vec<Duration>,
    /// Their epoch, and when they went on.
    past: Vec<(Epoch, Duration)>,
    /// From when to when a node did nothing.
    away: Vec<(Duration, Duration)>,
}

/// Whom a past primary hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    /// Everybody, as soon as it goes on.
    Clear,
    /// Nobody when it goes on: it takes itself for the primary, and answers at Local what the exposure lets through.
    CutAfter,
    /// Nobody since before it was stopped: something is exposed, for too long when it goes on.
    CutBefore,
    /// Nobody since it exposed as much as it may and was stopped.
    CutUntilFull,
}

impl Links {
    fn of(number: usize) -> Self {
        [Self::Clear, Self::CutAfter, Self::CutBefore, Self::CutUntilFull][number % 4]
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

fn asked(name: &str, otherwise: usize) -> usize {
    let asked = std::env::var(name).ok();
    asked.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a whole number, found {text:?}")))
}

#[test]
fn a_primary_killed_or_stopped_under_load_is_replaced_in_time_and_nothing_acknowledged_is_lost_in_silence() {
    let directory = tempfile::tempdir().expect("a directory");
    let (kills, stops) = (asked("ENGRAFT_KILL_PRIMARIES", KILLS), asked("ENGRAFT_STOP_PRIMARIES", STOPS));
    let promoted = catch_unwind(AssertUnwindSafe(|| replace_primaries(directory.path(), kills, stops)));
    if let Err(panic) = promoted {
        say(&format!("what the nodes left is in {}", directory.keep().display()));
        resume_unwind(panic);
    }
}

/// Kills and stops primaries one after the other, the stops spread evenly among the kills, and judges what is left.
fn replace_primaries(directory: &Path, kills: usize, stops: usize) {
    let doors = Arc::new(Mutex::new([None; 3]));
    let mut cluster = Cluster::new(directory, SEED, TARGETS, REPLICATION, Arc::clone(&doors));
    for node in nodes() {
        cluster.start(node, Manner::Plain).expect("it starts");
    }
    let load = Load::new(doors);
    let mut promotions = Promotions::default();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let load = &load;
            scope.spawn(move || load.run(client));
        }
        // Whatever is found wrong, the clients end: a scope waits for them, and some of them for a node that is stopped.
        let found = catch_unwind(AssertUnwindSafe(|| {
            let count = kills + stops;
            for number in 0..count {
                if number * stops / count == (number + 1) * stops / count {
                    kill_one(&mut cluster, &load, &mut promotions);
                } else {
                    stop_one(&mut cluster, &load, stops, &mut promotions);
                }
            }
        }));
        load.ended.store(true, Ordering::Relaxed);
        for node in nodes() {
            set_links(&cluster, node, Weather::Clear);
            cluster.resume(node);
        }
        if let Err(panic) = found {
            resume_unwind(panic);
        }
    });
    finish(&mut cluster, &load, &promotions);
    for (what, took) in [("killed", &mut promotions.after_kills), ("stopped", &mut promotions.after_stops)] {
        took.sort_unstable();
        if let Some(worst) = took.last() {
            say(&format!("{} primaries {what}: median {:?}, worst {worst:?}", took.len(), took[took.len() / 2]));
            assert!(*worst < PROMOTED_WITHIN, "{took:?}");
        }
    }
}

/// Waits for a primary under load.
fn settled(load: &Load) -> (u16, Epoch) {
    let settled = wait("a primary that answers", || {
        let (primary, epoch) = load.primary()?;
        load.answers(epoch).0.map(|_| (primary, epoch))
    });
    std::thread::sleep(Duration::from_millis(100));
    settled
}

/// Waits for the next primary's first answer; the time since the last one of this epoch.
fn promoted(load: &Load, epoch: Epoch) -> Duration {
    let answered = wait("an answer of the next primary", || load.answers(epoch).1);
    answered.saturating_sub(load.answers(epoch).0.expect("it answered before"))
}

/// Waits until a node has what it missed.
fn returned(load: &Load, node: u16) {
    let (next, _) = wait("the next primary", || load.primary());
    let target = load.space(next).and_then(|space| space["durable"].as_u64()).unwrap_or(u64::MAX);
    wait("the return", || load.space(node)?["commit"].as_u64().filter(|commit| *commit >= target));
}

/// Kills the primary, waits for the next one, and starts the killed one again.
fn kill_one(cluster: &mut Cluster, load: &Load, promotions: &mut Promotions) {
    let (primary, epoch) = settled(load);
    assert!(cluster.kill(primary), "it ran");
    let since = load.begun.elapsed();
    promotions.after_kills.push(promoted(load, epoch));
    promotions.away.push((since, load.begun.elapsed()));
    cluster.start(primary, Manner::Plain).expect("it starts again");
    returned(load, primary);
}

/// Appends at Local until that is refused: for the exposure, or for anything else.
fn refused(load: &Load, node: u16, by_exposure: bool) {
    wait("a refusal at Local", || match load.ask(node, Level::Local) {
        Told::Failed(kind) => ((kind == "exposure_reached") == by_exposure).then_some(()),
        Told::Appended(_) | Told::Unknown { .. } | Told::Nothing => None,
    });
}

/// Stops the primary, waits for the next one, and lets the stopped one go on as what it takes itself for, until it
/// refuses appends at Local: because it has heard of the next one, or for its exposure.
fn stop_one(cluster: &mut Cluster, load: &Load, stops: usize, promotions: &mut Promotions) {
    let (number, (primary, epoch)) = (promotions.past.len(), settled(load));
    let (lasts, links) = (if stops >= MANY && number < 2 { STOPPED_FOR_LONG } else { STOPPED_FOR }, Links::of(number));
    if matches!(links, Links::CutBefore | Links::CutUntilFull) {
        set_links(cluster, primary, Weather::Cut);
    }
    match links {
        Links::Clear | Links::CutAfter => {}
        Links::CutBefore => (0..EXPOSED).for_each(|_| drop(load.ask(primary, Level::Local))),
        Links::CutUntilFull => refused(load, primary, true),
    }
    assert!(cluster.pause(primary), "it ran");
    let since = load.begun.elapsed();
    promotions.after_stops.push(promoted(load, epoch));
    std::thread::sleep((since + lasts).saturating_sub(load.begun.elapsed()).max(PAST_FOR));
    if links == Links::CutAfter {
        set_links(cluster, primary, Weather::Cut);
    }
    let until = load.begun.elapsed();
    promotions.past.push((epoch, until));
    promotions.away.push((since, until));
    cluster.resume(primary);
    refused(load, primary, links != Links::Clear);
    for level in [Level::Quorum, Level::All] {
        let told = load.ask(primary, level);
        assert!(!matches!(told, Told::Appended(_)), "n{primary} of {epoch} answered at {}: {told:?}", level.name());
    }
    set_links(cluster, primary, Weather::Clear);
    returned(load, primary);
}

/// Changes all links of a node.
fn set_links(cluster: &Cluster, node: u16, weather: Weather) {
    for other in nodes().filter(|other| *other != node) {
        cluster.set_weather(node, other, weather);
        cluster.set_weather(other, node, weather);
    }
}

/// Waits until all logs are the same, ends the nodes, and judges their files.
fn finish(cluster: &mut Cluster, load: &Load, promotions: &Promotions) {
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
    let lost = past::lost(&operations, &logs[&1], SEED);
    tell(cluster, &operations, promotions, &lost);
    let salvaged = nodes().map(|node| (node, files::read_salvage(&cluster.data(node), "orders", SEED))).collect();
    let findings = judge(&[SpaceLogs { logs, salvaged }], &operations, &[], When::Healed);
    assert_eq!(findings, []);
    assert_eq!(past::outdated(&operations), [] as [String; 0]);
    assert_eq!(past::incomplete(&operations, &promotions.away), [] as [String; 0]);
    assert_eq!(past::beyond(&lost, LIMIT), [] as [String; 0]);
}

/// Tells what was acknowledged, and what became of it.
fn tell(cluster: &Cluster, operations: &[Operation], promotions: &Promotions, lost: &BTreeMap<Epoch, Lost>) {
    for level in [Level::Local, Level::Quorum, Level::All] {
        let of_level = || operations.iter().filter(|operation| operation.level == level);
        let appended = of_level().filter(|operation| matches!(operation.told, Told::Appended(_))).count();
        let nothing = of_level().filter(|operation| operation.told == Told::Nothing).count();
        let late = |operation: &&Operation| match operation.told {
            Told::Appended(place) => {
                promotions.past.iter().any(|(epoch, since)| place.epoch == *epoch && operation.answered > *since)
            }
            Told::Unknown { .. } | Told::Failed(_) | Told::Nothing => false,
        };
        let (late, name) = (of_level().filter(late).count(), level.name());
        say(&format!(
            "{appended} entries acknowledged at {name}, {late} of them by a past primary that went on; of {nothing} \
             nothing is known"
        ));
        assert!(appended > 0, "the clients were answered nothing at {name}");
    }
    let salvaged = |node| {
        let listed = std::fs::read_dir(cluster.data(node).join("salvage/orders"));
        listed.map_or(0, Iterator::count)
    };
    say(&format!(
        "{} entries acknowledged at Local are in no log, at most {} bytes of an epoch; {} salvage files",
        lost.values().map(|lost| lost.entries).sum::<usize>(),
        lost.values().map(|lost| lost.bytes).max().unwrap_or(0),
        nodes().map(salvaged).sum::<usize>()
    ));
}

//! Real nodes, killed and stopped under load behind proxies, and judged by their files.
//!
//! `docs/killing.md` says what a run does and what it can show.

mod clients;
mod cluster;
mod disk;
mod files;
mod history;
mod judge;
mod payload;
mod promotion;
mod proxy;
mod report;
mod run;
mod schedule;
mod short_files;
mod weather;

use core::time::Duration;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// The length of a run where nothing else is asked for.
const SECONDS: f64 = 30.0;

/// The seed, and how long the schedule is carried out: from the environment, or of this moment and short.
fn asked_for() -> (u64, Duration) {
    let number = |name: &str| std::env::var(name).ok().map(|text| (text.clone(), name.to_owned()));
    let parsed = |(text, name): (String, String)| -> f64 {
        text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found {text:?}"))
    };
    let seed = std::env::var("ENGRAFT_KILL_SEED").ok().map(|text| {
        text.parse().unwrap_or_else(|_| panic!("ENGRAFT_KILL_SEED: expected a whole number, found {text:?}"))
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = seed.unwrap_or_else(|| u64::from(now.subsec_micros()) + now.as_secs() % 1_000_000 * 1_000_000);
    let minutes = number("ENGRAFT_KILL_MINUTES").map(parsed);
    (seed, Duration::from_secs_f64(minutes.map_or(SECONDS, |minutes| minutes * 60.0)))
}

/// Tells it although the output of tests is kept back: a seed that nobody knows is of no use.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

#[test]
fn nothing_acknowledged_is_lost_to_kills_stops_and_bad_links() {
    let (seed, length) = asked_for();
    say(&format!("killing: ENGRAFT_KILL_SEED={seed} for {length:?}"));
    let directory = tempfile::tempdir().expect("a directory");
    let report = run::Run::new(directory.path(), seed, length).go();
    say(&report.to_string());
    if !report.is_clean() {
        let kept = directory.keep();
        panic!("{report}\nwhat the nodes left is in {}", kept.display());
    }
    assert!(report.kills > 0 && report.operations() > 0, "the run did nothing: {report}");
}

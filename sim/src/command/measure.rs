//! Numbers of elections, measured over many seeds.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use clap::Subcommand;
use engraft_sim::measure::{TimeOuts, calm_hour, replace};
use engraft_sim::scenario::ScenarioError;
use serde_json::json;

/// A promotion takes no longer than this at default time-outs, and half of them no longer than the other.
const WORST_US: u64 = 5_000_000;
const MEDIAN_US: u64 = 2_000_000;
/// The same of the median where nodes stand in one room.
const LAN_MEDIAN_US: u64 = 300_000;

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Measured {
    /// Kill the primary of a space of three, once for each seed: how long it is without one.
    Promotions {
        /// How many.
        #[arg(long, default_value_t = 1_000)]
        count: u64,
        /// Heartbeats each 20 ms and elections after 100 to 200 ms instead of the defaults.
        #[arg(long)]
        lan: bool,
    },
    /// Leave a healthy cluster of three alone that loses 1 % of its frames, at ten entries a second.
    Calm {
        /// For how many simulated hours.
        #[arg(long, default_value_t = 10)]
        hours: u64,
    },
}

/// What was measured, as words and as JSON, and whether it is within its bounds.
pub(crate) struct Figures {
    pub(crate) words: String,
    pub(crate) json: serde_json::Value,
    pub(crate) holds: bool,
}

pub(crate) fn measure(measured: &Measured, jobs: usize) -> Result<Figures, ScenarioError> {
    match *measured {
        Measured::Promotions { count, lan } => promotions(count, lan, jobs),
        Measured::Calm { hours } => calm(hours, jobs),
    }
}

fn promotions(count: u64, lan: bool, jobs: usize) -> Result<Figures, ScenarioError> {
    let time_outs = if lan { TimeOuts::Lan } else { TimeOuts::Default };
    let all = each(count, jobs, |seed| replace(seed, time_outs))?;
    let mut times: Vec<u64> = all.iter().filter_map(|replaced| replaced.took_us).collect();
    times.sort_unstable();
    let broken = all.iter().find_map(|replaced| replaced.violation.clone());
    let never = all.len() - times.len();
    let at = |permille: usize| times.get((times.len() * permille / 1000).min(times.len().saturating_sub(1)));
    let (median, most, worst) = (at(500).copied(), at(990).copied(), times.last().copied());
    let median_max = if lan { LAN_MEDIAN_US } else { MEDIAN_US };
    let holds = broken.is_none()
        && never == 0
        && median.is_some_and(|median| median < median_max)
        && worst.is_some_and(|worst| lan || worst < WORST_US);
    let millis = |us: Option<u64>| us.unwrap_or_default() / 1000;
    let words = format!(
        "{count} promotions: median {} ms, 99 % within {} ms, worst {} ms; {never} without a new primary in time{}",
        millis(median),
        millis(most),
        millis(worst),
        broken.as_ref().map(|violation| format!("; {violation}")).unwrap_or_default(),
    );
    let json = json!({
        "promotions": count, "lan": lan, "median_ms": millis(median), "within_99_ms": millis(most),
        "worst_ms": millis(worst), "never": never, "violation": broken.map(|violation| violation.to_string()),
    });
    Ok(Figures { words, json, holds })
}

fn calm(hours: u64, jobs: usize) -> Result<Figures, ScenarioError> {
    let all = each(hours, jobs, calm_hour)?;
    let elections: u64 = all.iter().map(|calm| calm.elections).sum();
    let leases_lost: u64 = all.iter().map(|calm| calm.leases_lost).sum();
    let answered: u64 = all.iter().map(|calm| calm.answered).sum();
    let broken = all.iter().find_map(|calm| calm.violation.clone());
    let holds = broken.is_none() && elections == 0;
    let words = format!(
        "{hours} hours, {answered} entries at quorum: {elections} elections, {leases_lost} leases lost{}",
        broken.as_ref().map(|violation| format!("; {violation}")).unwrap_or_default(),
    );
    let json = json!({
        "hours": hours, "answered": answered, "elections": elections, "leases_lost": leases_lost,
        "violation": broken.map(|violation| violation.to_string()),
    });
    Ok(Figures { words, json, holds })
}

/// Runs the seeds from 0 on, several at once; what came of each, in no order.
fn each<T: Send>(
    count: u64,
    jobs: usize,
    run: impl Fn(u64) -> Result<T, ScenarioError> + Sync,
) -> Result<Vec<T>, ScenarioError> {
    let next = AtomicU64::new(0);
    let done = Mutex::new(Ok(Vec::new()));
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                return;
            }
            let result = run(seed);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *done, result) {
                (Ok(list), Ok(one)) => list.push(one),
                (Ok(_), Err(error)) => *done = Err(error),
                (Err(_), _) => return,
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..jobs.max(1) {
            scope.spawn(worker);
        }
        worker();
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

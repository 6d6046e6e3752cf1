//! Sweeping: many seeds, several at once, until one breaks something.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::check::Violation;
use crate::mark::{Mark, Marks};
use crate::run::Report;
use crate::scenario::ScenarioError;
use crate::trace::Recent;

/// So many seeds are to take every usual path, and to be as rough as is asked of them; fewer say nothing about it.
pub const SEEDS_THAT_TELL: u64 = 1_000;

/// Within which 99 of 100 clusters recover once everything is healed, beyond what their backlog takes.
const RECOVERY_MS_MAX: u64 = 5_000;

/// Which seeds, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct SweepPlan {
    /// The first seed.
    pub from: u64,
    /// The seed before which it ends.
    pub to: u64,
    /// When it ends at the latest.
    pub time_max: Option<Duration>,
    /// How many run at once; at least one does.
    pub jobs: usize,
}

/// How often what took how long, in steps of 10 ms.
#[derive(Debug, Clone)]
pub struct Times {
    steps: Vec<u32>,
    count: u64,
}

impl Default for Times {
    /// All of its memory is there from the first seed on.
    fn default() -> Self {
        Self { steps: vec![0; Self::STEPS], count: 0 }
    }
}

impl Times {
    /// The last step stands for everything above.
    const STEPS: usize = 10_000;
    const STEP_US: u64 = 10_000;

    fn note(&mut self, us: u64) {
        let step = usize::try_from(us / Self::STEP_US).unwrap_or(usize::MAX).min(Self::STEPS - 1);
        if let Some(place) = self.steps.get_mut(step) {
            *place += 1;
        }
        self.count += 1;
    }

    fn merge(&mut self, other: &Self) {
        for (place, count) in self.steps.iter_mut().zip(&other.steps) {
            *place += count;
        }
        self.count += other.count;
    }

    /// The time in milliseconds within which so many of a thousand were done; 0 where there were none.
    #[must_use]
    pub fn within_ms(&self, permille: u64) -> u64 {
        let wanted = (self.count * permille).div_ceil(1000);
        let mut seen = 0;
        for (step, count) in (1_u64..).zip(&self.steps) {
            seen += u64::from(*count);
            if seen >= wanted {
                return step * Self::STEP_US / 1000;
            }
        }
        0
    }
}

/// What a sweep has found.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// Seeds that were run.
    pub seeds: u64,
    /// Events that cores handled.
    pub events: u64,
    /// Microseconds that went by in the worlds.
    pub simulated_us: u64,
    /// The rare paths that were taken.
    pub marks: Marks,
    /// Seeds in which something unsynced was lost, and in which a fault began during another one.
    pub seeds_with_loss: u64,
    /// See `seeds_with_loss`.
    pub seeds_with_overlap: u64,
    /// How long it took after the healing until an append was committed in every space, beyond what the backlog took.
    pub commits: Times,
    /// The same until every replica had everything.
    pub convergences: Times,
    /// The lowest seed that broke something.
    pub violation: Option<(u64, Violation)>,
    /// Its last events.
    pub recent: Vec<Recent>,
    /// Where another sweep would go on.
    pub next_seed: u64,
    /// How long it took.
    pub took: Duration,
}

/// Runs the seeds with `run`, until one breaks something, all were run, the time is up, or `stop` is set. `tell` hears of
/// each seed that was run, and of its events.
///
/// # Errors
/// The first scenario that cannot be run.
pub fn sweep(
    plan: &SweepPlan,
    run: impl Fn(u64) -> Result<Report, ScenarioError> + Sync,
    stop: &AtomicBool,
    tell: impl Fn(u64, u64) + Sync,
) -> Result<Sweep, ScenarioError> {
    let began = Instant::now();
    let next = AtomicU64::new(plan.from);
    let bound = AtomicU64::new(plan.to);
    let total = Mutex::new((Sweep::default(), None));
    let worker = || {
        let mut own = Sweep::default();
        let mut refused = None;
        while !stop.load(Ordering::Relaxed) && plan.time_max.is_none_or(|most| began.elapsed() < most) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= bound.load(Ordering::Relaxed) {
                break;
            }
            match run(seed) {
                Ok(report) => {
                    tell(seed, report.events);
                    own.take(seed, &report);
                    if report.violation.is_some() {
                        // Lower seeds that are under way still count: the lowest one is told, whatever the timing.
                        bound.fetch_min(seed, Ordering::Relaxed);
                    }
                }
                Err(error) => {
                    bound.fetch_min(seed, Ordering::Relaxed);
                    refused = Some(error);
                }
            }
        }
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        total.0.merge(own);
        total.1 = total.1.take().or(refused);
    };
    thread::scope(|scope| {
        for _ in 1..plan.jobs.max(1) {
            scope.spawn(worker);
        }
        worker();
    });
    let (mut sweep, refused) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    sweep.next_seed = next.into_inner().min(plan.to);
    sweep.took = began.elapsed();
    refused.map_or(Ok(sweep), Err)
}

impl Sweep {
    /// What the sweep should have met with and did not, in words: a sweep that goes where it is easy finds nothing.
    /// `usual` are the marks that such scenarios come by; rare ones among them may be missed.
    ///
    /// Empty where too few seeds were run to tell.
    #[must_use]
    pub fn shortfalls(&self, usual: &[Mark]) -> Vec<String> {
        if self.seeds < SEEDS_THAT_TELL {
            return Vec::new();
        }
        let missed = self.marks.missed().into_iter().filter(|mark| usual.contains(mark));
        let mut words: Vec<String> =
            missed.map(|mark| format!("no seed reached {}: {}", mark.name(), mark.words())).collect();
        for (times, what) in [(&self.commits, "L2: an append committed"), (&self.convergences, "L3: all converged")] {
            let found = times.within_ms(990);
            if found > RECOVERY_MS_MAX {
                words.push(format!("{what} in 99 % of the seeds within {found} ms, expected {RECOVERY_MS_MAX} ms"));
            }
        }
        for (count, what) in [
            (self.seeds_with_loss, "lost something unsynced"),
            (self.seeds_with_overlap, "had a fault begin during another one"),
        ] {
            if count * 2 < self.seeds {
                words.push(format!("{count} of {} seeds {what}, expected half of them or more", self.seeds));
            }
        }
        words
    }

    fn take(&mut self, seed: u64, report: &Report) {
        self.seeds += 1;
        self.events += report.events;
        self.simulated_us += report.ended.0;
        self.seeds_with_loss += u64::from(report.marks.count(Mark::UnsyncedLost) > 0);
        self.seeds_with_overlap += u64::from(report.marks.count(Mark::FaultDuringFault) > 0);
        self.marks.merge(&report.marks);
        if let Some(recovery) = report.recovery {
            self.commits.note(recovery.committed_us.saturating_sub(recovery.backlog_us));
            if recovery.converged_us > 0 {
                self.convergences.note(recovery.converged_us.saturating_sub(recovery.backlog_us));
            }
        }
        if let Some(violation) = &report.violation {
            self.violation = Some((seed, violation.clone()));
            self.recent.clone_from(&report.recent);
        }
    }

    fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.simulated_us += other.simulated_us;
        self.seeds_with_loss += other.seeds_with_loss;
        self.seeds_with_overlap += other.seeds_with_overlap;
        self.marks.merge(&other.marks);
        self.commits.merge(&other.commits);
        self.convergences.merge(&other.convergences);
        let lower = match (&self.violation, &other.violation) {
            (Some(own), Some(theirs)) => theirs.0 < own.0,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if lower {
            (self.violation, self.recent) = (other.violation, other.recent);
        }
    }
}

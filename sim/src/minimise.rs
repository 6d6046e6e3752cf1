//! Minimising: the smallest scenario that still breaks the same invariant.
//!
//! Draws are keyed, so a part that is taken out leaves the rest of the run as it was. First faults are taken out, by
//! halves, quarters and so on (ddmin); then loads and their operations, spaces, nodes, the horizon, and what is left of
//! numbers and values.

use core::time::Duration;
use std::time::Instant;

use engraft::types::NodeId;

use crate::check::{Invariant, Violation};
use crate::run::{Watch, run};
use crate::scenario::Scenario;

/// What came of minimising.
#[derive(Debug, Clone)]
pub struct Minimised {
    /// The smallest scenario that was found.
    pub scenario: Scenario,
    /// What it breaks.
    pub violation: Violation,
    /// How many scenarios were run.
    pub runs: u64,
}

/// Takes out of a scenario whatever the violation does not need; `None` where nothing is broken in the first place.
///
/// It stops after `budget` with the best that it has by then.
#[must_use]
pub fn minimise(scenario: &Scenario, budget: Duration) -> Option<Minimised> {
    minimise_with(scenario, budget, |scenario| run(scenario, Watch::default()).ok()?.violation)
}

/// The same where `violation_of` runs a scenario.
pub(crate) fn minimise_with(
    scenario: &Scenario,
    budget: Duration,
    violation_of: impl Fn(&Scenario) -> Option<Violation>,
) -> Option<Minimised> {
    let violation = violation_of(scenario)?;
    let mut search = Search {
        violation_of: &violation_of,
        invariant: violation.invariant,
        own: violation.own.clone(),
        best: scenario.clone(),
        violation,
        runs: 1,
        // A real clock: it bounds the search and decides nothing in a run.
        deadline: Instant::now().checked_add(budget),
    };
    loop {
        let before = search.best.clone();
        search.end_at_violation();
        search.faults();
        search.loads();
        search.spaces();
        search.nodes();
        search.values();
        if search.best == before || search.out_of_time() {
            break;
        }
    }
    search.best.name = format!("{} of {}", search.violation.name(), scenario.name);
    search.best.about = format!("{}.", search.violation);
    Some(Minimised { scenario: search.best, violation: search.violation, runs: search.runs })
}

struct Search<'a> {
    violation_of: &'a dyn Fn(&Scenario) -> Option<Violation>,
    invariant: Invariant,
    /// Which of the embedder's.
    own: Option<String>,
    best: Scenario,
    violation: Violation,
    runs: u64,
    deadline: Option<Instant>,
}

impl Search<'_> {
    fn out_of_time(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Keeps a smaller scenario where it breaks the same invariant.
    fn keeps(&mut self, smaller: Scenario) -> bool {
        if smaller == self.best || self.out_of_time() {
            return false;
        }
        self.runs += 1;
        match (self.violation_of)(&smaller) {
            Some(violation) if (violation.invariant, &violation.own) == (self.invariant, &self.own) => {
                self.best = smaller;
                self.violation = violation;
                true
            }
            Some(_) | None => false,
        }
    }

    fn with(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut smaller = self.best.clone();
        change(&mut smaller);
        self.keeps(smaller)
    }

    /// Nothing after the violation matters, where it is one of safety.
    fn end_at_violation(&mut self) {
        let at = self.violation.at.0;
        if at < self.best.phases.chaos_us {
            self.with(|scenario| {
                scenario.phases.chaos_us = at + 1;
                scenario.phases.quorum_us = 0;
                scenario.phases.converge_us = 0;
                scenario.faults.retain(|fault| fault.at_us <= at);
            });
        } else {
            self.with(|scenario| scenario.phases.quorum_us = 0);
            self.with(|scenario| scenario.phases.converge_us = 0);
        }
    }

    /// ddmin over the faults.
    fn faults(&mut self) {
        let mut parts = 2;
        while !self.best.faults.is_empty() && !self.out_of_time() {
            let count = self.best.faults.len();
            let size = count.div_ceil(parts);
            let mut kept_any = false;
            let mut from = 0;
            while from < self.best.faults.len() {
                let to = (from + size).min(self.best.faults.len());
                if self.with(|scenario| drop(scenario.faults.drain(from..to))) {
                    kept_any = true;
                } else {
                    from = to;
                }
            }
            if size <= 1 && !kept_any {
                break;
            }
            parts = if kept_any { parts.saturating_sub(1).max(2) } else { parts * 2 };
        }
    }

    /// Takes loads out, then operations of those that stay.
    fn loads(&mut self) {
        let mut index = 0;
        while index < self.best.loads.len() {
            // The place of a load keys its draws: an empty one keeps the others as they were.
            if self.with(|scenario| drop(scenario.loads.remove(index))) {
                continue;
            }
            self.with(|scenario| scenario.loads[index].entries = 0);
            self.halve(|scenario| scenario.loads.get_mut(index).map(|load| &mut load.entries), 1);
            self.halve(|scenario| scenario.loads.get_mut(index).map(|load| &mut load.bytes_max), 64);
            self.with(|scenario| scenario.loads[index].reads_permille = 0);
            self.with(|scenario| scenario.loads[index].bytes_min = scenario.loads[index].bytes_max);
            self.with(|scenario| scenario.loads[index].burst = 1);
            self.with(|scenario| scenario.loads[index].at_us = 0);
            index += 1;
        }
    }

    fn spaces(&mut self) {
        let mut index = 0;
        while index < self.best.spaces.len() && self.best.spaces.len() > 1 {
            let name = self.best.spaces[index].name.clone();
            let without = |scenario: &mut Scenario| {
                scenario.spaces.remove(index);
                scenario.loads.retain(|load| load.space != name);
            };
            if !self.with(without) {
                index += 1;
            }
        }
    }

    /// Takes the last nodes out, while no space needs them as its primary.
    fn nodes(&mut self) {
        while self.best.nodes > 1 {
            let last = NodeId(self.best.nodes);
            let needed = self.best.spaces.iter().any(|space| space.primary == last);
            let without = |scenario: &mut Scenario| {
                scenario.nodes -= 1;
                for space in &mut scenario.spaces {
                    space.voters.retain(|voter| *voter != last);
                }
                scenario.clocks.retain(|clock| clock.node != last);
                scenario.faults.retain(|fault| fault.node != last && fault.peer != Some(last));
                scenario.loads.retain(|load| load.to != Some(last));
                scenario.planted.retain(|planted| planted.node != last);
            };
            if needed || !self.with(without) {
                break;
            }
        }
    }

    /// Defaults in the place of drawn numbers, shorter times, smaller amounts.
    fn values(&mut self) {
        let plain = Scenario::quiet("", 0, 1);
        self.with(|scenario| scenario.knobs = plain.knobs);
        self.with(|scenario| scenario.network = plain.network);
        self.with(|scenario| scenario.disk = plain.disk);
        self.with(|scenario| scenario.clocks.clear());
        for index in 0..self.best.faults.len() {
            self.with(|scenario| scenario.faults[index].for_us = None);
            self.halve(|scenario| scenario.faults.get_mut(index).and_then(|fault| fault.for_us.as_mut()), 1_000);
        }
        self.halve(|scenario| Some(&mut scenario.phases.chaos_us), 1_000);
    }

    /// Halves a number while the violation stays.
    fn halve(&mut self, place: impl Fn(&mut Scenario) -> Option<&mut u64>, lowest: u64) {
        loop {
            let mut smaller = self.best.clone();
            let Some(value) = place(&mut smaller) else { return };
            if *value / 2 < lowest {
                return;
            }
            *value /= 2;
            if !self.keeps(smaller) {
                return;
            }
        }
    }
}

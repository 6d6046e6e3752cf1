//! What a failing simulation prints.

use core::fmt;

use crate::check::Violation;
use crate::minimise::Minimised;
use crate::render;
use crate::run::Report;
use crate::scenario::{Scenario, ScenarioError};

/// How many lines of the story are printed: the last ones are those that matter.
const STORY_LINES: usize = 40;

/// Why a simulation did not hold. Printed with `{}` or `{:?}` it tells everything.
#[derive(Clone)]
pub enum Failure {
    /// A scenario cannot be run.
    Scenario(ScenarioError),
    /// An invariant is broken.
    Broken(Box<Finding>),
    /// A seed broke something and did not do so again: something in the engine, the workload, the topology or an
    /// invariant depends on more than what it was given.
    Unsteady {
        /// The seed.
        seed: u64,
    },
}

/// What is broken.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The seed, where it was one.
    pub seed: Option<u64>,
    /// The smallest scenario that breaks it, and what it breaks.
    pub small: Minimised,
    /// How many faults and loads there were before.
    pub before: (usize, usize),
    /// The smallest scenario's run, with its trace.
    pub report: Report,
}

impl Finding {
    /// What is broken.
    #[must_use]
    pub const fn violation(&self) -> &Violation {
        &self.small.violation
    }

    /// The smallest scenario that breaks it.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.small.scenario
    }

    /// The line of code that runs it again.
    #[must_use]
    pub fn replay(&self) -> String {
        match self.seed {
            Some(seed) => format!("simulation.sweep({seed}..{})", seed + 1),
            None => "simulation.replay(text)".to_owned(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let small = &self.small;
        if let Some(seed) = self.seed {
            write!(formatter, "seed {seed}: ")?;
        }
        writeln!(formatter, "{}\n", small.violation)?;
        let (faults, loads) = self.before;
        writeln!(
            formatter,
            "minimised from {faults} faults and {loads} loads to {} and {} in {} runs; how it happens:\n",
            small.scenario.faults.len(),
            small.scenario.loads.len(),
            small.runs
        )?;
        let story = render::lines(&self.report.lines, render::MILESTONES, true);
        let count = story.lines().count();
        for line in story.lines().skip(count.saturating_sub(STORY_LINES)) {
            writeln!(formatter, "{line}")?;
        }
        writeln!(formatter, "\nthe scenario, for `simulation.replay(text)`:\n\n{}", small.scenario.to_text())?;
        write!(formatter, "replay it: {}", self.replay())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scenario(error) => error.fmt(formatter),
            Self::Broken(finding) => finding.fmt(formatter),
            Self::Unsteady { seed } => write!(
                formatter,
                "seed {seed} broke something and did not do so a second time: the engine, the workload or an invariant \
                 depends on more than what it is given (a clock, the order of a hash map, what an earlier run left)"
            ),
        }
    }
}

/// A test that ends with this error prints it so.
impl fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl core::error::Error for Failure {}

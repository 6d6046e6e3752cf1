//! The simulator for those who embed engraft: their engine, storage, topology and workload in their own tests.
//!
//! ```
//! use engraft_sim::engraft::{ApplyError, Entry, Sequence, StateMachine};
//! use engraft_sim::{Engine, Simulation};
//!
//! #[derive(Default)]
//! struct Sum { applied: Sequence, sum: u64 }
//!
//! impl StateMachine for Sum {
//!     fn applied(&self) -> Sequence { self.applied }
//!     fn apply(&mut self, entry: &Entry) -> Result<(), ApplyError> {
//!         self.sum += str::from_utf8(&entry.payload)?.parse::<u64>()?;
//!         self.applied = entry.header.sequence();
//!         Ok(())
//!     }
//! }
//! impl Engine for Sum {
//!     fn digest(&self) -> u64 { self.sum }
//! }
//!
//! let simulation = Simulation::new(|_| Ok(Sum::default())).workload(|ask| ask.draw(0, 100).to_string());
//! simulation.sweep(0..3)?;
//! # Ok::<(), engraft_sim::embed::Failure>(())
//! ```

mod failure;
mod own;

use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::AtomicBool;
use core::time::Duration;
use std::hash::DefaultHasher;

use bytes::Bytes;
use engraft::driver::wal_worker::StorageOptions;
use engraft::types::{NodeId, Sequence, SpaceName};
use engraft::wal::StorageOpenError;
use engraft::{ApplyError, StateMachine};

use crate::disk::SimDisk;
use crate::minimise::minimise_with;
use crate::run::{Report, Watch, run_with};
use crate::scenario::{FaultKind, Scenario, ScenarioError};
use crate::storage::OpenedStorage;
use crate::sweep::{Sweep, SweepPlan, sweep};

pub use failure::{Failure, Finding};
pub use own::{Ask, Place};
pub(crate) use own::{Holds, Own, OwnEngine, OwnState};

/// How long a failing scenario is minimised.
const MINIMISE_MAX: Duration = Duration::from_secs(60);

/// An engine that the simulator can look into.
pub trait Engine: StateMachine {
    /// A number that is equal where the states are equal, and differs where they differ: of what readers can see, and of
    /// nothing else. It is asked after each entry. [`digest`] makes one of anything that can be hashed.
    fn digest(&self) -> u64;
}

/// The digest of a state; the same in each process of one build.
#[must_use]
pub fn digest(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// One engine of a run as it is now.
#[derive(Debug)]
pub struct State<'a, E> {
    /// Its node.
    pub node: NodeId,
    /// Its space.
    pub space: &'a SpaceName,
    /// The last entry that it applied.
    pub applied: Sequence,
    /// The engine.
    pub engine: &'a E,
}

/// Runs of an engine under everything that goes wrong.
///
/// Each seed draws a cluster, loads and faults, as `engraft-sim sweep` does; what is said here takes the place of what is drawn.
/// All of the simulator's own checks run as well, and these of the engine:
/// it is given committed entries only, each once and in order; it begins, after each crash, with the state that belongs
/// to where it says it is; after the same entry every engine of a space has the same state; and once all is healed it
/// applies everything.
pub struct Simulation<E> {
    own: Own,
    nodes: Option<u16>,
    topology: Box<dyn Fn(&mut Scenario) + Send + Sync>,
    faults: Box<dyn Fn(FaultKind) -> bool + Send + Sync>,
    jobs: usize,
    engine: PhantomData<fn() -> E>,
}

impl<E: Engine> Simulation<E> {
    /// Simulates the engine that `open` opens: at each start of a node, for each space of which it is a voter.
    ///
    /// What is to outlive the process is kept on the disk of the [`Place`].
    #[must_use]
    pub fn new(open: impl Fn(&Place) -> Result<E, ApplyError> + Send + Sync + 'static) -> Self {
        let open = move |place: &Place| open(place).map(|engine| Box::new(engine) as Box<dyn OwnEngine>);
        Self {
            own: Own { engine: Some(Box::new(open)), ..Own::default() },
            nodes: None,
            topology: Box::new(|_| {}),
            faults: Box::new(|_| true),
            jobs: 1,
            engine: PhantomData,
        }
    }

    /// So many nodes, in the place of two to five.
    #[must_use]
    pub fn nodes(mut self, nodes: u16) -> Self {
        self.nodes = Some(nodes);
        self
    }

    /// Changes the cluster that a seed draws: spaces, primaries, voters, links, disks, clocks, numbers, phases.
    ///
    /// It is called before loads and faults are drawn for what it leaves. Loads that it puts in stay the only ones;
    /// faults that it puts in come beside those that are drawn.
    #[must_use]
    pub fn topology(mut self, change: impl Fn(&mut Scenario) + Send + Sync + 'static) -> Self {
        self.topology = Box::new(change);
        self
    }

    /// Which kinds of faults are drawn; all where this is not said.
    #[must_use]
    pub fn faults(mut self, wanted: impl Fn(FaultKind) -> bool + Send + Sync + 'static) -> Self {
        self.faults = Box::new(wanted);
        self
    }

    /// What clients append. It has to be a function of the [`Ask`] alone.
    #[must_use]
    pub fn workload<P: Into<Bytes>>(mut self, payload: impl Fn(&Ask) -> P + Send + Sync + 'static) -> Self {
        self.own.payload = Some(Box::new(move |ask| payload(ask).into()));
        self
    }

    /// A storage in the place of the production worker on the node's disk: one of your own, or the production worker on
    /// a disk of your own that wraps this one.
    #[must_use]
    pub fn storage(
        mut self,
        open: impl Fn(SimDisk, &StorageOptions) -> Result<OpenedStorage, StorageOpenError> + Send + Sync + 'static,
    ) -> Self {
        self.own.storage = Some(Box::new(open));
        self
    }

    /// What holds at all times: it is asked after each change of an engine, with all engines that run. A panic counts as
    /// an error.
    #[must_use]
    pub fn invariant(
        mut self,
        name: &str,
        holds: impl Fn(&[State<'_, E>]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.own.always.push((name.to_owned(), typed(holds)));
        self
    }

    /// What holds once everything is healed and every engine has applied everything.
    #[must_use]
    pub fn at_end(
        mut self,
        name: &str,
        holds: impl Fn(&[State<'_, E>]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.own.at_end.push((name.to_owned(), typed(holds)));
        self
    }

    /// How many seeds run at once; one where this is not said.
    #[must_use]
    pub const fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }

    /// The scenario of a seed.
    #[must_use]
    pub fn scenario(&self, seed: u64) -> Scenario {
        Scenario::swarm_with(seed, self.nodes, &self.topology, &self.faults)
    }

    /// Runs a scenario.
    ///
    /// # Errors
    /// Where it cannot be run.
    pub fn run(&self, scenario: &Scenario, watch: Watch) -> Result<Report, ScenarioError> {
        run_with(scenario, watch, &self.own)
    }

    /// Runs seeds until one breaks something, and minimises that one.
    ///
    /// # Errors
    /// What is broken, with the smallest scenario that breaks it; or a scenario that cannot be run.
    pub fn sweep(&self, seeds: Range<u64>) -> Result<Sweep, Failure> {
        let plan = SweepPlan { from: seeds.start, to: seeds.end, time_max: None, jobs: self.jobs };
        let run = |seed| self.run(&self.scenario(seed), Watch::default());
        let swept = sweep(&plan, run, &AtomicBool::new(false), |_, _| {}).map_err(Failure::Scenario)?;
        match &swept.violation {
            None => Ok(swept),
            Some((seed, _)) => Err(self.finding(&self.scenario(*seed), Some(*seed))?),
        }
    }

    /// Runs a scenario that was printed or committed.
    ///
    /// # Errors
    /// What it breaks, or that it is no scenario.
    pub fn replay(&self, text: &str) -> Result<Report, Failure> {
        let scenario = Scenario::parse(text).map_err(Failure::Scenario)?;
        let report = self.run(&scenario, Watch { trace: true }).map_err(Failure::Scenario)?;
        if report.violation.is_none() {
            return Ok(report);
        }
        Err(self.finding(&scenario, None)?)
    }

    /// What is told of a scenario that breaks something.
    fn finding(&self, scenario: &Scenario, seed: Option<u64>) -> Result<Failure, Failure> {
        let violation_of = |scenario: &Scenario| self.run(scenario, Watch::default()).ok()?.violation;
        let Some(small) = minimise_with(scenario, MINIMISE_MAX, violation_of) else {
            return Err(Failure::Unsteady { seed: scenario.seed });
        };
        let report = self.run(&small.scenario, Watch { trace: true }).map_err(Failure::Scenario)?;
        let before = (scenario.faults.len(), scenario.loads.len());
        Ok(Failure::Broken(Box::new(Finding { seed, small, before, report })))
    }
}

fn typed<E: Engine>(holds: impl Fn(&[State<'_, E>]) -> Result<(), String> + Send + Sync + 'static) -> Holds {
    // All are of this type: one simulation opens them all.
    Box::new(move |states: &[OwnState<'_>]| holds(&states.iter().filter_map(typed_state).collect::<Vec<_>>()))
}

fn typed_state<'a, E: Engine>(state: &OwnState<'a>) -> Option<State<'a, E>> {
    let engine = state.engine.any().downcast_ref::<E>()?;
    Some(State { node: state.node, space: state.space, applied: state.applied, engine })
}

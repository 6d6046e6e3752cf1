//! One run: from a scenario to what came of it.

use engraft::types::{Epoch, NodeId, Sequence, SpaceName, Time};

use crate::check::Violation;
use crate::embed::Own;
use crate::mark::Marks;
use crate::scenario::{Scenario, ScenarioError};
use crate::trace::{Line, Recent};
use crate::world::World;

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The first invariant that was broken.
    pub violation: Option<Violation>,
    /// `handle` calls that were not bare wake-ups.
    pub events: u64,
    /// Bare wake-ups.
    pub wakes: u64,
    /// When it ended, in the world's time.
    pub ended: Time,
    /// Of everything that happened, and of all files at the end.
    pub digest: u64,
    /// The rare paths that were taken.
    pub marks: Marks,
    /// How long it took to recover once everything was healed; `None` where the run did not come so far.
    pub recovery: Option<Recovery>,
    /// The trace, where it was asked for.
    pub lines: Vec<Line>,
    /// The last events, the oldest first, where something is broken.
    pub recent: Vec<Recent>,
    /// What each node has of each space.
    pub nodes: Vec<NodeRow>,
    /// What each client was told.
    pub clients: Vec<ClientRow>,
    /// How far each of the embedder's engines is.
    pub engines: Vec<EngineRow>,
}

/// How far an embedder's engine is at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineRow {
    /// The node.
    pub node: NodeId,
    /// The space.
    pub space: SpaceName,
    /// The last entry that it applied.
    pub applied: Sequence,
    /// The digest of its state.
    pub digest: u64,
}

/// How long a cluster took to recover once everything was healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// What the backlog takes by itself: a window of it for each round trip.
    pub backlog_us: u64,
    /// Until every space that can go on had an append committed.
    pub committed_us: u64,
    /// Until every replica had everything; 0 where the run did not come so far.
    pub converged_us: u64,
}

/// What a node has of a space at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// The node.
    pub node: NodeId,
    /// The space.
    pub space: SpaceName,
    /// What the node says it is in it, or that it is down.
    pub role: String,
    /// The epoch in force there.
    pub epoch: Epoch,
    /// The last entry on its disk.
    pub end: Sequence,
    /// The last that a crash would leave.
    pub durable: Sequence,
    /// The last that it says is committed.
    pub commit: Sequence,
    /// The chain at its end: equal logs have equal ones.
    pub chain: u32,
}

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientRow {
    /// Appends that are as durable as was asked.
    pub answered: u64,
    /// Appends that may have happened.
    pub unknown: u64,
    /// Appends that did not happen.
    pub failed: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Operations without an answer.
    pub waiting: u64,
}

/// How a run is watched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch {
    /// Keep every line of the trace.
    pub trace: bool,
}

/// Runs a scenario to its end, or to the first violation.
///
/// # Errors
/// Where the scenario cannot be run.
pub fn run(scenario: &Scenario, watch: Watch) -> Result<Report, ScenarioError> {
    run_with(scenario, watch, &Own::default())
}

/// The same with what an embedder brings.
pub(crate) fn run_with(scenario: &Scenario, watch: Watch, own: &Own) -> Result<Report, ScenarioError> {
    scenario.validate()?;
    Ok(World::new(scenario, watch, own).run())
}

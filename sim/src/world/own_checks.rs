//! What holds for an embedder's engines, and what the embedder says must hold.
//!
//! Architecture Invariant: a state is judged by its digest against the one that another engine, or the same one in an
//! earlier life, had after the same entry; what an engine says of itself is where it goes on.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use engraft::types::{Entry, Sequence};

use super::World;
use crate::check::{Invariant, SpaceIndex, node_id};
use crate::embed::{Holds, OwnState};
use crate::queue::NodeIndex;
use crate::run::EngineRow;

/// What is known of a space's engines: the digest after each entry, and whose it was.
#[derive(Debug, Default)]
pub(super) struct KnownStates {
    /// By sequence.
    digests: Vec<Option<(u64, NodeIndex)>>,
}

impl KnownStates {
    fn known(&self, at: Sequence) -> Option<(u64, NodeIndex)> {
        usize::try_from(at.0).ok().and_then(|at| self.digests.get(at).copied().flatten())
    }

    fn learn(&mut self, at: Sequence, digest: u64, node: NodeIndex) {
        let Ok(at) = usize::try_from(at.0) else { return };
        if self.digests.len() <= at {
            self.digests.resize(at + 1, None);
        }
        if let Some(place) = self.digests.get_mut(at) {
            *place = Some((digest, node));
        }
    }
}

/// Runs what is the embedder's; a panic there is an error like another one.
pub(super) fn guarded<T>(act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().map(ToString::to_string);
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("panicked: {}", words.unwrap_or_else(|| "without words".to_owned())))
    })
}

impl World<'_> {
    /// The state with which an engine begins is the one that belongs to the entry after which it goes on.
    pub(super) fn engine_begins_with(&mut self, node: NodeIndex, space: SpaceIndex, applied: Sequence, digest: u64) {
        if applied == Sequence::ZERO {
            self.compare(node, space, applied, digest, "begins");
            return;
        }
        let given = self.states[space].known(applied).is_some();
        if !given && !self.is_lost(node, space) {
            self.checks.violated(Invariant::S24, Some(node), Some(space), || {
                format!("the engine begins after {applied}, which no engine has applied")
            });
            return;
        }
        self.compare(node, space, applied, digest, "begins");
    }

    pub(super) fn compare(&mut self, node: NodeIndex, space: SpaceIndex, at: Sequence, digest: u64, does: &str) {
        self.trace.mix(digest ^ at.0);
        if self.is_lost(node, space) {
            return;
        }
        match self.states[space].known(at) {
            None => self.states[space].learn(at, digest, node),
            Some((other, _)) if other == digest => {}
            Some((other, whose)) => self.checks.violated(Invariant::S24, Some(node), Some(space), || {
                format!(
                    "the engine {does} after {at} with a state of digest {digest:016x}, and that of {} had {other:016x}",
                    node_id(whose)
                )
            }),
        }
    }

    /// What an engine is given is the next entry, and committed.
    pub(super) fn engine_is_given(&mut self, node: NodeIndex, space: SpaceIndex, entry: &Entry) {
        let position = entry.position();
        let at = &self.checks.spaces[space];
        let universe = &at.universe;
        let (known, committed) =
            (universe.known(position.epoch, position.sequence), universe.committed(at.lineage(node)));
        let Some(expected) = self.engine(node, space).map(|run| run.at.next()) else { return };
        let right = known.is_some_and(|known| known.chain == position.chain);
        if position.sequence != expected || !right || position.sequence > committed {
            self.checks.violated(Invariant::S7, Some(node), Some(space), || {
                format!("the engine is given {position} where {expected} comes next and {committed} is committed")
            });
        }
    }

    /// The embedder's invariants that hold at all times, after something changed at one engine.
    pub(super) fn own_invariants(&mut self, node: NodeIndex, space: SpaceIndex) {
        let own = self.own;
        if !own.always.is_empty() && self.checks.violation.is_none() {
            self.judge_own(&own.always, Some((node, space)));
        }
    }

    /// Those that hold once all have converged.
    pub(super) fn own_invariants_at_end(&mut self) {
        let own = self.own;
        // Where no space can go on, nothing has come to an end that could be judged.
        if (0..self.checks.spaces.len()).any(|space| self.is_live(space)) {
            self.judge_own(&own.at_end, None);
        }
    }

    fn judge_own(&mut self, invariants: &[(String, Holds)], place: Option<(NodeIndex, SpaceIndex)>) {
        for (name, holds) in invariants {
            let broken = guarded(|| holds(&self.own_states())).err();
            if let Some(words) = broken {
                self.checks.violated_own(name, place, words);
                return;
            }
        }
    }

    fn own_states(&self) -> Vec<OwnState<'_>> {
        let mut states = Vec::new();
        for (node, at) in self.nodes.iter().enumerate() {
            let runs = at.process.iter().flat_map(|process| process.engines.iter().enumerate());
            for (space, run) in runs.filter(|(space, _)| !self.is_lost(node, *space)) {
                if let Some(machine) = &run.machine {
                    let name = &self.checks.spaces[space].name;
                    states.push(OwnState {
                        node: node_id(node),
                        space: name,
                        applied: run.at,
                        engine: machine.as_ref(),
                    });
                }
            }
        }
        states
    }

    /// An engine that has not applied all that is committed; how far it is.
    pub(super) fn engine_behind(&self, node: NodeIndex, space: SpaceIndex) -> Option<Sequence> {
        let run = self.nodes[node].process.as_ref()?.engines.get(space)?;
        let at = &self.checks.spaces[space];
        let committed = at.universe.committed(at.lineage(at.primary()));
        (run.flushed < committed).then_some(run.flushed)
    }

    /// A number that rises while engines go on.
    pub(super) fn applied(&self) -> u64 {
        let engines = self.nodes.iter().filter_map(|at| at.process.as_ref()).flat_map(|process| &process.engines);
        engines.map(|run| run.flushed.0).sum()
    }

    pub(super) fn engine_rows(&self) -> Vec<EngineRow> {
        let row = |state: OwnState<'_>| EngineRow {
            node: state.node,
            space: state.space.clone(),
            applied: state.applied,
            digest: guarded(|| Ok(state.engine.digest())).unwrap_or_default(),
        };
        self.own_states().into_iter().map(row).collect()
    }
}

//! The invariants as named checks over the nodes' bytes, the wire and the clients' history.
//!
//! Architecture Invariant: no check believes what a core says of itself.
//! What a node has is what the bytes on its disk say; what it says to others is judged against them.

mod claims;
mod exposure;
mod invariant;
mod log;
mod members;
mod opening;
mod recovering;
mod told;
mod truncation;
mod universe;
mod watch;

use alloc::collections::BTreeMap;

use engraft::types::{ClusterId, Epoch, FsyncMode, NodeId, Sequence, SpaceId, SpaceName, Time};

use crate::disk::{DiskChange, SimDisk};
use crate::history::WrittenOperations;
use crate::queue::NodeIndex;
use crate::scenario::{Scenario, SpacePlan};

pub use invariant::{Invariant, Violation};
pub(crate) use log::{Damage, DiskLog};
pub(crate) use members::NodeSet;
pub(crate) use universe::Universe;

/// A space's place in the scenario's list.
pub(crate) type SpaceIndex = usize;

/// All checks.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) spaces: Vec<SpaceChecks>,
    pub(crate) violation: Option<Violation>,
    /// Where each operation of a client stands.
    pub(crate) operations: WrittenOperations,
    now: Time,
    changes: Vec<DiskChange>,
    /// Whether no two clocks differ by more than a lease allows for.
    clocks_hold: bool,
    /// Batches and bytes that may be under way to a replica.
    window: (u64, u64),
    limits: exposure::Limits,
}

/// What is known of one space from the outside.
#[derive(Debug)]
pub(crate) struct SpaceChecks {
    pub(crate) id: SpaceId,
    pub(crate) name: SpaceName,
    /// Who is the primary at first, and always where there are no elections.
    pub(crate) home: NodeIndex,
    /// Whether others can become the primary: by elections, or since an operator forced one.
    pub(crate) elects: bool,
    pub(crate) voters: Vec<NodeIndex>,
    fsync: FsyncMode,
    pub(crate) universe: Universe,
    /// By node.
    pub(crate) logs: Vec<DiskLog>,
    views: Vec<claims::View>,
    watched: watch::Watched,
    exposed: exposure::Exposed,
    /// By lineage, the highest sequence that was answered to any client in a way that no election takes back.
    answered: BTreeMap<Epoch, Sequence>,
    /// Whether all voters elected a primary without a committed entry that none of them had any more, and said so.
    lost_committed: bool,
}

impl Checks {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let cluster = scenario.cluster();
        let nodes = usize::from(scenario.nodes);
        let spaces = scenario.spaces.iter().map(|plan| SpaceChecks::new(plan, cluster, nodes)).collect();
        let config = scenario.replication_config(NodeId(0), engraft::types::Incarnation([0; 16]));
        let window = (u64::from(config.window_batches), config.window_bytes);
        Self {
            spaces,
            violation: None,
            operations: WrittenOperations::default(),
            now: Time::ZERO,
            changes: Vec::new(),
            clocks_hold: scenario.clocks_hold(),
            window,
            limits: exposure::Limits::new(scenario),
        }
    }

    pub(crate) fn at(&mut self, now: Time) {
        self.now = now;
    }

    /// The place of a space; spaces are few, or their ids are met in runs.
    pub(crate) fn space(&self, id: SpaceId) -> Option<SpaceIndex> {
        self.spaces.iter().position(|space| space.id == id)
    }

    /// Notes the first violation; later ones follow from it.
    pub(crate) fn violated(
        &mut self,
        invariant: Invariant,
        node: Option<NodeIndex>,
        space: Option<SpaceIndex>,
        what: impl FnOnce() -> String,
    ) {
        let judged = !invariant.needs_sound_disks()
            || space.and_then(|space| self.spaces.get(space)).is_none_or(SpaceChecks::is_sound);
        if self.violation.is_none() && judged {
            self.violation = Some(Violation {
                invariant,
                own: None,
                at: self.now,
                node: node.map(node_id),
                space: space.and_then(|space| self.spaces.get(space)).map(|space| space.name.clone()),
                what: what(),
            });
        }
    }

    /// The same for an invariant of the embedder's.
    pub(crate) fn violated_own(&mut self, name: &str, place: Option<(NodeIndex, SpaceIndex)>, what: String) {
        if self.violation.is_none() {
            self.violated(Invariant::Own, place.map(|place| place.0), place.map(|place| place.1), || what);
            if let Some(violation) = &mut self.violation {
                violation.own = Some(name.to_owned());
            }
        }
    }

    fn require(
        &mut self,
        holds: bool,
        invariant: Invariant,
        node: NodeIndex,
        space: SpaceIndex,
        what: impl FnOnce() -> String,
    ) {
        if !holds {
            self.violated(invariant, Some(node), Some(space), what);
        }
    }

    /// Takes in what a node's disk was asked to do since the last call.
    pub(crate) fn disk_changed(&mut self, node: NodeIndex, disk: &SimDisk) {
        let mut changes = core::mem::take(&mut self.changes);
        disk.take_changes(&mut changes);
        for change in &changes {
            self.disk_change(node, disk, change);
        }
        changes.clear();
        self.changes = changes;
    }

    fn disk_change(&mut self, node: NodeIndex, disk: &SimDisk, change: &DiskChange) {
        match change {
            DiskChange::Created { file, path } | DiskChange::Renamed { file, path } => {
                if let Some((space, first)) = self.segment_of(path) {
                    self.spaces[space].logs[node].add_segment(*file, first);
                }
            }
            DiskChange::Written { file, offset, bytes, zeros } => {
                // Later writes are on the disk already: only what this one put there is new.
                let limit = if *zeros { 0 } else { *offset + *bytes };
                self.each_log_with(node, *file, |checks, space| checks.parse(node, space, disk, *file, *offset, limit));
            }
            DiskChange::Resized { file, size } => {
                self.each_log_with(node, *file, |checks, space| checks.parse(node, space, disk, *file, *size, *size));
            }
            DiskChange::Synced { file, honest } => {
                if *honest {
                    self.each_log_with(node, *file, |checks, space| {
                        checks.spaces[space].logs[node].synced(*file, disk)
                    });
                }
            }
            DiskChange::DirectorySynced { .. } => {
                for space in &mut self.spaces {
                    space.logs[node].names_synced(disk);
                }
            }
            DiskChange::Removed { file } => {
                self.each_log_with(node, *file, |checks, space| {
                    let gone = checks.spaces[space].logs[node].remove_segment(*file);
                    checks.dropped(node, space, disk, gone);
                });
            }
        }
    }

    fn each_log_with(&mut self, node: NodeIndex, file: crate::disk::FileNumber, act: impl Fn(&mut Self, SpaceIndex)) {
        let found = self.spaces.iter().position(|space| space.logs[node].has(file));
        if let Some(space) = found {
            act(self, space);
        }
    }

    /// The space and the first sequence of a segment file; `None` for other files.
    fn segment_of(&self, path: &std::path::Path) -> Option<(SpaceIndex, Sequence)> {
        let name = path.file_name()?.to_str()?;
        let digits = name.strip_prefix("wal-")?.strip_suffix(".log")?;
        let first = u64::from_str_radix(digits, 16).ok()?;
        let directory = path.parent()?.file_name()?.to_str()?;
        let space = self.spaces.iter().position(|space| space.name.as_str() == directory)?;
        Some((space, Sequence(first)))
    }
}

impl SpaceChecks {
    fn new(plan: &SpacePlan, cluster: ClusterId, nodes: usize) -> Self {
        let id = plan.name.id();
        Self {
            id,
            name: plan.name.clone(),
            home: node_index(plan.primary),
            elects: plan.elects(),
            voters: plan.voters.iter().map(|voter| node_index(*voter)).collect(),
            fsync: plan.fsync,
            universe: Universe::default(),
            logs: (0..nodes).map(|_| DiskLog::new(cluster, id)).collect(),
            views: (0..nodes).map(|_| claims::View::default()).collect(),
            watched: watch::Watched::new(nodes),
            exposed: exposure::Exposed::new(plan),
            answered: BTreeMap::new(),
            lost_committed: false,
        }
    }

    /// What was answered in the newest lineage in which anything was; what is asked for from now on comes behind it there.
    pub(crate) fn floor(&self) -> (Epoch, Sequence) {
        self.answered.last_key_value().map_or_else(Default::default, |(lineage, last)| (*lineage, *last))
    }

    /// The primary of the newest epoch, where one lives that was not deposed.
    pub(crate) fn leader(&self) -> Option<NodeIndex> {
        let epoch = |node: &NodeIndex| self.views.get(*node).and_then(|view| view.primary);
        (0..self.views.len()).filter(|node| epoch(node).is_some()).max_by_key(epoch)
    }

    /// Whether the newest primary before was another node.
    pub(crate) fn is_taken_over_by(&self, node: NodeIndex) -> bool {
        let before = self.views.iter().flat_map(|view| view.primary.iter().chain(&view.earlier)).max();
        before.is_some_and(|epoch| node_index(epoch.owner()) != node)
    }

    /// The same as [`Self::leader`]; who is preferred where there is none.
    pub(crate) fn primary(&self) -> NodeIndex {
        self.leader().unwrap_or(self.home)
    }

    /// Whether what nodes agree on is judged. A power failure under a weak fsync mode is no excuse: who forgets by it counts
    /// in no majority until it has everything again. Only where so few remember that all voters have to go on without what
    /// they lost, and say so, it is not judged from there on.
    pub(crate) fn is_sound(&self) -> bool {
        self.has_sound_disks() && !self.lost_committed
    }

    /// Whether the disks that decide still are what they acknowledged: that of the primary, and those of all voters where any
    /// of them can become it. One that is new does no harm where all others refuse its node.
    pub(crate) fn has_sound_disks(&self) -> bool {
        let sound = |node: &NodeIndex| !self.logs[*node].damage.anything;
        let sound_or_excluded = |node: &NodeIndex| sound(node) || self.logs[*node].damage.excluded;
        if self.elects { self.voters.iter().all(sound_or_excluded) } else { sound(&self.home) }
    }

    /// Whether a voter may have forgotten what it acknowledged, and has not got it again.
    pub(crate) fn is_recovering(&self, node: NodeIndex) -> bool {
        self.views[node].recovering
    }

    /// Whether these voters can go on: a majority of all voters remembers among them, or they are all voters.
    pub(crate) fn go_on(&self, voters: &[NodeIndex]) -> bool {
        let remember = voters.iter().filter(|voter| !self.is_recovering(**voter)).count();
        remember >= self.majority() || voters.len() == self.voters.len()
    }

    /// What a crash leaves of a node's log at least: its end, and the end before the last sync.
    pub(crate) fn left(&self, node: NodeIndex, power: bool) -> (Sequence, Sequence) {
        let log = &self.logs[node];
        let end = if power { log.durable_end() } else { self.durable(node) };
        (end, log.durable_before)
    }

    pub(crate) const fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// How far a node's log is durable in the sense of the space's fsync mode.
    pub(crate) fn durable(&self, node: NodeIndex) -> Sequence {
        if self.is_weak() { self.logs[node].end() } else { self.logs[node].durable_end() }
    }

    /// Whether the space's fsync mode acknowledges what is not synced.
    pub(crate) const fn is_weak(&self) -> bool {
        self.fsync.is_weak()
    }

    /// How many of these voters have the entry that stands at `sequence` on `node`, durable.
    pub(crate) fn holders(&self, node: NodeIndex, sequence: Sequence, voters: NodeSet) -> usize {
        let Some(record) = self.logs[node].record(sequence) else { return 0 };
        let holds = |voter: &&NodeIndex| {
            // What was taken from a node behind its back, or by a forced start, counts as far as it acknowledged it before.
            let damaged = self.logs[**voter].damage != Damage::default();
            let taken_over = self.views[**voter].saved.generation() > record.epoch.generation();
            if (damaged || taken_over) && self.views[**voter].acknowledged(record.epoch, sequence) {
                return true;
            }
            self.durable(**voter) >= sequence
                && self.logs[**voter]
                    .record(sequence)
                    .is_some_and(|other| other.epoch == record.epoch && other.chain == record.chain)
        };
        self.voters.iter().filter(|voter| voters.contains(**voter)).filter(holds).count()
    }
}

/// The place of a node in the world's list.
pub(crate) fn node_index(node: NodeId) -> NodeIndex {
    usize::from(node.0.saturating_sub(1))
}

/// The id of the node at a place.
pub(crate) fn node_id(node: NodeIndex) -> NodeId {
    NodeId(u16::try_from(node + 1).unwrap_or(u16::MAX))
}

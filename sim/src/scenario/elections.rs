//! Scenarios drawn from a seed in which primaries are replaced again and again.
//!
//! In the swarm of everything, an election time-out is a large part of a run, most of whose events are appends: one seed in
//! two has an election. Here time-outs are short, clients are few, and faults are those that separate a primary from
//! its voters, or that reach into the moment in which one is replaced.

use engraft::core::{Ack, Isolation, Promotion};
use engraft::types::{FsyncMode, NodeId, SpaceName};

use super::{
    DiskPlan, Fault, FaultKind, Knobs, Load, LoadAck, NetworkPlan, Phases, SCENARIO_VERSION, Scenario, SpacePlan,
};
use crate::draws::{draw_below, purpose};

/// What separates a primary from its voters, or reaches into an election, and how often it is drawn.
const KINDS: &[(FaultKind, u64)] = &[
    (FaultKind::Partition, 6),
    (FaultKind::PartitionOneWay, 5),
    (FaultKind::Pause, 4),
    (FaultKind::Power, 8),
    (FaultKind::Delay, 4),
    (FaultKind::Crash, 2),
    (FaultKind::FrameStale, 2),
    (FaultKind::FrameDuplicate, 2),
    (FaultKind::FrameReorder, 1),
    (FaultKind::FrameLoss, 1),
    (FaultKind::SlowDisk, 2),
    (FaultKind::StaleCompletion, 3),
    (FaultKind::Reset, 1),
    (FaultKind::HalfOpen, 1),
    (FaultKind::OpenEpoch, 1),
    (FaultKind::SyncFails, 1),
    (FaultKind::DiskFull, 1),
];

/// Draws by name; parts from 1,000 on are these scenarios' own.
struct Draws {
    seed: u64,
}

impl Draws {
    fn below(&self, part: u64, n: u64, bound: u64) -> u64 {
        draw_below(self.seed, purpose::SWARM, 1_000 + part, n, bound)
    }

    fn within(&self, part: u64, n: u64, lowest: u64, highest: u64) -> u64 {
        lowest + self.below(part, n, highest.saturating_sub(lowest) + 1)
    }

    fn one<T: Copy>(&self, part: u64, n: u64, of: &[T], otherwise: T) -> T {
        usize::try_from(self.below(part, n, of.len() as u64))
            .ok()
            .and_then(|at| of.get(at))
            .copied()
            .unwrap_or(otherwise)
    }

    fn node(&self, part: u64, n: u64, nodes: u16) -> NodeId {
        NodeId(u16::try_from(self.within(part, n, 1, u64::from(nodes))).unwrap_or(1))
    }
}

impl Scenario {
    /// The scenario of a seed whose primaries are replaced again and again.
    #[must_use]
    pub fn elections(seed: u64) -> Self {
        let draws = Draws { seed };
        let nodes = draws.one(1, 0, &[3, 3, 3, 4, 5], 3);
        let patience_us = draws.one(2, 0, &[60_000, 100_000, 200_000, 400_000], 100_000);
        let chaos_us = patience_us * draws.within(3, 0, 5, 25);
        let latency_min_us = draws.one(4, 0, &[20, 100, 1_000], 100);
        let mut scenario = Self {
            version: SCENARIO_VERSION,
            name: format!("elections {seed}"),
            about: String::new(),
            seed,
            phases: Phases {
                chaos_us,
                quorum_us: if draws.below(5, 0, 4) == 0 { 9_000_000 } else { 0 },
                quorum: Vec::new(),
                converge_us: 15_000_000,
                alone: draws.below(5, 1, 2) == 0,
                answer_within_us: 0,
            },
            nodes,
            network: NetworkPlan {
                latency_min_us,
                latency_max_us: latency_min_us * draws.within(4, 1, 1, 3),
                ..NetworkPlan::default()
            },
            disk: DiskPlan {
                write_us: draws.within(6, 0, 5, 50),
                sync_us: draws.one(6, 1, &[50, 200, 2_000, 10_000], 200),
                complete_us: draws.within(6, 2, 1, 50),
                promises_late: draws.below(6, 3, 4) == 0,
            },
            knobs: Knobs {
                heartbeat_interval_us: Some(patience_us / draws.one(7, 0, &[4, 10], 10)),
                election_timeout_min_us: Some(patience_us),
                retransmit_after_us: Some(patience_us * draws.one(7, 1, &[1, 2], 1)),
                batch_entries: draws.one(7, 2, &[None, None, Some(1), Some(3)], None),
                append_timeout_us: Some(draws.one(7, 3, &[20_000, 500_000, 2_000_000], 500_000)),
                ..Knobs::default()
            },
            spaces: spaces(&draws, nodes),
            clocks: Vec::new(),
            loads: Vec::new(),
            faults: Vec::new(),
            planted: Vec::new(),
        };
        scenario.loads = loads(&draws, &scenario);
        let faults = (0..draws.within(8, 0, 2, 14)).filter_map(|n| fault(&draws, &scenario, patience_us, n));
        let bridges = (0..draws.one(8, 1, &[0, 0, 1, 3], 1)).flat_map(|n| bridge(&draws, &scenario, patience_us, n));
        scenario.faults = faults.chain(bridges).collect();
        // What a lost power does to unsynced bytes is what most of the log is about.
        if scenario.faults.iter().all(|fault| fault.kind != FaultKind::Power) && draws.below(9, 0, 4) > 0 {
            let (at_us, node) = (draws.below(9, 1, chaos_us), draws.node(9, 2, nodes));
            scenario.faults.push(Fault::new(at_us, FaultKind::Power, node));
        }
        scenario.faults.extend(super::forced::forced(&scenario, 8));
        scenario.faults.sort_unstable();
        scenario
    }
}

fn spaces(draws: &Draws, nodes: u16) -> Vec<SpacePlan> {
    let names = ["orders", "events", "audit"].into_iter().zip(0..draws.one(10, 0, &[1, 1, 2, 3], 1));
    let plan = |(name, index): (&str, u64)| {
        let voters = (1..=nodes).map(NodeId);
        Some(SpacePlan {
            name: SpaceName::new(name).ok()?,
            primary: draws.node(11, index, nodes),
            voters: voters.collect(),
            promotion: Promotion::Automatic,
            isolation: draws.one(
                14,
                index,
                &[Isolation::Exposure, Isolation::Exposure, Isolation::Stop],
                Isolation::Exposure,
            ),
            ack: draws.one(12, index, &[Ack::Local, Ack::Quorum, Ack::All], Ack::Quorum),
            fsync: draws.one(13, index, &[FsyncMode::PerBatch, FsyncMode::PerWrite], FsyncMode::PerBatch),
        })
    };
    names.filter_map(plan).collect()
}

/// Clients that follow the primary, and some that stay with one node: what it answers at Local while it is cut off is what
/// divergence is made of.
fn loads(draws: &Draws, scenario: &Scenario) -> Vec<Load> {
    let chaos_us = scenario.phases.chaos_us;
    let mut loads = Vec::new();
    for (index, space) in (0_u64..).zip(&scenario.spaces) {
        for client in 0..draws.within(20, index, 1, 3) {
            let n = index * 8 + client;
            let entries = draws.one(21, n, &[20, 100, 300], 100);
            let burst = draws.one(22, n, &[1, 1, 2, 10], 1);
            loads.push(Load {
                at_us: draws.below(23, n, chaos_us / 4),
                space: space.name.clone(),
                to: (client > 0).then(|| draws.node(24, n, scenario.nodes)),
                entries,
                burst,
                every_us: (chaos_us * burst / entries).max(200),
                in_flight: draws.one(25, n, &[8, 64], 64),
                bytes_min: 8,
                bytes_max: 64,
                ack: if client > 0 {
                    LoadAck::Mixed
                } else {
                    draws.one(26, n, &[LoadAck::Quorum, LoadAck::Mixed], LoadAck::Quorum)
                },
                timeout_us: None,
                reads_permille: draws.one(27, n, &[0, 100], 0),
                waits_permille: draws.one(28, n, &[0, 300], 0),
                follows: false,
            });
        }
    }
    loads
}

fn fault(draws: &Draws, scenario: &Scenario, patience_us: u64, n: u64) -> Option<Fault> {
    let (nodes, chaos_us) = (scenario.nodes, scenario.phases.chaos_us);
    let mut drawn = draws.below(30, n, KINDS.iter().map(|(_, weight)| weight).sum());
    let (kind, _) = KINDS.iter().copied().find(|(_, weight)| {
        let found = drawn < *weight;
        drawn = drawn.saturating_sub(*weight);
        found
    })?;
    let (node, peer) = (draws.node(31, n, nodes), draws.node(32, n, nodes));
    let two_sided = matches!(
        kind,
        FaultKind::Partition
            | FaultKind::PartitionOneWay
            | FaultKind::Delay
            | FaultKind::FrameLoss
            | FaultKind::FrameDuplicate
            | FaultKind::FrameReorder
            | FaultKind::FrameStale
            | FaultKind::Reset
            | FaultKind::HalfOpen
    );
    let peer = (two_sided && peer != node && draws.below(33, n, 4) > 0).then_some(peer);
    if kind == FaultKind::HalfOpen {
        peer?;
    }
    let at_us = draws.below(34, n, chaos_us);
    // From much less than a time-out, in which nothing is to happen, to several.
    let for_us = Some(draws.within(35, n, patience_us / 10, patience_us * draws.one(36, n, &[1, 3, 8], 3)));
    let ends = !matches!(
        kind,
        FaultKind::Reset
            | FaultKind::HalfOpen
            | FaultKind::Power
            | FaultKind::Crash
            | FaultKind::SyncFails
            | FaultKind::StaleCompletion
            | FaultKind::OpenEpoch
            | FaultKind::Force
    );
    // A process that died comes back within the run, too.
    let returns = matches!(kind, FaultKind::Power | FaultKind::Crash) && draws.below(37, n, 2) == 0;
    let amount = amount(draws, kind, patience_us, n);
    Some(Fault { at_us, kind, node, peer, for_us: for_us.filter(|_| ends || returns), amount })
}

/// Two nodes hear each other no more, and a third one hears both: whoever leads does so through it alone, and what it says
/// to one of them comes late, so that it may have voted for the other by then. Now and then it dies in the midst of
/// that, or hears neither for a while.
fn bridge(draws: &Draws, scenario: &Scenario, patience_us: u64, n: u64) -> Vec<Fault> {
    let nodes = scenario.nodes;
    let after =
        |node: NodeId, by: u64| NodeId(u16::try_from((u64::from(node.0) - 1 + by) % u64::from(nodes)).unwrap_or(0) + 1);
    let one = draws.node(40, n, nodes);
    let other = after(one, draws.within(41, n, 1, u64::from(nodes) - 1));
    let Some(third) = (1..=nodes).map(NodeId).find(|node| *node != one && *node != other) else { return Vec::new() };
    let at_us = draws.below(42, n, scenario.phases.chaos_us);
    let for_us = patience_us * draws.within(43, n, 2, 10);
    let late = i64::try_from(patience_us * draws.one(44, n, &[1, 2, 6, 9, 15], 6) / 20).unwrap_or(0);
    let within = |part: u64| at_us + draws.below(part, n, for_us);
    let apart = Fault::new(at_us, FaultKind::Partition, one).with(other).lasting(for_us);
    let delay = Fault::new(at_us, FaultKind::Delay, third).with(one).lasting(for_us).by(late);
    let short_us = draws.within(45, n, 1_000, patience_us / 2);
    let long_us = draws.within(46, n, patience_us / 2, patience_us * 2);
    let midst = match draws.below(47, n, 4) {
        0 => vec![Fault::new(within(48), FaultKind::Crash, third).lasting(short_us)],
        1 => vec![Fault::new(within(48), FaultKind::Partition, third).with(one).lasting(long_us)],
        2 => vec![Fault::new(within(48), FaultKind::PartitionOneWay, one).with(third).lasting(long_us)],
        _ => Vec::new(),
    };
    [apart, delay].into_iter().chain(midst).collect()
}

fn amount(draws: &Draws, kind: FaultKind, patience_us: u64, n: u64) -> Option<i64> {
    let patience = i64::try_from(patience_us).unwrap_or(i64::MAX);
    let lossy = [FaultKind::FrameLoss, FaultKind::FrameDuplicate, FaultKind::FrameReorder, FaultKind::FrameStale];
    if kind == FaultKind::Delay {
        Some(patience / draws.one(38, n, &[1, 2, 4, 20], 4))
    } else if lossy.contains(&kind) {
        Some(draws.one(38, n, &[50, 300, 900], 300))
    } else if kind == FaultKind::SlowDisk {
        Some(draws.one(38, n, &[5, 50, 500], 50))
    } else if kind == FaultKind::DiskFull {
        Some(draws.one(38, n, &[0, 2_000, 20_000], 2_000))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_a_scenario_that_can_be_run() {
        for seed in 0..500 {
            let scenario = Scenario::elections(seed);
            scenario.validate().unwrap_or_else(|error| panic!("{seed}: {error}"));
            let text = scenario.to_text();
            assert_eq!(Scenario::parse(&text).unwrap_or_else(|error| panic!("{seed}: {error}\n{text}")), scenario);
        }
    }
}

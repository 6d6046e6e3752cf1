//! Scenarios drawn from a seed: each kind of fault is there with probability one half, then of a random size.

use engraft::core::{Ack, Isolation, Promotion};
use engraft::types::{FsyncMode, NodeId, SpaceName};

use super::{
    ClockPlan, DiskPlan, Fault, FaultKind, Knobs, Load, LoadAck, NetworkPlan, Phases, SCENARIO_VERSION, Scenario,
    SpacePlan,
};
use crate::draws::{draw_below, purpose};

/// Every kind of fault that a swarm may have, and how many of it at most.
///
/// Lying syncs are only where a scenario says so: no protocol survives them.
const KINDS: &[(FaultKind, u64)] = &[
    (FaultKind::Partition, 3),
    (FaultKind::PartitionOneWay, 3),
    (FaultKind::Delay, 3),
    (FaultKind::FrameLoss, 3),
    (FaultKind::FrameDuplicate, 3),
    (FaultKind::FrameReorder, 3),
    (FaultKind::FrameStale, 5),
    (FaultKind::FrameCorrupt, 3),
    (FaultKind::Split, 2),
    (FaultKind::SlowLink, 2),
    (FaultKind::Reset, 4),
    (FaultKind::HalfOpen, 2),
    (FaultKind::Crash, 3),
    (FaultKind::Power, 5),
    (FaultKind::Shutdown, 1),
    (FaultKind::Wipe, 1),
    (FaultKind::Pause, 3),
    (FaultKind::ClockJump, 2),
    (FaultKind::ClockDrift, 1),
    (FaultKind::SyncFails, 1),
    (FaultKind::DiskFull, 1),
    (FaultKind::SlowDisk, 2),
    (FaultKind::Rot, 1),
    (FaultKind::Misdirect, 1),
    (FaultKind::StaleCompletion, 3),
    (FaultKind::PauseReplica, 2),
    (FaultKind::OpenEpoch, 4),
];

/// The largest payload that is asked for where no number bounds it: the default one would say the same and take long.
const LARGE: u64 = 1 << 20;

/// Most logs stay strict: after a power failure a weak one may have lost what it acknowledged, and less is judged.
const WEAKENED: &[Option<FsyncMode>] =
    &[None, None, None, None, None, None, Some(FsyncMode::Timer), Some(FsyncMode::None)];

/// Draws by name, so that a part that is taken out leaves the others as they were.
struct Draws {
    seed: u64,
}

impl Draws {
    fn below(&self, part: u64, n: u64, bound: u64) -> u64 {
        draw_below(self.seed, purpose::SWARM, part, n, bound)
    }

    fn within(&self, part: u64, n: u64, lowest: u64, highest: u64) -> u64 {
        lowest + self.below(part, n, highest - lowest + 1)
    }

    fn coin(&self, part: u64, n: u64) -> bool {
        self.below(part, n, 2) == 0
    }

    /// One of them.
    fn one<T: Copy>(&self, part: u64, n: u64, of: &[T]) -> Option<T> {
        of.get(usize::try_from(self.below(part, n, of.len() as u64)).ok()?).copied()
    }
}

impl Scenario {
    /// The scenario of a seed: topology, numbers, loads and faults are all drawn.
    #[must_use]
    pub fn swarm(seed: u64) -> Self {
        let draws = Draws { seed };
        let weaken = |scenario: &mut Self| {
            for (index, space) in (0_u64..).zip(&mut scenario.spaces) {
                space.fsync = draws.one(32, index, WEAKENED).flatten().unwrap_or(space.fsync);
            }
        };
        Self::swarm_with(seed, None, weaken, |_| true)
    }

    /// The same for a cluster of so many nodes, which `change` makes as it is wanted before loads and faults are drawn for
    /// it: loads where it gives none, faults of the kinds that `wanted` says.
    pub(crate) fn swarm_with(
        seed: u64,
        nodes: Option<u16>,
        change: impl FnOnce(&mut Self),
        wanted: impl Fn(FaultKind) -> bool,
    ) -> Self {
        let draws = Draws { seed };
        let drawn = u16::try_from(draws.one(1, 0, &[2, 3, 3, 3, 4, 5, 5]).unwrap_or(3)).unwrap_or(3);
        let nodes = nodes.unwrap_or(drawn);
        // Now and then it lasts until every alert has been raised, and nothing is left that would wake by itself.
        let long = draws.below(2, 2, 12) == 0;
        let chaos_us = if long { 12_000_000 } else { draws.within(2, 0, 500_000, 4_000_000) };
        let knobs = knobs(&draws);
        let mut scenario = Self {
            version: SCENARIO_VERSION,
            name: format!("swarm {seed}"),
            about: String::new(),
            seed,
            phases: Phases {
                chaos_us,
                // An election, then appends at All that keep others out until their time-out, then a probe.
                quorum_us: if nodes > 2 && draws.coin(2, 1) { 9_000_000 } else { 0 },
                quorum: Vec::new(),
                // Three times what 99 of 100 seeds are allowed beyond their backlog, and anew with each progress.
                converge_us: 15_000_000,
                alone: draws.coin(2, 3),
                answer_within_us: 0,
            },
            nodes,
            network: network(&draws),
            disk: disk(&draws),
            knobs,
            loads: Vec::new(),
            clocks: clocks(&draws, nodes),
            faults: Vec::new(),
            planted: Vec::new(),
            spaces: spaces(&draws, nodes),
        };
        change(&mut scenario);
        if scenario.loads.is_empty() {
            let largest = scenario.knobs.entry_bytes_max.unwrap_or(LARGE);
            scenario.loads = loads(&draws, &scenario.spaces, scenario.phases.chaos_us, largest);
        }
        let drawn = faults(&draws, &scenario).into_iter().chain(super::forced::forced(&scenario, 12));
        scenario.faults.extend(drawn.filter(|fault| wanted(fault.kind)));
        scenario.faults.sort_unstable();
        scenario
    }
}

fn spaces(draws: &Draws, nodes: u16) -> Vec<SpacePlan> {
    let many = draws.below(10, 1, 40) == 0;
    let count = if many { 40 } else { draws.one(10, 0, &[1, 1, 1, 2, 3, 6]).unwrap_or(1) };
    let names = ["orders", "events", "audit", "users", "stock", "mails"];
    let mut spaces = Vec::new();
    for index in 0..count {
        let name = usize::try_from(index).ok().and_then(|index| names.get(index)).map(|name| (*name).to_owned());
        let Ok(name) = SpaceName::new(&name.unwrap_or_else(|| format!("tenant-{index}"))) else { continue };
        let primary = NodeId(u16::try_from(draws.within(11, index, 1, u64::from(nodes))).unwrap_or(1));
        let all = draws.below(12, index, 4) > 0;
        let voters = (1..=nodes)
            .map(NodeId)
            .filter(|voter| all || *voter == primary || draws.coin(13, index << 8 | u64::from(voter.0)));
        let promotion = if draws.below(32, index, 4) > 0 { Promotion::Automatic } else { Promotion::Manual };
        spaces.push(SpacePlan {
            name,
            primary,
            voters: voters.collect(),
            promotion,
            ack: draws.one(30, index, &[Ack::Local, Ack::Quorum, Ack::All]).unwrap_or_default(),
            fsync: draws
                .one(31, index, &[FsyncMode::PerBatch, FsyncMode::PerBatch, FsyncMode::PerWrite])
                .unwrap_or_default(),
            isolation: isolation(draws, index, promotion),
        });
    }
    spaces
}

fn isolation(draws: &Draws, index: u64, promotion: Promotion) -> Isolation {
    let lifted = if promotion == Promotion::Manual { Isolation::Continue } else { Isolation::Exposure };
    draws.one(33, index, &[Isolation::Exposure, Isolation::Exposure, Isolation::Stop, lifted]).unwrap_or_default()
}

fn network(draws: &Draws) -> NetworkPlan {
    let latency_min_us = draws.one(40, 0, &[20, 100, 100, 1_000, 20_000]).unwrap_or(100);
    NetworkPlan {
        latency_min_us,
        latency_max_us: latency_min_us * draws.within(40, 1, 1, 5),
        socket_bytes: draws.one(40, 2, &[4 << 10, 64 << 10, 256 << 10, 256 << 10]).unwrap_or(256 << 10),
    }
}

fn disk(draws: &Draws) -> DiskPlan {
    DiskPlan {
        write_us: draws.within(41, 0, 5, 50),
        sync_us: draws.one(41, 1, &[50, 200, 200, 2_000, 10_000]).unwrap_or(200),
        complete_us: draws.within(41, 2, 1, 50),
        promises_late: draws.below(41, 3, 4) == 0,
    }
}

fn knobs(draws: &Draws) -> Knobs {
    let pick = |n, of: &[u64]| if draws.coin(42, n) { draws.one(43, n, of) } else { None };
    let small = |n, of: &[u64]| pick(n, of).and_then(|value| u32::try_from(value).ok());
    let batch_bytes = pick(3, &[4 << 10, 64 << 10]);
    let entry_bytes_max = pick(11, &[100, 4_000, 300_000, 1 << 20]);
    let entries_exposed = pick(12, &[1, 3, 30, 1_000]);
    let election_timeout_min_us = pick(1, &[600_000, 2_000_000]);
    Knobs {
        heartbeat_interval_us: pick(0, &[20_000, 50_000, 200_000]),
        exposure_bytes_max: entries_exposed.zip(entry_bytes_max).map(|(entries, bytes)| entries * bytes),
        exposure_age_max_us: pick(13, &[50_000, 300_000, 1_000_000]),
        election_timeout_min_us,
        alone_after_us: pick(15, &[1, 4]).map(|times| times * election_timeout_min_us.unwrap_or(1_000_000)),
        batch_entries: small(2, &[1, 3, 10, 1_000]),
        batch_bytes,
        batch_delay_us: pick(4, &[0, 1_000, 50_000]),
        window_bytes: pick(5, &[1 << 20, 2 << 20]),
        window_batches: small(6, &[1, 2, 8]),
        retransmit_after_us: pick(7, &[100_000, 300_000, 5_000_000]),
        tail_bytes: pick(8, &[1 << 20]),
        entry_bytes_max,
        append_entries_max: pick(9, &[10, 100, 1_000]),
        append_bytes_max: None,
        append_timeout_us: pick(10, &[50_000, 500_000, 2_000_000]),
    }
}

fn loads(draws: &Draws, spaces: &[SpacePlan], chaos_us: u64, largest: u64) -> Vec<Load> {
    let mut loads = Vec::new();
    for (index, space) in (0_u64..).zip(spaces) {
        // Many spaces have one client each: more would make such a run long and say the same.
        let many = spaces.len() > 8;
        let clients = if many { 1 } else { draws.within(50, index, 1, 3) };
        for client in 0..clients {
            let n = index * 8 + client;
            let large = draws.below(51, n, 20) == 0;
            let entries = if large {
                20
            } else if many {
                50
            } else {
                draws.one(52, n, &[50, 500, 2_000, 4_000]).unwrap_or(500)
            };
            let largest = draws.one(66, n, &[300_000, largest, largest, largest + 1]).unwrap_or(largest);
            let every_us = draws.within(53, n, 200, 5_000);
            let burst = draws.one(54, n, &[1, 1, 1, 1, 2, 2, 10, 10, 50, 400]).unwrap_or(1);
            loads.push(Load {
                at_us: draws.below(55, n, chaos_us / 2),
                space: space.name.clone(),
                to: (draws.below(56, n, 12) == 0).then(|| draws.one(57, n, &space.voters)).flatten(),
                entries,
                burst,
                every_us,
                in_flight: draws.one(58, n, &[1, 8, 64, 1_000]).unwrap_or(64),
                bytes_min: if large && draws.coin(81, n) {
                    largest
                } else {
                    draws.one(59, n, &[0, 8, 64]).unwrap_or(8)
                },
                bytes_max: if large { largest } else { draws.one(60, n, &[64, 64, 200, 1_000]).unwrap_or(64) },
                ack: draws
                    .one(61, n, &[LoadAck::Space, LoadAck::Mixed, LoadAck::Mixed, LoadAck::Quorum])
                    .unwrap_or_default(),
                timeout_us: if draws.coin(62, n) { draws.one(63, n, &[5_000, 100_000, 3_000_000]) } else { None },
                reads_permille: draws.one(64, n, &[0, 0, 50, 300]).unwrap_or(0),
                waits_permille: draws.one(65, n, &[0, 0, 20, 200]).unwrap_or(0),
                follows: false,
            });
        }
        if draws.below(67, index, 3) == 0 {
            loads.push(follower(draws, index, space, chaos_us));
        }
    }
    loads
}

/// A client that reads everything there is, now and then more slowly than others append.
fn follower(draws: &Draws, index: u64, space: &SpacePlan, chaos_us: u64) -> Load {
    Load {
        at_us: draws.below(68, index, chaos_us / 2),
        space: space.name.clone(),
        to: draws.one(69, index, &space.voters),
        entries: 2_000,
        burst: 1,
        every_us: draws.one(80, index, &[500, 5_000, 50_000, 300_000]).unwrap_or(5_000),
        in_flight: 1,
        bytes_min: 0,
        bytes_max: 0,
        ack: LoadAck::Space,
        timeout_us: None,
        reads_permille: 1000,
        waits_permille: 0,
        follows: true,
    }
}

fn clocks(draws: &Draws, nodes: u16) -> Vec<ClockPlan> {
    let drawn = (1..=nodes).filter(|node| draws.coin(70, u64::from(*node)));
    drawn
        .map(|node| {
            let n = u64::from(node);
            let drift = i64::try_from(draws.below(72, n, 2_001)).unwrap_or(0) - 1_000;
            ClockPlan { node: NodeId(node), offset_us: draws.below(71, n, 100_000_000), drift_ppm: drift }
        })
        .collect()
}

fn faults(draws: &Draws, scenario: &Scenario) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (place, (kind, count_max)) in (0_u64..).zip(KINDS) {
        let part = 100 + place * 16;
        // What a lost power does to unsynced bytes is what most of the log is about.
        let (there, count_min) =
            if *kind == FaultKind::Power { (draws.below(part, 0, 8) > 0, 2) } else { (draws.coin(part, 0), 1) };
        if !there {
            continue;
        }
        for n in 0..draws.within(part, 1, count_min, *count_max) {
            faults.extend(fault(draws, scenario, *kind, part, n));
        }
    }
    faults
}

fn fault(draws: &Draws, scenario: &Scenario, kind: FaultKind, part: u64, n: u64) -> Option<Fault> {
    let chaos_us = scenario.phases.chaos_us;
    let nodes = u64::from(scenario.nodes);
    let mut node = NodeId(u16::try_from(draws.within(part + 1, n, 1, nodes)).ok()?);
    let leads = |space: &SpacePlan| space.primary == node && !space.elects();
    let may_lead = |space: &SpacePlan| space.elects() && space.voters.contains(&node);
    if matches!(kind, FaultKind::Wipe | FaultKind::Misdirect)
        && ((scenario.spaces.iter().any(may_lead) && (kind == FaultKind::Misdirect || draws.below(part + 9, n, 3) > 0))
            || (scenario.spaces.iter().any(leads) && draws.below(part + 9, n, 4) > 0))
    {
        // A primary that loses what it alone has is the end of its space: few of them do, since less is judged from
        // there on. Where there are elections few are wiped, since a majority has to be left to go on.
        return None;
    }
    if matches!(kind, FaultKind::PauseReplica | FaultKind::OpenEpoch) {
        node = scenario.spaces.first()?.primary;
    }
    let peer = NodeId(u16::try_from(draws.within(part + 2, n, 1, nodes)).ok()?);
    let peer = (peer != node && draws.below(part + 3, n, 4) > 0).then_some(peer);
    let at_us = draws.below(part + 4, n, chaos_us);
    let for_us = (draws.below(part + 5, n, 5) > 0).then(|| draws.within(part + 6, n, 1_000, chaos_us));
    let mut fault = Fault { at_us, kind, node, peer, for_us, amount: None };
    match kind {
        FaultKind::Partition | FaultKind::PartitionOneWay => {}
        FaultKind::Reset => fault.for_us = None,
        FaultKind::HalfOpen => {
            fault.for_us = None;
            fault.peer?;
        }
        FaultKind::PauseReplica => {
            fault.peer?;
        }
        FaultKind::Delay => fault.amount = Some(pick(draws, part, n, 1_000, 500_000)),
        FaultKind::FrameStale => fault.amount = Some(pick(draws, part, n, 100, 1_000)),
        FaultKind::FrameLoss | FaultKind::FrameDuplicate | FaultKind::FrameReorder => {
            fault.amount = Some(pick(draws, part, n, 5, 300));
        }
        FaultKind::FrameCorrupt => fault.amount = Some(pick(draws, part, n, 1, 200)),
        FaultKind::Split => fault.amount = Some(pick(draws, part, n, 1, 5_000)),
        FaultKind::SlowLink => fault.amount = Some(pick(draws, part, n, 20_000, 2_000_000)),
        FaultKind::ClockJump => fault.amount = Some(pick(draws, part, n, 1_000, 20_000_000)),
        FaultKind::ClockDrift => fault.amount = Some(pick(draws, part, n, 0, 40_000) - 20_000),
        FaultKind::DiskFull => fault.amount = Some(pick(draws, part, n, 0, 100_000)),
        FaultKind::SlowDisk => fault.amount = Some(pick(draws, part, n, 2, 200)),
        FaultKind::Crash
        | FaultKind::Power
        | FaultKind::Shutdown
        | FaultKind::Wipe
        | FaultKind::Pause
        | FaultKind::SyncFails
        | FaultKind::LyingSync
        | FaultKind::Rot
        | FaultKind::Misdirect
        | FaultKind::StaleCompletion
        | FaultKind::OpenEpoch
        | FaultKind::Force => (fault.peer, fault.for_us) = (None, None),
    }
    if matches!(kind, FaultKind::ClockJump | FaultKind::ClockDrift | FaultKind::DiskFull | FaultKind::SlowDisk) {
        fault.peer = None;
    }
    Some(fault)
}

fn pick(draws: &Draws, part: u64, n: u64, lowest: u64, highest: u64) -> i64 {
    // Small sizes as often as large ones: the exponent is drawn, then the value below it.
    let bits = u64::from((highest - lowest + 1).ilog2());
    let bound = 1_u64 << draws.within(part + 7, n, 0, bits);
    i64::try_from(lowest + draws.below(part + 8, n, bound)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_gives_a_scenario_that_can_be_run() {
        for seed in 0..500 {
            let scenario = Scenario::swarm(seed);
            scenario.validate().unwrap_or_else(|error| panic!("{seed}: {error}"));
            let text = scenario.to_text();
            assert_eq!(Scenario::parse(&text).unwrap_or_else(|error| panic!("{seed}: {error}\n{text}")), scenario);
        }
    }
}

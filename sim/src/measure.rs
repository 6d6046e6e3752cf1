//! Numbers of elections: how long a space is without a primary when its primary dies, and how long a healthy one keeps it.

use engraft::core::Promotion;
use engraft::types::{Epoch, NodeId};

use crate::check::Violation;
use crate::draws::{draw_below, purpose};
use crate::mark::Mark;
use crate::run::{Watch, run};
use crate::scenario::{Fault, FaultKind, Load, LoadAck, Scenario, ScenarioError};
use crate::trace::LineKind;

/// How a client is told that its append is as durable as it asked.
const APPENDED: &str = " appended";
/// For how long a promotion is watched: the primary dies within 2 s, and 5 s are the bound.
const WATCHED_US: u64 = 7_000_000;
/// Microseconds of an hour.
const HOUR_US: u64 = 3_600_000_000;

/// Which time-outs a cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOuts {
    /// Those that nobody configured: heartbeats each 100 ms, elections after 1 to 2 s.
    Default,
    /// For nodes in one room: heartbeats each 20 ms, elections after 100 to 200 ms.
    Lan,
}

/// What came of a primary's death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// From the old primary's last answer at Quorum to the new one's first, in microseconds; `None` where there was none.
    pub took_us: Option<u64>,
    /// What was broken meanwhile.
    pub violation: Option<Violation>,
}

/// What became of a healthy cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calm {
    /// Epochs beyond the first.
    pub elections: u64,
    /// How often the primary was without a lease.
    pub leases_lost: u64,
    /// Entries that were answered at Quorum.
    pub answered: u64,
    /// What was broken meanwhile.
    pub violation: Option<Violation>,
}

fn electing(name: &str, seed: u64, nodes: u16, every_us: u64, entries: u64) -> Scenario {
    let mut scenario = Scenario::quiet(name, seed, nodes);
    scenario.phases.converge_us = 0;
    for space in &mut scenario.spaces {
        space.promotion = Promotion::Automatic;
        scenario.loads.push(Load {
            at_us: 100_000,
            space: space.name.clone(),
            to: None,
            entries,
            burst: 1,
            every_us,
            in_flight: 64,
            bytes_min: 64,
            bytes_max: 64,
            ack: LoadAck::Quorum,
            timeout_us: None,
            reads_permille: 0,
            waits_permille: 0,
            follows: false,
        });
    }
    scenario
}

/// Three nodes, of which the primary loses its power while a client appends at Quorum every 5 ms.
#[must_use]
pub fn promotion(seed: u64, time_outs: TimeOuts) -> Scenario {
    let mut scenario = electing("a dead primary is replaced", seed, 3, 5_000, 2_500);
    if time_outs == TimeOuts::Lan {
        scenario.knobs.heartbeat_interval_us = Some(20_000);
        scenario.knobs.election_timeout_min_us = Some(100_000);
    }
    scenario.phases.chaos_us = WATCHED_US;
    let at_us = 1_000_000 + draw_below(seed, purpose::SWARM, 2_000, 0, 1_000_000);
    scenario.faults.push(Fault::new(at_us, FaultKind::Power, NodeId(1)));
    scenario
}

/// Kills a primary; how long its space was without one.
///
/// # Errors
/// Where the scenario cannot be run.
pub fn replace(seed: u64, time_outs: TimeOuts) -> Result<Replaced, ScenarioError> {
    let scenario = promotion(seed, time_outs);
    let report = run(&scenario, Watch { trace: true })?;
    let died = scenario.faults.first().map_or(0, |fault| fault.at_us);
    let answers = report.lines.iter().filter(|line| line.kind == LineKind::Client && line.text.ends_with(APPENDED));
    let (mut last, mut first) = (None, None);
    for line in answers {
        if line.at.0 <= died {
            last = Some(line.at.0);
        } else {
            first = first.or(Some(line.at.0));
        }
    }
    let took_us = last.zip(first).map(|(last, first)| first - last);
    Ok(Replaced { took_us, violation: report.violation })
}

/// An hour of a healthy cluster of three: 1 % of all frames are lost, and a client appends ten entries a second.
///
/// # Errors
/// Where the scenario cannot be run.
pub fn calm_hour(seed: u64) -> Result<Calm, ScenarioError> {
    let mut scenario = electing("an hour of a healthy cluster", seed, 3, 100_000, HOUR_US / 100_000);
    scenario.phases.chaos_us = HOUR_US;
    let loss = |node| Fault::new(50_000, FaultKind::FrameLoss, node).by(10);
    scenario.faults.extend(scenario.node_ids().map(loss));
    let report = run(&scenario, Watch::default())?;
    let terms = |epoch: Epoch| u64::from(epoch.term()).saturating_sub(1);
    Ok(Calm {
        elections: report.nodes.iter().map(|row| terms(row.epoch)).max().unwrap_or(0),
        leases_lost: report.marks.count(Mark::LeaseLost),
        answered: report.clients.iter().map(|client| client.answered).sum(),
        violation: report.violation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_primary_is_replaced_in_time() {
        for seed in 0..3 {
            let slow = replace(seed, TimeOuts::Default).expect("it can be run");
            assert_eq!(slow.violation, None);
            assert!(slow.took_us.is_some_and(|took| (900_000..5_000_000).contains(&took)), "{slow:?}");
            let lan = replace(seed, TimeOuts::Lan).expect("it can be run");
            assert_eq!(lan.violation, None);
            assert!(lan.took_us.is_some_and(|took| (90_000..900_000).contains(&took)), "{lan:?}");
        }
    }
}

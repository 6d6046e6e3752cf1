//! The two stories of the original plan.

use engraft::types::{NodeId, SpaceName};
use engraft_sim::scenario::{Fault, FaultKind, Load, LoadAck, Scenario};
use engraft_sim::{Watch, render, run};

use crate::support;

/// Runs a scenario, holds its story against the snapshot, and wants every check to hold.
pub(super) fn story(name: &str, scenario: &Scenario) {
    let report = run(scenario, Watch { trace: true }).expect("a scenario that can be run");
    let text = render::story(scenario, &report, render::MILESTONES);
    assert_eq!(report.violation, None, "{text}");
    support::snapshot("story", name, &text);
}

pub(super) fn load(entries: u64) -> Load {
    Load {
        at_us: 100_000,
        space: SpaceName::new("orders").expect("a name"),
        to: None,
        entries,
        burst: 10,
        every_us: 1_000,
        in_flight: 1_000,
        bytes_min: 64,
        bytes_max: 64,
        ack: LoadAck::Local,
        timeout_us: None,
        reads_permille: 0,
    }
}

#[test]
fn a_hundred_entries_reach_the_replica() {
    let mut scenario = Scenario::quiet("A hundred entries reach the replica", 1, 2);
    scenario.about = "The primary appends 100 entries; its one replica has all of them when all is quiet.".to_owned();
    scenario.loads.push(load(100));
    story("a_hundred_entries_reach_the_replica", &scenario);
}

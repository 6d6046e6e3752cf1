//! The two stories of the original plan, and the steady state.

use engraft::types::NodeId;
use engraft_sim::Scenario;
use engraft_sim::scenario::{Fault, FaultKind, LoadAck};

use super::story;
use crate::support::load;

#[test]
fn a_hundred_entries_reach_the_replica() {
    let mut scenario = Scenario::quiet("A hundred entries reach the replica", 1, 2);
    scenario.about = "The primary appends 100 entries; its one replica has all of them.".to_owned();
    scenario.loads.push(load(100));
    story("a_hundred_entries_reach_the_replica", &scenario);
}

#[test]
fn a_paused_replica_gets_everything_after_it_is_resumed() {
    let mut scenario = Scenario::quiet("A paused replica gets everything after it is resumed", 2, 2);
    scenario.about = "1,000 entries; the operator pauses the replica; 1,000 more; the replica is resumed.\n\
                      All 2,000 are there."
        .to_owned();
    scenario.phases.chaos_us = 2_000_000;
    scenario.loads.push(load(1_000));
    let mut more = load(1_000);
    more.at_us = 600_000;
    scenario.loads.push(more);
    scenario.faults.push(Fault::new(500_000, FaultKind::PauseReplica, NodeId(1)).with(NodeId(2)).lasting(900_000));
    story("a_paused_replica_gets_everything_after_it_is_resumed", &scenario);
}

#[test]
fn steady_state() {
    let mut scenario = Scenario::quiet("Steady state", 3, 3);
    scenario.about = "Three nodes and nothing goes wrong.\n\
                      Appends are answered at each level; both replicas follow within a millisecond or two."
        .to_owned();
    let mut mixed = load(300);
    mixed.ack = LoadAck::Mixed;
    scenario.loads.push(mixed);
    story("steady_state", &scenario);
}

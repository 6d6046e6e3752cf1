//! Primaries that die or are cut off, and what becomes of their entries.

use engraft::core::Promotion;
use engraft::types::NodeId;
use engraft_sim::Scenario;
use engraft_sim::scenario::{Fault, FaultKind, Load, LoadAck};

use super::story;
use crate::support::load;

/// A client that follows the primary and appends at Quorum.
fn follower() -> Load {
    let mut follower = load(200);
    (follower.ack, follower.burst, follower.every_us) = (LoadAck::Quorum, 1, 20_000);
    follower
}

fn electing(name: &str, seed: u64, about: &str) -> Scenario {
    let mut scenario = Scenario::quiet(name, seed, 3);
    scenario.about = about.to_owned();
    scenario.phases.chaos_us = 6_000_000;
    scenario.spaces[0].promotion = Promotion::Automatic;
    scenario.loads.push(follower());
    scenario
}

#[test]
fn a_dead_primary_is_replaced() {
    let about = "The power of n1 fails while a client appends at Quorum, and comes back four seconds later.\n\
                 Another voter takes its place within the longest election time-out; n1 follows it.";
    let mut scenario = electing("A dead primary is replaced", 21, about);
    scenario.faults.push(Fault::new(500_000, FaultKind::Power, NodeId(1)).lasting(4_000_000));
    story("a_dead_primary_is_replaced", &scenario);
}

#[test]
fn an_old_primary_comes_back_with_entries_of_its_own() {
    let about = "n1 is cut off for three seconds and goes on to answer at Local; the others elect a primary.\n\
                 When n1 is back, what it alone has is saved and truncated, and it follows.";
    let mut scenario = electing("An old primary comes back with entries of its own", 22, about);
    let mut local = load(20);
    (local.to, local.at_us, local.burst, local.every_us) = (Some(NodeId(1)), 600_000, 1, 20_000);
    scenario.loads.push(local);
    scenario.faults.push(Fault::new(500_000, FaultKind::Partition, NodeId(1)).lasting(3_000_000));
    story("an_old_primary_comes_back", &scenario);
}

#[test]
fn exposure_at_its_limit() {
    let about = "The primary is cut off with room for three entries: two more wait, fail at their time-out, and are asked again.";
    let mut scenario = electing("Exposure at its limit", 23, about);
    (scenario.knobs.entry_bytes_max, scenario.knobs.exposure_bytes_max) = (Some(100), Some(300));
    scenario.spaces[0].promotion = Promotion::Manual;
    let mut local = load(5);
    (local.to, local.at_us, local.burst, local.every_us) = (Some(NodeId(1)), 600_000, 5, 20_000);
    (local.bytes_min, local.bytes_max, local.timeout_us) = (100, 100, Some(400_000));
    scenario.loads = vec![local];
    scenario.faults.push(Fault::new(500_000, FaultKind::Partition, NodeId(1)).lasting(2_000_000));
    story("exposure_at_its_limit", &scenario);
}

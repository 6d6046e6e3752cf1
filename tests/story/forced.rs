//! An operator has a node go on by itself.

use engraft::core::Promotion;
use engraft::types::NodeId;
use engraft_sim::Scenario;
use engraft_sim::scenario::{Fault, FaultKind, LoadAck};

use super::story;
use crate::support::load;

fn of(name: &str, seed: u64, nodes: u16, about: &str) -> Scenario {
    let mut scenario = Scenario::quiet(name, seed, nodes);
    scenario.about = about.to_owned();
    scenario.phases.chaos_us = 6_000_000;
    scenario.spaces[0].promotion = Promotion::Automatic;
    let mut local = load(60);
    (local.ack, local.burst, local.every_us) = (LoadAck::Local, 1, 100_000);
    scenario.loads.push(local);
    scenario
}

#[test]
fn the_primary_of_two_is_gone_for_good() {
    let about = "n2 hears nothing of n1 for a while and misses what n1 appends meanwhile; then n1 dies.\n\
                 One of two is no majority, so nobody leads until an operator has n2 go on with what it has.\n\
                 n1 comes back all the same: it saves what it alone has, truncates, follows, and votes again.";
    let mut scenario = of("The primary of two is gone for good", 41, 2, about);
    scenario.faults.push(Fault::new(800_000, FaultKind::Partition, NodeId(1)).lasting(3_500_000));
    scenario.faults.push(Fault::new(1_300_000, FaultKind::Crash, NodeId(1)).lasting(3_200_000));
    scenario.faults.push(Fault::new(3_500_000, FaultKind::Force, NodeId(2)).by(0));
    story("the_primary_of_two_is_gone_for_good", &scenario);
}

#[test]
fn a_living_majority_is_overruled() {
    let about = "n3 is cut off, and an operator who believes that n1 and n2 are gone has it go on.\n\
                 They are not: they commit meanwhile, and are taken over when they hear of it.\n\
                 What they committed is saved, and told as truncated.";
    let mut scenario = of("A living majority is overruled", 42, 3, about);
    scenario.loads[0].ack = LoadAck::Quorum;
    scenario.faults.push(Fault::new(500_000, FaultKind::Partition, NodeId(3)).lasting(3_000_000));
    scenario.faults.push(Fault::new(2_500_000, FaultKind::Force, NodeId(3)).by(0));
    story("a_living_majority_is_overruled", &scenario);
}

#[test]
fn two_nodes_are_forced_at_once() {
    let about = "n1 is gone, n2 and n3 hear nothing of each other, and both are forced on.\n\
                 Neither follows the other when they meet, and both say so.\n\
                 The operator has n3 go on once more: n2 follows, and so does n1 when it is back.";
    let mut scenario = of("Two nodes are forced at once", 43, 3, about);
    scenario.faults.push(Fault::new(500_000, FaultKind::Crash, NodeId(1)).lasting(4_500_000));
    scenario.faults.push(Fault::new(500_000, FaultKind::Partition, NodeId(2)).lasting(2_500_000));
    scenario.faults.push(Fault::new(2_000_000, FaultKind::Force, NodeId(2)).by(0));
    scenario.faults.push(Fault::new(2_200_000, FaultKind::Force, NodeId(3)).by(0));
    scenario.faults.push(Fault::new(4_000_000, FaultKind::Force, NodeId(3)).by(1));
    story("two_nodes_are_forced_at_once", &scenario);
}

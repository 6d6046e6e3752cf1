//! Replicas that go away, come back, and lag.

use engraft::types::NodeId;
use engraft_sim::Scenario;
use engraft_sim::scenario::{Fault, FaultKind, LoadAck};

use super::story;
use crate::support::load;

#[test]
fn replica_away_and_back() {
    let mut scenario = Scenario::quiet("Replica away and back", 4, 3);
    scenario.about = "The power of n3 fails while it writes, and comes back half a second later.\n\
                      Writing at Quorum goes on without it; it recovers what its disk kept and gets the rest."
        .to_owned();
    scenario.phases.chaos_us = 2_000_000;
    let mut quorum = load(600);
    quorum.ack = LoadAck::Quorum;
    scenario.loads.push(quorum);
    scenario.faults.push(Fault::new(120_000, FaultKind::Power, NodeId(3)).lasting(500_000));
    story("replica_away_and_back", &scenario);
}

#[test]
fn lag_rising_through_the_statuses() {
    let mut scenario = Scenario::quiet("Lag rising through the statuses", 5, 2);
    scenario.about = "Nothing passes from the primary to its replica for seven seconds.\n\
                      Its status falls step by step as lag and failures grow, and improves after the link is back."
        .to_owned();
    scenario.phases.chaos_us = 11_000_000;
    // Going on alone is another story.
    scenario.knobs.alone_after_us = Some(60_000_000);
    let mut slow = load(100);
    slow.burst = 1;
    slow.every_us = 100_000;
    scenario.loads.push(slow);
    scenario
        .faults
        .push(Fault::new(1_000_000, FaultKind::PartitionOneWay, NodeId(1)).with(NodeId(2)).lasting(7_000_000));
    story("lag_rising_through_the_statuses", &scenario);
}

#[test]
fn a_slow_replica_beside_a_fast_one() {
    let mut scenario = Scenario::quiet("A slow replica beside a fast one", 6, 3);
    scenario.about = "The disk of n3 takes a thousand times as long.\n\
                      Appends at Quorum are answered by the other two in their own time."
        .to_owned();
    scenario.phases.chaos_us = 2_000_000;
    let mut quorum = load(300);
    quorum.ack = LoadAck::Quorum;
    scenario.loads.push(quorum);
    scenario.faults.push(Fault::new(50_000, FaultKind::SlowDisk, NodeId(3)).by(1_000).lasting(1_500_000));
    story("a_slow_replica_beside_a_fast_one", &scenario);
}

//! What disks do.

use engraft::types::NodeId;
use engraft_sim::Scenario;
use engraft_sim::scenario::{Fault, FaultKind, LoadAck};

use super::story;
use crate::support::load;

#[test]
fn torn_tail() {
    // The first seed at which the crash tears the unsynced group.
    let mut scenario = Scenario::quiet("Torn tail", 21, 3);
    scenario.about = "The power of n2 fails between a write and its sync, and the group is torn.\n\
                      Recovery cuts it and keeps the whole valid prefix; the primary sends the rest again."
        .to_owned();
    scenario.phases.chaos_us = 1_500_000;
    scenario.loads.push(load(500));
    for at_us in [110_000, 300_000, 500_000, 700_000] {
        scenario.faults.push(Fault::new(at_us, FaultKind::Power, NodeId(2)).lasting(100_000));
    }
    let mut more = load(2_000);
    more.at_us = 200_000;
    scenario.loads.push(more);
    story("torn_tail", &scenario);
}

#[test]
fn failed_fsync() {
    let mut scenario = Scenario::quiet("Failed fsync", 11, 3);
    scenario.about = "One sync fails on n2. Its space stops and acknowledges nothing more; n1 and n3 go on.\n\
                      When it is started again, it recovers and gets what it lacks."
        .to_owned();
    scenario.phases.chaos_us = 1_500_000;
    let mut quorum = load(300);
    quorum.ack = LoadAck::Quorum;
    scenario.loads.push(quorum);
    scenario.faults.push(Fault::new(120_000, FaultKind::SyncFails, NodeId(2)));
    story("failed_fsync", &scenario);
}

//! Power failures under an fsync mode that acknowledges what is not synced.

use engraft::core::Promotion;
use engraft::types::{FsyncMode, NodeId};
use engraft_sim::Scenario;
use engraft_sim::scenario::{Fault, FaultKind, LoadAck};

use super::story;
use crate::support::load;

#[test]
fn a_power_failure_under_timer() {
    let mut scenario = Scenario::quiet("A power failure under Timer", 31, 3);
    scenario.about = "The power of n2 fails, and what it acknowledged and did not sync may be gone.\n\
                      It comes back recovering: it counts in no majority until it has what n1 had when it came back.\n\
                      Then n3 goes away, and n1 and n2 commit."
        .to_owned();
    scenario.phases.chaos_us = 4_000_000;
    scenario.spaces[0].promotion = Promotion::Automatic;
    scenario.spaces[0].fsync = FsyncMode::Timer;
    let mut quorum = load(150);
    (quorum.ack, quorum.burst, quorum.every_us) = (LoadAck::Quorum, 1, 20_000);
    scenario.loads.push(quorum);
    scenario.faults.push(Fault::new(500_000, FaultKind::Power, NodeId(2)).lasting(1_000_000));
    scenario.faults.push(Fault::new(2_500_000, FaultKind::Crash, NodeId(3)).lasting(1_000_000));
    story("a_power_failure_under_timer", &scenario);
}

#[test]
fn too_few_remember() {
    let mut scenario = Scenario::quiet("Too few remember", 32, 3);
    scenario.about =
        "The power of n1 and n3 fails under Timer, and n2 is killed; n3 comes back two seconds after the others.\n\
                      n2 alone is no majority that remembers, so nobody is elected before all three are there.\n\
                      The best log of all goes on, and tells what may be lost."
            .to_owned();
    scenario.phases.chaos_us = 6_000_000;
    scenario.spaces[0].promotion = Promotion::Automatic;
    scenario.spaces[0].fsync = FsyncMode::Timer;
    let mut quorum = load(150);
    (quorum.ack, quorum.burst, quorum.every_us) = (LoadAck::Quorum, 1, 20_000);
    scenario.loads.push(quorum);
    for (node, kind, off_us) in
        [(1, FaultKind::Power, 1_000_000), (2, FaultKind::Crash, 1_000_000), (3, FaultKind::Power, 3_000_000)]
    {
        scenario.faults.push(Fault::new(500_000, kind, NodeId(node)).lasting(off_us));
    }
    story("too_few_remember", &scenario);
}

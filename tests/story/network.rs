//! What the network does to links and frames.

use engraft::types::NodeId;
use engraft_sim::Scenario;
use engraft_sim::render::MILESTONES;
use engraft_sim::scenario::{Fault, FaultKind, LoadAck};
use engraft_sim::trace::LineKind;

use super::{story, story_of};
use crate::support::load;

#[test]
fn one_way_partition() {
    let mut scenario = Scenario::quiet("One-way partition", 7, 3);
    scenario.about = "Nothing passes from n3 to n1 for two seconds, while all else does.\n\
                      n3 still gets entries, its acks do not arrive; n1 gives its silent link up and dials again."
        .to_owned();
    scenario.phases.chaos_us = 3_500_000;
    let mut quorum = load(300);
    quorum.ack = LoadAck::Quorum;
    scenario.loads.push(quorum);
    scenario.faults.push(Fault::new(200_000, FaultKind::PartitionOneWay, NodeId(3)).with(NodeId(1)).lasting(2_000_000));
    story("one_way_partition", &scenario);
}

#[test]
fn duplicate_reordered_and_corrupt_frames() {
    let mut scenario = Scenario::quiet("Duplicate, reordered and corrupt frames", 8, 2);
    scenario.about = "Frames from n1 to n2 come twice, then in another order, then with a turned bit.\n\
                      Each entry is written once; a corrupt frame ends its link, and nothing else."
        .to_owned();
    scenario.phases.chaos_us = 2_500_000;
    for at_us in [100_000, 700_000, 1_300_000] {
        let mut part = load(200);
        part.at_us = at_us;
        scenario.loads.push(part);
    }
    let from = |at_us, kind| Fault::new(at_us, kind, NodeId(1)).with(NodeId(2)).lasting(200_000);
    scenario.faults.push(from(90_000, FaultKind::FrameDuplicate).by(300));
    scenario.faults.push(from(690_000, FaultKind::FrameReorder).by(300));
    scenario.faults.push(from(1_290_000, FaultKind::FrameCorrupt).by(100));
    let kinds: Vec<LineKind> = MILESTONES.iter().copied().chain([LineKind::Network]).collect();
    story_of("duplicate_reordered_and_corrupt_frames", &scenario, &kinds);
}

#[test]
fn breaker_opens_and_half_opens() {
    let mut scenario = Scenario::quiet("Breaker opens and half-opens", 9, 2);
    scenario.about = "The process of n2 is away for three seconds.\n\
                      Dials are refused, the breaker opens after three of them, half-opens by timer, closes on contact."
        .to_owned();
    scenario.phases.chaos_us = 6_000_000;
    // Going on alone is another story.
    scenario.knobs.alone_after_us = Some(60_000_000);
    scenario.loads.push(load(50));
    scenario.faults.push(Fault::new(300_000, FaultKind::Crash, NodeId(2)).lasting(3_000_000));
    story("breaker_opens_and_half_opens", &scenario);
}

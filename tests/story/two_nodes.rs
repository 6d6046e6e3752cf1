//! Two nodes: one is gone, and the other goes on.

use engraft::types::NodeId;
use engraft_sim::Scenario;
use engraft_sim::scenario::{Fault, FaultKind, LoadAck};

use super::story;
use crate::support::load;

#[test]
fn one_of_two_is_gone_the_other_alone_and_both_are_back() {
    let about = "The power of n2 fails while clients append at Local and at Quorum, and comes back five seconds later.\n\
                 n1 is alone after two seconds: Local goes on, Quorum is refused. n2 comes back as learner, then as voter.";
    let mut scenario = Scenario::quiet("One of two is gone, the other alone, and both are back", 31, 2);
    scenario.about = about.to_owned();
    scenario.phases.chaos_us = 10_000_000;
    for ack in [LoadAck::Local, LoadAck::Quorum] {
        let mut client = load(if ack == LoadAck::Local { 400 } else { 60 });
        (client.ack, client.burst, client.every_us, client.in_flight) = (ack, 1, 20_000, 4);
        if ack == LoadAck::Quorum {
            client.every_us = 150_000;
        }
        scenario.loads.push(client);
    }
    scenario.faults.push(Fault::new(500_000, FaultKind::Power, NodeId(2)).lasting(5_000_000));
    story("one_of_two_alone", &scenario);
}

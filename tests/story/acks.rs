//! Ack levels where a majority is gone.

use engraft::types::NodeId;
use engraft_sim::Scenario;
use engraft_sim::scenario::{Fault, FaultKind, LoadAck};

use super::story;
use crate::support::load;

fn quorum_lost(name: &str, words: &str, seed: u64, ack: LoadAck) {
    let mut scenario = Scenario::quiet(words, seed, 3);
    scenario.about = "Both replicas are cut off for a second and a half while a client appends.".to_owned();
    scenario.phases.chaos_us = 4_000_000;
    let mut few = load(20);
    few.ack = ack;
    few.burst = 1;
    few.every_us = 20_000;
    few.at_us = 150_000;
    few.timeout_us = Some(500_000);
    scenario.loads.push(few);
    scenario.faults.push(Fault::new(200_000, FaultKind::Partition, NodeId(1)).lasting(1_500_000));
    story(name, &scenario);
}

#[test]
fn quorum_lost_at_local() {
    quorum_lost("quorum_lost_at_local", "Quorum lost: appends at Local are answered", 12, LoadAck::Local);
}

#[test]
fn quorum_lost_at_quorum_is_answered_unknown() {
    let words = "Quorum lost: appends at Quorum are answered unknown at their time-out";
    quorum_lost("quorum_lost_at_quorum", words, 13, LoadAck::Quorum);
}

#[test]
fn quorum_lost_at_all_is_answered_unknown() {
    let words = "Quorum lost: appends at All are answered unknown at their time-out";
    quorum_lost("quorum_lost_at_all", words, 14, LoadAck::All);
}

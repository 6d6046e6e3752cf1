//! Each check fires where the system is broken on purpose.

use core::time::Duration;

use engraft::types::NodeId;
use engraft_sim::minimise::minimise;
use engraft_sim::scenario::{Fault, FaultKind, Planted, PlantedKind};
use engraft_sim::{Invariant, Scenario, Watch, run};

/// The first of some seeds at which the bug shows, and what it breaks.
fn found(kind: PlantedKind, faults: &[Fault], seeds: u64) -> Option<(u64, Invariant, Scenario)> {
    for seed in 0..seeds {
        let mut scenario = Scenario::swarm(seed);
        scenario.planted = scenario.node_ids().map(|node| Planted { kind, node }).collect();
        let nodes = scenario.nodes;
        scenario.faults.extend(faults.iter().filter(|fault| fault.node.0 <= nodes));
        let report = run(&scenario, Watch::default()).expect("a scenario that can be run");
        if let Some(violation) = report.violation {
            return Some((seed, violation.invariant, scenario));
        }
    }
    None
}

#[test]
fn every_planted_bug_is_found() {
    use Invariant as I;
    use PlantedKind as P;
    let cases: &[(P, &[I])] = &[
        (P::AckBeforeSync, &[I::S5]),
        (P::AckTooFar, &[I::S5]),
        (P::OtherPayload, &[I::S4]),
        (P::ForeignEpoch, &[I::S3]),
        (P::CommitTooHigh, &[I::S7, I::S10]),
        (P::ForgottenPromise, &[I::S2]),
        (P::LostEnd, &[I::S5, I::S8, I::S20, I::S4]),
        (P::AnswerTooEarly, &[I::S6]),
        (P::SyncFailureHidden, &[I::S5]),
        (P::ReadUncommitted, &[I::S7]),
        (P::CorruptFrameBelieved, &[I::S4, I::S3]),
        (P::DuplicateApply, &[I::S28]),
        (P::ForgottenTimer, &[I::L2, I::L3, I::L6, I::L8]),
        (P::ForgottenReply, &[I::L8, I::L2]),
        (P::StaleBelieved, &[I::S26]),
        (P::ForeignPrimary, &[I::S1]),
        (P::CommitGoesBack, &[I::S7]),
    ];
    for (kind, expected) in cases {
        match found(*kind, &[], 200) {
            Some((seed, invariant, scenario)) => {
                let small = minimise(&scenario, Duration::from_secs(10)).expect("it breaks");
                println!(
                    "{kind:?}: {invariant:?} at seed {seed}, {} -> {} faults, {} runs",
                    scenario.faults.len(),
                    small.scenario.faults.len(),
                    small.runs
                );
                if !expected.contains(&invariant) {
                    println!("   UNEXPECTED {}", small.violation);
                }
            }
            None => println!("{kind:?}: NOT FOUND"),
        }
    }
}

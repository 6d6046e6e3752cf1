//! Each check fires where the system is broken on purpose: a check that nobody saw fire proves nothing.

use core::time::Duration;

use engraft_sim::minimise::minimise;
use engraft_sim::scenario::{Planted, PlantedKind};
use engraft_sim::{Invariant, Scenario, Watch, run};

/// The first of some seeds at which the bug shows, and what it breaks.
fn found(kind: PlantedKind, seeds: u64) -> Option<(Invariant, Scenario)> {
    (0..seeds).find_map(|seed| {
        let mut scenario = Scenario::swarm(seed);
        scenario.planted = scenario.node_ids().map(|node| Planted { kind, node }).collect();
        let report = run(&scenario, Watch::default()).expect("a scenario that can be run");
        report.violation.map(|violation| (violation.invariant, scenario))
    })
}

fn fires(kind: PlantedKind, expected: &[Invariant]) {
    let (invariant, _) = found(kind, 200).unwrap_or_else(|| panic!("{kind:?} is found by none of 200 seeds"));
    assert!(expected.contains(&invariant), "{kind:?} breaks {invariant:?}, expected {expected:?}");
}

macro_rules! planted {
    ($($name:ident: $kind:ident breaks $($invariant:ident)+;)*) => {
        $(#[test]
        fn $name() {
            fires(PlantedKind::$kind, &[$(Invariant::$invariant),+]);
        })*
    };
}

planted! {
    ack_before_sync_breaks_s5: AckBeforeSync breaks S5;
    ack_for_more_than_is_durable_breaks_s5: AckTooFar breaks S5;
    hidden_sync_failure_breaks_s5_or_s7: SyncFailureHidden breaks S5 S7;
    other_payload_breaks_s4: OtherPayload breaks S4;
    foreign_epoch_breaks_s3: ForeignEpoch breaks S3;
    foreign_primary_breaks_s1: ForeignPrimary breaks S1;
    commit_too_high_breaks_s7_or_s10: CommitTooHigh breaks S7 S10;
    commit_that_goes_back_breaks_s7: CommitGoesBack breaks S7;
    uncommitted_read_breaks_s7: ReadUncommitted breaks S7;
    forgotten_promise_breaks_s2: ForgottenPromise breaks S2;
    lost_end_breaks_s5_or_s20: LostEnd breaks S5 S20 S4 S8;
    early_answer_breaks_s6: AnswerTooEarly breaks S6;
    believed_corruption_breaks_s18: CorruptFrameBelieved breaks S18;
    duplicate_breaks_s28: DuplicateApply breaks S28;
    believed_stale_completion_breaks_s26: StaleBelieved breaks S26;
    forgotten_timer_breaks_liveness: ForgottenTimer breaks L2 L3 L6 L8;
    forgotten_reply_breaks_l8: ForgottenReply breaks L8 L2;
}

#[test]
fn sixty_faults_are_minimised_to_a_handful() {
    let mut scenario = Scenario::swarm(7);
    // Faults of other seeds that fit into this cluster, up to sixty.
    for seed in 0_u64.. {
        let nodes = scenario.nodes;
        let fits = |node: engraft::types::NodeId| node.0 <= nodes;
        let more = Scenario::swarm(seed).faults;
        scenario.faults.extend(more.into_iter().filter(|fault| fits(fault.node) && fault.peer.is_none_or(fits)));
        if scenario.faults.len() >= 60 {
            break;
        }
    }
    scenario.faults.truncate(60);
    scenario.planted = scenario.node_ids().map(|node| Planted { kind: PlantedKind::ForgottenPromise, node }).collect();
    let small = minimise(&scenario, Duration::from_secs(60)).expect("a promise is forgotten");
    assert_eq!(small.violation.invariant, Invariant::S2, "the same invariant is broken");
    assert!(small.scenario.faults.len() <= 5, "{}", small.scenario.to_text());
    let again = Scenario::parse(&small.scenario.to_text()).expect("it is a scenario");
    let report = run(&again, Watch::default()).expect("it can be run");
    assert_eq!(report.violation, Some(small.violation), "the file replays it");
}

//! Each kind of flawed engine is found, minimised, and found again by what is printed.

use engraft_sim::Invariant;
use engraft_sim::embed::{Failure, Finding};

use super::register::{Flaw, simulation};

fn found(flaw: Flaw) -> Box<Finding> {
    match simulation(flaw).sweep(0..60) {
        Ok(swept) => panic!("{flaw:?} is found by none of {} seeds", swept.seeds),
        Err(Failure::Broken(finding)) => finding,
        Err(failure) => panic!("{flaw:?}: {failure}"),
    }
}

/// What is found is small, and its text breaks the same again.
fn is_found(flaw: Flaw, faults_max: usize) {
    let finding = found(flaw);
    assert_eq!(finding.violation().invariant, Invariant::S24, "{finding}");
    let faults = finding.scenario().faults.len();
    assert!(faults <= faults_max, "{faults} faults are left:\n{finding}");
    match simulation(flaw).replay(&finding.scenario().to_text()) {
        Err(Failure::Broken(again)) => assert_eq!(again.violation(), finding.violation()),
        other => panic!("the scenario does not break it again: {:?}", other.err()),
    }
    let seed = finding.seed.expect("it was a seed");
    assert!(simulation(flaw).sweep(seed..seed + 1).is_err(), "{}", finding.replay());
    assert!(finding.to_string().ends_with(&format!("replay it: simulation.sweep({seed}..{})", seed + 1)));
}

#[test]
fn sound_engines_hold_whether_they_keep_their_state_or_not() {
    for flaw in [Flaw::None, Flaw::MemoryOnly] {
        let swept = simulation(flaw).sweep(0..12).unwrap_or_else(|failure| panic!("{flaw:?}: {failure}"));
        assert_eq!(swept.seeds, 12);
    }
}

#[test]
fn a_position_that_is_saved_apart_from_its_state_is_found() {
    is_found(Flaw::TwoFiles, 1);
}

#[test]
fn a_rename_before_its_sync_is_found() {
    is_found(Flaw::RenamesUnsynced, 1);
}

#[test]
fn an_entry_that_is_passed_over_after_a_restart_is_found() {
    is_found(Flaw::SkipsOne, 1);
}

#[test]
fn a_state_that_depends_on_how_often_the_process_began_is_found() {
    is_found(Flaw::CountsStarts, 1);
}

#[test]
fn an_engine_that_fails_or_panics_without_a_reason_is_found() {
    is_found(Flaw::Fails, 0);
    is_found(Flaw::Panics, 0);
}

#[test]
fn a_state_that_follows_the_order_of_a_hash_map_is_found() {
    // What it breaks differs from run to run, and so may where: that it is never taken for sound is what counts.
    match simulation(Flaw::MapOrder).sweep(0..10) {
        Ok(_) => panic!("it holds"),
        Err(Failure::Broken(finding)) => assert_eq!(finding.violation().invariant, Invariant::S24),
        Err(Failure::Unsteady { .. }) => {}
        Err(failure @ Failure::Scenario(_)) => panic!("{failure}"),
    }
}

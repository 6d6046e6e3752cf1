//! Seeds: a fixed set, and a fresh one whose first number is printed.

use std::time::{SystemTime, UNIX_EPOCH};

use engraft_sim::mark::Mark;
use engraft_sim::{Scenario, Watch, run};

fn hold(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        holds(&Scenario::swarm(seed), "");
    }
}

fn holds(scenario: &Scenario, option: &str) {
    let report = run(scenario, Watch::default()).expect("a scenario that can be run");
    let violation = report.violation.map(|violation| violation.to_string());
    assert_eq!(violation, None, "replay it: cargo sim run --seed {}{option}", scenario.seed);
}

#[test]
fn fixed_seeds_break_nothing() {
    hold(0..25);
}

#[test]
fn fixed_seeds_of_elections_break_nothing() {
    for seed in 0..60 {
        holds(&Scenario::elections(seed), " --elections");
    }
}

#[test]
fn half_of_the_seeds_lose_what_was_unsynced_and_have_faults_that_overlap() {
    let (mut seeds, mut with_loss, mut with_overlap) = (0_u32, 0, 0);
    for seed in 1_000..1_100 {
        let marks = run(&Scenario::swarm(seed), Watch::default()).expect("a scenario that can be run").marks;
        seeds += 1;
        with_loss += u32::from(marks.count(Mark::UnsyncedLost) > 0);
        with_overlap += u32::from(marks.count(Mark::FaultDuringFault) > 0);
    }
    assert!(with_loss * 2 >= seeds, "{with_loss} of {seeds} lost something unsynced");
    assert!(with_overlap * 2 >= seeds, "{with_overlap} of {seeds} had faults that overlap");
}

#[test]
fn fresh_seeds_break_nothing() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let base = since.as_secs() * 1000;
    println!("fresh seeds: {base}..{}", base + 10);
    hold(base..base + 10);
}

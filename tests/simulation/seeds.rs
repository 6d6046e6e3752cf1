//! Seeds: a fixed set, and a fresh one whose first number is printed.

use std::time::{SystemTime, UNIX_EPOCH};

use engraft_sim::{Scenario, Watch, run};

fn hold(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let report = run(&Scenario::swarm(seed), Watch::default()).expect("a scenario that can be run");
        let violation = report.violation.map(|violation| violation.to_string());
        assert_eq!(violation, None, "replay it: cargo sim run --seed {seed}");
    }
}

#[test]
fn fixed_seeds_break_nothing() {
    hold(0..25);
}

#[test]
fn fresh_seeds_break_nothing() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let base = since.as_secs() * 1000;
    println!("fresh seeds: {base}..{}", base + 10);
    hold(base..base + 10);
}

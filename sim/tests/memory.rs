//! Memory does not grow with the number of seeds.

use core::sync::atomic::AtomicBool;

use allocation_counter::measure;
use engraft_sim::sweep::{SweepPlan, sweep};
use engraft_sim::{Scenario, Watch, run};

fn swept(from: u64, to: u64) {
    let plan = SweepPlan { from, to, time_max: None, jobs: 1 };
    let one = |seed| run(&Scenario::swarm(seed), Watch::default());
    let swept = sweep(&plan, one, &AtomicBool::new(false), |_, _| {}).expect("scenarios that can be run");
    assert_eq!((swept.seeds, swept.violation), (to - from, None));
}

#[test]
fn many_seeds_need_no_more_memory_than_the_largest_of_them() {
    let alone: Vec<_> = (0..8).map(|seed| measure(|| swept(seed, seed + 1))).collect();
    let largest = alone.iter().map(|seed| seed.bytes_max).max().expect("some");
    let all = measure(|| {
        swept(0, 8);
        swept(0, 8);
    });
    // The sum of the sweep itself is a few kilobytes, and is there once.
    assert!(all.bytes_max < largest + 64 * 1024, "{} bytes at once, {largest} for one seed", all.bytes_max);
    assert_eq!(all.bytes_current, 0, "everything is given back");
}

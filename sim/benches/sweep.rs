//! What a core's event costs in bulk: all checks on, encoded bytes on the simulated wire, one processor.
//!
//! `cargo sim sweep --seeds A..B --jobs 1 --json` gives the same figure over other seeds.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engraft_sim::{Scenario, Watch, run};

/// Seeds of which one after the other is run.
const SEEDS: u64 = 12;

fn events(seeds: u64) -> u64 {
    let run = |seed| run(&Scenario::swarm(seed), Watch::default()).expect("a scenario that can be run");
    (0..seeds).map(|seed| run(seed).events).sum()
}

fn sweep(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sweep");
    group.throughput(Throughput::Elements(events(SEEDS)));
    group.sample_size(10);
    group.bench_function("core events", |bencher| bencher.iter(|| events(SEEDS)));
    group.finish();
}

criterion_group!(benches, sweep);
criterion_main!(benches);

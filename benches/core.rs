//! Three cores on one thread: what a thousand appends cost from the append to the answer.
//!
//! The whole of it is measured: the primary's core, encoding, decoding, the replicas' cores. `engraft bench core` tells
//! the parts apart.

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engraft::driver::trio::{Meter, Part, Trio};

/// Entries that are appended before the time moves on.
const PER_TURN: usize = 1_000;

/// Measures nothing: the harness does.
struct Unmeasured;

impl Meter for Unmeasured {
    fn measure(&mut self, _part: Part, work: impl FnOnce()) {
        work();
    }
}

fn payloads(size: usize) -> Vec<Bytes> {
    let mut lot = Bytes::from(vec![7; size * PER_TURN]);
    (0..PER_TURN).map(|_| lot.split_to(size)).collect()
}

fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core");
    group.throughput(Throughput::Elements(PER_TURN as u64));
    for size in [16, 256, 1_024] {
        let mut trio = Trio::settled(Unmeasured).expect("the defaults can be");
        group.bench_with_input(BenchmarkId::new("turn", size), &size, |bencher, &size| {
            bencher.iter_batched(|| payloads(size), |payloads| trio.turn(payloads), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, turns);
criterion_main!(benches);

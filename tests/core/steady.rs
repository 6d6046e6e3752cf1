//! The steady path: what the core takes from the allocator while entries stream to two replicas that keep up.
//!
//! What leaves the core in an action (the entries of a write, those of a batch) leaves in a list of its own, which whoever
//! carries the action out drops; nothing else is allowed. Payloads are never copied.

use alloc::collections::BTreeMap;

use allocation_counter::measure;
use bytes::Bytes;
use engraft::driver::trio::{Counts, Meter, Part, Trio};
use engraft::types::Entry;

const SIZE: usize = 256;
const PER_TURN: usize = 1_000;
/// Turns until every list has grown to the size that it keeps.
const WARM_UP: usize = 100;
const TURNS: u64 = 50;

/// What each part took from the allocator.
#[derive(Debug, Default)]
struct Allocations(BTreeMap<Part, Taken>);

#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    count: u64,
    bytes: u64,
}

impl Meter for Allocations {
    fn measure(&mut self, part: Part, work: impl FnOnce()) {
        let info = measure(work);
        let taken = self.0.entry(part).or_default();
        taken.count += info.count_total;
        taken.bytes += info.bytes_total;
    }
}

/// Payloads that share one piece of memory, as those of one read from a connection do.
fn payloads() -> Vec<Bytes> {
    let mut lot = Bytes::from(vec![7; SIZE * PER_TURN]);
    (0..PER_TURN).map(|_| lot.split_to(SIZE)).collect()
}

/// Runs the steady path; what each part took, and what happened meanwhile.
fn steady() -> (impl Fn(Part) -> Taken, Counts) {
    let mut trio = Trio::settled(Allocations::default()).expect("the defaults can be");
    for _ in 0..WARM_UP {
        trio.turn(payloads());
    }
    let before = trio.counts();
    trio.meter = Allocations::default();
    for _ in 0..TURNS {
        trio.turn(payloads());
    }
    let counts = trio.counts().since(before);
    assert_eq!(counts.answered, TURNS * PER_TURN as u64, "every append is answered");
    assert!(counts.batches >= TURNS * PER_TURN as u64 / 100, "entries travel in batches: {counts:?}");
    let taken = trio.meter.0;
    (move |part| taken.get(&part).copied().unwrap_or_default(), counts)
}

/// Heartbeats and their echoes come ten times per second, with a list of commits each.
const HEARTBEATS: u64 = 8 * (TURNS / 100 + 1);

#[test]
fn the_primary_allocates_one_list_per_write_and_one_per_batch() {
    let (taken, counts) = steady();
    let primary = taken(Part::Primary);
    assert!(primary.count > 0, "nothing was counted");
    let (found, allowed) = (primary.count, counts.primary_writes + counts.batches + HEARTBEATS);
    assert!(found <= allowed, "{found} allocations, {allowed} allowed: {counts:?}");
}

#[test]
fn a_replica_allocates_one_list_per_write_and_two_pieces_per_batch() {
    let (taken, counts) = steady();
    let replica = taken(Part::Replica);
    assert!(replica.count > 0, "nothing was counted");
    // Per batch: the list of its entries, and the count of those who share the piece of the stream that it came in.
    let (found, allowed) = (replica.count, counts.replica_writes + 2 * counts.batches + HEARTBEATS);
    assert!(found <= allowed, "{found} allocations, {allowed} allowed: {counts:?}");
}

#[test]
fn no_payload_is_copied_in_the_core() {
    let (taken, counts) = steady();
    let entries = TURNS * PER_TURN as u64;
    // Each entry stands in one list for the disk and in one for each of two replicas.
    let lists = 3 * entries * size_of::<Entry>() as u64;
    let found = taken(Part::Primary).bytes;
    assert!(found < lists + entries * SIZE as u64 / 2, "{found} bytes, {lists} of them in lists: {counts:?}");
}

#[test]
fn encoding_allocates_a_block_per_64_kib() {
    let (taken, counts) = steady();
    let encode = taken(Part::Encode);
    let bytes = 2 * TURNS * PER_TURN as u64 * (SIZE as u64 + 64 + 2);
    // A block, and the count of those who share its pieces.
    let allowed = 2 * (bytes.div_ceil(64 << 10) + counts.batches);
    assert!(encode.count <= allowed, "{} allocations, {allowed} allowed: {counts:?}", encode.count);
}

//! The steady path: what the core takes from the allocator while entries stream to two replicas that keep up.
//!
//! Nothing: the lists in which entries leave it (those of a write, those of a batch) come back and are used again, and so
//! are those in which a replica decodes a batch. What comes by the clock is counted apart: a heartbeat names the commits
//! that its peer has not confirmed, and its echo what the peer knows, in a list each.
//!
//! Memory that the core does not take is not counted here: the payloads and the pieces of the stream that they are slices
//! of, which the caller and the connection bring, and what encoding takes.

use alloc::collections::BTreeMap;

use allocation_counter::measure;
use bytes::Bytes;
use engraft::driver::trio::{Counts, Meter, Part, Trio};

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
    steady_with(|_| {})
}

fn steady_with(change: impl FnOnce(&mut Trio<Allocations>)) -> (impl Fn(Part) -> Taken, Counts) {
    let mut trio = Trio::settled(Allocations::default()).expect("the defaults can be");
    change(&mut trio);
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

#[test]
fn the_primary_allocates_nothing() {
    let (taken, counts) = steady();
    let (primary, appended) = (taken(Part::Primary), TURNS * PER_TURN as u64);
    assert_eq!((primary.count, primary.bytes), (0, 0), "for {appended} entries: {counts:?}");
}

#[test]
fn a_replica_allocates_nothing_decoding_included() {
    let (taken, counts) = steady();
    let (replica, appended) = (taken(Part::Replica), 2 * TURNS * PER_TURN as u64);
    assert_eq!((replica.count, replica.bytes), (0, 0), "for {appended} entries: {counts:?}");
}

#[test]
fn what_comes_by_the_clock_allocates_the_lists_of_commits() {
    let (taken, counts) = steady();
    // A turn is a millisecond, and each of two replicas has a heartbeat in a hundred of them. It takes five lists: what is
    // named and what stays unconfirmed at the primary, what came and what is echoed at the replica, and the echo read.
    let (found, allowed) = (taken(Part::Upkeep).count, 2 * 5 * TURNS.div_ceil(100));
    assert!(found <= allowed, "{found} allocations, {allowed} allowed: {counts:?}");
}

/// The counter counts: where the lists are not given back, each write and each batch has one.
#[test]
fn lists_that_are_not_given_back_are_allocated_anew() {
    let (taken, counts) = steady_with(|trio| trio.gives_back = false);
    let (found, lists) = (taken(Part::Primary).count, counts.primary_writes + counts.batches);
    assert_eq!(found, lists, "{counts:?}");
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

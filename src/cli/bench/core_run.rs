//! How fast the pure core is.

use ::core::hint::black_box;
use ::core::time::Duration;
use alloc::collections::BTreeMap;
use std::time::Instant;

use crate::core::Ack;
use crate::driver::trio::{Meter, Part, Trio};
use crate::types::{HEADER_SIZE, SpaceId};

use super::super::exit::Failure;
use super::figure::{Figure, Unit, median};
use super::load::Load;
use super::settings::{ROUNDS, Settings};

use super::{failed, floor};

/// Entries that are appended before the time moves on.
const PER_TURN: usize = 1_000;

/// The time that each part took in this turn, and in each of those before.
#[derive(Debug, Default)]
struct Stopwatch {
    turn: BTreeMap<Part, Duration>,
    turns: BTreeMap<Part, Vec<Duration>>,
}

impl Meter for Stopwatch {
    fn measure(&mut self, part: Part, work: impl FnOnce()) {
        let began = Instant::now();
        work();
        *self.turn.entry(part).or_default() += began.elapsed();
    }
}

impl Stopwatch {
    fn turn_ends(&mut self) {
        for (part, took) in ::core::mem::take(&mut self.turn) {
            self.turns.entry(part).or_default().push(took);
        }
    }

    /// The middle turn in seconds: one in which the system gave the thread's time to another is not it.
    fn middle(&self, part: Part) -> f64 {
        let turns = self.turns.get(&part).map(Vec::as_slice).unwrap_or_default();
        median(turns.iter().map(Duration::as_secs_f64)).unwrap_or_default()
    }
}

/// What one round shows, per second where it is a rate.
struct Measured {
    floor: f64,
    primary: f64,
    replica: f64,
    together: f64,
    overhead_micros: f64,
}

/// Measures the primary's and a replica's core, each as if it had the thread for itself, and what a batch costs.
pub(super) fn measure(settings: &Settings, size: usize) -> Result<Vec<Figure>, Failure> {
    let mut trio = Trio::settled(Stopwatch::default()).map_err(|error| failed("configure a core", error))?;
    let load = Load::new(SpaceId([0; 16]), Ack::Quorum, size);
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        settings.progress.now(format!("the core alone, round {round} of {ROUNDS}: CRC32C"));
        let checksums = floor::checksum(HEADER_SIZE + size, settings.floor_round() / 2);
        settings.progress.now(format!("the core alone, round {round} of {ROUNDS}"));
        rounds.push(one_round(&mut trio, &load, checksums / (HEADER_SIZE + size) as f64, settings.round())?);
    }
    black_box(&trio);
    let middle = |value: fn(&Measured) -> f64| median(rounds.iter().map(value)).unwrap_or_default();
    let floor = middle(|round| round.floor);
    let rate = |key: String, title: String, value: f64| {
        Figure::beside(key, title, Unit::EntriesPerSecond, value, floor, "CRC32C over the same bytes, once")
    };
    let (primary, replica) = (middle(|round| round.primary), middle(|round| round.replica));
    Ok(vec![
        rate(format!("core_{size}b"), format!("core, {size} B, the slower of the two parts"), primary.min(replica)),
        rate(format!("core_primary_{size}b"), "  the primary's part".to_owned(), primary),
        rate(format!("core_replica_{size}b"), "  a replica's part, decoding included".to_owned(), replica),
        rate(
            format!("core_three_{size}b"),
            "  all three and encoding, one thread".to_owned(),
            middle(|round| round.together),
        ),
        Figure::alone(
            "pool_overhead_us_per_batch",
            "overhead per batch (core and encoding)",
            Unit::Microseconds,
            Some(middle(|round| round.overhead_micros)),
        ),
    ])
}

fn one_round(trio: &mut Trio<Stopwatch>, load: &Load, floor: f64, duration: Duration) -> Result<Measured, Failure> {
    trio.meter = Stopwatch::default();
    let before = trio.counts();
    let (began, mut turns) = (Instant::now(), 0);
    while began.elapsed() < duration {
        trio.turn(load.payloads(PER_TURN).collect());
        trio.meter.turn_ends();
        turns += 1;
    }
    let counts = trio.counts().since(before);
    let (appended, answered) = (turns * PER_TURN as u64, counts.answered);
    if answered != appended {
        return Err(Failure::failed(format!("of {appended} appends {answered} were answered")));
    }
    let (primary, encode) = (trio.meter.middle(Part::Primary), trio.meter.middle(Part::Encode));
    let (replicas, acks) = (trio.meter.middle(Part::Replica), trio.meter.middle(Part::EncodeAck));
    let batches_per_turn = counts.batches as f64 / turns as f64;
    let per_second = |entries: usize, seconds: f64| entries as f64 / seconds.max(f64::EPSILON);
    Ok(Measured {
        floor,
        primary: per_second(PER_TURN, primary),
        // Two replicas share the time.
        replica: per_second(PER_TURN * 2, replicas + acks),
        together: per_second(PER_TURN, primary + encode + replicas + acks),
        overhead_micros: (primary + encode) * 1e6 / batches_per_turn.max(1.0),
    })
}

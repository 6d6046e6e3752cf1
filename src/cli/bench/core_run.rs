//! How fast the pure core is.

use ::core::hint::black_box;
use ::core::time::Duration;
use alloc::collections::BTreeMap;
use std::time::Instant;

use crate::core::Ack;
use crate::types::{HEADER_SIZE, SpaceId};

use super::super::exit::Failure;
use super::figure::{Figure, Unit, per_second};
use super::load::Load;
use super::settings::{ROUNDS, Settings};
use super::trio::{Meter, Part, Trio};
use super::{failed, floor};

/// Entries that are appended before the time moves on.
const PER_TURN: usize = 1_000;

/// The time that each part took.
#[derive(Debug, Default)]
struct Stopwatch(BTreeMap<Part, Duration>);

impl Meter for Stopwatch {
    fn measure(&mut self, part: Part, work: impl FnOnce()) {
        let began = Instant::now();
        work();
        *self.0.entry(part).or_default() += began.elapsed();
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
    let middle = |value: fn(&Measured) -> f64| super::figure::median(rounds.iter().map(value)).unwrap_or_default();
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
    trio.meter.0.clear();
    let (answered, batches) = (trio.answered(), trio.batches());
    let (began, mut appended) = (Instant::now(), 0);
    while began.elapsed() < duration {
        trio.turn(load.payloads(PER_TURN).collect());
        appended += PER_TURN as u64;
    }
    if trio.answered() - answered != appended {
        return Err(Failure::failed(format!("of {appended} appends {} were answered", trio.answered() - answered)));
    }
    let part = |part: Part| trio.meter.0.get(&part).copied().unwrap_or_default();
    let (primary, encode) = (part(Part::Primary), part(Part::Encode));
    let (replicas, acks) = (part(Part::Replica), part(Part::EncodeAck));
    let batches = (trio.batches() - batches).max(1);
    Ok(Measured {
        floor,
        primary: per_second(appended, primary),
        // Two replicas share the time.
        replica: per_second(appended * 2, replicas + acks),
        together: per_second(appended, primary + encode + replicas + acks),
        overhead_micros: (primary + encode).as_secs_f64() * 1e6 / batches as f64,
    })
}

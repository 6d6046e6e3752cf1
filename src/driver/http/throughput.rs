//! How fast a replica takes entries.

use ::core::time::Duration;

use crate::types::Sequence;

/// Over how many whole seconds the rate is taken, beside the one that runs.
const SECONDS: u64 = 5;
/// A place for each of those seconds and for the one that runs.
const PLACES: usize = 6;

/// Counts what a replica acknowledges, second by second.
#[derive(Debug, Clone)]
pub(super) struct Throughput {
    began: Duration,
    /// The last entry that it acknowledged.
    durable: Sequence,
    /// The second that runs.
    second: u64,
    /// Entries by second, each at its number modulo the number of places.
    entries: [u64; PLACES],
}

impl Throughput {
    /// A replica that acknowledges for the first time. What it had before is not known, so this ack counts for nothing.
    pub(super) const fn new(now: Duration, durable: Sequence) -> Self {
        Self { began: now, durable, second: now.as_secs(), entries: [0; PLACES] }
    }

    /// Takes an ack in. `now` is counted from any moment, and never goes back.
    pub(super) fn record(&mut self, now: Duration, durable: Sequence) {
        self.advance(now);
        let entries = durable.above(self.durable);
        self.durable = self.durable.max(durable);
        if let Some(place) = self.entries.get_mut(place(self.second)) {
            *place += entries;
        }
    }

    /// Entries per second over the last five seconds and what has passed of this one, or since the first ack.
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact to the last entry in 2^53")]
    pub(super) fn per_second(&self, now: Duration) -> f64 {
        let mut until_now = self.clone();
        until_now.advance(now);
        let entries: u64 = until_now.entries.iter().sum();
        let window = Duration::from_secs(SECONDS) + Duration::from_nanos(now.subsec_nanos().into());
        // A few entries in the first moment are no rate.
        let span = window.min(now.saturating_sub(self.began)).max(Duration::from_secs(1));
        entries as f64 / span.as_secs_f64()
    }

    /// Empties the places of the seconds that have passed.
    fn advance(&mut self, now: Duration) {
        let second = now.as_secs().max(self.second);
        for passed in (self.second + 1..=second).rev().take(PLACES) {
            if let Some(place) = self.entries.get_mut(place(passed)) {
                *place = 0;
            }
        }
        self.second = second;
    }
}

fn place(second: u64) -> usize {
    usize::try_from(second % (SECONDS + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn check(throughput: &Throughput, ms: u64, expected: f64) {
        let found = throughput.per_second(at(ms));
        assert!((found - expected).abs() < 0.001, "at {ms} ms: expected {expected}, found {found}");
    }

    #[test]
    fn a_steady_replica_has_its_rate_and_a_silent_one_falls_to_nothing() {
        let mut throughput = Throughput::new(at(10_000), Sequence(1_000));
        check(&throughput, 10_000, 0.0);
        for step in 1..=100 {
            throughput.record(at(10_000 + step * 100), Sequence(1_000 + step * 10));
        }
        check(&throughput, 20_000, 102.0);
        check(&throughput, 20_900, 510.0 / 5.9);
        check(&throughput, 22_500, 310.0 / 5.5);
        check(&throughput, 26_000, 0.0);
        check(&throughput, 999_000, 0.0);
    }

    #[test]
    fn the_first_moment_and_repeated_acks_make_no_rate() {
        let mut throughput = Throughput::new(at(700), Sequence(5));
        throughput.record(at(701), Sequence(15));
        throughput.record(at(702), Sequence(15));
        throughput.record(at(703), Sequence(3));
        check(&throughput, 703, 10.0);
        throughput.record(at(704), Sequence(16));
        check(&throughput, 2_700, 5.5);
    }
}

//! A node's own clock: where it began, how fast it goes.

use engraft::types::Time;

const MILLION: i128 = 1_000_000;

/// A monotonic clock that need not agree with the world's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    world: Time,
    local: Time,
    drift_ppm: i64,
}

impl Clock {
    pub(crate) const fn new(now: Time, local: Time, drift_ppm: i64) -> Self {
        Self { world: now, local, drift_ppm }
    }

    /// What it shows at a moment of the world.
    pub(crate) fn local(&self, now: Time) -> Time {
        if self.drift_ppm == 0 {
            return Time(self.local.0 + (now.0 - self.world.0));
        }
        let passed = i128::from(now.0 - self.world.0);
        let shown = passed + passed * i128::from(self.drift_ppm) / MILLION;
        Time(self.local.0.saturating_add(u64::try_from(shown).unwrap_or(0)))
    }

    /// The first moment of the world at which it shows `local` or more.
    pub(crate) fn world(&self, local: Time) -> Time {
        let ahead = local.0.saturating_sub(self.local.0);
        if self.drift_ppm == 0 {
            return Time(self.world.0.saturating_add(ahead));
        }
        let rate = MILLION + i128::from(self.drift_ppm);
        let passed = (i128::from(ahead) * MILLION + rate - 1) / rate;
        let mut at = Time(self.world.0.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)));
        // The division above rounds, and so does what the clock shows: a step or two sets it right.
        while at < Time::MAX && self.local(at) < local {
            at = Time(at.0 + 1);
        }
        while at > self.world && self.local(Time(at.0 - 1)) >= local {
            at = Time(at.0 - 1);
        }
        at
    }

    pub(crate) fn set_drift(&mut self, now: Time, drift_ppm: i64) {
        *self = Self { world: now, local: self.local(now), drift_ppm };
    }

    pub(crate) fn jump(&mut self, now: Time, by_us: u64) {
        *self = Self { world: now, local: Time(self.local(now).0 + by_us), drift_ppm: self.drift_ppm };
    }

    pub(crate) const fn drift_ppm(&self) -> i64 {
        self.drift_ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_met_at_its_moment_and_not_before() {
        for drift in [-200_000, -7, 0, 13, 200_000] {
            let mut clock = Clock::new(Time(1_000), Time(77), drift);
            clock.jump(Time(2_000), 500);
            for ahead in [0, 1, 2, 999, 1_000_003] {
                let deadline = Time(clock.local(Time(2_000)).0 + ahead);
                let at = clock.world(deadline);
                assert!(clock.local(at) >= deadline, "{drift} {ahead}");
                assert!(at == Time(2_000) || clock.local(Time(at.0 - 1)) < deadline, "{drift} {ahead}");
            }
        }
    }
}

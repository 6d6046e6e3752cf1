//! The core's notion of time: an integer that the driver counts.

use ::core::fmt;
use ::core::ops::{Add, Sub};
use ::core::time::Duration;

/// Microseconds since the driver's start, monotonic.
///
/// It means nothing to another node: what a peer sends back of it is only compared with what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);

impl Time {
    /// The driver's start.
    pub const ZERO: Self = Self(0);
    /// Later than any moment that is reached (584,000 years).
    pub const MAX: Self = Self(u64::MAX);

    /// How long ago `earlier` was; zero where it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The whole milliseconds since the driver's start.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1000
    }
}

/// The microseconds of a duration, the largest number where it does not fit.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// The whole milliseconds of a duration, rounded up, so that a wait that is told is never shorter than the real one.
#[must_use]
pub fn millis_up(duration: Duration) -> u64 {
    micros(duration).div_ceil(1_000)
}

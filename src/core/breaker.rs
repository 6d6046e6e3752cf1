//! The circuit breaker: after enough failures in a row nothing in bulk goes out until a wait is over.

use core::time::Duration;

use crate::types::Time;

use super::config::ConnectionPoolConfig;

/// Failures in a row, and what follows from them.
///
/// It gates bulk only: dialling and heartbeats go on, so that a peer that came back is noticed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Breaker {
    failures: u32,
    openings: u32,
    state: State,
    /// Whether it was tripped: then a new link does not shorten the wait.
    tripped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: Time,
    },
    HalfOpen,
}

/// The breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) failures: u32,
    pub(crate) until: Time,
}

impl Breaker {
    /// Counts a failure; says so where the breaker opens (again) by it.
    pub(crate) fn fail(&mut self, now: Time, pool: &ConnectionPoolConfig) -> Option<Opened> {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.state {
            State::Closed => self.failures >= pool.max_retries,
            State::HalfOpen => true,
            State::Open { .. } => false,
        };
        if !opens {
            return None;
        }
        let step = usize::try_from(self.openings).unwrap_or(usize::MAX);
        self.openings = self.openings.saturating_add(1);
        Some(self.open(now, pool.backoff.get(step).or(pool.backoff.last()).copied().unwrap_or_default()))
    }

    /// Opens at once and for the longest wait: trying again soon would only do harm.
    pub(crate) fn trip(&mut self, now: Time, pool: &ConnectionPoolConfig) -> Opened {
        self.failures = self.failures.max(pool.max_retries);
        self.openings = u32::try_from(pool.backoff.len()).unwrap_or(u32::MAX);
        self.tripped = true;
        self.open(now, pool.backoff.last().copied().unwrap_or_default())
    }

    fn open(&mut self, now: Time, wait: Duration) -> Opened {
        let until = now + wait;
        self.state = State::Open { until };
        Opened { failures: self.failures, until }
    }

    /// The other side answered: all is forgotten. Says whether the breaker was open.
    pub(crate) fn contact(&mut self) -> bool {
        let was_open = self.state != State::Closed;
        *self = Self::default();
        was_open
    }

    /// A new link to the other side is open: one attempt is allowed at once. Says whether the breaker half-opens by it.
    pub(crate) fn linked(&mut self) -> bool {
        let half_opens = !self.tripped && !self.allows();
        if half_opens {
            self.state = State::HalfOpen;
        }
        half_opens
    }

    /// Half-opens where the wait is over; says so when it does.
    pub(crate) fn poll(&mut self, now: Time) -> bool {
        let due = self.wake().is_some_and(|until| until <= now);
        if due {
            self.state = State::HalfOpen;
            self.tripped = false;
        }
        due
    }

    /// Whether bulk may go out.
    pub(crate) fn allows(&self) -> bool {
        match self.state {
            State::Closed | State::HalfOpen => true,
            State::Open { .. } => false,
        }
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// When [`Breaker::poll`] is due.
    pub(crate) fn wake(&self) -> Option<Time> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed | State::HalfOpen => None,
        }
    }
}

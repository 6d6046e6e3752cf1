//! Appends whose clients wait for an answer.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::types::{NodeId, RequestId, Sequence, SpaceId, Time, Token};

use super::action::{Action, Actions, AppendError, Outcome};
use super::config::Ack;
use super::context::Context;
use super::log::Log;
use super::notice::StopReason;
use super::primary::Primary;

/// Deadlines are rounded up to this many microseconds, so that many that differ by less fire together.
const DEADLINE_GRAIN: u64 = 1_000;

/// One append whose client waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Waiter {
    pub(crate) request: RequestId,
    pub(crate) token: Token,
    pub(crate) deadline: Time,
    pub(crate) bytes: u64,
}

/// The appends that wait at each level, in the order of the log.
#[derive(Debug, Clone, Hash, Default)]
pub(crate) struct Waiting {
    local: Queue,
    quorum: Queue,
    all: Queue,
    bytes: u64,
}

#[derive(Debug, Clone, Hash, Default)]
struct Queue {
    waiters: VecDeque<Waiter>,
    /// At or before the earliest deadline.
    earliest: Option<Time>,
}

impl Waiting {
    /// How many wait.
    pub(crate) fn count(&self) -> u64 {
        [&self.local, &self.quorum, &self.all].map(|queue| queue.waiters.len() as u64).iter().sum()
    }

    /// Bytes of the appends that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a waiter; its token is above those of all others.
    pub(crate) fn push(&mut self, ack: Ack, waiter: Waiter) {
        self.bytes += waiter.bytes;
        let queue = match ack {
            Ack::Local => &mut self.local,
            Ack::Quorum => &mut self.quorum,
            Ack::All => &mut self.all,
        };
        queue.earliest = Some(queue.earliest.map_or(waiter.deadline, |earliest| earliest.min(waiter.deadline)));
        queue.waiters.push_back(waiter);
    }

    /// Answers whoever has what they wait for.
    pub(crate) fn answer(&mut self, durable: Sequence, commit: Sequence, all: Sequence, actions: &mut Actions) {
        for (queue, reached) in [(&mut self.local, durable), (&mut self.quorum, commit), (&mut self.all, all)] {
            while let Some(waiter) = queue.waiters.front()
                && waiter.token.sequence <= reached
            {
                let outcome = Outcome::Appended { token: waiter.token };
                actions.push(Action::Reply { request: waiter.request, outcome });
                self.bytes -= waiter.bytes;
                queue.waiters.pop_front();
            }
            if queue.waiters.is_empty() {
                queue.earliest = None;
            }
        }
    }

    /// Whether somebody waits for the majority to have an entry that it has, being at `commit`.
    pub(crate) fn reaches(&self, commit: Sequence) -> bool {
        let first = |queue: &Queue| queue.waiters.front().is_some_and(|waiter| waiter.token.sequence <= commit);
        first(&self.quorum) || first(&self.all)
    }

    /// Takes out whoever's deadline has come.
    pub(crate) fn expire(&mut self, now: Time, mut expired: impl FnMut(Waiter)) {
        for queue in [&mut self.local, &mut self.quorum, &mut self.all] {
            if queue.earliest.is_none_or(|earliest| earliest > now) {
                continue;
            }
            let bytes = &mut self.bytes;
            queue.waiters.retain(|waiter| {
                let waits = waiter.deadline > now;
                if !waits {
                    *bytes -= waiter.bytes;
                    expired(*waiter);
                }
                waits
            });
            queue.earliest = queue.waiters.iter().map(|waiter| waiter.deadline).min();
        }
    }

    /// Takes out everybody.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        let Self { local, quorum, all, bytes } = core::mem::take(self);
        debug_assert_eq!(
            bytes,
            [&local, &quorum, &all].iter().flat_map(|queue| &queue.waiters).map(|waiter| waiter.bytes).sum::<u64>()
        );
        local.waiters.into_iter().chain(quorum.waiters).chain(all.waiters)
    }

    /// At or before the earliest deadline.
    pub(crate) fn wake(&self) -> Option<Time> {
        [&self.local, &self.quorum, &self.all].into_iter().filter_map(|queue| queue.earliest).min()
    }
}

/// When an append is given up that waits until `at`.
pub(crate) fn deadline(at: Time) -> Time {
    Time(at.0.div_ceil(DEADLINE_GRAIN).saturating_mul(DEADLINE_GRAIN))
}

/// What an append is known by.
pub(crate) fn token(space: SpaceId, position: crate::types::Position) -> Token {
    Token { space, epoch: position.epoch, sequence: position.sequence }
}

impl Primary {
    /// The time-out came first: who asked is told what is known.
    pub(super) fn unknown(&self, waiter: &Waiter, log: &Log, context: &mut Context<'_>) {
        let sequence = waiter.token.sequence;
        let own = (log.durable() >= sequence).then_some(context.config.node);
        let others =
            self.shipper.replicas.iter().filter(|progress| progress.durable >= sequence && !progress.recovering);
        let mut acked_by: Vec<NodeId> = own.into_iter().chain(others.map(|progress| progress.node)).collect();
        acked_by.sort_unstable();
        let outcome = Outcome::Unknown { token: waiter.token, acked_by };
        context.push(Action::Reply { request: waiter.request, outcome });
    }

    /// The space stops: an append that was never handed to the disk has failed, any other is unknown.
    pub(super) fn dismiss(
        &mut self,
        first_unwritten: Sequence,
        reason: &StopReason,
        log: &Log,
        context: &mut Context<'_>,
    ) {
        self.refuse_held(&AppendError::Stopped(reason.clone()), context);
        let waiters: Vec<Waiter> = self.waiting.drain().collect();
        for waiter in waiters {
            if waiter.token.sequence >= first_unwritten {
                let outcome = Outcome::Failed(AppendError::Stopped(reason.clone()));
                context.push(Action::Reply { request: waiter.request, outcome });
            } else {
                self.unknown(&waiter, log, context);
            }
        }
    }

    /// The epoch ends here: whoever still waits is told that their append is unknown.
    pub(super) fn release(&mut self, log: &Log, context: &mut Context<'_>) {
        self.refuse_held(&AppendError::NoPrimary, context);
        let waiters: Vec<Waiter> = self.waiting.drain().collect();
        for waiter in waiters {
            self.unknown(&waiter, log, context);
        }
    }
}

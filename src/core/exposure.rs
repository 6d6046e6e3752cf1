//! Exposure: what is answered at Local and not committed, and the limit on it.
//!
//! Architecture Invariant: an append at Local gets a place in the log only where the exposure has room for it, and is
//! answered at Local only while the oldest exposed entry is young enough. So the limit holds at each answer (S11),
//! however late the disk is.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::types::time::micros;
use crate::types::{Sequence, Time};

use super::action::{Action, AppendError, Outcome};
use super::config::{Ack, Isolation, ReplicationConfig, SpaceConfig};
use super::context::Context;
use super::event::Append;
use super::log::Log;
use super::notice::Notice;
use super::primary::Primary;
use super::status::Exposed;

/// Exposed entries are remembered in pieces of this part of them all, so that the memory they take grows with the
/// logarithm of their number. A piece that is committed in part counts as a whole: by so much the exposure is told too
/// large.
const PIECES: u64 = 8;

/// What a primary may lose of what it answered at Local.
#[derive(Debug, Clone, Hash)]
pub(super) struct Exposure {
    /// Whether it is limited: where one voter commits alone there is none, and where two vote nobody takes over.
    limited: bool,
    isolation: Isolation,
    /// Appends at Local that have a place in the log and are not committed, the oldest first.
    pieces: VecDeque<Piece>,
    entries: u64,
    bytes: u64,
    /// Appends at Local that wait for a place in the log, in the order in which they came.
    held: VecDeque<Held>,
    held_bytes: u64,
    /// At or before the earliest deadline of those.
    earliest: Option<Time>,
    /// Whether it was told that the limit is reached, and the exposure has not shrunk by half since.
    told: bool,
}

/// Entries that follow each other.
#[derive(Debug, Clone, Copy, Hash)]
struct Piece {
    last: Sequence,
    entries: u64,
    /// Of their payloads.
    bytes: u64,
    /// When the first of them got its place.
    since: Time,
}

/// An append without a place in the log.
#[derive(Debug, Clone, Hash)]
struct Held {
    append: Append,
    deadline: Time,
}

impl Exposure {
    /// What a primary exposes in an epoch in which so many nodes vote.
    pub(super) fn new(voters: usize, config: &SpaceConfig) -> Self {
        // One of two goes on without the other, and one that is alone waits for nobody.
        let limited = config.voters.len() > 2 && voters > 1 && config.isolation != Isolation::Continue;
        Self {
            limited,
            isolation: config.isolation,
            pieces: VecDeque::new(),
            entries: 0,
            bytes: 0,
            held: VecDeque::new(),
            held_bytes: 0,
            earliest: None,
            told: false,
        }
    }

    /// Goes on counting what was exposed in the epoch before.
    pub(super) fn carry(&mut self, before: Self) {
        (self.pieces, self.entries, self.bytes) = (before.pieces, before.entries, before.bytes);
    }

    /// The bytes that may be exposed, where that is limited.
    pub(super) fn limit(&self, config: &ReplicationConfig) -> Option<u64> {
        self.limited.then_some(config.exposure_bytes_max)
    }

    /// What is exposed at most: what has a place and is not durable yet was not answered, and is counted, too.
    pub(super) fn exposed(&self, now: Time, config: &ReplicationConfig) -> Exposed {
        let ms = self.age(now).map_or(0, |age| micros(age) / 1_000);
        Exposed { entries: self.entries, bytes: self.bytes, ms, held: self.held(), bytes_max: self.limit(config) }
    }

    /// How many appends wait for a place in the log.
    pub(super) fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// The bytes of their payloads.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// When the first of them has waited for long enough.
    pub(super) fn wake(&self) -> Option<Time> {
        self.earliest
    }

    fn age(&self, now: Time) -> Option<Duration> {
        self.pieces.front().map(|oldest| now.since(oldest.since))
    }

    fn has_room(&self, bytes: u64, now: Time, config: &ReplicationConfig) -> bool {
        let young = self.age(now).is_none_or(|age| age < config.exposure_age_max);
        !self.limited || (young && self.bytes + bytes <= config.exposure_bytes_max)
    }

    /// An append at Local has its place.
    pub(super) fn note_placed(&mut self, last: Sequence, bytes: u64, now: Time) {
        let (entries_max, bytes_max) = (self.entries / PIECES, self.bytes / PIECES);
        self.entries += 1;
        self.bytes += bytes;
        match self.pieces.back_mut() {
            Some(piece) if piece.entries < entries_max && piece.bytes + bytes <= bytes_max => {
                piece.last = last;
                piece.entries += 1;
                piece.bytes += bytes;
            }
            Some(_) | None => self.pieces.push_back(Piece { last, entries: 1, bytes, since: now }),
        }
    }

    /// Everything up to `commit` is safe.
    pub(super) fn note_committed(&mut self, commit: Sequence, now: Time, config: &ReplicationConfig) {
        while let Some(piece) = self.pieces.front()
            && piece.last <= commit
        {
            self.entries -= piece.entries;
            self.bytes -= piece.bytes;
            self.pieces.pop_front();
        }
        let shrunk = self.bytes <= config.exposure_bytes_max / 2;
        let young = self.age(now).is_none_or(|age| age <= config.exposure_age_max / 2);
        self.told &= !(shrunk && young && self.held.is_empty());
    }

    fn take_front(&mut self) -> Option<Held> {
        let held = self.held.pop_front()?;
        self.held_bytes -= held.append.payload.len() as u64;
        if self.held.is_empty() {
            self.earliest = None;
        }
        Some(held)
    }
}

impl Primary {
    /// Whether an entry that is durable here may be answered at Local by that alone.
    pub(super) fn answers_at_local(&self, context: &Context<'_>) -> bool {
        let young = self.exposure.age(context.now).is_none_or(|age| age <= context.config.exposure_age_max);
        (young || !self.exposure.limited) && !self.is_isolated()
    }

    /// Whether appends at Local are refused: it has no lease, and is configured to stop then.
    pub(super) fn is_isolated(&self) -> bool {
        self.exposure.isolation == Isolation::Stop && !self.is_leased()
    }

    /// Whether an append at Local has to wait for a place in the log.
    pub(super) fn holds_back(&self, append: &Append, context: &Context<'_>) -> bool {
        let bytes = append.payload.len() as u64;
        let room = self.exposure.held.is_empty() && self.exposure.has_room(bytes, context.now, context.config);
        self.level(append) == Ack::Local && !room
    }

    /// Lets an append wait until the exposure has room for it.
    pub(super) fn hold(&mut self, append: Append, deadline: Time, context: &mut Context<'_>) {
        let exposure = &mut self.exposure;
        exposure.held_bytes += append.payload.len() as u64;
        exposure.earliest = Some(exposure.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        exposure.held.push_back(Held { append, deadline });
        if !core::mem::replace(&mut exposure.told, true) {
            let Exposed { entries, bytes, ms, .. } = exposure.exposed(context.now, context.config);
            context.notify(Notice::ExposureReached { space: self.space, entries, bytes, age_ms: ms });
        }
    }

    /// Gives those that wait a place in the log, as far as there is room.
    pub(super) fn admit_held(&mut self, log: &mut Log, context: &mut Context<'_>) {
        while let Some(front) = self.exposure.held.front()
            && self.exposure.has_room(front.append.payload.len() as u64, context.now, context.config)
            && let Some(Held { append, deadline }) = self.exposure.take_front()
        {
            self.place(append, deadline, log, context);
        }
    }

    /// Whoever has waited for long enough is told that nothing was appended.
    pub(super) fn expire_held(&mut self, context: &mut Context<'_>) {
        if self.exposure.earliest.is_none_or(|earliest| earliest > context.now) {
            return;
        }
        let Exposed { bytes, ms, .. } = self.exposure.exposed(context.now, context.config);
        let exposure = &mut self.exposure;
        exposure.held.retain(|held| {
            let waits = held.deadline > context.now;
            if !waits {
                exposure.held_bytes -= held.append.payload.len() as u64;
                let error = AppendError::ExposureReached { bytes, age_ms: ms };
                context.push(Action::Reply { request: held.append.request, outcome: Outcome::Failed(error) });
            }
            waits
        });
        exposure.earliest = exposure.held.iter().map(|held| held.deadline).min();
    }

    /// Nobody who waits for a place gets one any more.
    pub(super) fn refuse_held(&mut self, error: &AppendError, context: &mut Context<'_>) {
        while let Some(Held { append, .. }) = self.exposure.take_front() {
            context.push(Action::Reply { request: append.request, outcome: Outcome::Failed(error.clone()) });
        }
    }
}

//! Clients that wait until an entry is committed, or known to be lost.

use alloc::collections::BTreeMap;

use crate::types::{Epoch, RequestId, Sequence, Time, Token};

use super::action::{Action, AppendError, Outcome, TokenState};
use super::context::Context;
use super::log::Log;

/// Waits that may be under way in a space.
const WAITS_MAX: usize = 65_536;

/// The waits of a space, by sequence.
#[derive(Debug, Clone, Hash, Default)]
pub(super) struct TokenWaits {
    waits: BTreeMap<(Sequence, RequestId), (Token, Time)>,
    /// At or before the earliest deadline.
    earliest: Option<Time>,
    /// The highest epoch of a commit: whoever waits for an entry of a lower one above it was told.
    judged: Epoch,
}

impl TokenWaits {
    /// At or before the earliest deadline.
    pub(super) fn wake(&self) -> Option<Time> {
        self.earliest
    }

    /// Waits for a token until `deadline`.
    ///
    /// # Errors
    /// Where too many wait already.
    pub(super) fn insert(&mut self, request: RequestId, token: Token, deadline: Time) -> Result<(), AppendError> {
        if self.waits.len() >= WAITS_MAX {
            return Err(AppendError::Overloaded { waiting: WAITS_MAX as u64, bytes: 0 });
        }
        // Rounded up as the deadlines of appends are: many that differ by less fire together.
        let deadline = Time(deadline.0.div_ceil(1_000).saturating_mul(1_000));
        self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        self.waits.insert((token.sequence, request), (token, deadline));
        Ok(())
    }

    /// Answers everybody whose entry is committed or lost.
    pub(super) fn answer(&mut self, log: &Log, commit: Sequence, context: &mut Context<'_>) {
        while let Some(wait) = self.waits.first_entry()
            && wait.key().0 <= commit
        {
            let ((_, request), (token, _)) = wait.remove_entry();
            context.push(reply(request, token, log, commit));
        }
        let committed = log.history().epoch_at(commit);
        if committed > self.judged {
            self.judged = committed;
            for ((_, request), (token, _)) in self.waits.extract_if(.., |_, (token, _)| token.epoch < committed) {
                context.push(reply(request, token, log, commit));
            }
        }
        if self.waits.is_empty() {
            self.earliest = None;
        }
    }

    /// Answers whoever's deadline has come with what is known.
    pub(super) fn expire(&mut self, log: &Log, commit: Sequence, context: &mut Context<'_>) {
        if self.earliest.is_none_or(|earliest| earliest > context.now) {
            return;
        }
        let now = context.now;
        for ((_, request), (token, _)) in self.waits.extract_if(.., |_, (_, deadline)| *deadline <= now) {
            context.push(reply(request, token, log, commit));
        }
        self.earliest = self.waits.values().map(|(_, deadline)| *deadline).min();
    }

    /// Answers everybody with a failure.
    pub(super) fn fail(&mut self, error: &AppendError, context: &mut Context<'_>) {
        for (_, request) in core::mem::take(self).waits.into_keys() {
            context.push(Action::Reply { request, outcome: Outcome::Failed(error.clone()) });
        }
    }
}

/// What is known of a token: up to the commit its entry is there or lost; above it, it is lost where the commit is of a
/// later epoch, since epochs of a log never go back, and else nothing is certain yet.
pub(super) fn reply(request: RequestId, token: Token, log: &Log, commit: Sequence) -> Action {
    let state = if token.sequence > commit && log.history().epoch_at(commit) <= token.epoch {
        TokenState::Pending
    } else if token.sequence > Sequence::ZERO && log.history().epoch_at(token.sequence) == token.epoch {
        TokenState::Committed
    } else {
        TokenState::Lost
    };
    Action::Reply { request, outcome: Outcome::Resolved { token, state } }
}

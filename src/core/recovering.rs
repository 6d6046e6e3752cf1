//! A voter that may have forgotten what it acknowledged: it is recovering until it has that again.
//!
//! Under a weak fsync mode "durable" means written, and a power failure takes what was not synced. What this node
//! acknowledged may be committed by its word, so until it holds all of that again its vote decides nothing by itself: it
//! counts only where every voter votes, since nobody is left then who could know better.
//!
//! Promises are synced in every mode. So whatever it acknowledged was of an epoch up to its promise, and a primary of such
//! an epoch or a later one that was elected by voters who remember has all of it that may be committed.

use crate::types::message::{CloseReason, SpaceHello, Verdict};
use crate::types::{Epoch, NodeId, Sequence};

use super::action::Action;
use super::context::Context;
use super::notice::Notice;
use super::state::{Part, ReplicationState};

/// What a recovering voter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Recovering {
    /// What a primary had when it answered this start's hello, and its epoch; `None` before one has.
    needs: Option<(Epoch, Sequence)>,
}

impl Recovering {
    /// Whether the node begins so, as its storage says.
    pub(super) fn begin(recovering: bool) -> Option<Self> {
        recovering.then(Self::default)
    }

    /// A primary says what it has. The first that each epoch's primary says is enough, so that it comes to an end.
    fn answered(&mut self, epoch: Epoch, end: Sequence) {
        if self.needs.is_none_or(|(before, _)| before < epoch) {
            self.needs = Some((epoch, end));
        }
    }
}

impl ReplicationState {
    /// Whether this node's votes and acks may be of something that it has forgotten.
    pub(super) fn is_recovering(&self) -> bool {
        self.recovering.is_some()
    }

    /// Says that the space opens recovering.
    pub(super) fn tell_recovering(&self, context: &mut Context<'_>) {
        if self.is_recovering() {
            context.notify(Notice::Recovering {
                space: self.space,
                promise: self.promise,
                end: self.log.end().sequence,
            });
        }
    }

    /// The peer ships the space from here on: it is the primary of its epoch.
    ///
    /// # Errors
    /// Why the link is closed: nobody ships in another node's epoch.
    pub(super) fn space_hello(
        &mut self,
        peer: NodeId,
        hello: &SpaceHello,
        context: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if hello.epoch.owner() != peer {
            let expected = alloc::format!("an epoch of {peer}");
            return Err(CloseReason::Unexpected { expected, found: alloc::format!("{}", hello.epoch) });
        }
        let promise = self.promise;
        if let Some(recovering) = self.recovering.as_mut().filter(|_| hello.epoch >= promise) {
            recovering.answered(hello.epoch, hello.end);
            // It may have everything by now, and is to be counted then.
            if let Part::Replica(receiver) = &mut self.part {
                receiver.owe(hello.epoch);
            }
            self.answer(context);
        }
        Ok(())
    }

    /// Ends recovering where everything is there that is waited for. Called before an ack leaves, which says so.
    pub(super) fn recover(&mut self, context: &mut Context<'_>) {
        let Some(Recovering { needs: Some((epoch, end)) }) = self.recovering else { return };
        let Part::Replica(receiver) = &self.part else { return };
        // What another epoch's primary has is another log.
        if receiver.epoch() == epoch && self.promise == epoch && receiver.holds(&self.log) >= end {
            self.recovered(context);
            self.tell_role(context);
        }
    }

    /// This node holds everything that it may have acknowledged and others count on, or is the one that goes on without.
    pub(super) fn recovered(&mut self, context: &mut Context<'_>) {
        if self.recovering.take().is_some() {
            context.push(Action::EndRecovering { space: self.space });
            context.notify(Notice::Recovered { space: self.space, end: self.log.end().sequence });
        }
    }

    /// Says what the epoch before may have answered and this log has not, and what nobody has where too few remember.
    pub(super) fn tell_bound(&self, by: Epoch, remembered: bool, context: &mut Context<'_>) {
        let end = self.log.end();
        let lost = end.epoch;
        // What this node answered itself was durable here.
        if lost != Epoch::ZERO && lost.owner() != context.config.node {
            let from = end.sequence.next();
            let bytes_max = self.log.members().exposure_limit();
            context.notify(Notice::LossBounded { space: self.space, lost, from, bytes_max, by });
        }
        if !remembered {
            context.notify(Notice::CommittedMayBeLost { space: self.space, from: end.sequence.next(), by });
        }
    }

    /// What this node's vote is worth.
    pub(super) fn own_vote(&self) -> Verdict {
        if self.is_recovering() { Verdict::Recovering } else { Verdict::Granted }
    }
}

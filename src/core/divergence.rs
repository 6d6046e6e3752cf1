//! A replica whose log holds entries that its primary's has not: they are saved, then truncated, and it goes on.
//!
//! Architecture Invariant: nothing is truncated before it is durable in a salvage file, and nothing that is known to be
//! committed ever, but by a primary of a higher generation.

use alloc::vec::Vec;

use crate::types::message::{RefusalReason, ReplicationBatchHeader};
use crate::types::{Epoch, LinkId, Position, Sequence, SpaceId, Time, WriteId};

use super::action::Action;
use super::context::Context;
use super::event::StorageError;
use super::log::Log;
use super::notice::{Notice, StopReason};
use super::receiver::refuse;
use super::state::{Part, ReplicationState};

/// Losses that wait to be certain, at most; what is beyond stands in the salvage files alone.
const LOSSES_MAX: usize = 256;

/// How far the mending of a log has come.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Divergence {
    /// The epoch whose primary has another log.
    by: Epoch,
    /// The last entry that both have.
    common: Position,
    /// Whether that primary is of a higher generation: then what is committed here is no longer, behind the common point.
    takes_over: bool,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// Writes are under way: what is to be saved is not all on disk.
    Settling,
    /// The entries behind the common point go into a salvage file.
    Saving(WriteId),
    /// The salvage file could not be written; tried again then.
    Waiting(Time),
    /// They are truncated.
    Truncating(WriteId),
}

/// Entries of one epoch that were truncated here, and may be on other nodes still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Loss {
    lost: Epoch,
    first: Sequence,
    last: Sequence,
    by: Epoch,
}

impl ReplicationState {
    /// The primary's log continues the common point in another way than this one's.
    pub(super) fn diverged(
        &mut self,
        link: LinkId,
        header: ReplicationBatchHeader,
        common: Position,
        context: &mut Context<'_>,
    ) {
        let takes_over = self.is_taken_over_by(header.lineage);
        if common.sequence < self.commit && !takes_over {
            // No primary of this lineage lacks a committed entry: one of the two is not what it was.
            self.broken(link, header, common.sequence.next(), context);
            return;
        }
        if let Part::Replica(receiver) = &mut self.part {
            receiver.keep(link, header);
        }
        self.divergence = Some(Divergence { by: header.epoch, common, takes_over, step: Step::Settling });
        self.mend(context);
    }

    /// Two entries of one epoch and sequence differ, or a committed one does: nothing here is to be touched.
    pub(super) fn broken(
        &mut self,
        link: LinkId,
        header: ReplicationBatchHeader,
        at: Sequence,
        context: &mut Context<'_>,
    ) {
        refuse(link, &header, RefusalReason::Diverged { at }, &self.log, context);
        self.stop(StopReason::Diverged { epoch: header.epoch, at, ours: self.log.end() }, context);
    }

    /// Takes the next step, if what it waits for has happened.
    pub(super) fn mend(&mut self, context: &mut Context<'_>) {
        let Some(divergence) = &mut self.divergence else { return };
        let ready = match divergence.step {
            // Without the promise it could come back with less than it has now, and vote in the lineage before.
            Step::Settling => self.log.is_settled() && self.promise_saved >= divergence.by,
            Step::Waiting(until) => until <= context.now,
            Step::Saving(_) | Step::Truncating(_) => false,
        };
        if !ready {
            return;
        }
        let write = self.log.next_write();
        divergence.step = Step::Saving(write);
        let (first, last) = (divergence.common.sequence.next(), self.log.end().sequence);
        context.push(Action::SalvageSave { space: self.space, write, first, last, by: divergence.by });
    }

    /// The entries are durable in a salvage file.
    pub(super) fn salvage_saved(&mut self, write: WriteId, context: &mut Context<'_>) {
        let Some(divergence) = &mut self.divergence else { return };
        if divergence.step != Step::Saving(write) {
            return;
        }
        let write = self.log.next_write();
        divergence.step = Step::Truncating(write);
        let Divergence { by, common, .. } = *divergence;
        let (first, last) = (common.sequence.next(), self.log.end());
        context.notify(Notice::Salvaged { space: self.space, first, last: last.sequence, by });
        self.note_losses(first, last.sequence, by);
        context.push(Action::WalTruncate { space: self.space, write, last: common.sequence });
    }

    /// The salvage file could not be written: nothing is truncated, and it is tried again.
    pub(super) fn salvage_failed(&mut self, error: StorageError, context: &mut Context<'_>) {
        if let Some(divergence) = &mut self.divergence
            && let Step::Saving(_) = divergence.step
        {
            divergence.step = Step::Waiting(context.now + context.config.election_timeout_min);
            context.notify(Notice::SalvageFailed { space: self.space, error });
        }
    }

    /// The log ends at the common point: the replica goes on from there.
    pub(super) fn wal_truncated(&mut self, write: WriteId, context: &mut Context<'_>) {
        let Some(Divergence { by, common, takes_over, step }) = self.divergence else { return };
        if step != Step::Truncating(write) {
            return;
        }
        assert!(common.sequence >= self.commit || takes_over, "S8: a committed entry is never truncated");
        self.divergence = None;
        self.log.truncate(common);
        if let Part::Replica(receiver) = &mut self.part {
            receiver.truncated(common.sequence);
        }
        context.notify(Notice::Truncated { space: self.space, last: common.sequence });
        self.retract_commit(common.sequence, by, context);
        self.ask_again(context);
    }

    /// What came while the log was mended was not looked at: the primary sends it again, from where the log ends now.
    fn ask_again(&mut self, context: &mut Context<'_>) {
        let saved = self.promise_saved == self.promise;
        let Part::Replica(receiver) = &mut self.part else { return };
        if saved
            && receiver.epoch() == self.promise
            && let Some((link, header)) = receiver.take_question()
        {
            refuse(link, &header, RefusalReason::Gap, &self.log, context);
        }
    }

    /// When the mending of the log is tried again.
    pub(super) fn mend_at(&self) -> Option<Time> {
        match self.divergence?.step {
            Step::Waiting(until) => Some(until),
            Step::Settling | Step::Saving(_) | Step::Truncating(_) => None,
        }
    }

    /// Remembers what is truncated, epoch by epoch: it is lost for certain once a later epoch commits without it.
    fn note_losses(&mut self, first: Sequence, last: Sequence, by: Epoch) {
        let history = self.log.history();
        let mut sequence = first;
        while sequence <= last && self.losses.len() < LOSSES_MAX {
            let lost = history.epoch_at(sequence);
            let next = history.starts().iter().map(|start| start.first).find(|&start| start > sequence);
            let end = next.map_or(last, |next| next.previous().min(last));
            self.losses.push(Loss { lost, first: sequence, last: end, by });
            sequence = end.next();
        }
    }

    /// Tells the losses that are certain now.
    pub(super) fn tell_losses(&mut self, context: &mut Context<'_>) {
        if self.losses.is_empty() {
            return;
        }
        let (space, commit) = (self.space, self.commit);
        let losses = core::mem::take(&mut self.losses);
        let open: Vec<Loss> =
            losses.into_iter().filter(|loss| !loss.is_told(space, &self.log, commit, context)).collect();
        self.losses = open;
    }
}

impl Loss {
    /// Says whether nothing more can become of it; tells what is lost of it.
    fn is_told(self, space: SpaceId, log: &Log, commit: Sequence, context: &mut Context<'_>) -> bool {
        let Self { lost, first, last, by } = self;
        if log.history().epoch_at(commit) <= lost && last > commit {
            return false;
        }
        // Entries of one epoch are in the log up to some sequence, and not from there on.
        let kept = log.history().last_of(lost, log.end().sequence).filter(|&kept| kept >= first);
        let first = kept.map_or(first, Sequence::next);
        if first <= last {
            context.notify(Notice::LossExact { space, lost, first, last, by });
        }
        true
    }
}

//! What a replica does with what its primary sends.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::types::message::{
    CloseReason, ProbedSpace, RefusalReason, ReplicationBatch, ReplicationBatchHeader, SpaceCommit,
};
use crate::types::{Epoch, LinkId, NodeId, Sequence, Time};

use super::context::Context;
use super::lineage::check_lineage;
use super::notice::Notice;
use super::receiver::{Placed, refuse};
use super::state::{Part, ReadUntil, ReplicationState};
use super::status::Role;

impl ReplicationState {
    /// A primary's batch.
    ///
    /// # Errors
    /// Why the link is closed.
    pub(super) fn batch(
        &mut self,
        peer: NodeId,
        link: LinkId,
        batch: ReplicationBatch,
        context: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let header = batch.header;
        if header.epoch.owner() != peer {
            return Err(CloseReason::Unexpected {
                expected: alloc::format!("an epoch of {peer}"),
                found: header.epoch.to_string(),
            });
        }
        check_lineage(header.epoch, header.lineage)?;
        if let Some(reason) = self.refusal_of(&header) {
            if let RefusalReason::Lineage { ours } = reason {
                self.tell_conflict(peer, ours, header.lineage, context);
            }
            // A promise that is not durable is told to nobody: the primary asks again.
            let unsaved = matches!(reason, RefusalReason::Stale { .. }) && self.promise_saved < self.promise;
            if !unsaved {
                refuse(link, &header, reason, &self.log, context);
            }
            return Ok(());
        }
        self.follow(header.epoch, header.lineage, context);
        let Part::Replica(receiver) = &mut self.part else { return Ok(()) };
        receiver.hear(link, context.now);
        if self.divergence.is_some() {
            // It is answered once the log is mended.
            receiver.keep(link, header);
            return Ok(());
        }
        match receiver.place(batch, &mut self.log, context)? {
            Placed::Done => {
                let known =
                    receiver.commit(SpaceCommit { space: self.space, epoch: header.epoch, commit: header.commit });
                self.learn_commit(known, context);
                self.answer(context);
            }
            Placed::Refused(reason) if self.promise_saved >= header.epoch => {
                refuse(link, &header, reason, &self.log, context);
            }
            Placed::Refused(_) => receiver.keep(link, header),
            Placed::Differs { common } => self.diverged(link, header, common, context),
            Placed::Broken { at } => self.broken(link, header, at, context),
        }
        Ok(())
    }

    /// Why a batch is not even looked at.
    fn refusal_of(&self, header: &ReplicationBatchHeader) -> Option<RefusalReason> {
        if let Part::Stopped(reason) = &self.part {
            Some(RefusalReason::Stopped { reason: reason.to_string() })
        } else if !self.config.voters.contains(&header.epoch.owner()) {
            Some(RefusalReason::NotVoter)
        } else if let Some(ours) = self.other_lineage(header.epoch, header.lineage) {
            Some(RefusalReason::Lineage { ours })
        } else if header.epoch < self.promise {
            Some(RefusalReason::Stale { promised: self.promise })
        } else {
            None
        }
    }

    /// Follows the primary of this epoch, whatever this node was before.
    fn follow(&mut self, epoch: Epoch, lineage: Epoch, context: &mut Context<'_>) {
        if epoch > self.promise {
            self.yield_to(epoch, context);
            self.promise(epoch, context);
        }
        self.election.eager = false;
        self.election.candidacy = None;
        let Part::Replica(receiver) = &mut self.part else { return };
        if epoch > receiver.epoch() {
            receiver.follow(epoch, lineage);
            self.arm(context);
            let role = if self.recovering.is_some() { Role::Recovering } else { Role::Replica };
            context.notify(Notice::RoleChanged { space: self.space, role, epoch });
        }
    }

    /// Answers what the primary waits for, if this epoch's promise is the newest, and durable.
    pub(super) fn answer(&mut self, context: &mut Context<'_>) {
        self.recover(context);
        let (saved, recovering) = (self.promise_saved == self.promise, self.is_recovering());
        let Part::Replica(receiver) = &mut self.part else { return };
        if !saved || receiver.epoch() != self.promise || self.divergence.is_some() {
            return;
        }
        receiver.answer(self.space, self.commit, self.engine, recovering, &self.log, context);
        if let Some((link, header)) = receiver.take_question() {
            let batch = ReplicationBatch { header, entries: Vec::new() };
            if let Ok(Placed::Refused(reason)) = receiver.place(batch, &mut self.log, context) {
                refuse(link, &header, reason, &self.log, context);
            } else {
                receiver.answer(self.space, self.commit, self.engine, recovering, &self.log, context);
            }
        }
    }

    /// A commit that a heartbeat carried; what is known now goes back. `None` while that is of another lineage.
    pub(super) fn heartbeat(&mut self, commit: SpaceCommit, context: &mut Context<'_>) -> Option<SpaceCommit> {
        if let Part::Replica(receiver) = &self.part {
            let known = receiver.commit(commit);
            self.learn_commit(known, context);
        }
        let known = SpaceCommit { space: self.space, epoch: self.epoch(), commit: self.commit };
        self.is_of_generation().then_some(known)
    }

    fn learn_commit(&mut self, commit: Sequence, context: &mut Context<'_>) {
        if commit > self.commit {
            self.commit = commit;
            context.notify(Notice::Committed { space: self.space, commit });
            self.waits.answer(&self.log, self.readable(ReadUntil::Commit), context);
            self.tell_losses(context);
        }
    }

    /// A primary without a lease asks whether it is followed: the promise is the answer, and nothing is renewed by it.
    ///
    /// `None` where nothing can be said, or to another lineage, or where the disk stalls: an echo would keep a lease for
    /// nothing.
    pub(super) fn probed(&self, probed: &ProbedSpace, context: &Context<'_>) -> Option<Epoch> {
        if self.other_lineage(probed.epoch, probed.lineage).is_some() {
            return None;
        }
        match &self.part {
            Part::Primary(_) | Part::Replica(_) => {
                Some(self.promise).filter(|_| self.promise_saved == self.promise && !self.is_stalled(context))
            }
            Part::Stopped(_) => None,
        }
    }

    /// What a peer answered to a probe that was sent at `sent`.
    pub(super) fn probe_echoed(&mut self, peer: NodeId, sent: Time, promised: Epoch, context: &mut Context<'_>) {
        let Part::Primary(primary) = &mut self.part else { return };
        // Who goes by a forced start neither follows nor outbids.
        let same = promised.generation() == primary.epoch().generation();
        let voter = same && self.config.voters.contains(&peer);
        if voter && promised > primary.epoch() {
            self.outbid(promised, context);
        } else if voter {
            primary.note_echo(peer, sent.min(context.now));
        }
    }

    /// A peer's heartbeats, or echoes, do not hold for the space any more.
    pub(super) fn detached(&mut self, peer: NodeId, link: LinkId, epoch: Epoch, context: &mut Context<'_>) {
        match &mut self.part {
            Part::Primary(primary) if primary.epoch() == epoch => primary.detached(peer),
            Part::Replica(receiver) => {
                if receiver.released(epoch, link) {
                    self.end_patience(context);
                }
            }
            Part::Primary(_) | Part::Stopped(_) => {}
        }
    }
}

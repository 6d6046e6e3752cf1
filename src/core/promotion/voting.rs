//! The voter's side of an election: what is asked for is granted, or refused with the reason.

use crate::types::message::{CloseReason, Verdict, VoteAsk, VoteReply, VoteRound};
use crate::types::{Epoch, LinkId, NodeId};

use super::super::context::Context;
use super::super::lineage::check_lineage;
use super::super::notice::Notice;
use super::super::receiver::Receiver;
use super::super::state::{Part, ReplicationState};

impl ReplicationState {
    /// A candidate asks for this node's vote.
    ///
    /// # Errors
    /// Why the link is closed: nobody asks for another node's epoch.
    pub(in crate::core) fn asked(
        &mut self,
        candidate: NodeId,
        link: LinkId,
        ask: &VoteAsk,
        context: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        if ask.epoch.owner() != candidate {
            let expected = alloc::format!("an epoch of {candidate}");
            return Err(CloseReason::Unexpected { expected, found: alloc::format!("{}", ask.epoch) });
        }
        check_lineage(ask.epoch, ask.lineage)?;
        let verdict = self.judge(candidate, ask, context);
        if verdict.is_yes() && ask.round == VoteRound::Vote {
            if ask.epoch > self.promise {
                self.yield_to(ask.epoch, context);
                self.promise(ask.epoch, context);
            }
            self.election.eager = false;
            self.arm(context);
            self.election.grant = Some((link, *ask));
            self.election_saved(context);
        } else {
            context.links.reply(link, self.reply_to(ask, verdict));
        }
        Ok(())
    }

    /// Gives up whatever part this node has in a lower epoch.
    pub(in crate::core) fn yield_to(&mut self, epoch: Epoch, context: &mut Context<'_>) {
        let stood = self.election.stands();
        self.election.candidacy = None;
        if let Part::Primary(_) = self.part {
            self.depose(epoch, context);
        } else if stood {
            self.tell_role(context);
        }
    }

    /// This node is the primary no longer, and answers no more appends of its epoch.
    pub(in crate::core) fn resign(&mut self, context: &mut Context<'_>) {
        let Part::Primary(primary) = &mut self.part else { return };
        primary.release(&self.log, context);
        primary.release_replicas(&self.log, context);
        self.part = Part::Replica(Receiver::default());
    }

    /// Somebody promised a higher epoch: this node is the primary no longer, and answers no more appends.
    pub(in crate::core) fn depose(&mut self, by: Epoch, context: &mut Context<'_>) {
        let Part::Primary(primary) = &self.part else { return };
        let epoch = primary.epoch();
        self.resign(context);
        self.election.learn(by, self.promise);
        self.arm(context);
        context.notify(Notice::Deposed { space: self.space, epoch, by });
        self.tell_role(context);
    }

    fn judge(&self, candidate: NodeId, ask: &VoteAsk, context: &Context<'_>) -> Verdict {
        let end = self.log.end();
        let again = ask.round == VoteRound::Vote && ask.epoch == self.promise;
        if let Part::Stopped(_) = self.part {
            Verdict::Stopped
        } else if !self.may_vote(candidate) || !self.may_vote(context.config.node) {
            Verdict::NotVoter
        } else if ask.epoch.generation() != self.promise.generation() || ask.lineage != self.lineage() {
            Verdict::Lineage
        } else if ask.epoch <= self.promise && !again {
            Verdict::Promised
        } else if self.hears_another(candidate, context) {
            Verdict::Sticky
        } else if self.may_have_forgotten(candidate, context) {
            Verdict::Restarted
        } else if (ask.end_epoch, ask.end_sequence) < (end.epoch, end.sequence) {
            Verdict::Behind
        } else {
            self.own_vote()
        }
    }

    /// Whether a node is among the configured voters. Who votes in force the candidate's log says, and the comparison of
    /// the logs covers: where this node's log says of itself that it is a learner, the candidate's may say more.
    fn may_vote(&self, node: NodeId) -> bool {
        self.config.voters.contains(&node)
    }

    /// Whether a leased primary was heard within the shortest election time-out, or this node is one. The primary itself
    /// may stand anew: it knows best that it is the primary no longer.
    pub(in crate::core) fn hears_another(&self, candidate: NodeId, context: &Context<'_>) -> bool {
        match &self.part {
            Part::Primary(primary) => primary.sticky_until(context.links, context.config) > context.now,
            Part::Replica(receiver) => {
                receiver.epoch().owner() != candidate
                    && receiver
                        .heard(context.links)
                        .is_some_and(|heard| heard + context.config.election_timeout_min > context.now)
            }
            Part::Stopped(_) => false,
        }
    }

    /// Whether this node, before it started, may have echoed a primary whose lease still holds. It echoed nobody's but
    /// that of its promise, and none at all where it never promised.
    fn may_have_forgotten(&self, candidate: NodeId, context: &Context<'_>) -> bool {
        let newest = self.promise.max(self.log.end().epoch);
        newest != Epoch::ZERO
            && newest.owner() != candidate
            && self.election.started + context.config.election_timeout_min > context.now
    }

    pub(super) fn reply_to(&self, ask: &VoteAsk, verdict: Verdict) -> VoteReply {
        let &VoteAsk { space, epoch, round, sent, .. } = ask;
        // What is not durable is told to nobody.
        VoteReply { space, epoch, round, verdict, promised: self.promise_saved, sent }
    }
}

//! Lineages: what an operator begins where a majority is gone for good, and who takes whose log over.
//!
//! A forced start raises the generation of epochs, names the node itself as the only voter, and begins a lineage, which
//! is named by its epoch. Whatever is committed is kept within one lineage; where a higher generation comes by, it is taken
//! over, and what was committed beside it is salvaged and told.
//!
//! Architecture Invariant: a generation is raised by an operator, or by accepting what a primary of it ships, and by no
//! vote, probe or refusal. Votes are given within one lineage only, by nodes whose log is of it. Two lineages of one
//! generation are never mixed: both refuse each other (S29).

use serde::{Deserialize, Serialize};

use crate::types::message::{CloseReason, VoteRound};
use crate::types::{Epoch, NodeId, RequestId, Sequence};

use super::action::{Action, AppendError, Outcome, PromotionError};
use super::context::Context;
use super::members::Opens;
use super::notice::Notice;
use super::primary::{Phase, Primary};
use super::state::{Part, ReplicationState};

/// By what right a node becomes the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromoteBy {
    /// By the votes of a majority, which are asked for at once; nothing that is committed can be lost. It may be refused or
    /// come to nothing.
    #[default]
    Election,
    /// By nobody's vote: for where a majority is gone for good. The node begins a lineage with what it has, as its only
    /// voter. **What it does not have is lost, committed or not**; those who come back with more salvage that, truncate, and
    /// become voters again.
    Force,
    /// The same although a primary is heard, which is replaced with everybody who follows it; or on the primary itself, where
    /// two nodes were forced at once and an operator has to choose.
    ForceThoughAlive,
}

impl PromoteBy {
    /// What a trace says of it.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Election => "",
            Self::Force => " by force",
            Self::ForceThoughAlive => " by force, though a primary is alive",
        }
    }
}

/// An epoch of a lineage is of its generation, and not below it.
///
/// # Errors
/// Why the link is closed.
pub(super) fn check_lineage(epoch: Epoch, lineage: Epoch) -> Result<(), CloseReason> {
    if lineage.generation() == epoch.generation() && lineage <= epoch {
        return Ok(());
    }
    let expected = alloc::format!("a lineage of the generation of {epoch}");
    Err(CloseReason::Unexpected { expected, found: alloc::format!("{lineage}") })
}

impl Primary {
    /// Whether the lineage begins with this epoch.
    fn begins_lineage(&self) -> bool {
        self.shipper.lineage == self.epoch()
    }

    /// Whether anything may leave for replicas. A lineage is heard of by nobody before its first entry is durable: who
    /// followed it could go back to no other, and this node could come back without it.
    pub(super) fn may_ship(&self) -> bool {
        self.is_leased() && (!self.begins_lineage() || matches!(self.phase, Phase::Open { .. }))
    }

    /// Whether the epoch opens by its first entry being durable, where the node's promise is durable up to `saved`.
    pub(super) fn may_open(&self, saved: Epoch) -> bool {
        !self.begins_lineage() || saved >= self.epoch()
    }
}

impl ReplicationState {
    /// The epoch of the last forced start in the log.
    pub(super) fn lineage(&self) -> Epoch {
        self.log.members().lineage()
    }

    /// Whether the log is of the generation that was promised. A node whose log is not waits for the primary that has it:
    /// what it has may not be what its votes were about.
    pub(super) fn is_of_generation(&self) -> bool {
        self.lineage().generation() == self.promise.generation()
    }

    /// The first entry of a lineage is durable: now the promise is saved.
    pub(super) fn save_lineage(&mut self, before: Sequence, context: &mut Context<'_>) {
        let Part::Primary(primary) = &self.part else { return };
        if let Phase::Starting { start } = primary.phase
            && primary.begins_lineage()
            && before < start
            && self.log.durable() >= start
        {
            context.push(Action::SaveVote { space: self.space, promise: self.promise });
        }
    }

    /// A log that is of a higher generation than the promise was accepted before the promise was durable.
    pub(super) fn promise_lineage(&mut self, context: &mut Context<'_>) {
        let lineage = self.lineage();
        if lineage.generation() > self.promise.generation() {
            self.promise(lineage, context);
        }
    }

    /// The lineage that this node goes by, where the epoch is of the same generation and of another.
    pub(super) fn other_lineage(&self, epoch: Epoch, lineage: Epoch) -> Option<Epoch> {
        if epoch.generation() != self.promise.generation() {
            return None;
        }
        let followed = match &self.part {
            Part::Replica(receiver) => receiver.lineage(),
            Part::Primary(_) | Part::Stopped(_) => None,
        };
        let ours = if self.is_of_generation() { Some(self.lineage()) } else { followed };
        ours.filter(|ours| ours.generation() == lineage.generation() && *ours != lineage)
    }

    /// Says that a primary is of another lineage of the same generation.
    pub(super) fn tell_conflict(&self, peer: NodeId, ours: Epoch, theirs: Epoch, context: &mut Context<'_>) {
        context.notify(Notice::LineageConflict { space: self.space, peer, ours, theirs });
    }

    /// Whether what a primary of this lineage ships takes over what is committed here.
    pub(super) fn is_taken_over_by(&self, lineage: Epoch) -> bool {
        lineage.generation() > self.lineage().generation()
    }

    /// An operator wants this node to be the primary.
    pub(super) fn promote(&mut self, request: RequestId, by: PromoteBy, context: &mut Context<'_>) {
        match by {
            PromoteBy::Election => self.stand_as_told(request, context),
            PromoteBy::Force => self.force(request, false, context),
            PromoteBy::ForceThoughAlive => self.force(request, true, context),
        }
    }

    /// An operator says that this node goes on with what it has, since a majority is gone for good.
    fn force(&mut self, request: RequestId, insists: bool, context: &mut Context<'_>) {
        let outcome = match self.may_be_forced(insists, context) {
            Err(error) => Outcome::Failed(error),
            Ok(()) => {
                // The first entry is durable before the promise is. Where the node dies in between, it is as if nothing had
                // been asked for, or the entry is there and says what was promised: a promise of a generation that never
                // began would keep the node out of the one that goes on.
                let exposed = match &self.part {
                    Part::Primary(primary) => Some(primary.exposure.clone()),
                    Part::Replica(_) | Part::Stopped(_) => None,
                };
                self.resign(context);
                self.election.withdraw();
                if self.nominate(VoteRound::Vote, Opens::Lineage, context)
                    && let Some(candidacy) = &mut self.election.candidacy
                {
                    candidacy.exposed = exposed;
                    let epoch = candidacy.epoch();
                    self.bind(epoch, context);
                    self.elected(context);
                }
                Outcome::Standing { epoch: self.promise }
            }
        };
        context.push(Action::Reply { request, outcome });
    }

    fn may_be_forced(&self, insists: bool, context: &Context<'_>) -> Result<(), AppendError> {
        let node = context.config.node;
        match &self.part {
            Part::Stopped(reason) => Err(AppendError::Stopped(reason.clone())),
            Part::Primary(primary) if primary.is_leased() && !insists => {
                Err(PromotionError::AlreadyPrimary { epoch: primary.epoch() }.into())
            }
            Part::Primary(_) | Part::Replica(_) if !self.config.voters.contains(&node) => {
                Err(PromotionError::NotVoter { epoch: self.log.end().epoch }.into())
            }
            Part::Primary(_) | Part::Replica(_) if self.log.durable() == Sequence::ZERO => {
                Err(PromotionError::HoldsNothing.into())
            }
            Part::Replica(receiver) if !insists && self.hears_another(node, context) => {
                Err(PromotionError::PrimaryAlive { primary: receiver.epoch().owner() }.into())
            }
            Part::Replica(_) if self.divergence.is_some() => Err(AppendError::NotReady),
            Part::Primary(_) | Part::Replica(_) => Ok(()),
        }
    }

    /// The log was truncated below what was committed in the lineage before: nothing there is committed any more.
    pub(super) fn retract_commit(&mut self, last: Sequence, by: Epoch, context: &mut Context<'_>) {
        if last < self.commit {
            let (first, was) = (last.next(), self.commit);
            self.commit = last;
            self.engine = self.engine.map(|applied| applied.min(last));
            context.notify(Notice::CommittedTruncated { space: self.space, first, last: was, by });
        }
    }
}

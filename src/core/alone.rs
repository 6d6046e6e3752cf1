//! Two nodes: the primary goes on alone while its one replica is gone, and takes it back once it has come.
//!
//! Architecture Invariant: only the primary of the newest epoch that it promised goes on alone, and within its
//! generation. Until the start entry is durable the replica's vote counts, and nobody is elected without this node's:
//! afterwards this node alone is the quorum. So quorums before and after have this node in common (S17).

use crate::types::message::VoteRound;
use crate::types::{Epoch, NodeId, Sequence, Time};

use super::action::AppendError;
use super::config::{Ack, Isolation, ReplicationConfig, SpaceConfig};
use super::context::Context;
use super::link::Links;
use super::members::Opens;
use super::notice::Notice;
use super::primary::{Phase, Primary};
use super::state::{Part, ReplicationState};
use super::status::ReplicaStatus;

impl Primary {
    /// Whether it is the only voter in force, and not the only one that is configured.
    pub(super) fn is_alone(&self) -> bool {
        self.voters.len() == 1 && !self.shipper.replicas.is_empty()
    }

    /// The last entry that no failure of this node takes: committed, and with the replica where this node is alone.
    pub(super) fn safe(&self, commit: Sequence) -> Sequence {
        let learners = self.shipper.replicas.iter().map(|progress| progress.durable);
        if self.is_alone() { learners.min().unwrap_or(commit).min(commit) } else { commit }
    }

    /// Says so where no other node can have what an append asks for.
    pub(super) fn has_replicas(&self, ack: Ack) -> Result<(), AppendError> {
        if ack == Ack::Local || !self.is_alone() {
            return Ok(());
        }
        Err(AppendError::NotEnoughReplicas { ack, epoch: self.epoch() })
    }

    /// Whether the one replica has been gone for long enough.
    fn is_left_alone(&self, space: &SpaceConfig, now: Time, config: &ReplicationConfig) -> bool {
        matches!(self.phase, Phase::Open { .. })
            && space.goes_alone()
            && self.voters.len() == 2
            && !self.lease.held
            && self.lease.unheard + config.alone_after <= now
    }

    /// A learner that keeps up, where a change may be made: the one before and an entry of this epoch are committed.
    fn learner_back(&self, space: &SpaceConfig, commit: Sequence, links: &Links) -> Option<NodeId> {
        let Phase::Open { start } = self.phase else { return None };
        let keeps_up = |node: NodeId| {
            self.shipper.replica(node).is_some_and(|progress| {
                progress.is_attached(links)
                    && progress.durable >= start
                    && progress.monitor.status() >= ReplicaStatus::Lagging
            })
        };
        let learners = space.voters.iter().copied().filter(|node| !self.voters.contains(node));
        if commit < start || !self.lease.held { None } else { learners.into_iter().find(|&node| keeps_up(node)) }
    }
}

impl SpaceConfig {
    /// Whether the primary goes on alone where its one replica is gone.
    fn goes_alone(&self) -> bool {
        // Who wants no answer that the majority may not have has said so.
        self.voters.len() == 2 && self.isolation != Isolation::Stop
    }
}

impl ReplicationState {
    /// The voters in force.
    pub(super) fn voters(&self) -> &[NodeId] {
        self.log.members().named().unwrap_or(&self.config.voters)
    }

    /// Whether this node alone votes, of several that are configured.
    fn is_sole_voter(&self, node: NodeId) -> bool {
        self.voters() == [node] && self.config.voters.len() > 1
    }

    /// Opens an epoch in which this primary is alone, or a learner a voter again, where it is time to.
    pub(super) fn change_voters(&mut self, context: &mut Context<'_>) {
        let Part::Primary(primary) = &self.part else { return };
        let opens = if primary.is_left_alone(&self.config, context.now, context.config) && !self.is_stalled(context) {
            Opens::Alone
        } else if let Some(learner) = primary.learner_back(&self.config, self.commit, context.links) {
            Opens::With(learner)
        } else {
            return;
        };
        assert!(self.promise == primary.epoch(), "S17: only the primary of the newest promise changes who votes");
        // What is exposed stays so: the replica lacks it still.
        let exposed = primary.exposure.clone();
        self.resign(context);
        self.stand_for(VoteRound::Vote, opens, context);
        if let Some(candidacy) = &mut self.election.candidacy {
            candidacy.exposed = Some(exposed);
        }
    }

    /// Says what an epoch changes of who votes.
    pub(super) fn tell_voters(&self, opens: Opens, epoch: Epoch, context: &mut Context<'_>) {
        let space = self.space;
        match opens {
            Opens::Same => {}
            Opens::Lineage => {
                let from = self.log.end().sequence.next();
                context.notify(Notice::LineageBegan { space, epoch, from });
            }
            Opens::Alone => context.notify(Notice::WentAlone { space, epoch }),
            Opens::With(voter) => context.notify(Notice::VoterBack { space, voter, epoch }),
        }
    }

    /// Somebody promised more than this primary's epoch. Where nobody else votes, it was a learner, and an epoch above that is
    /// opened at once.
    pub(super) fn outbid(&mut self, promised: Epoch, context: &mut Context<'_>) {
        self.depose(promised, context);
        if self.is_sole_voter(context.config.node) && promised.generation() == self.promise.generation() {
            self.election.eager = true;
            self.stand_eagerly(context);
        }
    }
}

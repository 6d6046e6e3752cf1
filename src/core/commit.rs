//! Commit by majority: which entries are safe, and who is answered by that.

use crate::types::{NodeId, Sequence};

use super::context::Context;
use super::log::Log;
use super::notice::Notice;
use super::primary::{Phase, Primary};

impl Primary {
    /// Commits what a majority has durable, and answers whoever has what they wait for.
    pub(super) fn advance(&mut self, log: &Log, commit: &mut Sequence, context: &mut Context<'_>) {
        let (majority, all) = self.held_by_voters(log, context.config.node);
        if let Phase::Open { start } = self.phase
            && majority >= start
            && majority > *commit
        {
            *commit = majority;
            context.notify(Notice::Committed { space: self.space, commit: majority });
        }
        self.exposure.note_committed(self.safe(*commit), context.now, context.config);
        for progress in &mut self.shipper.replicas {
            if progress.commit < *commit
                && !progress.unconfirmed
                && let Some(peer) = context.links.peer_mut(progress.node)
            {
                progress.unconfirmed = true;
                peer.unconfirmed.push_back(self.space);
            }
        }
        // A majority may have promised more since it acknowledged: the answers that speak for it wait until it is certain
        // that it has not (S9).
        let followed = self.is_followed(context);
        let (quorum, all) = if followed { (*commit, all.min(*commit)) } else { (Sequence::ZERO, Sequence::ZERO) };
        let withheld = !followed && self.waiting.reaches(*commit);
        self.lease.look_at = withheld.then(|| context.now + context.config.heartbeat_interval);
        // What is exposed for too long is answered once it is committed.
        let local = if self.answers_at_local(context) { log.durable() } else { log.durable().min(*commit) };
        self.waiting.answer(local, quorum, all, context.actions);
    }

    /// The last entry that a majority of the voters has durable, and the last that all of them have.
    fn held_by_voters(&self, log: &Log, node: NodeId) -> (Sequence, Sequence) {
        let held = |voter: NodeId| {
            if voter == node {
                log.durable()
            } else {
                let remembers = self.shipper.replica(voter).filter(|progress| !progress.recovering);
                remembers.map_or(Sequence::ZERO, |progress| progress.durable)
            }
        };
        let quorum = self.voters.len() / 2 + 1;
        let majority = self
            .voters
            .iter()
            .map(|&voter| held(voter))
            .filter(|&candidate| self.voters.iter().filter(|&&voter| held(voter) >= candidate).count() >= quorum)
            .max();
        let all = self.voters.iter().map(|&voter| held(voter)).min();
        (majority.unwrap_or_default(), all.unwrap_or_default())
    }
}

//! Who the primary is, as far as a node knows: what clients are told.

use crate::types::{Epoch, NodeId, Time};

use super::super::config::ReplicationConfig;
use super::super::link::Links;
use super::super::state::{Part, ReplicationState};

impl ReplicationState {
    /// Who the primary is, as far as this node knows.
    pub(in crate::core) fn primary_hint(&self, now: Time, links: &Links, config: &ReplicationConfig) -> Option<NodeId> {
        match &self.part {
            Part::Primary(primary) => Some(primary.epoch().owner()),
            Part::Replica(receiver) if receiver.epoch() == Epoch::ZERO => {
                // The home of the space is who stands first; where it has not come by, others have stood meanwhile.
                let (home, patience) = (self.home(), self.election.started + config.election_timeout_max);
                let expected = !self.config.promotes_itself() || patience > now;
                (expected && home != config.node && !self.election.stands()).then_some(home)
            }
            Part::Replica(receiver) => {
                let heard = receiver.heard(links).is_some_and(|heard| heard + config.election_timeout_max > now);
                (heard && receiver.epoch() == self.promise).then_some(receiver.epoch().owner())
            }
            Part::Stopped(_) => None,
        }
    }
}

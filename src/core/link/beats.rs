//! When a link's heartbeats came and its echoes were sent: they stand for every space that is attached to it.

use crate::types::{LinkId, NodeId, Time};

use super::super::config::ReplicationConfig;
use super::Links;

impl Links {
    /// A heartbeat came on a link that a peer dialled: it renews every space that is attached to the link.
    pub(crate) fn heartbeat_heard(&mut self, now: Time, link: LinkId, config: &ReplicationConfig) {
        if let Some(link) = self.links.get_mut(&link) {
            link.beat = Some(now);
            link.hush_at = Some(now + config.election_timeout_min);
        }
    }

    /// When the last heartbeat came on a link that a peer dialled.
    pub(crate) fn beat(&self, link: LinkId) -> Option<Time> {
        self.links.get(&link)?.beat
    }

    /// Whether heartbeats come on the link, so that whoever is attached to it needs no deadline of its own.
    pub(crate) fn beats(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| link.hush_at.is_some())
    }

    /// The peer echoed a heartbeat that was sent at `sent`.
    pub(crate) fn echo_heard(&mut self, now: Time, peer: NodeId, sent: Time, config: &ReplicationConfig) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.echoed = peer.echoed.max(Some(sent.min(now)));
            peer.stale_at = peer.echoed.map(|sent| sent + config.lease());
        }
    }

    /// When the newest heartbeat was sent that the peer echoed on the link that is open now.
    pub(crate) fn echoed(&self, peer: NodeId) -> Option<Time> {
        self.peers.get(&peer)?.echoed
    }

    /// Whether the peer's echoes come, so that whoever counts on them needs no deadline of its own.
    pub(crate) fn is_fresh(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.stale_at.is_some())
    }
}

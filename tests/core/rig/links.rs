//! Links between the nodes of the rig.

use engraft::core::Event;
use engraft::types::message::CloseReason;
use engraft::types::{Incarnation, LinkId, NodeId};

use super::{Connection, Delivery, Rig};

impl Rig {
    pub(in super::super) fn deliver(&mut self, Delivery { to: (node, link), bytes }: Delivery) {
        let event = match bytes {
            Some(bytes) => Event::BytesReceived { link, bytes },
            None => Event::LinkDown { link, reason: CloseReason::Lost("the peer is gone".into()) },
        };
        self.event(node, event);
    }

    pub(super) fn connect(&mut self, dialler: (NodeId, LinkId), peer: NodeId) {
        let reachable = !self.cut.contains(&peer) && !self.cut.contains(&dialler.0);
        let Some(state) = self.nodes.get_mut(&peer).filter(|_| reachable) else {
            let reason = CloseReason::Lost("refused".into());
            return self.event(dialler.0, Event::LinkDown { link: dialler.1, reason });
        };
        state.accepted += 1;
        let acceptor = (peer, LinkId::accepted(state.accepted));
        self.connections.push(Connection { dialler, acceptor });
        self.event(acceptor.0, Event::LinkUp { link: acceptor.1 });
        self.event(dialler.0, Event::LinkUp { link: dialler.1 });
    }

    /// Tells a node that starts what it durably knows of its peers.
    pub(super) fn tell_known(&mut self, node: NodeId) {
        if let Some(known) = self.known.get(&node) {
            let peers = known.iter().map(|(peer, incarnation)| (*peer, *incarnation)).collect();
            self.event(node, Event::PeersKnown { peers });
        }
    }

    pub(super) fn save_peer(&mut self, node: NodeId, peer: NodeId, incarnation: Incarnation) -> Event {
        self.known.entry(node).or_default().insert(peer, incarnation);
        Event::PeerSaved { peer, incarnation }
    }

    /// The node is not recovering after the next start. Nothing is told of it.
    pub(super) fn end_recovering(&mut self, node: NodeId) -> bool {
        self.recovering.remove(&node);
        true
    }

    pub(super) fn other_end(&self, node: NodeId, link: LinkId) -> Option<(NodeId, LinkId)> {
        self.connections.iter().find_map(|connection| {
            let ends = [connection.dialler, connection.acceptor];
            ends.contains(&(node, link)).then(|| if ends[0] == (node, link) { ends[1] } else { ends[0] })
        })
    }
}

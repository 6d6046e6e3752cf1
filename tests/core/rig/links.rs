//! Links between the nodes of the rig.

use engraft::core::Event;
use engraft::types::message::CloseReason;
use engraft::types::{LinkId, NodeId};

use super::{Connection, Rig};

impl Rig {
    /// Tells a node that starts under which incarnations it knew its peers.
    pub(super) fn tell_peers(&mut self, node: NodeId) {
        if let Some(known) = self.known.get(&node) {
            let peers = known.iter().map(|(peer, incarnation)| (*peer, *incarnation)).collect();
            self.event(node, Event::PeersKnown { peers });
        }
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

    pub(super) fn other_end(&self, node: NodeId, link: LinkId) -> Option<(NodeId, LinkId)> {
        self.connections.iter().find_map(|connection| {
            let ends = [connection.dialler, connection.acceptor];
            ends.contains(&(node, link)).then(|| if ends[0] == (node, link) { ends[1] } else { ends[0] })
        })
    }
}

//! Messages that no node sent.

use engraft::core::Event;
use engraft::types::NodeId;
use engraft::types::message::Message;
use engraft::wire::WriteBuffer;

use super::rig::{Delivery, N1, Rig};

impl Rig {
    /// What is on its way to a node.
    pub(super) fn deliveries_to(&mut self, node: NodeId) -> Vec<Delivery> {
        while self.disk_step(N1) {}
        self.deliveries.iter().filter(|delivery| delivery.to.0 == node).cloned().collect()
    }

    /// Hands `to` a message as if `from` had sent it: an answer on the link that `to` dialled, else on the other one.
    pub(super) fn inject(&mut self, to: NodeId, from: NodeId, message: &Message) {
        let mut buffer = WriteBuffer::default();
        engraft::wire::encode(message, &mut buffer);
        let stream: Vec<u8> = buffer.pieces().flat_map(|piece| piece.iter().copied()).collect();
        let answers = matches!(
            message,
            Message::Ack(_) | Message::Refusal(_) | Message::Echo(_) | Message::VoteAnswer(_) | Message::ProbeEcho(_)
        );
        let (dialler, acceptor) = if answers { (to, from) } else { (from, to) };
        let link = self
            .connections
            .iter()
            .find(|open| (open.dialler.0, open.acceptor.0) == (dialler, acceptor))
            .map(|open| if answers { open.dialler.1 } else { open.acceptor.1 });
        self.event(to, Event::BytesReceived { link: link.expect("they are connected"), bytes: stream.into() });
    }
}

//! What clients of the rig do, and what its nodes tell.

use ::core::time::Duration;

use bytes::Bytes;
use engraft::core::{Ack, Append, Command, Event, Outcome, SpaceStatus};
use engraft::types::{Control, NodeId, RequestId, Sequence, Token, WalEntryType};

use super::rig::{Rig, space};

impl Rig {
    pub(super) fn append(&mut self, node: NodeId, ack: Ack, payload: &'static [u8]) -> RequestId {
        self.append_within(node, ack, payload, None)
    }

    /// An append that waits for its answer for so long.
    pub(super) fn append_for(
        &mut self,
        node: NodeId,
        ack: Ack,
        payload: &'static [u8],
        timeout: Duration,
    ) -> RequestId {
        self.append_within(node, ack, payload, Some(timeout))
    }

    fn append_within(
        &mut self,
        node: NodeId,
        ack: Ack,
        payload: &'static [u8],
        timeout: Option<Duration>,
    ) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.levels.insert(request, ack);
        let append = Append {
            space: space(),
            request,
            payload: Bytes::from_static(payload),
            entry_type: WalEntryType::EpisodeStore,
            control: Control::user(),
            timestamp: 0,
            ack: Some(ack),
            timeout,
        };
        self.event(node, Event::Append(append));
        request
    }

    pub(super) fn read(&mut self, node: NodeId, from: Sequence) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        let read = Command::Read { space: space(), request, from, entries_max: 10_000, bytes_max: 1 << 24 };
        self.event(node, Event::Command(read));
        request
    }

    pub(super) fn wait_for(&mut self, node: NodeId, token: Token, timeout: Duration) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.event(node, Event::Command(Command::WaitFor { space: space(), request, token, timeout }));
        request
    }

    pub(super) fn reply(&self, node: NodeId, request: RequestId) -> Option<&Outcome> {
        self.nodes[&node].replies.get(&request)
    }

    pub(super) fn status(&self, node: NodeId) -> SpaceStatus {
        self.nodes[&node].core.status(self.now).spaces.remove(0)
    }

    pub(super) fn notices(&self, node: NodeId) -> Vec<String> {
        self.nodes[&node].notices.iter().map(ToString::to_string).collect()
    }

    /// How many messages `from` sent whose line begins with `what`.
    pub(super) fn sent(&self, from: NodeId, what: &str) -> usize {
        self.sent.iter().filter(|(node, line)| *node == from && line.starts_with(what)).count()
    }
}

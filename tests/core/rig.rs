//! Three coordinators, their logs as plain lists, and links that deliver in order.

use ::core::time::Duration;
use alloc::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use engraft::core::{
    Ack, Action, Actions, Append, Command, Event, Notice, Outcome, ReplicationConfig, ReplicationCoordinator,
    SpaceConfig, SpaceOpened, SpaceStatus,
};
use engraft::driver::wal_worker::WalRequest;
use engraft::types::entry::chain_start;
use engraft::types::message::CloseReason;
use engraft::types::{
    ClusterId, Control, Entry, Epoch, EpochHistory, FsyncMode, Incarnation, LinkId, NodeId, Position, RequestId,
    Sequence, SpaceId, SpaceName, Time, Token, WalEntryType,
};
use engraft::wire::WriteBuffer;

pub(super) const N1: NodeId = NodeId(1);
pub(super) const N2: NodeId = NodeId(2);
pub(super) const N3: NodeId = NodeId(3);

/// One node: its core, what its disk holds, and what it said.
pub(super) struct Node {
    pub(super) core: ReplicationCoordinator,
    /// The log: written entries, of which the first `durable` are synced.
    pub(super) log: Vec<Entry>,
    pub(super) promise: Epoch,
    /// Actions for the disk that were not carried out yet.
    disk: VecDeque<WalRequest>,
    /// Whether the disk does nothing until the test says so.
    pub(super) disk_stalls: bool,
    pub(super) replies: BTreeMap<RequestId, Outcome>,
    pub(super) notices: Vec<Notice>,
    pub(super) halted: bool,
    accepted: u64,
}

/// Both ends of a connection.
struct Connection {
    dialler: (NodeId, LinkId),
    acceptor: (NodeId, LinkId),
}

/// Bytes (or the end) on their way to a link's end.
struct Delivery {
    to: (NodeId, LinkId),
    bytes: Option<Bytes>,
}

pub(super) struct Rig {
    pub(super) now: Time,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) configs: BTreeMap<NodeId, ReplicationConfig>,
    pub(super) spaces: BTreeMap<NodeId, SpaceConfig>,
    connections: Vec<Connection>,
    deliveries: VecDeque<Delivery>,
    /// Nodes that cannot be reached.
    pub(super) cut: Vec<NodeId>,
    /// Everything that was sent, by its one-line form.
    pub(super) sent: Vec<(NodeId, String)>,
    requests: u64,
}

pub(super) fn space() -> SpaceId {
    name().id()
}

pub(super) fn name() -> SpaceName {
    SpaceName::new("orders").expect("a name")
}

pub(super) fn cluster() -> ClusterId {
    ClusterId::from_name("test").expect("a name")
}

impl Rig {
    /// Three nodes, n1 the primary, started and settled.
    pub(super) fn settled() -> Self {
        let mut rig = Self::new(|_| {});
        rig.run(Duration::from_millis(300));
        rig
    }

    pub(super) fn new(change: impl Fn(&mut ReplicationConfig)) -> Self {
        let all = [N1, N2, N3];
        let mut rig = Self {
            now: Time(1_000),
            nodes: BTreeMap::new(),
            configs: BTreeMap::new(),
            spaces: BTreeMap::new(),
            connections: Vec::new(),
            deliveries: VecDeque::new(),
            cut: Vec::new(),
            sent: Vec::new(),
            requests: 0,
        };
        for node in all {
            let peers = all.into_iter().filter(|&peer| peer != node).collect();
            let mut config =
                ReplicationConfig::new(node, cluster(), Incarnation(u128::from(node.0).to_be_bytes()), peers);
            change(&mut config);
            rig.configs.insert(node, config);
            let space = SpaceConfig { primary: N1, voters: all.to_vec(), ack: Ack::Local, fsync: FsyncMode::PerBatch };
            rig.spaces.insert(node, space);
            rig.start(node, Vec::new(), Epoch::ZERO);
        }
        rig
    }

    /// Starts a node with this log and promise.
    pub(super) fn start(&mut self, node: NodeId, log: Vec<Entry>, promise: Epoch) {
        let core = ReplicationCoordinator::new(self.configs[&node].clone()).expect("a valid configuration");
        let mut history = EpochHistory::default();
        for entry in &log {
            history.note(entry.header.epoch(), entry.header.sequence());
        }
        let origin = Position { chain: chain_start(cluster(), space()), ..Position::default() };
        let end = log.last().map_or(origin, Entry::position);
        let state = Node {
            core,
            log,
            promise,
            disk: VecDeque::new(),
            disk_stalls: false,
            replies: BTreeMap::new(),
            notices: Vec::new(),
            halted: false,
            accepted: 0,
        };
        self.nodes.insert(node, state);
        let opened = SpaceOpened { name: name(), config: self.spaces[&node].clone(), end, history, promise };
        self.event(node, Event::SpaceOpened(Box::new(opened)));
    }

    /// Kills a node: its links end, its log stays. What was not written is lost.
    pub(super) fn kill(&mut self, node: NodeId) -> (Vec<Entry>, Epoch) {
        let state = self.nodes.remove(&node).expect("it runs");
        let (gone, kept) = ::core::mem::take(&mut self.connections)
            .into_iter()
            .partition::<Vec<_>, _>(|connection| connection.dialler.0 == node || connection.acceptor.0 == node);
        self.connections = kept;
        for connection in gone {
            for end in [connection.dialler, connection.acceptor] {
                self.deliveries.push_back(Delivery { to: end, bytes: None });
            }
        }
        (state.log, state.promise)
    }

    pub(super) fn append(&mut self, node: NodeId, ack: Ack, payload: &'static [u8]) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        let append = Append {
            space: space(),
            request,
            payload: Bytes::from_static(payload),
            entry_type: WalEntryType::EpisodeStore,
            control: Control::user(),
            timestamp: 0,
            ack: Some(ack),
            timeout: None,
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

    /// Delivers and does whatever is possible without time passing.
    pub(super) fn settle(&mut self) {
        loop {
            let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
            let mut moved = false;
            if let Some(Delivery { to: (node, link), bytes }) = self.deliveries.pop_front() {
                let event = match bytes {
                    Some(bytes) => Event::BytesReceived { link, bytes },
                    None => Event::LinkDown { link, reason: CloseReason::Lost("the peer is gone".into()) },
                };
                self.event(node, event);
                moved = true;
            }
            for node in nodes {
                moved |= self.disk_step(node);
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets time pass, deadline by deadline.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            let due = self.nodes.iter().filter_map(|(node, state)| Some((state.core.next_wake()?, *node))).min();
            let Some((at, node)) = due.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.event(node, Event::TimerFired);
        }
        self.now = end;
    }

    /// Carries out the oldest order of a node's disk.
    fn disk_step(&mut self, node: NodeId) -> bool {
        let Some(state) = self.nodes.get_mut(&node) else { return false };
        if state.disk_stalls {
            return false;
        }
        let Some(request) = state.disk.pop_front() else { return false };
        let event = match request {
            WalRequest::Append { space, write, entries } => {
                let last = entries.last().expect("a write has entries").position();
                state.log.extend(entries);
                Event::WalAppended { space, write, epoch: last.epoch, sequence: last.sequence }
            }
            WalRequest::Read { space, read, from, entries_max, bytes_max } => {
                let mut bytes = 0;
                let mut entries = Vec::new();
                let skip = usize::try_from(from.0 - 1).expect("small");
                for entry in state.log.iter().skip(skip).take(entries_max as usize) {
                    bytes += entry.size() as u64;
                    if !entries.is_empty() && bytes > bytes_max {
                        break;
                    }
                    entries.push(entry.clone());
                }
                Event::WalRead { space, read, entries }
            }
            WalRequest::SaveVote { space, promise } => {
                state.promise = state.promise.max(promise);
                Event::VoteSaved { space, promise }
            }
        };
        self.event(node, event);
        true
    }

    pub(super) fn event(&mut self, node: NodeId, event: Event) {
        let Some(state) = self.nodes.get_mut(&node) else { return };
        let mut actions = Actions::new();
        state.core.handle(self.now, event, &mut actions);
        let actions: Vec<Action> = actions.drain().collect();
        for action in actions {
            self.act(node, action);
        }
    }

    fn act(&mut self, node: NodeId, action: Action) {
        let state = self.nodes.get_mut(&node).expect("it runs");
        match action {
            Action::WalAppend { .. } | Action::WalRead { .. } | Action::SaveVote { .. } => {
                state.disk.extend(WalRequest::from_action(action));
            }
            Action::Reply { request, outcome } => {
                assert!(state.replies.insert(request, outcome).is_none(), "{request} was answered twice");
            }
            Action::Notify(notice) => state.notices.push(notice),
            Action::Halt => state.halted = true,
            Action::Send { link, message } => {
                self.sent.push((node, message.to_string()));
                let mut buffer = WriteBuffer::default();
                let bytes = engraft::wire::encode(&message, &mut buffer);
                let stream: Vec<u8> = buffer.pieces().flat_map(|piece| piece.iter().copied()).collect();
                let to = self.other_end(node, link);
                if let Some(to) = to.filter(|(peer, _)| !self.cut.contains(peer) && !self.cut.contains(&node)) {
                    self.deliveries.push_back(Delivery { to, bytes: Some(stream.into()) });
                }
                self.event(node, Event::LinkDrained { link, bytes });
            }
            Action::Connect { link, peer } => self.connect((node, link), peer),
            Action::Close { link, .. } => {
                let to = self.other_end(node, link);
                self.connections
                    .retain(|connection| ![connection.dialler, connection.acceptor].contains(&(node, link)));
                if let Some(to) = to {
                    self.deliveries.push_back(Delivery { to, bytes: None });
                }
            }
        }
    }

    fn connect(&mut self, dialler: (NodeId, LinkId), peer: NodeId) {
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

    fn other_end(&self, node: NodeId, link: LinkId) -> Option<(NodeId, LinkId)> {
        self.connections.iter().find_map(|connection| {
            let ends = [connection.dialler, connection.acceptor];
            ends.contains(&(node, link)).then(|| if ends[0] == (node, link) { ends[1] } else { ends[0] })
        })
    }
}

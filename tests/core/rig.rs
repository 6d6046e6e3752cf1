//! Three coordinators, their logs as plain lists, and links that deliver in order.

mod links;

use ::core::time::Duration;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use engraft::core::{
    Ack, Action, Actions, Event, Notice, Outcome, Promotion, ReplicationConfig, ReplicationCoordinator, SpaceConfig,
    SpaceOpened, StorageError, StorageErrorKind, StorageOperation,
};
use engraft::types::entry::{StartBody, StartFound, chain_start};
use engraft::types::message::SpaceEpoch;
use engraft::types::{
    ClusterId, Entry, Epoch, EpochHistory, Incarnation, LinkId, NodeId, Position, RequestId, Sequence, SpaceId,
    SpaceName, Time, Token,
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
    pub(super) durable: usize,
    pub(super) promise: Epoch,
    /// Actions for the disk that were not carried out yet.
    pub(super) disk: VecDeque<Action>,
    /// What the disk says once the write that it began is synced.
    completion: Option<Event>,
    /// How many reads the disk was asked for.
    pub(super) reads: usize,
    /// Whether the disk does nothing until the test says so.
    pub(super) disk_stalls: bool,
    /// Whether there is no room for a salvage file.
    pub(super) salvage_full: bool,
    pub(super) replies: BTreeMap<RequestId, Outcome>,
    pub(super) notices: Vec<Notice>,
    pub(super) halted: bool,
    /// The last commit that it told.
    pub(super) committed: Sequence,
    accepted: u64,
}

/// Both ends of a connection.
pub(super) struct Connection {
    pub(super) dialler: (NodeId, LinkId),
    pub(super) acceptor: (NodeId, LinkId),
}

/// Bytes (or the end) on their way to a link's end: one frame each.
#[derive(Clone)]
pub(super) struct Delivery {
    pub(super) to: (NodeId, LinkId),
    pub(super) bytes: Option<Bytes>,
}

pub(super) struct Rig {
    pub(super) now: Time,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) configs: BTreeMap<NodeId, ReplicationConfig>,
    pub(super) spaces: BTreeMap<NodeId, SpaceConfig>,
    pub(super) connections: Vec<Connection>,
    pub(super) deliveries: VecDeque<Delivery>,
    /// Nodes that cannot be reached.
    pub(super) cut: Vec<NodeId>,
    /// Whether what was sent leaves a link only when the test says so.
    pub(super) slow_links: bool,
    pub(super) drains: VecDeque<(NodeId, LinkId, u64)>,
    /// Everything that was sent, by its one-line form; a `quiet` rig keeps nothing.
    pub(super) sent: Vec<(NodeId, String)>,
    pub(super) quiet: bool,
    /// What is on the disks of the nodes that do not run.
    pub(super) away: BTreeMap<NodeId, (Vec<Entry>, Epoch)>,
    /// What each node durably knows of its peers.
    pub(super) known: BTreeMap<NodeId, BTreeMap<NodeId, Incarnation>>,
    /// Which nodes come back recovering.
    pub(super) recovering: BTreeSet<NodeId>,
    /// Links that a node closed itself.
    pub(super) closed: BTreeSet<(NodeId, LinkId)>,
    /// The level that each append asked for.
    pub(super) levels: BTreeMap<RequestId, Ack>,
    /// What was answered as appended, by any primary.
    pub(super) answered: Vec<(Ack, Token)>,
    pub(super) requests: u64,
    /// Every committed entry that anybody told of.
    pub(super) truth: BTreeMap<Sequence, Position>,
    /// What each node saved before it truncated.
    pub(super) salvage: BTreeMap<NodeId, Vec<Entry>>,
    /// The epochs of every primary there was.
    pub(super) reigns: BTreeSet<Epoch>,
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
        Self::of(3, |_, space| space.promotion = Promotion::Manual, change)
    }

    /// So many nodes, of which n1 is preferred; the replicas elect the primary.
    pub(super) fn of(
        count: u16,
        space: impl Fn(NodeId, &mut SpaceConfig),
        change: impl Fn(&mut ReplicationConfig),
    ) -> Self {
        let all: Vec<NodeId> = (1..=count).map(NodeId).collect();
        let mut rig = Self {
            now: Time(1_000),
            nodes: BTreeMap::new(),
            configs: BTreeMap::new(),
            spaces: BTreeMap::new(),
            connections: Vec::new(),
            deliveries: VecDeque::new(),
            cut: Vec::new(),
            slow_links: false,
            drains: VecDeque::new(),
            sent: Vec::new(),
            quiet: false,
            away: BTreeMap::new(),
            known: BTreeMap::new(),
            recovering: BTreeSet::new(),
            closed: BTreeSet::new(),
            levels: BTreeMap::new(),
            answered: Vec::new(),
            requests: 0,
            truth: BTreeMap::new(),
            salvage: BTreeMap::new(),
            reigns: BTreeSet::new(),
        };
        for &node in &all {
            let peers = all.iter().copied().filter(|&peer| peer != node).collect();
            let mut config =
                ReplicationConfig::new(node, cluster(), Incarnation(u128::from(node.0).to_be_bytes()), peers);
            change(&mut config);
            rig.configs.insert(node, config);
            let mut settings = SpaceConfig::new(N1, all.clone());
            space(node, &mut settings);
            rig.spaces.insert(node, settings);
            rig.start(node, Vec::new(), Epoch::ZERO);
        }
        rig
    }

    /// All nodes, running or not.
    pub(super) fn all(&self) -> Vec<NodeId> {
        self.configs.keys().copied().collect()
    }

    /// Starts a node with this log and promise.
    pub(super) fn start(&mut self, node: NodeId, log: Vec<Entry>, promise: Epoch) {
        let core = ReplicationCoordinator::new(self.configs[&node].clone()).expect("a valid configuration");
        let mut history = EpochHistory::default();
        for entry in &log {
            history.note(entry.header.epoch(), entry.header.sequence());
        }
        let starts = starts_of(&log);
        let origin = Position { chain: chain_start(cluster(), space()), ..Position::default() };
        let end = log.last().map_or(origin, Entry::position);
        let state = Node {
            core,
            durable: log.len(),
            log,
            promise,
            disk: VecDeque::new(),
            completion: None,
            reads: 0,
            disk_stalls: false,
            salvage_full: false,
            replies: BTreeMap::new(),
            notices: Vec::new(),
            halted: false,
            committed: Sequence::ZERO,
            accepted: 0,
        };
        self.nodes.insert(node, state);
        self.away.remove(&node);
        self.tell_known(node);
        let (config, recovering) = (self.spaces[&node].clone(), self.recovering.contains(&node));
        let opened = SpaceOpened { name: name(), config, end, history, starts, promise, recovering };
        self.event(node, Event::SpaceOpened(Box::new(opened)));
    }

    /// Kills a node: its links end, its log stays. What was not written is lost.
    pub(super) fn kill(&mut self, node: NodeId) -> (Vec<Entry>, Epoch) {
        let kept = self.nodes[&node].log.len();
        self.crash(node, kept)
    }

    /// Kills a node and loses what was written behind the first `kept` entries and not synced.
    pub(super) fn crash(&mut self, node: NodeId, kept: usize) -> (Vec<Entry>, Epoch) {
        let mut state = self.nodes.remove(&node).expect("it runs");
        state.log.truncate(kept.max(state.durable));
        let (gone, kept) = ::core::mem::take(&mut self.connections)
            .into_iter()
            .partition::<Vec<_>, _>(|connection| connection.dialler.0 == node || connection.acceptor.0 == node);
        self.connections = kept;
        self.deliveries.retain(|delivery| delivery.to.0 != node);
        self.drains.retain(|drain| drain.0 != node);
        self.closed.retain(|closed| closed.0 != node);
        for connection in gone {
            for end in [connection.dialler, connection.acceptor].into_iter().filter(|end| end.0 != node) {
                self.deliveries.push_back(Delivery { to: end, bytes: None });
            }
        }
        self.away.insert(node, (state.log.clone(), state.promise));
        (state.log, state.promise)
    }

    /// Delivers and does whatever is possible without time passing.
    pub(super) fn settle(&mut self) {
        loop {
            let nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
            let mut moved = false;
            if let Some(delivery) = self.deliveries.pop_front() {
                self.deliver(delivery);
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
        let mut idle = 0;
        loop {
            let before = self.now;
            self.settle();
            let due = self.nodes.iter().filter_map(|(node, state)| Some((state.core.next_wake()?, *node))).min();
            let Some((at, node)) = due.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.event(node, Event::TimerFired);
            idle = if self.now == before { idle + 1 } else { 0 };
            assert!(idle < 1_000, "{node} wants to be woken at {at} for ever");
        }
        self.now = end;
    }

    /// Carries out the oldest order of a node's disk: first it writes, with the next step it syncs and says so.
    pub(super) fn disk_step(&mut self, node: NodeId) -> bool {
        let Some(state) = self.nodes.get_mut(&node) else { return false };
        if state.disk_stalls {
            return false;
        }
        // A read goes between: it sees what is written and not synced.
        let reads = matches!(state.disk.front(), Some(Action::WalRead { .. }));
        if !reads && let Some(event) = state.completion.take() {
            state.durable = state.log.len();
            self.event(node, event);
            return true;
        }
        let Some(action) = state.disk.pop_front() else { return false };
        let event = match action {
            Action::WalAppend { space, write, entries } => {
                let last = entries.last().expect("a write has entries").position();
                let event = Event::WalAppended { space, write, epoch: last.epoch, sequence: last.sequence };
                if space == self::space() {
                    state.log.extend(entries);
                }
                state.completion = Some(event);
                return true;
            }
            Action::WalRead { space, read, from, entries_max, bytes_max } => {
                state.reads += 1;
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
            Action::SaveVote { space, promise } => {
                state.promise = state.promise.max(promise);
                Event::VotesSaved { votes: vec![SpaceEpoch { space, epoch: promise }] }
            }
            Action::EndRecovering { .. } => return self.end_recovering(node),
            Action::SavePeer { peer, incarnation } => self.save_peer(node, peer, incarnation),
            Action::SalvageSave { space, .. } if state.salvage_full => {
                let error = StorageError { kind: StorageErrorKind::Full, detail: "no space left".into() };
                Event::StorageFailed { space, operation: StorageOperation::Salvage, error }
            }
            Action::SalvageSave { space, write, first, last, .. } => {
                let (first, last) = (first.0 as usize - 1, last.0 as usize);
                assert_eq!(last, state.log.len(), "the last that is saved is the last of the log");
                self.salvage.entry(node).or_default().extend_from_slice(&state.log[first..last]);
                Event::SalvageSaved { space, write }
            }
            Action::WalTruncate { space, write, last } => {
                state.log.truncate(last.0 as usize);
                state.durable = state.durable.min(state.log.len());
                Event::WalTruncated { space, write }
            }
            other => unreachable!("no order for a disk: {other}"),
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
        // Once all is sent: what the core sends in answer stands behind it.
        while !self.slow_links
            && let Some((node, link, bytes)) = self.drains.pop_front()
        {
            self.event(node, Event::LinkDrained { link, bytes });
        }
    }

    fn act(&mut self, node: NodeId, action: Action) {
        self.check_action(node, &action);
        let state = self.nodes.get_mut(&node).expect("it runs");
        match action {
            Action::WalAppend { .. }
            | Action::WalRead { .. }
            | Action::SaveVote { .. }
            | Action::SavePeer { .. }
            | Action::EndRecovering { .. }
            | Action::SalvageSave { .. }
            | Action::WalTruncate { .. } => state.disk.push_back(action),
            Action::Reply { request, outcome } => {
                assert!(state.replies.insert(request, outcome).is_none(), "{request} was answered twice");
            }
            Action::Notify(notice) => state.notices.push(notice),
            Action::Halt => state.halted = true,
            Action::Send { link, message } => {
                if !self.quiet {
                    self.sent.push((node, message.to_string()));
                }
                let mut buffer = WriteBuffer::default();
                let bytes = engraft::wire::encode(&message, &mut buffer);
                let mut stream = Vec::new();
                buffer.pieces().for_each(|piece| stream.extend_from_slice(piece));
                let to = self.other_end(node, link);
                if let Some(to) = to.filter(|(peer, _)| !self.cut.contains(peer) && !self.cut.contains(&node)) {
                    self.deliveries.push_back(Delivery { to, bytes: Some(stream.into()) });
                }
                self.drains.push_back((node, link, bytes));
            }
            Action::Connect { link, peer } => self.connect((node, link), peer),
            Action::Close { link, .. } => {
                self.closed.insert((node, link));
                let to = self.other_end(node, link);
                self.connections
                    .retain(|connection| ![connection.dialler, connection.acceptor].contains(&(node, link)));
                if let Some(to) = to {
                    self.deliveries.push_back(Delivery { to, bytes: None });
                }
            }
        }
    }
}

/// What the entries of a log say that begin its epochs, as recovery tells it.
fn starts_of(log: &[Entry]) -> Vec<StartFound> {
    let body = |entry: &Entry| StartBody::of(entry).expect("a start that can be read");
    log.iter().filter_map(|entry| Some(StartFound { first: entry.header.sequence(), body: body(entry)? })).collect()
}

//! Ten thousand spaces lose their primary in one moment, because they had the same one: no storm of frames and of fsyncs.

use ::core::time::Duration;
use alloc::collections::{BTreeMap, VecDeque};

use engraft::core::{
    Action, Actions, Event, ReplicationConfig, ReplicationCoordinator, Role, SpaceConfig, SpaceOpened,
};
use engraft::types::entry::chain_start;
use engraft::types::message::{CloseReason, Message, SpaceEpoch};
use engraft::types::{Entry, Epoch, EpochHistory, Incarnation, LinkId, NodeId, Position, SpaceName, Time};
use engraft::wire::WriteBuffer;

use super::rig::{N1, N2, N3, cluster};

const SPACES: usize = 10_000;

/// What the voters did from some moment on.
#[derive(Debug, Default)]
struct Counts {
    /// Frames that ask for votes or pre-votes, by who sent them to whom.
    asking: BTreeMap<(NodeId, NodeId), usize>,
    /// Frames that answer them.
    answering: usize,
    /// How many spaces were asked for in one moment at most.
    asks_at_once: BTreeMap<Time, usize>,
    /// How often promises were made durable: those of one step of a core are one fsync.
    fsyncs: usize,
    promises: usize,
}

/// Three cores without a network: what one sends the other has at once, and disks take no time.
struct Crowd {
    now: Time,
    cores: BTreeMap<NodeId, ReplicationCoordinator>,
    /// From each end of a link to the other.
    ends: BTreeMap<(NodeId, LinkId), (NodeId, LinkId)>,
    accepted: u64,
    events: VecDeque<(NodeId, Event)>,
    counts: Counts,
}

impl Crowd {
    fn new() -> Self {
        let all = [N1, N2, N3];
        let mut crowd = Self {
            now: Time(1_000),
            cores: BTreeMap::new(),
            ends: BTreeMap::new(),
            accepted: 0,
            events: VecDeque::new(),
            counts: Counts::default(),
        };
        for node in all {
            let peers = all.into_iter().filter(|peer| *peer != node).collect();
            let incarnation = Incarnation(u128::from(node.0).to_be_bytes());
            let config = ReplicationConfig::new(node, cluster(), incarnation, peers);
            crowd.cores.insert(node, ReplicationCoordinator::new(config).expect("a valid configuration"));
            for number in 0..SPACES {
                let name = SpaceName::new(&format!("tenant-{number}")).expect("a name");
                let origin = Position { chain: chain_start(cluster(), name.id()), ..Position::default() };
                let (config, history) = (SpaceConfig::new(N1, all.to_vec()), EpochHistory::default());
                let (starts, promise) = (Vec::new(), Epoch::ZERO);
                let opened = SpaceOpened { name, config, end: origin, history, starts, promise, recovering: false };
                crowd.events.push_back((node, Event::SpaceOpened(Box::new(opened))));
            }
        }
        crowd
    }

    /// Lets time pass, deadline by deadline.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            while let Some((node, event)) = self.events.pop_front() {
                self.handle(node, event);
            }
            let due = self.cores.iter().filter_map(|(node, core)| Some((core.next_wake()?, *node))).min();
            let Some((at, node)) = due.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.events.push_back((node, Event::TimerFired));
        }
        self.now = end;
    }

    fn handle(&mut self, node: NodeId, event: Event) {
        let Some(core) = self.cores.get_mut(&node) else { return };
        let mut actions = Actions::new();
        core.handle(self.now, event, &mut actions);
        let mut votes = Vec::new();
        for action in actions.drain().collect::<Vec<_>>() {
            match action {
                Action::SaveVote { space, promise } => votes.push(SpaceEpoch { space, epoch: promise }),
                Action::SavePeer { peer, incarnation } => {
                    self.events.push_back((node, Event::PeerSaved { peer, incarnation }));
                }
                Action::WalAppend { space, write, entries } => {
                    let Position { epoch, sequence, .. } = entries.last().map(Entry::position).expect("entries");
                    self.events.push_back((node, Event::WalAppended { space, write, epoch, sequence }));
                }
                Action::Connect { link, peer } => self.connect((node, link), peer),
                Action::Send { link, message } => self.send(node, link, &message),
                Action::Close { link, .. } => {
                    if let Some((peer, other)) = self.ends.remove(&(node, link)) {
                        self.ends.remove(&(peer, other));
                        self.events.push_back((peer, gone(other)));
                    }
                }
                _ => {}
            }
        }
        if !votes.is_empty() {
            self.counts.fsyncs += 1;
            self.counts.promises += votes.len();
            self.events.push_back((node, Event::VotesSaved { votes }));
        }
    }

    fn connect(&mut self, dialler: (NodeId, LinkId), peer: NodeId) {
        if !self.cores.contains_key(&peer) {
            self.events.push_back((dialler.0, gone(dialler.1)));
            return;
        }
        self.accepted += 1;
        let acceptor = (peer, LinkId::accepted(self.accepted));
        self.ends.insert(dialler, acceptor);
        self.ends.insert(acceptor, dialler);
        self.events.push_back((acceptor.0, Event::LinkUp { link: acceptor.1 }));
        self.events.push_back((dialler.0, Event::LinkUp { link: dialler.1 }));
    }

    fn send(&mut self, node: NodeId, link: LinkId, message: &Message) {
        let mut buffer = WriteBuffer::default();
        let sent = engraft::wire::encode(message, &mut buffer);
        self.events.push_back((node, Event::LinkDrained { link, bytes: sent }));
        let Some(&(peer, other)) = self.ends.get(&(node, link)) else { return };
        match message {
            Message::VoteRequest(request) => {
                *self.counts.asking.entry((node, peer)).or_default() += 1;
                *self.counts.asks_at_once.entry(self.now).or_default() += request.asks.len();
            }
            Message::VoteAnswer(_) => self.counts.answering += 1,
            _ => {}
        }
        let mut bytes = Vec::new();
        buffer.pieces().for_each(|piece| bytes.extend_from_slice(piece));
        self.events.push_back((peer, Event::BytesReceived { link: other, bytes: bytes.into() }));
    }

    /// The node is gone, and its peers hear that their links to it have ended.
    fn kill(&mut self, node: NodeId) {
        self.cores.remove(&node);
        let ends: Vec<_> = self.ends.iter().filter(|(from, _)| from.0 == node).map(|(_, to)| *to).collect();
        self.ends.retain(|from, to| from.0 != node && to.0 != node);
        self.events.extend(ends.into_iter().map(|(peer, link)| (peer, gone(link))));
    }

    /// How many spaces each node is the primary of.
    fn led(&self) -> BTreeMap<NodeId, usize> {
        let spaces = |core: &ReplicationCoordinator| core.status(self.now).spaces;
        let led = |core| spaces(core).iter().filter(|space| space.role == Role::Primary).count();
        self.cores.iter().map(|(node, core)| (*node, led(core))).collect()
    }
}

fn gone(link: LinkId) -> Event {
    Event::LinkDown { link, reason: CloseReason::Lost("the peer is gone".into()) }
}

#[test]
fn ten_thousand_spaces_of_a_dead_node_change_their_primary_without_a_storm() {
    let mut crowd = Crowd::new();
    crowd.run(Duration::from_secs(2));
    assert_eq!(crowd.led()[&N1], SPACES, "n1 leads them all");
    crowd.kill(N1);
    crowd.counts = Counts::default();
    crowd.run(Duration::from_millis(2_200));
    let led = crowd.led();
    assert_eq!(led.values().sum::<usize>(), SPACES, "each has a primary again within the longest time-out: {led:?}");
    let Counts { asking, answering, asks_at_once, fsyncs, promises } = &crowd.counts;
    // Time-outs are drawn in a second's time, in grains of 10 ms: a hundred of them, each with two rounds.
    assert!(asking.values().all(|frames| *frames <= 250), "one frame for all that ask in one moment: {asking:?}");
    assert!(*answering <= 500, "one frame for all that are answered: {answering}");
    assert!(*fsyncs <= 500 && *promises >= 2 * SPACES, "{fsyncs} fsyncs for {promises} promises");
    let most = asks_at_once.values().max();
    assert!(most.is_some_and(|most| *most < SPACES / 12), "the spaces do not ask all at once: {most:?}");
    // Each of the two that are left takes about half.
    assert!(led.values().all(|count| *count > SPACES / 3), "{led:?}");
}

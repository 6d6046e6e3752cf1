//! Three cores on one thread: a primary and two replicas, without disks, sockets or clocks.

use ::core::time::Duration;
use alloc::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::core::{
    Ack, Action, Actions, Append, ConfigError, Event, Outcome, ReplicationConfig, ReplicationCoordinator, SpaceConfig,
    SpaceOpened,
};
use crate::types::entry::chain_start;
use crate::types::message::{Message, SpaceEpoch};
use crate::types::{
    ClusterId, Control, Entry, Epoch, EpochHistory, Incarnation, LinkId, NodeId, Position, RequestId, SpaceId,
    SpaceName, Time, WalEntryType,
};
use crate::wire::{self, WriteBuffer};

/// The parts that are measured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The primary's core: appends, completions, acks.
    Primary,
    /// Messages of the primary turned into bytes.
    Encode,
    /// A replica's core: bytes turned into messages and verified, batches placed, completions.
    Replica,
    /// What comes by the clock in any of the cores, whatever is appended: timers, heartbeats and their echoes.
    Upkeep,
    /// What a replica sends turned into bytes.
    EncodeAck,
}

/// Measures what a part does.
pub trait Meter {
    /// Does the work and measures it.
    fn measure(&mut self, part: Part, work: impl FnOnce());
}

/// What happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Appends that were answered.
    pub answered: u64,
    /// Batches with entries that the primary sent, to both replicas together.
    pub batches: u64,
    /// Writes that the primary ordered of its disk.
    pub primary_writes: u64,
    /// Writes that the replicas ordered of theirs, together.
    pub replica_writes: u64,
}

impl Counts {
    /// What happened since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            answered: self.answered - before.answered,
            batches: self.batches - before.batches,
            primary_writes: self.primary_writes - before.primary_writes,
            replica_writes: self.replica_writes - before.replica_writes,
        }
    }
}

/// A primary, two replicas and what is under way between them.
///
/// Disks confirm at once, links deliver at once and in order, and time moves only with [`Trio::turn`].
#[derive(Debug)]
pub struct Trio<M> {
    /// What measures; its results are read from here.
    pub meter: M,
    /// Whether the cores get their lists of entries back. They do, unless the lists themselves are to be counted.
    pub gives_back: bool,
    now: Time,
    name: SpaceName,
    space: SpaceId,
    cores: Vec<Core>,
    /// Who is at the other end of a link.
    ends: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    events: VecDeque<(Part, usize, Event)>,
    requests: u64,
    counts: Counts,
}

#[derive(Debug)]
struct Core {
    core: ReplicationCoordinator,
    actions: Actions,
    buffer: WriteBuffer,
    accepted: u64,
}

/// The primary; the replicas come after it.
const PRIMARY: usize = 0;
const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
/// Between two turns.
const TURN: Duration = Duration::from_millis(1);
/// Turns until all links are open and the primary takes appends.
const TURNS_TO_SETTLE: u32 = 1_000;

impl<M: Meter> Trio<M> {
    /// Three cores that have found each other; nothing of that was measured in vain: read the meter after it.
    ///
    /// # Errors
    /// Where the defaults of a node are out of their own bounds.
    pub fn settled(meter: M) -> Result<Self, ConfigError> {
        let (cluster, name) = (ClusterId([7; 16]), SpaceName::new("bench").expect("it is short and plain"));
        let mut trio = Self {
            meter,
            gives_back: true,
            now: Time(1_000),
            space: name.id(),
            name,
            cores: Vec::new(),
            ends: BTreeMap::new(),
            events: VecDeque::new(),
            requests: 0,
            counts: Counts::default(),
        };
        for (index, node) in NODES.into_iter().enumerate() {
            let peers = NODES.into_iter().filter(|&peer| peer != node).collect();
            let config = ReplicationConfig::new(node, cluster, Incarnation(u128::from(node.0).to_be_bytes()), peers);
            let core = ReplicationCoordinator::new(config)?;
            let (actions, buffer) = (Actions::new(), WriteBuffer::new());
            trio.cores.push(Core { core, actions, buffer, accepted: 0 });
            trio.happens(index, trio.opened(cluster));
        }
        trio.settle();
        for _ in 0..TURNS_TO_SETTLE {
            trio.turn(Vec::new());
        }
        Ok(trio)
    }

    /// What happened since the start.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Time moves on, these payloads are appended at [`Ack::Quorum`], and everything that follows happens.
    pub fn turn(&mut self, payloads: Vec<Bytes>) {
        self.now = self.now + TURN;
        for (index, core) in self.cores.iter().enumerate() {
            if core.core.next_wake().is_some_and(|wake| wake <= self.now) {
                self.events.push_back((Part::Upkeep, index, Event::TimerFired));
            }
        }
        self.settle();
        let mut appends = Vec::with_capacity(payloads.len());
        for payload in payloads {
            appends.push(self.append(payload));
        }
        let now = self.now;
        if let Some(Core { core, actions, .. }) = self.cores.get_mut(PRIMARY) {
            self.meter.measure(Part::Primary, || {
                for append in appends.drain(..) {
                    core.handle(now, append, actions);
                }
            });
        }
        self.route(PRIMARY);
        self.settle();
    }

    fn append(&mut self, payload: Bytes) -> Event {
        self.requests += 1;
        Event::Append(Append {
            space: self.space,
            request: RequestId(self.requests),
            payload,
            entry_type: WalEntryType::EpisodeStore,
            control: Control::user(),
            timestamp: 0,
            ack: Some(Ack::Quorum),
            timeout: None,
        })
    }

    fn opened(&self, cluster: ClusterId) -> Event {
        let space = self.space;
        let voters = NODES.to_vec();
        let primary = NodeId(1);
        Event::SpaceOpened(Box::new(SpaceOpened {
            name: self.name.clone(),
            config: SpaceConfig { ack: Ack::Quorum, ..SpaceConfig::new(primary, voters) },
            end: Position { chain: chain_start(cluster, space), ..Position::default() },
            history: EpochHistory::default(),
            starts: Vec::new(),
            promise: Epoch::ZERO,
            recovering: false,
        }))
    }

    fn settle(&mut self) {
        while let Some((part, index, event)) = self.events.pop_front() {
            let now = self.now;
            if let Some(Core { core, actions, .. }) = self.cores.get_mut(index) {
                self.meter.measure(part, || core.handle(now, event, actions));
            }
            self.route(index);
        }
    }

    /// Does what a core wants done.
    fn route(&mut self, index: usize) {
        let Some(core) = self.cores.get_mut(index) else { return };
        let mut actions = ::core::mem::take(&mut core.actions);
        let (ordered, spare) = actions.drain_beside_spare();
        for action in ordered {
            match action {
                Action::WalAppend { space, write, entries } => {
                    let writes = if index == PRIMARY {
                        &mut self.counts.primary_writes
                    } else {
                        &mut self.counts.replica_writes
                    };
                    *writes += 1;
                    let Position { epoch, sequence, .. } = entries.last().map(Entry::position).unwrap_or_default();
                    if self.gives_back {
                        spare.give_back(entries);
                    }
                    self.happens(index, Event::WalAppended { space, write, epoch, sequence });
                }
                Action::SaveVote { space, promise } => {
                    let votes = vec![SpaceEpoch { space, epoch: promise }];
                    self.happens(index, Event::VotesSaved { votes });
                }
                Action::SavePeer { peer, incarnation } => {
                    self.happens(index, Event::PeerSaved { peer, incarnation });
                }
                Action::Send { link, message } => {
                    self.send(index, link, &message);
                    if self.gives_back {
                        spare.extend(message.into_entries());
                    }
                }
                Action::Connect { link, peer } => self.connect(index, link, peer),
                Action::Reply { outcome: Outcome::Appended { .. }, .. } => self.counts.answered += 1,
                Action::Reply { .. }
                | Action::WalRead { .. }
                | Action::EndRecovering { .. }
                | Action::SalvageSave { .. }
                | Action::WalTruncate { .. }
                | Action::Close { .. }
                | Action::Notify(_)
                | Action::Halt => {}
            }
        }
        if let Some(core) = self.cores.get_mut(index) {
            core.actions = actions;
        }
    }

    fn happens(&mut self, index: usize, event: Event) {
        let part = if index == PRIMARY { Part::Primary } else { Part::Replica };
        self.events.push_back((part, index, event));
    }

    fn send(&mut self, index: usize, link: LinkId, message: &Message) {
        let Some(core) = self.cores.get_mut(index) else { return };
        let part = if index == PRIMARY { Part::Encode } else { Part::EncodeAck };
        if let Message::Batch(batch) = message
            && !batch.entries.is_empty()
        {
            self.counts.batches += 1;
        }
        let (buffer, mut bytes) = (&mut core.buffer, 0);
        self.meter.measure(part, || bytes = wire::encode(message, buffer));
        // As a connection reads it: into a piece of memory that is shared from the beginning.
        let mut stream = BytesMut::with_capacity(core.buffer.remaining());
        stream.put(&mut core.buffer);
        let stream = stream.split().freeze();
        if let Some(&(peer, end)) = self.ends.get(&(index, link)) {
            let event = Event::BytesReceived { link: end, bytes: stream };
            match message {
                Message::Heartbeat(_) | Message::Echo(_) | Message::Probe(_) | Message::ProbeEcho(_) => {
                    self.events.push_back((Part::Upkeep, peer, event))
                }
                Message::Hello(_)
                | Message::Welcome(_)
                | Message::Goodbye(_)
                | Message::SpaceHello(_)
                | Message::Batch(_)
                | Message::Ack(_)
                | Message::Refusal(_)
                | Message::VoteRequest(_)
                | Message::VoteAnswer(_)
                | Message::Detach(_) => self.happens(peer, event),
            }
        }
        self.happens(index, Event::LinkDrained { link, bytes });
    }

    fn connect(&mut self, index: usize, link: LinkId, peer: NodeId) {
        let Some(to) = NODES.iter().position(|&node| node == peer) else { return };
        let Some(core) = self.cores.get_mut(to) else { return };
        core.accepted += 1;
        let end = LinkId::accepted(core.accepted);
        self.ends.insert((index, link), (to, end));
        self.ends.insert((to, end), (index, link));
        self.happens(to, Event::LinkUp { link: end });
        self.happens(index, Event::LinkUp { link });
    }
}

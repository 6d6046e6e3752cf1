//! Connections: dialling, hello, silence, and bytes made messages.
//!
//! Each node dials each peer. Requests travel on the dialler's link, answers return on it.

mod beats;
mod sides;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::ToString;

use bytes::Bytes;

use crate::types::message::{CloseReason, Hello, Message, VERSION_MAX, VERSION_MIN};
use crate::types::{LinkId, NodeId, Time};
use crate::wire::{FrameDecoder, WireLimits};

use super::action::{Action, Actions};
use super::config::ReplicationConfig;
use super::notice::Notice;
use super::outbox::Outbox;
use super::peer::Peer;
use sides::{travels, unexpected};

/// Links that may be open beyond one per peer and direction: dialled by strangers, or not greeted yet.
const STRANGERS_MAX: usize = 64;

/// All links and peers of a node.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Links {
    pub(super) peers: BTreeMap<NodeId, Peer>,
    pub(super) links: BTreeMap<LinkId, Link>,
    dialled: u64,
    limits: WireLimits,
    /// What the spaces have to be told; taken out by the coordinator before `handle` returns.
    pub(super) changes: VecDeque<Change>,
    pub(super) outbox: Outbox,
    closed: bool,
}

/// A change that concerns the spaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// The dialled link to a peer passed its hello.
    Up { peer: NodeId, link: LinkId },
    /// The dialled link to a peer is gone, or could not be made.
    Down { peer: NodeId, reason: CloseReason },
    /// A link that a peer dialled is gone; when its last heartbeat came.
    Lost { link: LinkId, beat: Option<Time> },
    /// No heartbeat came for one shortest election time-out on a link that a peer dialled.
    Hushed,
    /// The peer has not echoed for so long that its echoes keep no lease.
    Stale,
}

#[derive(Debug, Clone, Hash)]
pub(super) struct Link {
    /// Whom it was dialled to, or who said hello on it.
    pub(super) peer: Option<NodeId>,
    pub(super) phase: Phase,
    decoder: FrameDecoder,
    /// When something last came, or before the link is open: since when it is waited for.
    pub(super) heard: Time,
    /// Bytes of batches that were sent and have not left.
    queued: u64,
    /// When the last heartbeat came.
    beat: Option<Time>,
    /// When heartbeats are missed; `None` while none is awaited, or where that was told.
    hush_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Dialled, not connected.
    Dialling,
    /// Connected, the hello or its answer is awaited.
    Greeting,
    /// The greeting is over, and it is not durable yet who the peer is.
    Learning {
        /// What both speak.
        version: u16,
    },
    /// Both know each other.
    Open,
}

/// A message of an open link, with who sent it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) peer: NodeId,
    pub(crate) link: LinkId,
    pub(crate) message: Message,
}

impl Links {
    pub(crate) fn new(config: &ReplicationConfig) -> Self {
        Self {
            peers: config.peers.iter().map(|&node| (node, Peer::new(node))).collect(),
            links: BTreeMap::new(),
            dialled: 0,
            limits: WireLimits::new(config.batch_bytes, config.entry_bytes_max),
            changes: VecDeque::new(),
            outbox: Outbox::default(),
            closed: false,
        }
    }

    pub(crate) fn peer(&self, node: NodeId) -> Option<&Peer> {
        self.peers.get(&node)
    }

    pub(crate) fn peer_mut(&mut self, node: NodeId) -> Option<&mut Peer> {
        self.peers.get_mut(&node)
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// The open link that this node dialled to the peer.
    pub(crate) fn open_to(&self, peer: NodeId) -> Option<LinkId> {
        let link = self.peers.get(&peer)?.dialled?;
        (self.links.get(&link)?.phase == Phase::Open).then_some(link)
    }

    /// Whether the link passed its hello and is not closed.
    pub(crate) fn is_open(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|link| link.phase == Phase::Open)
    }

    /// The next change that the spaces have to be told.
    pub(crate) fn take_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// A dialled link is connected, or a peer connected.
    pub(crate) fn up(&mut self, now: Time, id: LinkId, config: &ReplicationConfig, actions: &mut Actions) {
        if id.is_accepted() {
            self.accepted(now, id, actions);
            return;
        }
        let Some(link) = self.links.get_mut(&id).filter(|link| link.phase == Phase::Dialling) else { return };
        let Some(to) = link.peer else { return };
        link.phase = Phase::Greeting;
        link.heard = now;
        let hello = Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            cluster: config.cluster,
            from: config.node,
            to,
            incarnation: config.incarnation,
        };
        actions.push(Action::Send { link: id, message: Message::Hello(hello) });
    }

    fn accepted(&mut self, now: Time, id: LinkId, actions: &mut Actions) {
        let limit = 2 * self.peers.len() + STRANGERS_MAX;
        let refusal = if self.closed {
            Some(CloseReason::Shutdown)
        } else if self.links.len() >= limit {
            Some(CloseReason::TooManyLinks { limit: limit as u64 })
        } else {
            None
        };
        if let Some(reason) = refusal {
            actions.push(Action::Close { link: id, reason: reason.clone() });
            actions.push(Action::Notify(Notice::LinkClosed { link: id, peer: None, reason, by_us: true }));
            return;
        }
        let decoder = FrameDecoder::new(self.limits);
        self.links.insert(
            id,
            Link { peer: None, phase: Phase::Greeting, decoder, heard: now, queued: 0, beat: None, hush_at: None },
        );
    }

    /// The driver says that a link is gone, or was never made.
    pub(crate) fn down(
        &mut self,
        now: Time,
        id: LinkId,
        reason: CloseReason,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) {
        self.forget(now, id, reason, false, config, actions);
    }

    /// Closes a link with a reason that the peer is told as well.
    pub(crate) fn close(
        &mut self,
        now: Time,
        id: LinkId,
        reason: CloseReason,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) {
        let Some(link) = self.links.get(&id) else { return };
        if link.phase != Phase::Dialling {
            actions.push(Action::Send { link: id, message: Message::Goodbye(reason.clone()) });
        }
        actions.push(Action::Close { link: id, reason: reason.clone() });
        self.forget(now, id, reason, true, config, actions);
    }

    fn forget(
        &mut self,
        now: Time,
        id: LinkId,
        reason: CloseReason,
        by_us: bool,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) {
        let Some(link) = self.links.remove(&id) else { return };
        if id.is_accepted() && link.peer.is_some() {
            self.changes.push_back(Change::Lost { link: id, beat: link.beat });
        }
        let notice = Notice::LinkClosed { link: id, peer: link.peer, reason: reason.clone(), by_us };
        actions.push(Action::Notify(notice));
        let Some(peer) = link.peer.and_then(|node| self.peers.get_mut(&node)) else { return };
        if peer.accepted == Some(id) {
            peer.accepted = None;
        }
        if peer.dialled == Some(id) {
            peer.waiting.clear();
            (peer.echoed, peer.stale_at) = (None, None);
            peer.dial_failed(now, config, actions);
            if self.closed {
                peer.dial_at = None;
            }
            self.changes.push_back(Change::Down { peer: peer.node, reason });
        }
    }

    /// A piece of a link's stream.
    pub(crate) fn push(&mut self, now: Time, id: LinkId, bytes: Bytes) {
        if let Some(link) = self.links.get_mut(&id) {
            // A greeting has one time-out as a whole: whoever trickles its bytes does not hold a place for ever.
            if link.phase == Phase::Open {
                link.heard = now;
            }
            link.decoder.push(bytes);
        }
    }

    /// The next message of an open link. Hello, welcome and goodbye are dealt with here.
    pub(crate) fn next_message(
        &mut self,
        now: Time,
        id: LinkId,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) -> Option<Received> {
        loop {
            let link = self.links.get_mut(&id)?;
            let message = match link.decoder.next_in(&mut actions.spare) {
                Ok(message) => message?,
                Err(error) => {
                    self.close(now, id, CloseReason::BadFrame(error.to_string()), config, actions);
                    return None;
                }
            };
            let (phase, peer) = (link.phase, link.peer);
            let outcome = match (message, phase, peer) {
                (Message::Goodbye(reason), _, _) => {
                    actions.push(Action::Close { link: id, reason: reason.clone() });
                    self.forget(now, id, reason, false, config, actions);
                    return None;
                }
                (Message::Hello(hello), Phase::Greeting, _) if id.is_accepted() => {
                    self.greeted(now, id, &hello, config, actions)
                }
                (Message::Welcome(welcome), Phase::Greeting, Some(peer)) if !id.is_accepted() => {
                    self.welcomed(now, id, peer, &welcome, config, actions)
                }
                (message, Phase::Open, Some(peer)) if travels(&message, id) => {
                    return Some(Received { peer, link: id, message });
                }
                (message, phase, _) => Err(unexpected(&message, phase, id)),
            };
            if let Err(reason) = outcome {
                self.close(now, id, reason, config, actions);
                return None;
            }
        }
    }

    /// A batch of this size was sent on the link.
    pub(crate) fn queued(&mut self, id: LinkId, bytes: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.queued = link.queued.saturating_add(bytes);
        }
    }

    /// Whether the link takes another batch now.
    pub(crate) fn has_room(&self, id: LinkId, config: &ReplicationConfig) -> bool {
        self.links.get(&id).is_some_and(|link| link.queued < config.link_bulk_bytes)
    }

    /// Bytes have left; says which peer's link has room for bulk again.
    ///
    /// Control frames drain too and are not told apart, so a queue may be taken for shorter than it is by the few
    /// bytes of control frames among the bulk; it is right again whenever it is empty.
    pub(crate) fn drained(&mut self, id: LinkId, bytes: u64, config: &ReplicationConfig) -> Option<NodeId> {
        // Bulk goes out on dialled links only: what leaves on others makes room for nothing.
        let link = self.links.get_mut(&id).filter(|_| !id.is_accepted())?;
        link.queued = link.queued.saturating_sub(bytes);
        (link.queued < config.link_bulk_bytes).then_some(link.peer)?
    }

    /// Dials, gives up and half-opens whatever is due.
    pub(crate) fn tick(&mut self, now: Time, config: &ReplicationConfig, actions: &mut Actions) {
        while let Some((id, reason)) = self
            .links
            .iter()
            .find_map(|(&id, link)| (link.heard + link.patience(config) <= now).then(|| (id, link.impatience(config))))
        {
            self.close(now, id, reason, config, actions);
        }
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        for link in self.links.values_mut().filter(|link| due(link.hush_at)) {
            link.hush_at = None;
            self.changes.push_back(Change::Hushed);
        }
        for peer in self.peers.values_mut() {
            if due(peer.stale_at) {
                peer.stale_at = None;
                self.changes.push_back(Change::Stale);
            }
            if peer.breaker.poll(now) {
                actions.push(Action::Notify(Notice::BreakerHalfOpened { space: None, peer: peer.node }));
            }
            if self.closed || peer.dial_at.is_none_or(|at| at > now) {
                continue;
            }
            self.dialled += 1;
            let id = LinkId::dialled(self.dialled);
            peer.dial_at = None;
            peer.dialled = Some(id);
            let decoder = FrameDecoder::new(self.limits);
            let link = Link {
                peer: Some(peer.node),
                phase: Phase::Dialling,
                decoder,
                heard: now,
                queued: 0,
                beat: None,
                hush_at: None,
            };
            self.links.insert(id, link);
            actions.push(Action::Connect { link: id, peer: peer.node });
        }
    }

    /// Closes everything for good.
    pub(crate) fn shutdown(&mut self, now: Time, config: &ReplicationConfig, actions: &mut Actions) {
        self.closed = true;
        while let Some((&id, _)) = self.links.first_key_value() {
            self.close(now, id, CloseReason::Shutdown, config, actions);
        }
        for peer in self.peers.values_mut() {
            peer.dial_at = None;
        }
    }

    /// The earliest deadline.
    pub(crate) fn next_wake(&self, config: &ReplicationConfig) -> Option<Time> {
        let silences = self.links.values().map(|link| link.heard + link.patience(config));
        let dials = self.peers.values().filter_map(|peer| peer.dial_at);
        let heartbeats = self.peers.values().filter_map(|peer| peer.heartbeat_at);
        let breakers = self.peers.values().filter_map(|peer| peer.breaker.wake());
        let hushes = self.links.values().filter_map(|link| link.hush_at);
        let stale = self.peers.values().filter_map(|peer| peer.stale_at);
        silences.chain(dials).chain(heartbeats).chain(breakers).chain(hushes).chain(stale).min()
    }
}

impl Link {
    /// How long the link may be silent.
    fn patience(&self, config: &ReplicationConfig) -> core::time::Duration {
        match self.phase {
            Phase::Dialling => config.connect_timeout(),
            Phase::Greeting | Phase::Learning { .. } | Phase::Open => config.link_silence(),
        }
    }

    /// What is said of it when it was silent for longer.
    fn impatience(&self, config: &ReplicationConfig) -> CloseReason {
        let millis = crate::types::time::millis_up(self.patience(config));
        match self.phase {
            Phase::Dialling => CloseReason::ConnectTimeout { millis },
            Phase::Greeting | Phase::Learning { .. } | Phase::Open => CloseReason::Silent { millis },
        }
    }
}

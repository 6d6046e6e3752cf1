//! The pure machine over all spaces.

mod shutdown;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::types::message::{CloseReason, Echo, Heartbeat, Message, SpaceCommit};
use crate::types::{LinkId, NodeId, Sequence, SpaceId, Time};
use crate::wire::HEARTBEAT_COMMITS_MAX;

use super::action::{Action, Actions, AppendError, Outcome};
use super::config::{ConfigError, ReplicationConfig};
use super::context::Context;
use super::event::{Append, Command, Event};
use super::link::{Change, Links, Received};
use super::state::{ClientRead, ReadUntil, ReplicationState};
use super::status::{NodeStatus, SpaceStatus};
use super::timer::Wakes;
use shutdown::answer_late;

/// Spaces that one event wakes at most; the others follow with the next.
const WAKES_MAX: usize = 256;

/// The pure machine over all spaces of a node: events in, actions out.
///
/// It is driven by a host that keeps five rules: known peers are told, then every space is opened (or reported as failed),
/// before anything else is handed in; completions come for every action that has one; [`Event::TimerFired`] comes when
/// [`Self::next_wake`] is due; bytes of a link come in order; time never goes back.
#[derive(Debug, Clone, Hash)]
pub struct ReplicationCoordinator {
    config: ReplicationConfig,
    spaces: BTreeMap<SpaceId, ReplicationState>,
    pub(super) links: Links,
    wakes: Wakes,
    /// When the node stops waiting for appends under way; `None` while it does not shut down.
    shutdown: Option<Time>,
    halted: bool,
}

impl ReplicationCoordinator {
    /// A node that has not opened any space.
    ///
    /// # Errors
    /// The first value of the configuration that cannot be.
    pub fn new(config: ReplicationConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let links = Links::new(&config);
        Ok(Self { config, spaces: BTreeMap::new(), links, wakes: Wakes::default(), shutdown: None, halted: false })
    }

    /// Takes what has happened at `now`, adds what is to be done behind what `actions` holds. It cannot fail.
    ///
    /// # Panics
    /// Where an invariant of the core itself does not hold: a bug, never an outside fault.
    pub fn handle(&mut self, now: Time, event: Event, actions: &mut Actions) {
        if self.halted {
            answer_late(&event, actions);
            return;
        }
        match event {
            Event::SpaceOpened(opened) => {
                let state = ReplicationState::open(*opened, &mut self.context(now, actions));
                self.insert(state);
            }
            Event::SpaceOpenFailed { name, config, error } => {
                let state = ReplicationState::failed(name, config, error, &mut self.context(now, actions));
                self.insert(state);
            }
            Event::WalAppended { space, write, epoch, sequence } => {
                self.with(now, space, actions, |state, context| state.wal_appended(write, epoch, sequence, context));
            }
            Event::WalRead { space, read, entries } => {
                self.with(now, space, actions, |state, context| state.wal_read(read, entries, context));
            }
            Event::VotesSaved { votes } => {
                for vote in votes {
                    self.with(now, vote.space, actions, |state, context| state.vote_saved(vote.epoch, context));
                }
            }
            Event::PeersKnown { peers } => self.links.peers_known(&peers),
            Event::PeerSaved { peer, incarnation } => {
                self.links.peer_saved(now, peer, incarnation, &self.config, actions);
            }
            Event::SalvageSaved { space, write } => {
                self.with(now, space, actions, |state, context| state.salvage_saved(write, context));
            }
            Event::WalTruncated { space, write } => {
                self.with(now, space, actions, |state, context| state.wal_truncated(write, context));
            }
            Event::StorageFailed { space, operation, error } => {
                self.with(now, space, actions, |state, context| state.storage_failed(operation, error, context));
            }
            Event::BytesReceived { link, bytes } => {
                self.links.push(now, link, bytes);
                while let Some(received) = self.links.next_message(now, link, &self.config, actions) {
                    self.message(now, received, actions);
                }
            }
            Event::LinkUp { link } => self.links.up(now, link, &self.config, actions),
            Event::LinkDrained { link, bytes } => self.drained(now, link, bytes, actions),
            Event::LinkDown { link, reason } => self.links.down(now, link, reason, &self.config, actions),
            Event::Applied { space, sequence } => {
                self.with(now, space, actions, |state, _| state.applied(sequence));
            }
            Event::TimerFired => self.tick(now, actions),
            Event::Append(append) => self.append(now, append, actions),
            Event::Command(command) => self.command(now, command, actions),
        }
        self.tell_changes(now, actions);
        self.links.flush(now, actions);
        self.finish_shutdown(now, actions);
    }

    /// When [`Event::TimerFired`] is due; `None` while nothing is.
    #[must_use]
    pub fn next_wake(&self) -> Option<Time> {
        if self.halted {
            return None;
        }
        let links = self.links.next_wake(&self.config);
        links.into_iter().chain(self.wakes.next()).chain(self.shutdown).min()
    }

    /// What the node says of itself.
    #[must_use]
    pub fn status(&self, now: Time) -> NodeStatus {
        let peers = self.links.peers().map(|peer| (peer.node, self.links.open_to(peer.node).is_some())).collect();
        let spaces: Vec<SpaceStatus> =
            self.spaces.values().map(|state| state.status(now, &self.links, &self.config)).collect();
        NodeStatus { node: self.config.node, peers, spaces }
    }

    /// The numbers that the node runs with.
    #[must_use]
    pub fn config(&self) -> &ReplicationConfig {
        &self.config
    }

    /// A digest of the whole state: equal states have equal digests on every machine and in every process.
    ///
    /// It walks the whole state; meant for tests and recorders.
    #[must_use]
    pub fn state_digest(&self) -> u64 {
        let mut hasher = siphasher::sip::SipHasher13::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    fn context<'a>(&'a mut self, now: Time, actions: &'a mut Actions) -> Context<'a> {
        Context { now, config: &self.config, links: &mut self.links, actions }
    }

    fn insert(&mut self, mut state: ReplicationState) {
        let (space, wake) = (state.space, state.wake(&self.links, &self.config));
        self.wakes.set(space, &mut state.indexed, wake);
        let before = self.spaces.insert(space, state);
        assert!(before.is_none(), "a space is opened once per start");
    }

    /// Hands a space to `act`, and keeps its deadline in the index. `None` where the space is not there.
    pub(super) fn with<T>(
        &mut self,
        now: Time,
        space: SpaceId,
        actions: &mut Actions,
        act: impl FnOnce(&mut ReplicationState, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let state = self.spaces.get_mut(&space)?;
        let mut context = Context { now, config: &self.config, links: &mut self.links, actions };
        state.refresh(&mut context);
        let result = act(state, &mut context);
        state.refresh(&mut context);
        let wake = state.wake(&self.links, &self.config);
        self.wakes.set(space, &mut state.indexed, wake);
        Some(result)
    }

    fn message(&mut self, now: Time, received: Received, actions: &mut Actions) {
        let Received { peer, link, message } = received;
        let (space, result) = match message {
            Message::SpaceHello(hello) => {
                let space = hello.space;
                let known = hello.name.id() == space;
                let hear =
                    |state: &mut ReplicationState, context: &mut Context<'_>| state.space_hello(peer, &hello, context);
                (space, if known { self.with(now, space, actions, hear) } else { None })
            }
            Message::Batch(batch) => {
                let space = batch.header.space;
                (space, self.with(now, space, actions, |state, context| state.batch(peer, link, batch, context)))
            }
            Message::Ack(ack) => {
                (ack.space, self.with(now, ack.space, actions, |state, context| state.ack((peer, link), &ack, context)))
            }
            Message::Refusal(refusal) => {
                let handled =
                    self.with(now, refusal.space, actions, |state, context| state.refusal(peer, &refusal, context));
                (refusal.space, handled.map(Ok))
            }
            Message::Heartbeat(heartbeat) => return self.heartbeat(now, link, heartbeat, actions),
            Message::Echo(echo) => return self.echo(now, peer, &echo, actions),
            Message::VoteRequest(request) => match self.vote_request(now, (peer, link), &request, actions) {
                Ok(()) => return,
                Err((space, reason)) => (space, Some(Err(reason))),
            },
            Message::VoteAnswer(answer) => return self.vote_answer(now, peer, &answer, actions),
            Message::Probe(probe) => return self.probe(now, link, &probe, actions),
            Message::ProbeEcho(echo) => return self.probe_echo(now, peer, &echo, actions),
            Message::Detach(detach) => return self.detach(now, (peer, link), &detach, actions),
            // The links deal with these three themselves.
            Message::Hello(_) | Message::Welcome(_) | Message::Goodbye(_) => return,
        };
        let reason = match result {
            Some(Ok(())) => return,
            Some(Err(reason)) => reason,
            None => CloseReason::UnknownSpace { space },
        };
        self.links.close(now, link, reason, &self.config, actions);
    }

    fn heartbeat(&mut self, now: Time, link: LinkId, heartbeat: Heartbeat, actions: &mut Actions) {
        self.links.heartbeat_heard(now, link, &self.config);
        let mut commits: Vec<SpaceCommit> = Vec::with_capacity(heartbeat.commits.len());
        for commit in heartbeat.commits {
            let known = self.with(now, commit.space, actions, |state, context| state.heartbeat(commit, context));
            commits.extend(known.flatten());
        }
        self.links.flush(now, actions);
        actions.push(Action::Send { link, message: Message::Echo(Echo { sent: heartbeat.sent, commits }) });
    }

    fn echo(&mut self, now: Time, peer: NodeId, echo: &Echo, actions: &mut Actions) {
        self.links.echo_heard(now, peer, echo.sent, &self.config);
        for &known in &echo.commits {
            self.with(now, known.space, actions, |state, _| state.echoed(peer, known));
        }
    }

    fn drained(&mut self, now: Time, link: LinkId, bytes: u64, actions: &mut Actions) {
        let Some(node) = self.links.drained(link, bytes, &self.config) else { return };
        // Each space that waits gets one turn: what it cannot ship puts it behind the others again.
        let turns = self.links.peer(node).map_or(0, |peer| peer.waiting.len());
        for _ in 0..turns {
            if !self.links.has_room(link, &self.config) {
                return;
            }
            let Some(space) = self.links.peer_mut(node).and_then(|peer| peer.waiting.pop_front()) else { return };
            self.with(now, space, actions, |state, context| state.room(node, context));
        }
    }

    fn append(&mut self, now: Time, append: Append, actions: &mut Actions) {
        let (space, request) = (append.space, append.request);
        let fail = |error| Action::Reply { request, outcome: Outcome::Failed(error) };
        if self.shutdown.is_some() {
            actions.push(fail(AppendError::Shutdown));
            return;
        }
        let Some(state) = self.spaces.get_mut(&space) else {
            actions.push(fail(AppendError::UnknownSpace { space }));
            return;
        };
        state.append(append, &mut Context { now, config: &self.config, links: &mut self.links, actions });
        // An append brings no deadline but its own: those of the replicas are not looked at for every entry.
        let wake = state.wake_of_appends();
        self.wakes.set(space, &mut state.indexed, wake);
    }

    fn command(&mut self, now: Time, command: Command, actions: &mut Actions) {
        match command {
            Command::Read { space, request, from, entries_max, bytes_max } => {
                let read = ClientRead { request, until: ReadUntil::Commit };
                self.read(now, space, read, from, (entries_max, bytes_max), actions);
            }
            Command::ReadDurable { space, request, from, entries_max, bytes_max } => {
                let read = ClientRead { request, until: ReadUntil::Durable };
                self.read(now, space, read, from, (entries_max, bytes_max), actions);
            }
            Command::WaitFor { space, request, token, timeout } => {
                let deadline = now + timeout;
                let done =
                    self.with(now, space, actions, |state, context| state.wait_for(request, token, deadline, context));
                if done.is_none() {
                    let outcome = Outcome::Failed(AppendError::UnknownSpace { space });
                    actions.push(Action::Reply { request, outcome });
                }
            }
            Command::PauseReplica { space, replica } => {
                self.with(now, space, actions, |state, context| state.pause(replica, true, context));
            }
            Command::OpenEpoch { space } => {
                self.with(now, space, actions, ReplicationState::open_next_epoch);
            }
            Command::Ready { space, epoch } => {
                self.with(now, space, actions, |state, context| state.engine_ready(epoch, context));
            }
            Command::Promote { space, request, by } => {
                if self.with(now, space, actions, |state, context| state.promote(request, by, context)).is_none() {
                    let outcome = Outcome::Failed(AppendError::UnknownSpace { space });
                    actions.push(Action::Reply { request, outcome });
                }
            }
            Command::ResumeReplica { space, replica } => {
                self.with(now, space, actions, |state, context| state.pause(replica, false, context));
            }
            Command::Shutdown => {
                self.shutdown.get_or_insert(now + self.config.shutdown_drain);
            }
        }
    }

    fn read(
        &mut self,
        now: Time,
        space: SpaceId,
        read: ClientRead,
        from: Sequence,
        limits: (u32, u64),
        actions: &mut Actions,
    ) {
        let done = self.with(now, space, actions, |state, context| state.read(read, from, limits, context));
        if done.is_none() {
            let outcome = Outcome::Failed(AppendError::UnknownSpace { space });
            actions.push(Action::Reply { request: read.request, outcome });
        }
    }

    fn tick(&mut self, now: Time, actions: &mut Actions) {
        self.links.tick(now, &self.config, actions);
        // Before the spaces act: nothing is to be shipped on a link that was closed just now.
        self.tell_changes(now, actions);
        for _ in 0..WAKES_MAX {
            let Some(space) = self.wakes.pop(now) else { break };
            if let Some(state) = self.spaces.get_mut(&space) {
                state.indexed = None;
            }
            self.with(now, space, actions, ReplicationState::tick);
        }
        // A heartbeat speaks for every attached space: first all whose lease runs out now are detached.
        if self.wakes.next().is_none_or(|next| next > now) {
            self.links.flush(now, actions);
            self.send_heartbeats(now, actions);
        }
    }

    fn send_heartbeats(&mut self, now: Time, actions: &mut Actions) {
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        loop {
            let node = self.links.peers().find(|peer| due(peer.heartbeat_at)).map(|peer| peer.node);
            let Some(node) = node else { return };
            let Some(link) = self.links.open_to(node) else { return };
            let Some(peer) = self.links.peer_mut(node) else { return };
            peer.heartbeat_at = Some(now + self.config.heartbeat_interval);
            let turns = peer.unconfirmed.len().min(HEARTBEAT_COMMITS_MAX);
            let named: Vec<SpaceId> = peer.unconfirmed.drain(..turns).collect();
            let mut commits = Vec::with_capacity(named.len());
            for space in named {
                let commit = self.spaces.get_mut(&space).and_then(|state| state.unconfirmed(node));
                if let Some(commit) = commit
                    && let Some(peer) = self.links.peer_mut(node)
                {
                    commits.push(commit);
                    peer.unconfirmed.push_back(space);
                }
            }
            actions.push(Action::Send { link, message: Message::Heartbeat(Heartbeat { sent: now, commits }) });
        }
    }

    /// Tells every space of links that opened or went.
    fn tell_changes(&mut self, now: Time, actions: &mut Actions) {
        while let Some(change) = self.links.take_change() {
            for state in self.spaces.values_mut() {
                let mut context = Context { now, config: &self.config, links: &mut self.links, actions };
                match &change {
                    Change::Up { peer, link } => state.link_changed(*peer, Ok(*link), &mut context),
                    Change::Down { peer, reason } => state.link_changed(*peer, Err(reason), &mut context),
                    Change::Lost { link, beat } => state.link_lost(*link, *beat),
                    Change::Hushed | Change::Stale => {}
                }
                state.refresh(&mut context);
                let wake = state.wake(&self.links, &self.config);
                self.wakes.set(state.space, &mut state.indexed, wake);
            }
        }
    }
}

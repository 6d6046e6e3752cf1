//! The primary's part: it opens an epoch, takes appends, commits by majority, and answers at each level.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::types::entry::StartBody;
use crate::types::message::{CloseReason, Refusal, ReplicationAck, SpaceCommit};
use crate::types::{
    Control, Entry, Epoch, LinkId, NodeId, ReadId, RequestId, Sequence, SpaceId, SpaceName, Time, WalEntryType,
};

use super::action::{Action, AppendError, Outcome};
use super::config::{Ack, SpaceConfig};
use super::context::Context;
use super::event::Append;
use super::exposure::Exposure;
use super::lease::Lease;
use super::log::Log;
use super::members::to_be_named;
use super::notice::Notice;
use super::waiting::{self, Waiter, Waiting, token};
use super::wal_shipper::{Shipped, WalShipper};

/// The primary's part in a space.
#[derive(Debug, Clone, Hash)]
pub(super) struct Primary {
    pub(super) space: SpaceId,
    /// The voters in force: those of the replicas that are not among them are learners.
    pub(super) voters: Vec<NodeId>,
    /// What the epoch's first entry says.
    body: StartBody,
    pub(super) ack: Ack,
    pub(super) phase: Phase,
    /// Whether the engine is ready for appends.
    ready: bool,
    pub(super) lease: Lease,
    pub(super) shipper: WalShipper,
    pub(super) waiting: Waiting,
    pub(super) exposure: Exposure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// The epoch's first entry is not durable yet.
    Starting { start: Sequence },
    /// Appends are taken. Only entries from `start` on commit by being counted (S10).
    Open { start: Sequence },
}

/// What an epoch begins with.
#[derive(Debug)]
pub(super) struct Begins {
    pub(super) epoch: Epoch,
    /// When its votes were asked for.
    pub(super) asked: Time,
    /// Who votes in it.
    pub(super) voters: Vec<NodeId>,
    /// The epoch of the last forced start, which may be this one.
    pub(super) lineage: Epoch,
}

impl Primary {
    /// The primary of an epoch.
    pub(super) fn new(
        name: SpaceName,
        Begins { epoch, asked, voters, lineage }: Begins,
        config: &SpaceConfig,
        log: &Log,
        context: &Context<'_>,
    ) -> Self {
        let space = name.id();
        let node = context.config.node;
        let replicas = config.voters.iter().copied().filter(|&voter| voter != node);
        let mut shipper = WalShipper::new(name, (epoch, lineage), context.origin(space), log, replicas, context.now);
        for progress in &mut shipper.replicas {
            progress.attach(context.links.open_to(progress.node), log.end());
        }
        let phase = Phase::Starting { start: log.end().sequence.next() };
        let (ready, lease) = (!config.readiness_gate, Lease::new());
        shipper.floor = asked;
        let exposure = Exposure::new(voters.len(), config);
        let limit = exposure.limit(context.config).unwrap_or_default();
        let named = to_be_named(&voters, &config.voters);
        let body = StartBody { exposure_bytes_max: limit, lineage, voters: named };
        let (ack, waiting) = (config.ack, Waiting::default());
        Self { space, voters, body, ack, phase, ready, lease, shipper, waiting, exposure }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.shipper.epoch
    }

    /// Whether appends are taken.
    pub(super) fn is_open(&self) -> bool {
        match self.phase {
            Phase::Open { .. } => self.ready,
            Phase::Starting { .. } => false,
        }
    }

    /// The engine says that it is ready; says whether appends are taken by that.
    pub(super) fn engine_ready(&mut self, epoch: Epoch) -> bool {
        let before = self.is_open();
        self.ready |= epoch == self.epoch();
        self.is_open() && !before
    }

    /// Appends that wait for their answers, those without a place in the log among them.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.count() + self.exposure.held()
    }

    /// When an append is answered.
    pub(super) fn level(&self, append: &Append) -> Ack {
        append.ack.unwrap_or(self.ack)
    }

    /// Writes the epoch's first entry, and tells every replica who the primary is.
    pub(super) fn start(&mut self, log: &mut Log, commit: Sequence, context: &mut Context<'_>) {
        let body = self.body.payload(log.end().sequence.next());
        let timestamp = context.config.clock_origin.saturating_add(context.now.0.saturating_mul(1_000));
        let entry = Entry::following(
            &log.end(),
            self.epoch(),
            WalEntryType::Checkpoint,
            Control::epoch_start(),
            timestamp,
            body,
        );
        self.shipper.append_entry(entry.clone());
        log.push(entry);
        log.write(context.now, context.actions);
        if self.may_ship() {
            self.shipper.ship_all(Shipped { log, commit }, context);
        }
    }

    /// A client's append.
    pub(super) fn append(&mut self, append: Append, log: &mut Log, context: &mut Context<'_>) {
        if let Err(error) = self.check(&append, log, context) {
            context.push(Action::Reply { request: append.request, outcome: Outcome::Failed(error) });
            return;
        }
        let deadline = waiting::deadline(context.now + append.timeout.unwrap_or(context.config.append_timeout));
        if self.holds_back(&append, context) {
            self.hold(append, deadline, context);
        } else {
            self.place(append, deadline, log, context);
            log.write(context.now, context.actions);
        }
    }

    /// Gives an append its place in the log.
    pub(super) fn place(&mut self, append: Append, deadline: Time, log: &mut Log, context: &Context<'_>) {
        let level = self.level(&append);
        let Append { request, payload, entry_type, control, timestamp, .. } = append;
        let payload_bytes = payload.len() as u64;
        let entry = Entry::following(&log.end(), self.epoch(), entry_type, control, timestamp, payload);
        let token = token(self.space, entry.position());
        self.waiting.push(level, Waiter { request, token, deadline, bytes: entry.size() as u64 });
        if level == Ack::Local {
            self.exposure.note_placed(token.sequence, payload_bytes, context.now);
        }
        self.shipper.append_entry(entry.clone());
        log.push(entry);
    }

    fn check(&self, append: &Append, log: &Log, context: &Context<'_>) -> Result<(), AppendError> {
        if !self.is_open() {
            return Err(AppendError::NotReady);
        }
        if append.control.kind != Control::USER {
            return Err(AppendError::ReservedControl { found: append.control.kind });
        }
        if self.level(append) == Ack::Local && self.is_isolated() {
            return Err(AppendError::Isolated);
        }
        self.has_replicas(self.level(append))?;
        let (expected, found) = (context.config.entry_bytes_max, append.payload.len() as u64);
        if found > expected {
            return Err(AppendError::TooLarge { expected, found });
        }
        // What waits for the disk counts as well: its clients may have timed out long ago.
        let waiting = self.waiting.count().max(log.undurable_entries()) + self.exposure.held();
        let bytes = self.waiting.bytes().max(log.undurable_bytes()) + self.exposure.held_bytes();
        if waiting >= context.config.append_entries_max || bytes >= context.config.append_bytes_max {
            return Err(AppendError::Overloaded { waiting, bytes });
        }
        Ok(())
    }

    /// The log is durable further than `from`, the promise up to `saved`; says whether the epoch is open by that.
    pub(super) fn durable(
        &mut self,
        from: Sequence,
        saved: Epoch,
        log: &Log,
        commit: &mut Sequence,
        context: &mut Context<'_>,
    ) -> bool {
        let opens = match self.phase {
            Phase::Starting { start } if log.durable() >= start && self.may_open(saved) => {
                self.phase = Phase::Open { start };
                self.ready
            }
            Phase::Starting { .. } | Phase::Open { .. } => false,
        };
        self.shipper.note_durable(from, log.durable(), context.now);
        self.advance(log, commit, context);
        if self.may_ship() {
            self.shipper.ship_all(Shipped { log, commit: *commit }, context);
        }
        // Also where no replica answers for hours; after shipping, so that what is new need not be read again.
        self.shipper.trim(log, context.config);
        opens
    }

    /// A replica's ack.
    pub(super) fn acked(
        &mut self,
        node: NodeId,
        ack: &ReplicationAck,
        log: &Log,
        commit: &mut Sequence,
        context: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        self.shipper.acked(node, ack, log, context)?;
        self.advance(log, commit, context);
        self.ship(node, log, *commit, context);
        Ok(())
    }

    /// A replica's refusal.
    pub(super) fn refused(
        &mut self,
        node: NodeId,
        refusal: &Refusal,
        log: &Log,
        commit: Sequence,
        context: &mut Context<'_>,
    ) {
        self.shipper.refused(node, refusal, log, context);
        self.ship(node, log, commit, context);
    }

    /// Ships to one replica what may be shipped, and judges how it does.
    pub(super) fn ship(&mut self, node: NodeId, log: &Log, commit: Sequence, context: &mut Context<'_>) {
        if self.may_ship() {
            self.shipper.ship(node, Shipped { log, commit }, context);
        }
        self.shipper.measure(node, log, context);
    }

    /// The link to a replica has room for bulk again.
    pub(super) fn room(&mut self, node: NodeId, log: &Log, commit: Sequence, context: &mut Context<'_>) {
        if let Some(progress) = self.shipper.replica_mut(node) {
            progress.waits_for_room = false;
        }
        self.ship(node, log, commit, context);
    }

    /// The link to a replica is open, or gone.
    pub(super) fn link_changed(
        &mut self,
        node: NodeId,
        link: Result<LinkId, &CloseReason>,
        log: &Log,
        commit: Sequence,
        context: &mut Context<'_>,
    ) {
        self.shipper.link_changed(node, link.ok(), log);
        if let Some(progress) = self.shipper.replica_mut(node)
            && link.is_ok()
            && progress.breaker.linked()
        {
            context.notify(Notice::BreakerHalfOpened { space: Some(self.space), peer: node });
        }
        if let Err(reason) = link {
            if let Some(progress) = self.shipper.replica_mut(node) {
                progress.failure = reason.to_string();
            }
            if *reason == (CloseReason::UnknownSpace { space: self.space }) {
                self.shipper.unknown_there(node, context);
            }
        }
        self.ship(node, log, commit, context);
    }

    /// Entries were read for a replica.
    pub(super) fn read(
        &mut self,
        read: ReadId,
        entries: Vec<Entry>,
        log: &Log,
        commit: Sequence,
        context: &mut Context<'_>,
    ) {
        if let Some(node) = self.shipper.read(read, entries, log, context) {
            self.ship(node, log, commit, context);
        }
    }

    /// What a heartbeat tells the peer; `None` where it has confirmed everything.
    pub(super) fn unconfirmed(&mut self, node: NodeId, commit: Sequence) -> Option<SpaceCommit> {
        let (space, epoch) = (self.space, self.epoch());
        // Without a lease no heartbeat speaks for the space; the next commit names it again.
        let leased = self.is_leased();
        let progress = self.shipper.replica_mut(node)?;
        progress.unconfirmed = leased && progress.commit < commit;
        progress.unconfirmed.then_some(SpaceCommit { space, epoch, commit })
    }

    /// The peer's answer to a heartbeat.
    pub(super) fn echoed(&mut self, node: NodeId, known: SpaceCommit, commit: Sequence) {
        if known.epoch == self.epoch()
            && let Some(progress) = self.shipper.replica_mut(node)
        {
            progress.commit = progress.commit.max(known.commit.min(commit));
        }
    }

    /// Stops shipping to a replica, or begins again.
    pub(super) fn pause(&mut self, node: NodeId, paused: bool, log: &Log, commit: Sequence, context: &mut Context<'_>) {
        if let Some(progress) = self.shipper.replica_mut(node) {
            progress.paused = paused;
        }
        self.ship(node, log, commit, context);
    }

    /// Deadlines have come.
    pub(super) fn tick(&mut self, log: &Log, commit: Sequence, context: &mut Context<'_>) {
        let mut expired = Vec::new();
        self.waiting.expire(context.now, |waiter| expired.push(waiter));
        for waiter in expired {
            self.unknown(&waiter, log, context);
        }
        self.expire_held(context);
        self.probe(context);
        self.shipper.tick(self.may_ship(), Shipped { log, commit }, context);
    }

    /// Answers a read from memory, where the entries are there.
    pub(super) fn read_tail(
        &self,
        request: RequestId,
        from: Sequence,
        to: Sequence,
        limits: (u32, u64),
    ) -> Option<Action> {
        if from < self.shipper.tail.first() {
            return None;
        }
        let (entries_max, bytes_max) = limits;
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        for entry in self.shipper.tail.range(from, to).take(usize::try_from(entries_max).unwrap_or(usize::MAX)) {
            bytes += entry.size() as u64;
            if !entries.is_empty() && bytes > bytes_max {
                break;
            }
            entries.push(entry.clone());
        }
        Some(Action::Reply { request, outcome: Outcome::Entries { entries, commit: to } })
    }

    /// When time alone makes a difference.
    pub(super) fn wake(&self) -> Option<Time> {
        let replicas = self.shipper.replicas.iter().filter_map(super::progress::ReplicaProgress::wake);
        replicas.chain(self.waiting.wake()).chain(self.exposure.wake()).min()
    }
}

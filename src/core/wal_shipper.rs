//! The primary's side of a space: what is durable here is shipped to the replicas, and their answers make the commit.

mod failures;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::types::message::{
    CloseReason, Message, ReplicationAck, ReplicationBatch, ReplicationBatchHeader, SpaceHello,
};
use crate::types::{Entry, Epoch, LinkId, NodeId, Position, Sequence, SpaceId, SpaceName, Time};

use super::action::Action;
use super::catchup::fill;
use super::config::ReplicationConfig;
use super::context::Context;
use super::lag_monitor::{DurableMarks, Measured};
use super::link::Links;
use super::log::Log;
use super::notice::Notice;
use super::progress::{InFlight, Mode, ReplicaProgress};
use super::tail::Tail;

/// Ships a space's log to its replicas.
#[derive(Debug, Clone, Hash)]
pub(super) struct WalShipper {
    pub(super) space: SpaceId,
    name: SpaceName,
    pub(super) epoch: Epoch,
    /// The epoch of the last forced start, which may be this one.
    pub(super) lineage: Epoch,
    /// The entry before the first: the chain's start.
    origin: Position,
    pub(super) tail: Tail,
    pub(super) marks: DurableMarks,
    /// By node.
    pub(super) replicas: Vec<ReplicaProgress>,
    pub(super) read_counter: u64,
    /// Echoes of what was sent before count for no lease: whoever gave them may have been released since.
    pub(super) floor: Time,
}

/// Where a primary's own log stands, as shipping needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shipped<'a> {
    pub(super) log: &'a Log,
    pub(super) commit: Sequence,
}

impl WalShipper {
    pub(super) fn new(
        name: SpaceName,
        (epoch, lineage): (Epoch, Epoch),
        origin: Position,
        log: &Log,
        replicas: impl Iterator<Item = NodeId>,
        now: Time,
    ) -> Self {
        let end = log.end();
        Self {
            space: name.id(),
            name,
            epoch,
            lineage,
            origin,
            tail: Tail::new(end),
            marks: DurableMarks::new(end.sequence, now),
            replicas: replicas.map(|node| ReplicaProgress::new(node, end)).collect(),
            read_counter: 0,
            floor: Time::ZERO,
        }
    }

    /// An entry was appended; it is shipped once it is durable.
    pub(super) fn append_entry(&mut self, entry: Entry) {
        self.tail.push(entry);
    }

    /// The position of the last durable entry: the tail always reaches down to it.
    fn durable_end(&self, log: &Log) -> Position {
        self.tail.position(log.durable()).unwrap_or_else(|| log.end())
    }

    /// The primary's log is durable further than `from`: lag counts from now on.
    pub(super) fn note_durable(&mut self, from: Sequence, durable: Sequence, now: Time) {
        self.marks.push(durable, self.tail.bytes(from.next(), durable), now);
    }

    /// Ships to everybody what may be shipped.
    pub(super) fn ship_all(&mut self, shipped: Shipped<'_>, context: &mut Context<'_>) {
        for index in 0..self.replicas.len() {
            let Some(node) = self.replicas.get(index).map(|progress| progress.node) else { break };
            self.ship(node, shipped, context);
            self.measure(node, shipped.log, context);
        }
    }

    pub(super) fn replica(&self, node: NodeId) -> Option<&ReplicaProgress> {
        self.replicas.iter().find(|progress| progress.node == node)
    }

    pub(super) fn replica_mut(&mut self, node: NodeId) -> Option<&mut ReplicaProgress> {
        find(&mut self.replicas, node)
    }

    /// Ships to one replica what may be shipped.
    pub(super) fn ship(&mut self, node: NodeId, shipped: Shipped<'_>, context: &mut Context<'_>) {
        let probe_at = self.durable_end(shipped.log);
        let Some(progress) = find(&mut self.replicas, node) else { return };
        // Set again where a batch goes on filling: kept while nothing may be shipped, it would wake for ever.
        progress.batch_due = None;
        let Some(link) = progress.link else { return };
        if progress.paused || !progress.breaker.allows() {
            return;
        }
        if progress.mode == (Mode::Probe { sent: true }) {
            return;
        }
        if !progress.named {
            let (name, end) = (self.name.clone(), shipped.log.durable());
            (progress.named, progress.named_end) = (true, end);
            let hello = SpaceHello { space: self.space, name, epoch: self.epoch, end };
            context.push(Action::Send { link, message: Message::SpaceHello(hello) });
        }
        if progress.mode == (Mode::Probe { sent: false }) {
            progress.mode = Mode::Probe { sent: true };
            let before = match progress.before {
                Some(before) if !progress.in_flight.is_empty() => before,
                _ => {
                    progress.next = probe_at.sequence.next();
                    progress.before = Some(probe_at);
                    probe_at
                }
            };
            self.send(node, link, before, Vec::new(), shipped.commit, context);
            return;
        }
        while self.ship_one(node, link, shipped, context) {}
    }

    /// Ships one batch, or says that none may be shipped now.
    fn ship_one(&mut self, node: NodeId, link: LinkId, shipped: Shipped<'_>, context: &mut Context<'_>) -> bool {
        let durable = shipped.log.durable();
        let Some(progress) = find(&mut self.replicas, node) else { return false };
        if progress.next > durable {
            progress.unsent_since = None;
            return false;
        }
        let batches = u32::try_from(progress.in_flight.len()).unwrap_or(u32::MAX);
        if batches >= context.config.window_batches || progress.in_flight_bytes >= context.config.window_bytes {
            return false;
        }
        if !context.links.has_room(link, context.config) {
            if !progress.waits_for_room
                && let Some(peer) = context.links.peer_mut(node)
            {
                progress.waits_for_room = true;
                peer.waiting.push_back(self.space);
            }
            return false;
        }
        let (first, busy) = (progress.next, batches > 0);
        let since = *progress.unsent_since.get_or_insert(context.now);
        if first < self.tail.first() {
            return self.ship_read(node, link, shipped, context);
        }
        let entries = durable.above(first.previous());
        let full = entries >= u64::from(context.config.batch_entries)
            || self.tail.bytes(first, durable) >= context.config.batch_bytes;
        let due = since + context.config.batch_delay;
        if busy && !full && due > context.now {
            progress.batch_due = Some(due);
            return false;
        }
        let Some(before) = progress.before.or_else(|| self.before(first)) else {
            return self.ship_read(node, link, shipped, context);
        };
        let entries = fill(self.tail.range(first, durable), context);
        if let Some(progress) = find(&mut self.replicas, node) {
            // What was read for it and is in memory as well is not needed any more.
            progress.held = VecDeque::new();
        }
        self.send(node, link, before, entries, shipped.commit, context);
        true
    }

    /// The entry before `sequence`, where its position is in memory.
    pub(super) fn before(&self, sequence: Sequence) -> Option<Position> {
        if sequence.previous() == Sequence::ZERO { Some(self.origin) } else { self.tail.position(sequence.previous()) }
    }

    /// Sends a batch and notes it as under way.
    pub(super) fn send(
        &mut self,
        node: NodeId,
        link: LinkId,
        previous: Position,
        entries: Vec<Entry>,
        commit: Sequence,
        context: &mut Context<'_>,
    ) {
        let Some(progress) = find(&mut self.replicas, node) else { return };
        let sent = context.now;
        let header = ReplicationBatchHeader {
            space: self.space,
            epoch: self.epoch,
            lineage: self.lineage,
            previous,
            commit,
            sent,
        };
        if let Some(last) = entries.last() {
            let bytes = entries.iter().map(|entry| entry.size() as u64).sum();
            progress.in_flight.push_back(InFlight { last: last.header.sequence(), bytes });
            progress.in_flight_bytes += bytes;
            progress.next = last.header.sequence().next();
            progress.before = Some(last.position());
            progress.unsent_since = None;
        }
        progress.batches_sent += 1;
        progress.answer_due.get_or_insert(context.now + context.config.retransmit_after);
        let batch = ReplicationBatch { header, entries };
        context.links.queued(link, crate::wire::batch_frame_size(&batch));
        context.push(Action::Send { link, message: Message::Batch(batch) });
    }

    /// A replica's ack. The caller then looks for a new commit.
    ///
    /// # Errors
    /// Why the link is closed: the ack cannot be.
    pub(super) fn acked(
        &mut self,
        node: NodeId,
        ack: &ReplicationAck,
        log: &Log,
        context: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let Some(progress) = find(&mut self.replicas, node) else { return Ok(()) };
        if ack.epoch != self.epoch {
            return Ok(());
        }
        if ack.durable > log.durable() || ack.applied > ack.durable || ack.commit > log.durable() {
            return Err(CloseReason::Unexpected {
                expected: format!("an ack of at most {}", log.durable()),
                found: format!("durable {} applied {} commit {}", ack.durable, ack.applied, ack.commit),
            });
        }
        let oldest = self.marks.at(progress.durable.next());
        let moved = progress.acked(ack.durable);
        progress.recovering = ack.recovering;
        progress.applied = progress.applied.max(ack.applied);
        progress.commit = progress.commit.max(ack.commit);
        // A refusal of something older than what this answers is overtaken by it.
        progress.rewound_at = progress.rewound_at.max(ack.echo);
        progress.mode = Mode::Stream;
        progress.heard(ack.echo.min(context.now), self.floor);
        // After a new link nothing is in flight, though the replica may still owe the ack of what it is writing.
        let owes = !progress.in_flight.is_empty() || progress.durable < progress.next.previous();
        // Who has all that the hello named and still waits for one did not get it.
        let unheard = ack.recovering && ack.durable >= progress.named_end;
        progress.named &= !unheard;
        let owes = owes || unheard;
        progress.answer_due = owes.then_some(context.now + context.config.retransmit_after);
        contact(self.space, progress, context);
        if moved {
            let lag_us = crate::types::time::micros(context.now.since(oldest));
            let notice = Notice::ReplicaAcked { space: self.space, replica: node, durable: ack.durable, lag_us };
            context.notify(notice);
        }
        self.trim(log, context.config);
        Ok(())
    }

    /// Drops what every replica has, and what does not fit into the tail.
    pub(super) fn trim(&mut self, log: &Log, config: &ReplicationConfig) {
        let needless = self.replicas.iter().map(|progress| progress.durable).min().unwrap_or(log.durable());
        self.tail.trim(needless, log.durable(), config.tail_bytes);
        self.marks.trim(needless);
    }

    /// The link to a replica is open, or gone.
    pub(super) fn link_changed(&mut self, node: NodeId, link: Option<LinkId>, log: &Log) {
        let end = self.durable_end(log);
        if let Some(progress) = find(&mut self.replicas, node) {
            progress.attach(link, end);
        }
    }

    /// Asks a replica where it stands before anything else is sent to it.
    pub(super) fn ask_anew(&mut self, node: NodeId, log: &Log) {
        let end = self.durable_end(log);
        if let Some(progress) = find(&mut self.replicas, node) {
            progress.ask_anew(end);
        }
    }

    /// Answers that are overdue, breakers that half-open, batches that waited long enough.
    /// `leased`: whether anything may be shipped.
    pub(super) fn tick(&mut self, leased: bool, shipped: Shipped<'_>, context: &mut Context<'_>) {
        for index in 0..self.replicas.len() {
            let Some(progress) = self.replicas.get_mut(index) else { break };
            let node = progress.node;
            if progress.breaker.poll(context.now) {
                let notice = Notice::BreakerHalfOpened { space: Some(self.space), peer: node };
                context.notify(notice);
            }
            let overdue = progress.link.is_some() && progress.answer_due.is_some_and(|due| due <= context.now);
            if overdue && !leased {
                // Without a lease nothing is sent that would be answered.
                progress.answer_due = None;
            } else if overdue {
                progress.batches_failed += 1;
                let words = format!("no answer within {} ms", context.config.retransmit_after.as_millis());
                self.failed(node, words, shipped.log, context);
            }
            if leased {
                self.ship(node, shipped, context);
            }
            self.measure(node, shipped.log, context);
        }
    }

    /// Judges how a replica does.
    pub(super) fn measure(&mut self, node: NodeId, log: &Log, context: &mut Context<'_>) {
        let Some(progress) = self.replica(node) else { return };
        let measured = self.measured(progress, log, context.now, context.links, context.config);
        let space = self.space;
        let Some(progress) = find(&mut self.replicas, node) else { return };
        progress.monitor.update(context.now, space, node, &measured, context.config, context.actions);
    }

    /// What the status of a replica follows from.
    pub(super) fn measured(
        &self,
        progress: &ReplicaProgress,
        log: &Log,
        now: Time,
        links: &Links,
        config: &ReplicationConfig,
    ) -> Measured {
        let dials = links.peer(progress.node).map_or(0, |peer| peer.breaker.failures());
        let limit = config.pool.max_retries;
        let failed = if progress.breaker.failures() >= limit {
            Some(in_a_row(progress.breaker.failures(), &progress.failure))
        } else if dials >= limit {
            Some(in_a_row(dials, &progress.failure))
        } else {
            None
        };
        let lag = self.marks.lag(progress.durable, log.durable(), now);
        Measured { lag, oldest: self.marks.at(progress.durable.next()), failed }
    }
}

/// The replica of that node. Not a method: the shipper's other fields stay free.
pub(super) fn find(replicas: &mut [ReplicaProgress], node: NodeId) -> Option<&mut ReplicaProgress> {
    replicas.iter_mut().find(|progress| progress.node == node)
}

/// So many failures, and what the last one was; a primary that was just elected has seen none itself.
fn in_a_row(count: u32, last: &str) -> String {
    if last.is_empty() { format!("{count} failures in a row") } else { format!("{count} failures in a row: {last}") }
}

/// The replica answered: its failures are forgotten.
fn contact(space: SpaceId, progress: &mut ReplicaProgress, context: &mut Context<'_>) {
    if progress.breaker.contact() {
        context.notify(Notice::BreakerClosed { space: Some(space), peer: progress.node });
    }
}

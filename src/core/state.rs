//! One space: its log, its promise, its commit, and the part that this node plays in it.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::types::message::{CloseReason, Refusal, RefusalReason, ReplicationAck, ReplicationBatch, SpaceCommit};
use crate::types::{Entry, Epoch, LinkId, NodeId, ReadId, RequestId, Sequence, SpaceId, SpaceName, Time, WriteId};

use super::action::{Action, Outcome};
use super::config::SpaceConfig;
use super::context::Context;
use super::event::{SpaceOpened, StorageError, StorageOperation};
use super::log::Log;
use super::notice::{Notice, StopReason};
use super::primary::Primary;
use super::receiver::{Placed, Receiver, refuse};
use super::status::Role;
use super::token_wait::TokenWaits;

/// Reads of clients that may be under way in a space.
pub(super) const CLIENT_READS_MAX: usize = 256;

/// One space on this node.
#[derive(Debug, Clone, Hash)]
pub struct ReplicationState {
    pub(super) name: SpaceName,
    pub(super) space: SpaceId,
    pub(super) config: SpaceConfig,
    pub(super) log: Log,
    /// The highest epoch promised: it binds from the moment it is decided.
    pub(super) promise: Epoch,
    /// The highest promise that is durable: acks of an epoch wait for it.
    pub(super) promise_saved: Epoch,
    pub(super) commit: Sequence,
    pub(super) part: Part,
    /// Reads under way for clients, in the order of their numbers.
    pub(super) reads: Vec<(ReadId, ClientRead)>,
    pub(super) read_counter: u64,
    pub(super) waits: TokenWaits,
    /// What the engine applied; `None` where no engine tells.
    pub(super) engine: Option<Sequence>,
    /// Where the space stands in the coordinator's index of deadlines.
    pub(super) indexed: Option<Time>,
}

/// A read of a client.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct ClientRead {
    pub(super) request: RequestId,
    pub(super) until: ReadUntil,
}

/// How far a client may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ReadUntil {
    /// What is committed, and durable here.
    Commit,
    /// What is durable here.
    Durable,
}

/// What this node is in a space.
#[derive(Debug, Clone, Hash)]
pub(super) enum Part {
    Primary(Box<Primary>),
    Replica(Receiver),
    Stopped(StopReason),
}

impl ReplicationState {
    /// The space as recovery found it. A configured primary begins to open its epoch.
    pub(super) fn open(opened: SpaceOpened, context: &mut Context<'_>) -> Self {
        let space = opened.name.id();
        let log = Log::new(space, opened.end, opened.history);
        let mut state = Self {
            name: opened.name,
            space,
            config: opened.config,
            log,
            promise: opened.promise,
            promise_saved: opened.promise,
            commit: Sequence::ZERO,
            part: Part::Replica(Receiver::default()),
            reads: Vec::new(),
            read_counter: 0,
            waits: TokenWaits::default(),
            engine: None,
            indexed: None,
        };
        if let Err(error) = state.config.validate(context.config) {
            state.stop(StopReason::Configuration(error), context);
        } else if state.config.primary == context.config.node {
            state.open_epoch(context);
        } else {
            state.tell_role(context);
        }
        state
    }

    /// A space whose log could not be opened.
    pub(super) fn failed(name: SpaceName, config: SpaceConfig, error: StorageError, context: &mut Context<'_>) -> Self {
        let space = name.id();
        let origin = context.origin(space);
        let reason = StopReason::Storage { operation: StorageOperation::Open, error };
        context.notify(Notice::SpaceStopped { space, reason: reason.clone() });
        Self {
            name,
            space,
            config,
            log: Log::new(space, origin, crate::types::EpochHistory::default()),
            promise: Epoch::ZERO,
            promise_saved: Epoch::ZERO,
            commit: Sequence::ZERO,
            part: Part::Stopped(reason),
            reads: Vec::new(),
            read_counter: 0,
            waits: TokenWaits::default(),
            engine: None,
            indexed: None,
        }
    }

    /// Takes a term above everything that was promised or logged, and makes the promise durable before anything else.
    pub(super) fn open_epoch(&mut self, context: &mut Context<'_>) {
        let highest = self.promise.max(self.log.end().epoch);
        let Some(epoch) = highest.next_for(context.config.node) else {
            self.stop(StopReason::TermsExhausted { last: highest }, context);
            return;
        };
        self.promise = epoch;
        context.push(Action::SaveVote { space: self.space, promise: epoch });
        match &mut self.part {
            Part::Primary(primary) => primary.reopen(epoch, &self.log, context),
            Part::Replica(_) => {
                let primary = Primary::new(self.name.clone(), epoch, &self.config, &self.log, context);
                self.part = Part::Primary(Box::new(primary));
            }
            Part::Stopped(_) => {}
        }
        self.tell_role(context);
    }

    pub(super) fn role(&self) -> Role {
        match &self.part {
            Part::Primary(primary) if primary.is_open() => Role::Primary,
            Part::Primary(_) => Role::Opening,
            Part::Replica(_) => Role::Replica,
            Part::Stopped(_) => Role::Stopped,
        }
    }

    /// The epoch in force, as far as this node knows.
    pub(super) fn epoch(&self) -> Epoch {
        match &self.part {
            Part::Primary(primary) => primary.epoch(),
            Part::Replica(receiver) => receiver.epoch(),
            Part::Stopped(_) => self.promise,
        }
    }

    pub(super) fn tell_role(&self, context: &mut Context<'_>) {
        context.notify(Notice::RoleChanged { space: self.space, role: self.role(), epoch: self.epoch() });
    }

    /// A promise is durable.
    pub(super) fn vote_saved(&mut self, promise: Epoch, context: &mut Context<'_>) {
        self.promise_saved = self.promise_saved.max(promise.min(self.promise));
        match &mut self.part {
            Part::Primary(primary) => primary.vote_saved(self.promise_saved, &mut self.log, context),
            Part::Replica(receiver) => {
                receiver.answer(self.space, self.promise_saved, self.commit, self.engine, &self.log, context);
            }
            Part::Stopped(_) => {}
        }
    }

    /// A write is durable.
    pub(super) fn wal_appended(&mut self, write: WriteId, epoch: Epoch, sequence: Sequence, context: &mut Context<'_>) {
        let before = self.log.durable();
        if !self.log.appended(write, epoch, sequence) {
            return;
        }
        match &mut self.part {
            Part::Primary(primary) => {
                let opens = primary.durable(before, &self.log, &mut self.commit, context);
                self.waits.answer(&self.log, self.commit, context);
                if opens {
                    self.tell_role(context);
                }
            }
            Part::Replica(receiver) => {
                receiver.durable(self.log.durable());
                receiver.answer(self.space, self.promise_saved, self.commit, self.engine, &self.log, context);
                self.waits.answer(&self.log, self.readable(ReadUntil::Commit), context);
            }
            Part::Stopped(_) => return,
        }
        self.log.write(context.actions);
    }

    /// A primary's batch.
    ///
    /// # Errors
    /// Why the link is closed.
    pub(super) fn batch(
        &mut self,
        peer: NodeId,
        link: LinkId,
        batch: ReplicationBatch,
        context: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let header = batch.header;
        if header.epoch.owner() != peer {
            return Err(CloseReason::Unexpected {
                expected: alloc::format!("an epoch of {peer}"),
                found: header.epoch.to_string(),
            });
        }
        if let Part::Stopped(reason) = &self.part {
            let reason = RefusalReason::Stopped { reason: reason.to_string() };
            refuse(link, &batch, reason, &self.log, context);
            return Ok(());
        }
        // Before the promise is looked at: two nodes that are both configured as the primary would outbid each other.
        let receiver = match &mut self.part {
            Part::Replica(receiver) if peer == self.config.primary => receiver,
            Part::Primary(_) | Part::Replica(_) | Part::Stopped(_) => {
                let reason = RefusalReason::NotPrimary { primary: self.config.primary };
                refuse(link, &batch, reason, &self.log, context);
                return Ok(());
            }
        };
        if header.epoch < self.promise {
            refuse(link, &batch, RefusalReason::Stale { promised: self.promise }, &self.log, context);
            return Ok(());
        }
        if header.epoch > self.promise {
            self.promise = header.epoch;
            context.push(Action::SaveVote { space: self.space, promise: header.epoch });
        }
        if header.epoch > receiver.epoch() {
            receiver.follow(header.epoch);
            context.notify(Notice::RoleChanged { space: self.space, role: Role::Replica, epoch: header.epoch });
        }
        let unplaced = ReplicationBatch { header, entries: Vec::new() };
        match receiver.place(link, batch, &mut self.log, context)? {
            Placed::Done => {
                let known =
                    receiver.commit(SpaceCommit { space: self.space, epoch: header.epoch, commit: header.commit });
                self.learn_commit(known, context);
                if let Part::Replica(receiver) = &mut self.part {
                    receiver.answer(self.space, self.promise_saved, self.commit, self.engine, &self.log, context);
                }
            }
            Placed::Diverged(at) => {
                refuse(link, &unplaced, RefusalReason::Diverged { at }, &self.log, context);
                self.stop(StopReason::Diverged { epoch: header.epoch, at, ours: self.log.end() }, context);
            }
        }
        Ok(())
    }

    /// A commit that a heartbeat carried; what is known now goes back.
    pub(super) fn heartbeat(&mut self, commit: SpaceCommit, context: &mut Context<'_>) -> SpaceCommit {
        if let Part::Replica(receiver) = &self.part {
            let known = receiver.commit(commit);
            self.learn_commit(known, context);
        }
        SpaceCommit { space: self.space, epoch: self.epoch(), commit: self.commit }
    }

    fn learn_commit(&mut self, commit: Sequence, context: &mut Context<'_>) {
        if commit > self.commit {
            self.commit = commit;
            context.notify(Notice::Committed { space: self.space, commit });
            self.waits.answer(&self.log, self.readable(ReadUntil::Commit), context);
        }
    }

    /// A replica's ack.
    ///
    /// # Errors
    /// Why the link is closed.
    pub(super) fn ack(
        &mut self,
        peer: NodeId,
        ack: &ReplicationAck,
        context: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match &mut self.part {
            Part::Primary(primary) => {
                primary.acked(peer, ack, &self.log, &mut self.commit, context)?;
                self.waits.answer(&self.log, self.commit, context);
                Ok(())
            }
            Part::Replica(_) | Part::Stopped(_) => Ok(()),
        }
    }

    /// A replica's refusal.
    pub(super) fn refusal(&mut self, peer: NodeId, refusal: &Refusal, context: &mut Context<'_>) {
        let Part::Primary(primary) = &mut self.part else { return };
        if let RefusalReason::Stale { promised } = refusal.reason {
            // Another node was the primary for a while: this one opens an epoch above that one's.
            if promised > self.promise && refusal.epoch == primary.epoch() && self.config.voters.contains(&peer) {
                self.promise = promised;
                self.open_epoch(context);
            }
            return;
        }
        primary.refused(peer, refusal, &self.log, self.commit, context);
    }

    /// The link to a replica is open (`Some`), or gone.
    pub(super) fn link_changed(&mut self, peer: NodeId, link: Result<LinkId, &CloseReason>, context: &mut Context<'_>) {
        if let Part::Primary(primary) = &mut self.part {
            primary.link_changed(peer, link, &self.log, self.commit, context);
        }
    }

    /// Entries were read.
    pub(super) fn wal_read(&mut self, read: ReadId, entries: Vec<Entry>, context: &mut Context<'_>) {
        if let Some(index) = self.reads.iter().position(|(id, _)| *id == read) {
            let (_, ClientRead { request, until }) = self.reads.remove(index);
            let commit = self.readable(until);
            let entries = entries.into_iter().take_while(|entry| entry.header.sequence() <= commit).collect();
            context.push(Action::Reply { request, outcome: Outcome::Entries { entries, commit } });
        } else if let Part::Primary(primary) = &mut self.part {
            primary.read(read, entries, &self.log, self.commit, context);
        }
    }

    /// The last entry that a client may read.
    pub(super) fn readable(&self, until: ReadUntil) -> Sequence {
        match until {
            ReadUntil::Commit => self.commit.min(self.log.durable()),
            ReadUntil::Durable => self.log.durable(),
        }
    }

    /// The storage failed: nothing more is acknowledged.
    pub(super) fn storage_failed(
        &mut self,
        operation: StorageOperation,
        error: StorageError,
        context: &mut Context<'_>,
    ) {
        self.stop(StopReason::Storage { operation, error }, context);
    }

    /// Stops the space on this node. Whoever waits is told what is known of their append.
    pub(super) fn stop(&mut self, reason: StopReason, context: &mut Context<'_>) {
        if let Part::Stopped(_) = self.part {
            return;
        }
        let first_unwritten = self.log.first_unwritten();
        let part = core::mem::replace(&mut self.part, Part::Stopped(reason.clone()));
        if let Part::Primary(mut primary) = part {
            primary.dismiss(first_unwritten, &reason, &self.log, context);
        }
        for (_, ClientRead { request, .. }) in self.reads.drain(..) {
            let outcome = Outcome::Failed(super::AppendError::Stopped(reason.clone()));
            context.push(Action::Reply { request, outcome });
        }
        self.waits.fail(&super::AppendError::Stopped(reason.clone()), context);
        self.log.abandon();
        self.indexed_role(reason, context);
    }

    fn indexed_role(&self, reason: StopReason, context: &mut Context<'_>) {
        context.notify(Notice::SpaceStopped { space: self.space, reason });
        self.tell_role(context);
    }

    /// When time alone makes a difference.
    pub(super) fn wake(&self) -> Option<Time> {
        let part = match &self.part {
            Part::Primary(primary) => primary.wake(),
            Part::Replica(_) | Part::Stopped(_) => None,
        };
        part.into_iter().chain(self.waits.wake()).min()
    }

    /// At or before the earliest deadline of the appends that wait.
    pub(super) fn wake_of_appends(&self) -> Option<Time> {
        match &self.part {
            Part::Primary(primary) => primary.waiting.wake(),
            Part::Replica(_) | Part::Stopped(_) => None,
        }
    }

    /// A deadline of the space has come.
    pub(super) fn tick(&mut self, context: &mut Context<'_>) {
        self.waits.expire(&self.log, self.readable(ReadUntil::Commit), context);
        if let Part::Primary(primary) = &mut self.part {
            primary.tick(&self.log, self.commit, context);
        }
    }
}

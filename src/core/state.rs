//! One space: its log, its promise, its commit, and the part that this node plays in it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::types::message::{CloseReason, Refusal, RefusalReason, ReplicationAck, SpaceEpoch};
use crate::types::{Entry, Epoch, LinkId, NodeId, ReadId, RequestId, Sequence, SpaceId, SpaceName, Time};

use super::action::{Action, Outcome};
use super::config::{ReplicationConfig, SpaceConfig};
use super::context::Context;
use super::divergence::{Divergence, Loss};
use super::event::{SpaceOpened, StorageError, StorageOperation};
use super::link::Links;
use super::log::Log;
use super::notice::{Notice, StopReason};
use super::primary::Primary;
use super::promotion::Election;
use super::receiver::Receiver;
use super::recovering::Recovering;
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
    pub(super) election: Election,
    /// The mending of a log that is not its primary's.
    pub(super) divergence: Option<Divergence>,
    /// What was truncated here and is not certain to be lost.
    pub(super) losses: Vec<Loss>,
    /// Whether it may lack what it acknowledged, and what it waits for then.
    pub(super) recovering: Option<Recovering>,
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
    /// The space as recovery found it. Who was the primary stands at once, everybody else waits for one.
    pub(super) fn open(opened: SpaceOpened, context: &mut Context<'_>) -> Self {
        let mut state = Self::of(opened, context.now);
        if let Err(error) = state.config.validate(context.config) {
            state.stop(StopReason::Configuration(error), context);
        } else {
            state.tell_recovering(context);
            state.promise_lineage(context);
            state.begin_election(context);
            if state.epoch() == Epoch::ZERO && !state.election.stands() {
                state.tell_role(context);
            }
        }
        state
    }

    /// A space whose log could not be opened.
    pub(super) fn failed(name: SpaceName, config: SpaceConfig, error: StorageError, context: &mut Context<'_>) -> Self {
        let (space, epoch) = (name.id(), Epoch::ZERO);
        let (end, history) = (context.origin(space), crate::types::EpochHistory::default());
        let reason = StopReason::Storage { operation: StorageOperation::Open, error };
        context.notify(Notice::SpaceStopped { space, reason: reason.clone() });
        let starts = Vec::new();
        let opened = SpaceOpened { name, config, end, history, starts, promise: epoch, recovering: false };
        Self { part: Part::Stopped(reason), ..Self::of(opened, context.now) }
    }

    /// The space before it has any part.
    fn of(opened: SpaceOpened, now: Time) -> Self {
        let space = opened.name.id();
        let log = Log::recovered(space, opened.end, opened.history, opened.starts);
        Self {
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
            election: Election::new(now),
            divergence: None,
            losses: Vec::new(),
            recovering: Recovering::begin(opened.recovering),
            engine: None,
            indexed: None,
        }
    }

    pub(super) fn role(&self) -> Role {
        match &self.part {
            Part::Primary(primary) if primary.is_open() => Role::Primary,
            Part::Primary(_) => Role::Opening,
            Part::Replica(_) if self.recovering.is_some() && !self.election.stands() => Role::Recovering,
            Part::Replica(_) if self.election.eager || self.election.stands() => Role::Candidate,
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

    /// A replica's ack.
    ///
    /// # Errors
    /// Why the link is closed.
    pub(super) fn ack(
        &mut self,
        (peer, link): (NodeId, LinkId),
        ack: &ReplicationAck,
        context: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        let speaks = match &mut self.part {
            Part::Primary(primary) if primary.epoch() == ack.epoch => {
                primary.acked(peer, ack, &self.log, &mut self.commit, context)?;
                primary.admit_held(&mut self.log, context);
                self.log.write(context.now, context.actions);
                let leased = primary.is_leased();
                self.waits.answer(&self.log, self.readable(ReadUntil::Commit), context);
                leased
            }
            Part::Primary(_) | Part::Replica(_) | Part::Stopped(_) => false,
        };
        if !speaks {
            // No heartbeat speaks for that epoch here. It was told so, but a frame that came late may have attached it
            // again since, and this node's heartbeats would keep it from electing another for ever.
            context.links.detach(link, SpaceEpoch { space: self.space, epoch: ack.epoch });
        }
        Ok(())
    }

    /// A replica's refusal.
    pub(super) fn refusal(&mut self, peer: NodeId, refusal: &Refusal, context: &mut Context<'_>) {
        let Part::Primary(primary) = &mut self.part else { return };
        if let RefusalReason::Stale { promised } = refusal.reason {
            // The voter can acknowledge nothing of this epoch any more, and may have voted for another primary. One that goes
            // by a forced start is of no more use, and that start may never come: the others go on without.
            let outbids = promised > self.promise && promised.generation() == self.promise.generation();
            if outbids && refusal.epoch == primary.epoch() && self.config.voters.contains(&peer) {
                self.outbid(promised, context);
            }
            return;
        }
        primary.refused(peer, refusal, &self.log, self.commit, context);
    }

    /// The link to a replica is open (`Some`), or gone.
    pub(super) fn link_changed(&mut self, peer: NodeId, link: Result<LinkId, &CloseReason>, context: &mut Context<'_>) {
        match &mut self.part {
            Part::Primary(primary) => primary.link_changed(peer, link, &self.log, self.commit, context),
            Part::Replica(_) => {
                if let Ok(link) = link {
                    self.voter_linked(peer, link, context);
                }
            }
            Part::Stopped(_) => {}
        }
    }

    /// A link that a peer dialled is gone; `beat` is when its last heartbeat came.
    pub(super) fn link_lost(&mut self, link: LinkId, beat: Option<Time>) {
        if let Part::Replica(receiver) = &mut self.part {
            receiver.lost(link, beat);
        }
    }

    /// Whether the disk has left a write unsynced for too long.
    pub(super) fn is_stalled(&self, context: &Context<'_>) -> bool {
        self.log.stalls_at(context.config.stall_limit).is_some_and(|at| at <= context.now)
    }

    /// What time alone changes, looked at before and after each event: a lease that ran out, a disk that stalls.
    pub(super) fn refresh(&mut self, context: &mut Context<'_>) {
        let stalls = self.is_stalled(context);
        match &mut self.part {
            Part::Primary(primary) => primary.refresh_lease(stalls, &self.log, &mut self.commit, context),
            Part::Replica(receiver) => {
                if let Some((link, epoch)) = receiver.stall(stalls) {
                    context.links.detach(link, SpaceEpoch { space: self.space, epoch });
                }
            }
            Part::Stopped(_) => {}
        }
        self.change_voters(context);
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

    /// Stops the space on this node. Whoever waits is told what is known of their append.
    pub(super) fn stop(&mut self, reason: StopReason, context: &mut Context<'_>) {
        if let Part::Stopped(_) = self.part {
            return;
        }
        let first_unwritten = self.log.first_unwritten();
        let part = core::mem::replace(&mut self.part, Part::Stopped(reason.clone()));
        self.leave_part(&part, context);
        if let Part::Primary(mut primary) = part {
            primary.dismiss(first_unwritten, &reason, &self.log, context);
        }
        for (_, ClientRead { request, .. }) in self.reads.drain(..) {
            let outcome = Outcome::Failed(super::AppendError::Stopped(reason.clone()));
            context.push(Action::Reply { request, outcome });
        }
        self.waits.fail(&super::AppendError::Stopped(reason.clone()), context);
        self.log.abandon();
        self.divergence = None;
        // The votes of an election under way may still come: they elect nobody here.
        self.election.withdraw();
        self.indexed_role(reason, context);
    }

    /// Tells whoever counts on this node's heartbeats or echoes that they do not hold for the space any more.
    fn leave_part(&self, part: &Part, context: &mut Context<'_>) {
        match part {
            Part::Primary(primary) => {
                let gone = SpaceEpoch { space: self.space, epoch: primary.epoch() };
                primary.shipper.replicas.iter().filter_map(|progress| progress.link).for_each(|link| {
                    context.links.detach(link, gone);
                });
            }
            Part::Replica(receiver) => {
                if let Some((link, epoch)) = receiver.attachment() {
                    context.links.detach(link, SpaceEpoch { space: self.space, epoch });
                }
            }
            Part::Stopped(_) => {}
        }
    }

    fn indexed_role(&self, reason: StopReason, context: &mut Context<'_>) {
        context.notify(Notice::SpaceStopped { space: self.space, reason });
        self.tell_role(context);
    }

    /// When time alone makes a difference.
    pub(super) fn wake(&self, links: &Links, config: &ReplicationConfig) -> Option<Time> {
        let part = match &self.part {
            Part::Primary(primary) => {
                primary.wake().into_iter().chain(primary.lease_wake(&self.log, links, config)).min()
            }
            Part::Replica(receiver) => {
                let stall = self.log.stalls_at(config.stall_limit).filter(|_| receiver.tells_stalls());
                self.election_wake(links, config).into_iter().chain(stall).chain(self.mend_at()).min()
            }
            Part::Stopped(_) => None,
        };
        part.into_iter().chain(self.waits.wake()).min()
    }

    /// At or before the earliest deadline of the appends that wait.
    pub(super) fn wake_of_appends(&self) -> Option<Time> {
        match &self.part {
            // One that is held back for its exposure has a deadline, too.
            Part::Primary(primary) => primary.waiting.wake().into_iter().chain(primary.exposure.wake()).min(),
            Part::Replica(_) | Part::Stopped(_) => None,
        }
    }

    /// A deadline of the space has come.
    pub(super) fn tick(&mut self, context: &mut Context<'_>) {
        self.waits.expire(&self.log, self.readable(ReadUntil::Commit), context);
        match &mut self.part {
            Part::Primary(primary) => {
                primary.tick(&self.log, self.commit, context);
                if primary.lease.look_at.is_some_and(|at| at <= context.now) {
                    primary.advance(&self.log, &mut self.commit, context);
                }
            }
            Part::Replica(_) => {
                self.mend(context);
                self.tick_election(context);
            }
            Part::Stopped(_) => {}
        }
    }
}

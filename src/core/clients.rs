//! What clients and operators want of a space.

use alloc::string::ToString;

use crate::types::message::{SpaceCommit, VoteRound};
use crate::types::{Epoch, NodeId, ReadId, RequestId, Sequence, Time, Token};

use super::action::{Action, AppendError, Outcome, PromotionError};
use super::config::ReplicationConfig;
use super::context::Context;
use super::event::Append;
use super::link::Links;
use super::state::{CLIENT_READS_MAX, ClientRead, Part, ReadUntil, ReplicationState};
use super::status::{Exposed, ReplicaView, Role, SpaceStatus};
use super::token_wait::reply;

impl ReplicationState {
    /// A client's append.
    pub(super) fn append(&mut self, append: Append, context: &mut Context<'_>) {
        if let Part::Primary(primary) = &mut self.part {
            return primary.append(append, &mut self.log, context);
        }
        let error = match (&self.part, self.role()) {
            (Part::Stopped(reason), _) => AppendError::Stopped(reason.clone()),
            (_, Role::Candidate) => AppendError::NotReady,
            (_, Role::Replica | Role::Recovering | Role::Opening | Role::Primary | Role::Stopped) => {
                let primary = self.primary_hint(context.now, context.links, context.config);
                primary.map_or(AppendError::NoPrimary, |primary| AppendError::NotPrimary { primary })
            }
        };
        context.push(Action::Reply { request: append.request, outcome: Outcome::Failed(error) });
    }

    /// A client reads entries.
    pub(super) fn read(&mut self, read: ClientRead, from: Sequence, limits: (u32, u64), context: &mut Context<'_>) {
        let ClientRead { request, until } = read;
        let fail = |error| Action::Reply { request, outcome: Outcome::Failed(error) };
        if let Part::Stopped(reason) = &self.part {
            context.push(fail(AppendError::Stopped(reason.clone())));
            return;
        }
        let (from, commit) = (from.max(Sequence(1)), self.readable(until));
        let limits =
            (limits.0.clamp(1, context.config.batch_entries.max(10_000)), limits.1.min(context.config.window_bytes));
        if from > commit {
            context
                .push(Action::Reply { request, outcome: Outcome::Entries { entries: alloc::vec::Vec::new(), commit } });
            return;
        }
        if let Part::Primary(primary) = &self.part
            && let Some(reply) = primary.read_tail(request, from, commit, limits)
        {
            context.push(reply);
            return;
        }
        if self.reads.len() >= CLIENT_READS_MAX {
            context.push(fail(AppendError::Overloaded { waiting: self.reads.len() as u64, bytes: 0 }));
            return;
        }
        // Clients' reads have even numbers, those for replicas odd ones.
        let number = ReadId(self.read_counter * 2);
        self.read_counter += 1;
        self.reads.push((number, read));
        let (entries_max, bytes_max) = limits;
        context.push(Action::WalRead { space: self.space, read: number, from, entries_max, bytes_max });
    }

    /// A client wants to know what became of an append, and waits for it until `deadline`.
    pub(super) fn wait_for(&mut self, request: RequestId, token: Token, deadline: Time, context: &mut Context<'_>) {
        // Who hears that an append is committed may read it here: what is not durable here is not readable yet.
        let readable = self.readable(ReadUntil::Commit);
        let result = if let Part::Stopped(reason) = &self.part {
            Err(AppendError::Stopped(reason.clone()))
        } else if token.sequence <= readable
            || self.log.history().epoch_at(readable) > token.epoch
            || deadline <= context.now
        {
            context.push(reply(request, token, &self.log, readable));
            Ok(())
        } else {
            self.waits.insert(request, token, deadline)
        };
        if let Err(error) = result {
            context.push(Action::Reply { request, outcome: Outcome::Failed(error) });
        }
    }

    /// Stops shipping to a replica, or begins again. It means nothing on a node that is not the primary.
    pub(super) fn pause(&mut self, replica: NodeId, paused: bool, context: &mut Context<'_>) {
        if let Part::Primary(primary) = &mut self.part {
            primary.pause(replica, paused, &self.log, self.commit, context);
        }
    }

    /// Opens an epoch above the one that is open here; means nothing on a node that is not the primary.
    ///
    /// It takes an election: another node may have opened one in between, and committed there.
    pub(super) fn open_next_epoch(&mut self, context: &mut Context<'_>) {
        if self.role() == Role::Primary {
            self.resign(context);
            self.stand(VoteRound::Vote, context);
        }
    }

    /// The engine is ready for the appends of this epoch.
    pub(super) fn engine_ready(&mut self, epoch: Epoch, context: &mut Context<'_>) {
        if let Part::Primary(primary) = &mut self.part
            && primary.engine_ready(epoch)
        {
            self.tell_role(context);
        }
    }

    /// An operator wants this node to be elected.
    pub(super) fn stand_as_told(&mut self, request: RequestId, context: &mut Context<'_>) {
        let outcome = match &self.part {
            Part::Stopped(reason) => Outcome::Failed(AppendError::Stopped(reason.clone())),
            Part::Primary(primary) => Outcome::Standing { epoch: primary.epoch() },
            Part::Replica(receiver) if self.hears_another(context.config.node, context) => {
                Outcome::Failed(PromotionError::PrimaryAlive { primary: receiver.epoch().owner() }.into())
            }
            Part::Replica(_) if !self.voters().contains(&context.config.node) => {
                Outcome::Failed(PromotionError::NotVoter { epoch: self.log.end().epoch }.into())
            }
            Part::Replica(_) if !self.is_of_generation() => {
                Outcome::Failed(PromotionError::OtherLineage { promise: self.promise }.into())
            }
            Part::Replica(_) if self.divergence.is_some() => Outcome::Failed(AppendError::NotReady),
            Part::Replica(_) => {
                self.election.eager = true;
                self.stand(VoteRound::PreVote, context);
                Outcome::Standing { epoch: self.election.asks_for().unwrap_or(self.promise) }
            }
        };
        context.push(Action::Reply { request, outcome });
    }

    /// The link to a replica has room for bulk again.
    pub(super) fn room(&mut self, node: NodeId, context: &mut Context<'_>) {
        if let Part::Primary(primary) = &mut self.part {
            primary.room(node, &self.log, self.commit, context);
        }
    }

    /// What a heartbeat to `node` says of the space; `None` where there is nothing to say.
    pub(super) fn unconfirmed(&mut self, node: NodeId) -> Option<SpaceCommit> {
        match &mut self.part {
            Part::Primary(primary) => primary.unconfirmed(node, self.commit),
            Part::Replica(_) | Part::Stopped(_) => None,
        }
    }

    /// What the peer answered to a heartbeat.
    pub(super) fn echoed(&mut self, node: NodeId, known: SpaceCommit) {
        if let Part::Primary(primary) = &mut self.part {
            primary.echoed(node, known, self.commit);
        }
    }

    /// The engine has applied everything up to `sequence`; less than before, where it takes back what was truncated.
    pub(super) fn applied(&mut self, sequence: Sequence) {
        self.engine = Some(sequence.min(self.commit));
    }

    /// Whether nothing is under way that a shutdown waits for.
    pub(super) fn is_settled(&self) -> bool {
        let waits = match &self.part {
            Part::Primary(primary) => primary.waiting() > 0,
            Part::Replica(_) => false,
            Part::Stopped(_) => return true,
        };
        self.log.is_settled() && !waits
    }

    /// The node shuts down: reads and waits under way fail.
    pub(super) fn release_reads(&mut self, context: &mut Context<'_>) {
        self.waits.fail(&AppendError::Shutdown, context);
        for (_, ClientRead { request, .. }) in self.reads.drain(..) {
            let outcome = Outcome::Failed(AppendError::Shutdown);
            context.push(Action::Reply { request, outcome });
        }
    }

    /// What the space says of itself.
    pub(super) fn status(&self, now: Time, links: &Links, config: &ReplicationConfig) -> SpaceStatus {
        let exposure = match &self.part {
            Part::Primary(primary) => primary.exposure.exposed(now, config),
            Part::Replica(_) | Part::Stopped(_) => Exposed::default(),
        };
        let (waiting, replicas, stopped) = match &self.part {
            Part::Primary(primary) => {
                let shipper = &primary.shipper;
                let views = shipper.replicas.iter().map(|progress| {
                    let measured = shipper.measured(progress, &self.log, now, links, config);
                    ReplicaView {
                        node: progress.node,
                        status: progress.monitor.status(),
                        reason: super::lag_monitor::reason(&measured),
                        durable: progress.durable,
                        applied: progress.applied,
                        lag: measured.lag,
                        connected: progress.link.is_some(),
                        paused: progress.paused,
                        recovering: progress.recovering,
                        batches_sent: progress.batches_sent,
                        batches_failed: progress.batches_failed,
                    }
                });
                (primary.waiting(), views.collect(), None)
            }
            Part::Replica(_) => (0, alloc::vec::Vec::new(), None),
            Part::Stopped(reason) => (0, alloc::vec::Vec::new(), Some(reason.to_string())),
        };
        SpaceStatus {
            space: self.space,
            name: self.name.clone(),
            role: self.role(),
            stopped,
            primary: self.primary_hint(now, links, config),
            leased: matches!(&self.part, Part::Primary(primary) if primary.is_leased()),
            epoch: self.epoch(),
            voters: self.voters().to_vec(),
            promise: self.promise,
            end: self.log.end().sequence,
            end_epoch: self.log.end().epoch,
            durable: self.log.durable(),
            commit: self.commit,
            applied: self.engine.unwrap_or_else(|| self.readable(ReadUntil::Commit)),
            waiting,
            exposure,
            replicas,
        }
    }
}

//! The lease: whether a majority of the voters echoed the primary lately.
//!
//! With a lease the primary ships and sends heartbeats; without one it only probes, and a majority of echoes of what it
//! sent since brings the lease back. Safety does not hang on it: it depends on clocks that run at about the same speed.

use crate::types::message::{ProbedSpace, SpaceEpoch};
use crate::types::{NodeId, Sequence, Time};

use super::action::AppendError;
use super::config::ReplicationConfig;
use super::context::Context;
use super::link::Links;
use super::log::Log;
use super::notice::Notice;
use super::primary::Primary;
use super::progress::ReplicaProgress;
use super::wal_shipper::Shipped;

/// What a primary knows of its lease.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Lease {
    pub(super) held: bool,
    /// Since when the lease is lost, or since when the own disk does not stall any more where that was later.
    pub(super) unheard: Time,
    stalled: bool,
    /// When the next probe leaves, while the lease is not held.
    pub(super) probe_at: Time,
    /// When it is looked again whether answers may leave that wait for a majority's stickiness.
    pub(super) look_at: Option<Time>,
}

impl Lease {
    /// The lease of a primary that was just elected: a grant is the first echo.
    pub(super) fn new() -> Self {
        Self { held: true, unheard: Time::ZERO, stalled: false, probe_at: Time::ZERO, look_at: None }
    }
}

/// Which echoes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Echoes {
    /// All: whoever gave them had promised no higher epoch.
    All,
    /// Those of voters that refuse every other candidate for an election time-out after them. A grant and the echo of a
    /// probe are not among them: their voter may grant another's vote in the next moment.
    Sticky,
}

impl Primary {
    /// Whether batches and heartbeats may leave.
    pub(super) fn is_leased(&self) -> bool {
        self.lease.held
    }

    /// Whether no other primary can have been elected since a majority echoed: only then an append is answered at a level
    /// that needs the majority.
    pub(super) fn is_followed(&self, context: &Context<'_>) -> bool {
        self.lease.held && self.until(Echoes::Sticky, context.links, context.config) > Some(context.now)
    }

    /// Until when this primary, leased or not any more, refuses every other candidate as its voters do.
    pub(super) fn sticky_until(&self, links: &Links, config: &ReplicationConfig) -> Time {
        let until = self.until(Echoes::All, links, config).unwrap_or_default();
        if until == Time::MAX { until } else { until + config.election_timeout_min.saturating_sub(config.lease()) }
    }

    /// Gives the lease up where it ran out or the disk stalls, takes it back where a majority echoed since.
    pub(super) fn refresh_lease(&mut self, stalled: bool, log: &Log, commit: &mut Sequence, context: &mut Context<'_>) {
        let holds = !stalled && self.until(Echoes::All, context.links, context.config) > Some(context.now);
        let (space, epoch) = (self.space, self.epoch());
        if core::mem::replace(&mut self.lease.stalled, stalled) && !stalled {
            self.lease.unheard = context.now;
        }
        match (self.lease.held, holds) {
            (true, false) => {
                (self.lease.held, self.lease.unheard) = (false, context.now);
                self.shipper.floor = Time(context.now.0 + 1);
                self.lease.probe_at = self.shipper.floor;
                self.release_replicas(log, context);
                context.notify(Notice::LeaseLost { space, epoch });
                if self.is_isolated() {
                    self.refuse_held(&AppendError::Isolated, context);
                }
            }
            (false, true) => {
                self.lease.held = true;
                self.ask_all_anew(log);
                context.notify(Notice::LeaseHeld { space, epoch });
                // Appends at Local may have waited for the lease alone.
                self.advance(log, commit, context);
                self.shipper.ship_all(Shipped { log, commit: *commit }, context);
            }
            (true, true) | (false, false) => {}
        }
    }

    /// Tells every replica that heartbeats do not hold for the space any more, and will ask each anew where it stands.
    pub(super) fn release_replicas(&mut self, log: &Log, context: &mut Context<'_>) {
        let (space, epoch) = (self.space, self.epoch());
        for index in 0..self.shipper.replicas.len() {
            let Some(progress) = self.shipper.replicas.get_mut(index) else { break };
            if let Some(link) = progress.link {
                context.links.detach(link, SpaceEpoch { space, epoch });
            }
            (progress.echo, progress.sticky, progress.attached) = (None, None, None);
        }
        self.ask_all_anew(log);
    }

    /// Every replica is asked where it stands: only by accepting a batch it attaches again.
    fn ask_all_anew(&mut self, log: &Log) {
        for index in 0..self.shipper.replicas.len() {
            let Some(node) = self.shipper.replicas.get(index).map(|progress| progress.node) else { break };
            self.shipper.ask_anew(node, log);
        }
    }

    /// Probes, where it is time to.
    pub(super) fn probe(&mut self, context: &mut Context<'_>) {
        if self.lease.held || self.lease.probe_at > context.now {
            return;
        }
        self.lease.probe_at = context.now + context.config.heartbeat_interval;
        let probe = ProbedSpace { space: self.space, epoch: self.epoch(), lineage: self.shipper.lineage };
        for link in self.shipper.replicas.iter().filter_map(|progress| progress.link) {
            context.links.probe(link, probe);
        }
    }

    /// A voter has promised nothing above this epoch when it answered what was sent at `sent`.
    pub(super) fn note_echo(&mut self, node: NodeId, sent: Time) {
        if let Some(progress) = self.shipper.replica_mut(node) {
            progress.echo = progress.echo.max(Some(sent));
        }
    }

    /// A replica says that its echoes do not hold for the space any more.
    pub(super) fn detached(&mut self, node: NodeId) {
        if let Some(progress) = self.shipper.replica_mut(node) {
            progress.attached = None;
        }
    }

    /// When time alone makes a difference to the lease. Where a majority is attached to links whose echoes come, nothing
    /// does: those are watched for all spaces together.
    pub(super) fn lease_wake(&self, log: &Log, links: &Links, config: &ReplicationConfig) -> Option<Time> {
        if !self.lease.held {
            return Some(self.lease.probe_at);
        }
        let watched = |progress: &&ReplicaProgress| {
            self.is_voter(progress.node) && progress.is_attached(links) && links.is_fresh(progress.node)
        };
        let attached = self.shipper.replicas.iter().filter(watched).count();
        let until = if attached < self.needed() { self.until(Echoes::All, links, config) } else { None };
        let stall = log.stalls_at(config.stall_limit);
        until.into_iter().chain(stall).chain(self.lease.look_at).min()
    }

    /// How many voters beside this node make a majority with it.
    fn needed(&self) -> usize {
        self.voters.len() / 2
    }

    fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node)
    }

    /// Until when the echoes of a majority keep the lease; for ever where this node is one. `None` where they are too few.
    fn until(&self, echoes: Echoes, links: &Links, config: &ReplicationConfig) -> Option<Time> {
        let needed = self.needed();
        if needed == 0 {
            return Some(Time::MAX);
        }
        let times = || {
            let voters = self.shipper.replicas.iter().filter(|progress| self.is_voter(progress.node));
            voters.filter_map(|progress| self.echoed_at(progress, echoes, links))
        };
        let newest = times().filter(|&time| times().filter(|&other| other >= time).count() >= needed).max();
        newest.map(|sent| sent + config.lease())
    }

    /// When the newest of what a voter echoed was sent.
    fn echoed_at(&self, progress: &ReplicaProgress, echoes: Echoes, links: &Links) -> Option<Time> {
        let heartbeat = if progress.is_attached(links) { links.echoed(progress.node) } else { None };
        let other = match echoes {
            Echoes::All => progress.echo,
            Echoes::Sticky => None,
        };
        heartbeat.max(progress.sticky).max(other).filter(|&sent| sent >= self.shipper.floor)
    }
}

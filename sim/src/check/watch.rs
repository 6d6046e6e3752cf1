//! What a primary says of its replicas, and how much it has under way, judged against the wire and the disks.

use alloc::collections::VecDeque;

use engraft::core::{Notice, ReplicaStatus};
use engraft::types::message::{ReplicationAck, ReplicationBatch};
use engraft::types::{Epoch, NodeId, Sequence, SpaceId, Time};

use super::{Checks, Invariant, SpaceIndex, node_index};
use crate::queue::NodeIndex;

/// A breaker half-opens after that long at most.
const BREAKER_US_MAX: u64 = 60_000_000;
/// Looks are no closer to each other than this.
const BETWEEN_LOOKS_US: u64 = 1_000_000;

/// What is under way to one replica, as the wire shows: batches that it has not acknowledged.
///
/// An ack counts from when it is sent, which is before the primary hears of it: so this is never more than the primary
/// itself counts.
#[derive(Debug, Default)]
pub(super) struct Flight {
    link: u32,
    epoch: Epoch,
    last: Sequence,
    batches: VecDeque<(Sequence, u64)>,
    bytes: u64,
    /// What the replica has acknowledged: an ack that was sent before a batch was sent again may come after it.
    acked: Sequence,
}

impl Flight {
    fn settle(&mut self) {
        while let Some((last, size)) = self.batches.front()
            && *last <= self.acked
        {
            self.bytes -= size;
            self.batches.pop_front();
        }
    }
}

/// What a primary says of its replicas.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// By node: what is under way to it.
    flights: Vec<Flight>,
    /// By node: its status, as its primary told it last.
    statuses: Vec<Option<ReplicaStatus>>,
    /// By node: when its process began, on its own clock.
    began: Vec<Time>,
    /// The epoch that was opened last, and when which entries became durable at its owner since, on its own clock.
    epoch: Option<Epoch>,
    durable: VecDeque<(Sequence, Time)>,
    /// Breakers that are open: on which node, of whom, since when on its clock and in the world.
    breakers: Vec<(NodeIndex, NodeId, Time, Time)>,
}

/// The acknowledgements whose times are kept: what is older is told by the primary's beginning.
const DURABLE_MAX: usize = 20_000;

impl Watched {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            flights: (0..nodes).map(|_| Flight::default()).collect(),
            statuses: vec![None; nodes],
            began: vec![Time::ZERO; nodes],
            ..Self::default()
        }
    }

    fn primary(&self) -> Option<NodeIndex> {
        self.epoch.map(|epoch| node_index(epoch.owner()))
    }

    /// Another epoch begins: what was said of replicas before is over, and their lag counts from here on.
    fn opens(&mut self, epoch: Option<Epoch>) {
        let nodes = self.statuses.len();
        let (began, breakers) = (core::mem::take(&mut self.began), core::mem::take(&mut self.breakers));
        *self = Self { began, breakers, epoch, ..Self::new(nodes) };
    }
}

impl Checks {
    /// A batch leaves for a replica.
    pub(crate) fn batch_leaves(&mut self, node: NodeIndex, peer: NodeIndex, link: u32, batch: &ReplicationBatch) {
        let header = &batch.header;
        let Some(space) = self.space(header.space) else { return };
        let Some(last) = batch.entries.last().map(|entry| entry.header.sequence()) else { return };
        let (batches_max, bytes_max) = self.window;
        let Some(flight) = self.spaces[space].watched.flights.get_mut(peer) else { return };
        if flight.link != link || flight.epoch != header.epoch || flight.last != header.previous.sequence {
            *flight = Flight { link, epoch: header.epoch, acked: flight.acked, ..Flight::default() };
        }
        let (batches, bytes) = (flight.batches.len() as u64, flight.bytes);
        let size = batch.entries.iter().map(|entry| entry.size() as u64).sum();
        flight.batches.push_back((last, size));
        flight.bytes += size;
        flight.last = last;
        flight.settle();
        self.require(batches < batches_max && bytes < bytes_max, Invariant::S23, node, space, || {
            format!("ships more to n{} with {batches} batches and {bytes} bytes under way", peer + 1)
        });
    }

    /// A replica acknowledges.
    pub(super) fn ack_leaves(&mut self, node: NodeIndex, space: SpaceIndex, ack: &ReplicationAck) {
        let Some(flight) = self.spaces[space].watched.flights.get_mut(node) else { return };
        flight.acked = flight.acked.max(ack.durable);
        flight.settle();
    }

    /// A replica refuses: its primary begins anew from where it stands, whatever is still being written there.
    pub(super) fn refusal_leaves(&mut self, node: NodeIndex, space: SpaceIndex) {
        if let Some(flight) = self.spaces[space].watched.flights.get_mut(node) {
            *flight = Flight { acked: flight.acked, ..Flight::default() };
        }
    }

    /// A node's process begins, on its own clock at `local`.
    pub(crate) fn watch_begins(&mut self, node: NodeIndex, local: Time) {
        for space in self.spaces.iter_mut() {
            space.watched.breakers.retain(|(on, ..)| *on != node);
            space.watched.began[node] = local;
            if space.watched.primary() == Some(node) {
                space.watched.opens(None);
            }
        }
    }

    /// A primary is told that its log is durable up to there, on its own clock at `local`.
    pub(crate) fn primary_durable(&mut self, node: NodeIndex, id: SpaceId, sequence: Sequence, local: Time) {
        let Some(space) = self.space(id) else { return };
        let at = &mut self.spaces[space];
        if at.watched.primary() == Some(node) {
            at.watched.durable.push_back((sequence, local));
            if at.watched.durable.len() > DURABLE_MAX {
                at.watched.durable.pop_front();
            }
        }
    }

    /// What a node tells, at `local` on its clock.
    pub(crate) fn noticed(&mut self, node: NodeIndex, notice: &Notice, local: Time) {
        match notice {
            Notice::ReplicaAcked { space, durable, lag_us, .. } => {
                self.lag_told(node, *space, *durable, *lag_us, local)
            }
            Notice::ReplicaStatusChanged { space, replica, to, .. } => {
                let Some(space) = self.space(*space) else { return };
                let watched = &mut self.spaces[space].watched;
                // One that is primary no longer may still say something of the others.
                if watched.primary() == Some(node)
                    && let Some(place) = watched.statuses.get_mut(node_index(*replica))
                {
                    *place = Some(*to);
                }
            }
            Notice::BreakerOpened { space: Some(space), peer, .. } => {
                let Some(space) = self.space(*space) else { return };
                let now = self.now;
                let breakers = &mut self.spaces[space].watched.breakers;
                breakers.retain(|(on, of, ..)| (*on, *of) != (node, *peer));
                breakers.push((node, *peer, local, now));
            }
            Notice::BreakerHalfOpened { space: Some(space), peer }
            | Notice::BreakerClosed { space: Some(space), peer } => {
                let Some(space) = self.space(*space) else { return };
                self.spaces[space].watched.breakers.retain(|(on, of, ..)| (*on, *of) != (node, *peer));
            }
            Notice::SpaceStopped { space, .. } => {
                let Some(space) = self.space(*space) else { return };
                self.spaces[space].watched.breakers.retain(|(on, ..)| *on != node);
            }
            Notice::BecamePrimary { space, epoch } => {
                let Some(space) = self.space(*space) else { return };
                self.spaces[space].watched.opens(Some(*epoch));
            }
            Notice::RoleChanged { .. }
            | Notice::LagAlert { .. }
            | Notice::LinkOpened { .. }
            | Notice::LinkClosed { .. }
            | Notice::BreakerOpened { space: None, .. }
            | Notice::BreakerHalfOpened { space: None, .. }
            | Notice::BreakerClosed { space: None, .. }
            | Notice::Committed { .. }
            | Notice::ReplicaDiverged { .. }
            | Notice::ApplyFailed { .. }
            | Notice::ElectionStarted { .. }
            | Notice::Deposed { .. }
            | Notice::LeaseHeld { .. }
            | Notice::LeaseLost { .. }
            | Notice::WentAlone { .. }
            | Notice::VoterBack { .. }
            | Notice::LineageBegan { .. }
            | Notice::LineageConflict { .. }
            | Notice::CommittedTruncated { .. }
            | Notice::ExposureReached { .. }
            | Notice::Salvaged { .. }
            | Notice::SalvageFailed { .. }
            | Notice::Truncated { .. }
            | Notice::LossBounded { .. }
            | Notice::Recovering { .. }
            | Notice::Recovered { .. }
            | Notice::CommittedMayBeLost { .. }
            | Notice::LossExact { .. } => {}
        }
    }

    /// The lag of what an ack is about lies between the age of the newest entry in it and the primary's own.
    fn lag_told(&mut self, node: NodeIndex, id: SpaceId, durable: Sequence, lag_us: u64, local: Time) {
        let Some(space) = self.space(id) else { return };
        let watched = &self.spaces[space].watched;
        let oldest = local.0.saturating_sub(watched.began[node].0);
        let index = watched.durable.partition_point(|(sequence, _)| *sequence < durable);
        let first = watched.durable.front().filter(|_| watched.primary() == Some(node));
        let known = first.is_some_and(|(first, _)| *first <= durable);
        let newest = watched.durable.get(index).filter(|_| known).map_or(0, |(_, at)| local.0.saturating_sub(at.0));
        self.require((newest..=oldest).contains(&lag_us), Invariant::Lag, node, space, || {
            format!("says that {durable} came with a lag of {lag_us} us, where {newest} to {oldest} us can be")
        });
    }

    /// Whether a breaker of a node has been open for longer than it may.
    pub(crate) fn breakers_half_open(&mut self, node: NodeIndex, local: Time) {
        for space in 0..self.spaces.len() {
            let now = self.now;
            let late = |(on, _, since, at): &&(NodeIndex, NodeId, Time, Time)| {
                // A clock that jumps makes a breaker late at once: it gets the time to act upon that.
                *on == node
                    && local.0 > since.0 + BREAKER_US_MAX + BETWEEN_LOOKS_US
                    && now.0 > at.0 + 2 * BETWEEN_LOOKS_US
            };
            let found = self.spaces[space].watched.breakers.iter().find(late).copied();
            if let Some((_, peer, since, _)) = found {
                self.violated(Invariant::L7, Some(node), Some(space), || {
                    format!("the breaker for {peer} is open since {since} and it is {local}")
                });
            }
        }
    }

    /// A replica that is not Healthy in the eyes of its primary, although it has everything.
    pub(crate) fn unhealthy(&self, space: SpaceIndex) -> Option<(NodeIndex, ReplicaStatus)> {
        let at = &self.spaces[space];
        let primary = at.leader().filter(|leader| at.watched.primary() == Some(*leader))?;
        let has_all = |voter: &&NodeIndex| at.logs[**voter].end() == at.logs[primary].end();
        at.voters.iter().filter(has_all).find_map(|voter| {
            let status = at.watched.statuses.get(*voter).copied().flatten()?;
            (status != ReplicaStatus::Healthy).then_some((*voter, status))
        })
    }
}

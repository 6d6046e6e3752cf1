//! What people and metrics are told.

mod stop_reason;
mod words;

use ::core::fmt;
use alloc::string::String;

use crate::types::message::CloseReason;
use crate::types::{Epoch, LinkId, NodeId, Sequence, SpaceId};

use super::event::StorageError;
use super::status::{ReplicaStatus, Role};
pub use stop_reason::StopReason;
use words::{forced, loss, recovering, subject};

/// Something that changed and that somebody may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Notice {
    /// The node's role in a space changed.
    RoleChanged {
        /// The space.
        space: SpaceId,
        /// The role now.
        role: Role,
        /// The epoch in which it holds; a fencing token for a primary.
        epoch: Epoch,
    },
    /// This node was elected: its engine is to open itself, and says [`Command::Ready`](super::Command::Ready) where the
    /// space has a readiness gate.
    BecamePrimary {
        /// The space.
        space: SpaceId,
        /// The epoch; a fencing token.
        epoch: Epoch,
    },
    /// This node is not the primary any more. Appends that waited were answered as unknown.
    Deposed {
        /// The space.
        space: SpaceId,
        /// The epoch that ended here.
        epoch: Epoch,
        /// The higher epoch that somebody promised.
        by: Epoch,
    },
    /// This node asks for votes.
    ElectionStarted {
        /// The space.
        space: SpaceId,
        /// The epoch that it would open.
        epoch: Epoch,
    },
    /// The one replica is gone: this node alone votes from here on. What it answers is on no other node until the replica
    /// is back.
    WentAlone {
        /// The space.
        space: SpaceId,
        /// The epoch in which it is alone.
        epoch: Epoch,
    },
    /// A learner keeps up, and is a voter from here on.
    VoterBack {
        /// The space.
        space: SpaceId,
        /// The voter.
        voter: NodeId,
        /// The epoch that counts it again.
        epoch: Epoch,
    },
    /// An operator had this node go on by itself: a generation and a lineage begin, and what is past its end is lost.
    LineageBegan {
        /// The space.
        space: SpaceId,
        /// The epoch, which names the lineage.
        epoch: Epoch,
        /// The first sequence that is lost, where others have more than this node.
        from: Sequence,
    },
    /// A primary is of another forced start of the same generation. Neither follows the other: an operator has to choose,
    /// and to force the chosen one once more.
    LineageConflict {
        /// The space.
        space: SpaceId,
        /// That primary.
        peer: NodeId,
        /// The lineage here.
        ours: Epoch,
        /// Its lineage.
        theirs: Epoch,
    },
    /// Entries that were committed are truncated, since a forced start took over without them; they are salvaged.
    CommittedTruncated {
        /// The space.
        space: SpaceId,
        /// The first of them.
        first: Sequence,
        /// The last that was committed.
        last: Sequence,
        /// The epoch that goes on.
        by: Epoch,
    },
    /// A majority echoed lately: the primary ships and answers at every level.
    LeaseHeld {
        /// The space.
        space: SpaceId,
        /// The primary's epoch.
        epoch: Epoch,
    },
    /// No majority echoed in time, or the disk stalls: the primary ships nothing until a majority answers its probes.
    LeaseLost {
        /// The space.
        space: SpaceId,
        /// The primary's epoch.
        epoch: Epoch,
    },
    /// What is answered and not committed reached its limit: appends at Local wait.
    ExposureReached {
        /// The space.
        space: SpaceId,
        /// Entries that are exposed.
        entries: u64,
        /// Their bytes.
        bytes: u64,
        /// The age of the oldest, in milliseconds.
        age_ms: u64,
    },
    /// Entries that another log replaces are durable in a salvage file, and are truncated now.
    Salvaged {
        /// The space.
        space: SpaceId,
        /// The first of them.
        first: Sequence,
        /// The last.
        last: Sequence,
        /// The epoch whose primary has another log.
        by: Epoch,
    },
    /// The salvage file could not be written. Nothing is truncated before it is, so the replica waits and tries again.
    SalvageFailed {
        /// The space.
        space: SpaceId,
        /// Why.
        error: StorageError,
    },
    /// The log ends here now: an engine that applies on append has to be rebuilt up to there.
    Truncated {
        /// The space.
        space: SpaceId,
        /// The last entry that stayed.
        last: Sequence,
    },
    /// The machine lost power under a weak fsync mode, and this node may lack what it acknowledged. It counts in no majority
    /// until it has got from a primary what that one had, or until every voter votes for one.
    Recovering {
        /// The space.
        space: SpaceId,
        /// The highest epoch that it promised: a primary of an epoch below it cannot help.
        promise: Epoch,
        /// The last entry that is left.
        end: Sequence,
    },
    /// This node counts again.
    Recovered {
        /// The space.
        space: SpaceId,
        /// The last entry that it has.
        end: Sequence,
    },
    /// So few voters remember what they acknowledged that they are no majority, and every voter voted for this node: what
    /// none of them has any more is lost, committed or not.
    CommittedMayBeLost {
        /// The space.
        space: SpaceId,
        /// The first sequence that may be lost.
        from: Sequence,
        /// The epoch that goes on.
        by: Epoch,
    },
    /// Entries of an epoch that may be lost: a new primary's log ends without them, if they were ever written.
    LossBounded {
        /// The space.
        space: SpaceId,
        /// The epoch that ended.
        lost: Epoch,
        /// The first sequence of it that may be lost.
        from: Sequence,
        /// At most this many bytes were answered; `None` where nothing bounded them.
        bytes_max: Option<u64>,
        /// The epoch that goes on.
        by: Epoch,
    },
    /// Entries of an epoch that were on this node, and are replaced: their number is exact.
    LossExact {
        /// The space.
        space: SpaceId,
        /// The epoch that ended.
        lost: Epoch,
        /// The first of its entries that is lost.
        first: Sequence,
        /// The last that this node had.
        last: Sequence,
        /// The epoch that goes on.
        by: Epoch,
    },
    /// The commit moved on.
    Committed {
        /// The space.
        space: SpaceId,
        /// The last committed sequence.
        commit: Sequence,
    },
    /// A replica acknowledged; one for each ack that moved it on.
    ReplicaAcked {
        /// The space.
        space: SpaceId,
        /// The replica.
        replica: NodeId,
        /// The last entry that it has durable.
        durable: Sequence,
        /// The lag until this ack: the age of the oldest entry that it acknowledges, in microseconds of the
        /// primary's clock.
        lag_us: u64,
    },
    /// A replica's status changed, as its primary sees it.
    ReplicaStatusChanged {
        /// The space.
        space: SpaceId,
        /// The replica.
        replica: NodeId,
        /// What it was.
        from: ReplicaStatus,
        /// What it is.
        to: ReplicaStatus,
        /// Why, in words.
        reason: String,
    },
    /// A replica's lag reached the alert threshold, or the critical one.
    LagAlert {
        /// The space.
        space: SpaceId,
        /// The replica.
        replica: NodeId,
        /// The lag in milliseconds.
        lag_ms: u64,
        /// Whether it is the critical one.
        critical: bool,
    },
    /// A link passed its hello.
    LinkOpened {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: NodeId,
    },
    /// A link is gone.
    LinkClosed {
        /// The link.
        link: LinkId,
        /// The peer, where it is known.
        peer: Option<NodeId>,
        /// Why.
        reason: CloseReason,
        /// Whether this node closed it.
        by_us: bool,
    },
    /// The breaker of a replica opened: nothing in bulk goes there until it half-opens.
    BreakerOpened {
        /// The space whose batches fail; `None` where the links to the peer do.
        space: Option<SpaceId>,
        /// The peer.
        peer: NodeId,
        /// Failures in a row.
        failures: u32,
        /// Until it half-opens, in milliseconds.
        retry_ms: u64,
    },
    /// The breaker lets one attempt through.
    BreakerHalfOpened {
        /// The space whose batches fail; `None` where the links to the peer do.
        space: Option<SpaceId>,
        /// The peer.
        peer: NodeId,
    },
    /// The breaker closed again.
    BreakerClosed {
        /// The space whose batches fail; `None` where the links to the peer do.
        space: Option<SpaceId>,
        /// The peer.
        peer: NodeId,
    },
    /// A space stopped on this node. It acknowledges nothing more until the node starts again.
    SpaceStopped {
        /// The space.
        space: SpaceId,
        /// Why.
        reason: StopReason,
    },
    /// The engine here failed to apply an entry. Nothing more is applied until the node starts again; the log goes on.
    ApplyFailed {
        /// The space.
        space: SpaceId,
        /// The entry.
        at: Sequence,
        /// What the engine said.
        reason: String,
    },
    /// A replica's log is not this primary's: shipping begins anew at the common point, and what only the replica has it
    /// saves and truncates.
    ReplicaDiverged {
        /// The space.
        space: SpaceId,
        /// The replica.
        replica: NodeId,
        /// The first sequence at which the logs differ.
        at: Sequence,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoleChanged { space, role, epoch } => write!(formatter, "{space} is {role} in {epoch}"),
            Self::BecamePrimary { space, epoch } => write!(formatter, "{space} became primary in {epoch}"),
            Self::Deposed { space, epoch, by } => write!(formatter, "{space} deposed in {epoch} by {by}"),
            Self::ElectionStarted { space, epoch } => write!(formatter, "{space} stands for {epoch}"),
            Self::WentAlone { space, epoch } => write!(formatter, "{space} is alone in {epoch}"),
            Self::VoterBack { space, voter, epoch } => write!(formatter, "{space} {voter} votes again in {epoch}"),
            Self::LineageBegan { .. } | Self::LineageConflict { .. } | Self::CommittedTruncated { .. } => {
                forced(formatter, self)
            }
            Self::LeaseHeld { space, epoch } => write!(formatter, "{space} lease of {epoch} held"),
            Self::LeaseLost { space, epoch } => write!(formatter, "{space} lease of {epoch} lost"),
            Self::ExposureReached { space, entries, bytes, age_ms } => {
                write!(formatter, "{space} exposure reached: {entries} entries, {bytes} bytes, {age_ms} ms")
            }
            Self::Salvaged { space, first, last, by } => {
                write!(formatter, "{space} salvaged {first}..{last}, replaced by {by}")
            }
            Self::SalvageFailed { space, error } => write!(formatter, "{space} salvage failed: {error}"),
            Self::Truncated { space, last } => write!(formatter, "{space} truncated behind {last}"),
            Self::Recovering { .. } | Self::Recovered { .. } | Self::CommittedMayBeLost { .. } => {
                recovering(formatter, self)
            }
            Self::LossBounded { .. } | Self::LossExact { .. } => loss(formatter, self),
            Self::Committed { space, commit } => write!(formatter, "{space} committed {commit}"),
            Self::ReplicaAcked { space, replica, durable, lag_us } => {
                write!(formatter, "{space} {replica} acked {durable} lag {lag_us} us")
            }
            Self::ReplicaStatusChanged { space, replica, from, to, reason } => {
                write!(formatter, "{space} {replica} {from} -> {to}: {reason}")
            }
            Self::LagAlert { space, replica, lag_ms, critical } => {
                let level = if *critical { "critical" } else { "alert" };
                write!(formatter, "{space} {replica} lag {level} {lag_ms} ms")
            }
            Self::LinkOpened { link, peer } => write!(formatter, "{link} {peer} opened"),
            Self::LinkClosed { link, peer, reason, by_us } => {
                write!(formatter, "{link}")?;
                if let Some(peer) = peer {
                    write!(formatter, " {peer}")?;
                }
                let who = if *by_us { "closed" } else { "ended" };
                write!(formatter, " {who}: {reason}")
            }
            Self::BreakerOpened { space, peer, failures, retry_ms } => {
                subject(formatter, *space)?;
                write!(formatter, "{peer} breaker opened after {failures} failures, half-opens in {retry_ms} ms")
            }
            Self::BreakerHalfOpened { space, peer } => {
                subject(formatter, *space)?;
                write!(formatter, "{peer} breaker half-opened")
            }
            Self::BreakerClosed { space, peer } => {
                subject(formatter, *space)?;
                write!(formatter, "{peer} breaker closed")
            }
            Self::SpaceStopped { space, reason } => write!(formatter, "{space} stopped: {reason}"),
            Self::ApplyFailed { space, at, reason } => write!(formatter, "{space} applying {at} failed: {reason}"),
            Self::ReplicaDiverged { space, replica, at } => write!(formatter, "{space} {replica} diverged at {at}"),
        }
    }
}

//! What travels between nodes.
//!
//! Each node dials each peer: requests travel on the dialler's link, answers return on it.

mod batch;
mod election;

use ::core::fmt;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use batch::{ReplicationAck, ReplicationBatch, ReplicationBatchHeader};
pub use election::{
    Detach, Probe, ProbeEcho, ProbedSpace, SpaceEpoch, Verdict, VoteAnswer, VoteAsk, VoteReply, VoteRequest, VoteRound,
};

use super::{ClusterId, Entry, Epoch, EpochHistory, Incarnation, NodeId, Position, Sequence, SpaceId, SpaceName, Time};

/// The oldest version of the protocol that this build speaks.
pub const VERSION_MIN: u16 = 1;

/// The newest version of the protocol that this build speaks.
pub const VERSION_MAX: u16 = 1;

/// A message between two nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// The dialler's first frame.
    Hello(Hello),
    /// The acceptor's answer: the link is open.
    Welcome(Welcome),
    /// Why the sender closes the link, its last frame.
    Goodbye(CloseReason),
    /// A space's name, sent once per link before its first batch.
    SpaceHello(SpaceHello),
    /// Entries (or none, to ask where the replica stands), and the commit.
    Batch(ReplicationBatch),
    /// How far a space is durable on the replica.
    Ack(ReplicationAck),
    /// A batch that cannot be placed, or comes too late.
    Refusal(Refusal),
    /// The dialler lives; commits that the peer has not confirmed.
    Heartbeat(Heartbeat),
    /// The answer to a heartbeat.
    Echo(Echo),
    /// A candidate asks for votes or pre-votes: one frame for many spaces.
    VoteRequest(VoteRequest),
    /// The voter's answers.
    VoteAnswer(VoteAnswer),
    /// A primary without a lease asks whether it is still followed. It renews nobody's patience.
    Probe(Probe),
    /// The answer to a probe.
    ProbeEcho(ProbeEcho),
    /// What the sender's heartbeats or echoes say from here on does not hold for these spaces.
    Detach(Detach),
}

/// Who dials whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest version that the dialler speaks.
    pub version_min: u16,
    /// The newest.
    pub version_max: u16,
    /// The dialler's cluster.
    pub cluster: ClusterId,
    /// The dialler.
    pub from: NodeId,
    /// Whom it means to reach.
    pub to: NodeId,
    /// The dialler's incarnation.
    pub incarnation: Incarnation,
}

/// The acceptor's answer to a [`Hello`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u16,
    /// The acceptor.
    pub from: NodeId,
    /// Its incarnation.
    pub incarnation: Incarnation,
}

/// A space by id and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpaceHello {
    /// The space.
    pub space: SpaceId,
    /// Its name.
    pub name: SpaceName,
    /// The epoch that the sender is the primary of.
    pub epoch: Epoch,
    /// The last entry that is durable there: what a recovering replica has to get.
    pub end: Sequence,
}

/// Why a batch was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusalReason {
    /// The replica has promised a higher epoch.
    Stale {
        /// What it has promised.
        promised: Epoch,
    },
    /// The entry before the batch is not in the replica's log yet.
    Gap,
    /// The logs differ at or below the replica's end.
    Diverged {
        /// The first sequence at which they are known to differ.
        at: Sequence,
    },
    /// The space is stopped on the replica.
    Stopped {
        /// Why, in words.
        reason: String,
    },
    /// The sender is no voter of the space by the replica's configuration.
    NotVoter,
    /// The same generation was begun by another forced start in the replica's log: an operator has to choose.
    Lineage {
        /// The epoch of the replica's.
        ours: Epoch,
    },
}

/// A batch that was not accepted, and where the replica stands, so that the common point follows at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// The space.
    pub space: SpaceId,
    /// The epoch of the refused batch.
    pub epoch: Epoch,
    /// Why.
    pub reason: RefusalReason,
    /// The replica's last entry, writes in flight included.
    pub end: Position,
    /// Its epoch history, the newest starts where they are many.
    pub history: EpochHistory,
    /// The primary's send time of the refused batch.
    pub echo: Time,
}

/// A space's commit in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpaceCommit {
    /// The space.
    pub space: SpaceId,
    /// The epoch of the primary that committed.
    pub epoch: Epoch,
    /// The last committed sequence.
    pub commit: Sequence,
}

/// The dialler lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The dialler's clock, microseconds.
    pub sent: Time,
    /// Commits that the peer has not confirmed; a quiet space is not named.
    #[serde(deserialize_with = "super::list::deserialize")]
    pub commits: Vec<SpaceCommit>,
}

/// The answer to a [`Heartbeat`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Echo {
    /// The heartbeat's `sent`.
    pub sent: Time,
    /// For each space that the heartbeat named: the commit that the peer knows now.
    #[serde(deserialize_with = "super::list::deserialize")]
    pub commits: Vec<SpaceCommit>,
}

/// Why a link was closed. Both sides tell it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum CloseReason {
    /// The peer is of another cluster.
    #[error("wrong cluster: expected {expected}, found {found}; check `cluster` in both configurations")]
    WrongCluster {
        /// The closer's.
        expected: ClusterId,
        /// The peer's.
        found: ClusterId,
    },
    /// The dialler meant another node, or the acceptor is another one.
    #[error("wrong node: expected {expected}, found {found}; check the addresses under `peers`")]
    WrongNode {
        /// Who was expected.
        expected: NodeId,
        /// Who was there.
        found: NodeId,
    },
    /// The dialler is not among the configured peers.
    #[error("unknown node {found}; it is not under `peers` here")]
    UnknownNode {
        /// Who dialled.
        found: NodeId,
    },
    /// Two nodes use one id, or the node lost its memory.
    #[error(
        "{node} is known here as incarnation {expected}, found {found}: two nodes use one id, or it lost its data; \
         give the new one an id that was never used, and put that into `peers` and `voters` on every node"
    )]
    OtherIncarnation {
        /// The node.
        node: NodeId,
        /// The one that was known.
        expected: Incarnation,
        /// The one that came.
        found: Incarnation,
    },
    /// No version in common.
    #[error("unsupported version: expected {expected_min} to {expected_max}, found {found_min} to {found_max}")]
    UnsupportedVersion {
        /// The closer's oldest.
        expected_min: u16,
        /// The closer's newest.
        expected_max: u16,
        /// The peer's oldest.
        found_min: u16,
        /// The peer's newest.
        found_max: u16,
    },
    /// The space is not configured at the closer.
    #[error("unknown space {space}; it is not under `spaces` here")]
    UnknownSpace {
        /// The space.
        space: SpaceId,
    },
    /// A frame or body whose bytes cannot be believed.
    #[error("bad frame: {0}")]
    BadFrame(String),
    /// A message that has no place here: an answer on the wrong side, a request before the hello.
    #[error("unexpected {found}: expected {expected}")]
    Unexpected {
        /// What was expected.
        expected: String,
        /// What came.
        found: String,
    },
    /// Nothing came for too long.
    #[error("silent for {millis} ms")]
    Silent {
        /// How long, in milliseconds.
        millis: u64,
    },
    /// The dial took too long.
    #[error("dialling took longer than {millis} ms")]
    ConnectTimeout {
        /// The time-out, in milliseconds.
        millis: u64,
    },
    /// The peer opened a newer link in the same direction.
    #[error("replaced by a newer link")]
    Replaced,
    /// The node shuts down.
    #[error("the node shuts down")]
    Shutdown,
    /// The operating system or the peer ended it.
    #[error("lost: {0}")]
    Lost(String),
    /// More links than the peers could need.
    #[error("too many links: expected at most {limit}")]
    TooManyLinks {
        /// How many may be open.
        limit: u64,
    },
}

impl Message {
    /// The list of a batch's entries; `None` of any other message.
    #[must_use]
    pub fn into_entries(self) -> Option<Vec<Entry>> {
        match self {
            Self::Batch(batch) => Some(batch.entries),
            Self::Hello(_)
            | Self::Welcome(_)
            | Self::Goodbye(_)
            | Self::SpaceHello(_)
            | Self::Ack(_)
            | Self::Refusal(_)
            | Self::Heartbeat(_)
            | Self::Echo(_)
            | Self::VoteRequest(_)
            | Self::VoteAnswer(_)
            | Self::Probe(_)
            | Self::ProbeEcho(_)
            | Self::Detach(_) => None,
        }
    }

    /// What the message is called.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Welcome(_) => "Welcome",
            Self::Goodbye(_) => "Goodbye",
            Self::SpaceHello(_) => "SpaceHello",
            Self::Batch(_) => "Batch",
            Self::Ack(_) => "Ack",
            Self::Refusal(_) => "Refusal",
            Self::Heartbeat(_) => "Heartbeat",
            Self::Echo(_) => "Echo",
            Self::VoteRequest(_) => "VoteRequest",
            Self::VoteAnswer(_) => "VoteAnswer",
            Self::Probe(_) => "Probe",
            Self::ProbeEcho(_) => "ProbeEcho",
            Self::Detach(_) => "Detach",
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(hello) => write!(
                formatter,
                "Hello {} to {} versions {}..={}",
                hello.from, hello.to, hello.version_min, hello.version_max
            ),
            Self::Welcome(welcome) => write!(formatter, "Welcome {} version {}", welcome.from, welcome.version),
            Self::Goodbye(reason) => write!(formatter, "Goodbye {reason}"),
            Self::SpaceHello(hello) => {
                write!(formatter, "SpaceHello {} {} has {}", hello.space, hello.epoch, hello.end)
            }
            Self::Batch(batch) => batch.fmt(formatter),
            Self::Ack(ack) => {
                let ReplicationAck { space, epoch, durable, applied, commit, recovering, .. } = ack;
                write!(formatter, "Ack {space} {epoch} durable {durable} applied {applied} commit {commit}")?;
                formatter.write_str(if *recovering { ", recovering" } else { "" })
            }
            Self::Refusal(refusal) => {
                write!(formatter, "Refusal {} {} ", refusal.space, refusal.epoch)?;
                match &refusal.reason {
                    RefusalReason::Stale { promised } => write!(formatter, "stale, promised {promised}")?,
                    RefusalReason::NotVoter => write!(formatter, "no voter")?,
                    RefusalReason::Lineage { ours } => write!(formatter, "of another lineage than {ours}")?,
                    RefusalReason::Gap => write!(formatter, "gap")?,
                    RefusalReason::Diverged { at } => write!(formatter, "diverged at {at}")?,
                    RefusalReason::Stopped { reason } => write!(formatter, "stopped: {reason}")?,
                }
                write!(formatter, ", ends {}", refusal.end)
            }
            Self::Heartbeat(heartbeat) => {
                write!(formatter, "Heartbeat")?;
                commits(formatter, &heartbeat.commits)
            }
            Self::Echo(echo) => {
                write!(formatter, "Echo")?;
                commits(formatter, &echo.commits)
            }
            Self::VoteRequest(request) => {
                write!(formatter, "VoteRequest")?;
                request.asks.iter().try_for_each(|ask| write!(formatter, " {ask}"))
            }
            Self::VoteAnswer(answer) => {
                write!(formatter, "VoteAnswer")?;
                answer.replies.iter().try_for_each(|reply| write!(formatter, " {reply}"))
            }
            Self::Probe(probe) => {
                write!(formatter, "Probe")?;
                probe.spaces.iter().try_for_each(|space| write!(formatter, " {space}"))
            }
            Self::ProbeEcho(echo) => {
                write!(formatter, "ProbeEcho")?;
                echo.promised
                    .iter()
                    .try_for_each(|space| write!(formatter, " {} promised {}", space.space, space.epoch))
            }
            Self::Detach(detach) => {
                write!(formatter, "Detach")?;
                detach.spaces.iter().try_for_each(|space| write!(formatter, " {space}"))
            }
        }
    }
}

fn commits(formatter: &mut fmt::Formatter<'_>, commits: &[SpaceCommit]) -> fmt::Result {
    for commit in commits {
        write!(formatter, " {} {} commit {}", commit.space, commit.epoch, commit.commit)?;
    }
    Ok(())
}

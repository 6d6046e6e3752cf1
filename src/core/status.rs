//! What a node says of itself.

use ::core::fmt;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::types::{Epoch, NodeId, Sequence, SpaceId, SpaceName};

/// A node's part in a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Stands for election, or will as soon as it reaches a majority.
    Candidate,
    /// Elected; its epoch's first entry is not durable yet, or its engine not ready.
    Opening,
    /// Takes appends and ships them.
    Primary,
    /// May have forgotten what it acknowledged, and counts in no majority until it has it again.
    Recovering,
    /// Follows a primary.
    Replica,
    /// Stopped; the status tells why.
    Stopped,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Candidate => "candidate",
            Self::Opening => "opening",
            Self::Primary => "primary",
            Self::Recovering => "recovering",
            Self::Replica => "replica",
            Self::Stopped => "stopped",
        })
    }
}

/// How a replica does, as its primary sees it; the numbers are those of the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaStatus {
    /// 0: three or more failures in a row.
    Failed,
    /// 1: lag of a second or more.
    Degraded,
    /// 2: some lag.
    Lagging,
    /// 3: no lag.
    Healthy,
}

impl ReplicaStatus {
    /// The number that the metric shows.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Failed => 0,
            Self::Degraded => 1,
            Self::Lagging => 2,
            Self::Healthy => 3,
        }
    }
}

impl fmt::Display for ReplicaStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Failed => "Failed",
            Self::Degraded => "Degraded",
            Self::Lagging => "Lagging",
            Self::Healthy => "Healthy",
        })
    }
}

/// How far a replica is behind what the primary has durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct ReplicaLag {
    /// Entries that it has not acknowledged.
    pub entries: u64,
    /// Their bytes, headers included; an estimate where they were written before this start.
    pub bytes: u64,
    /// The age of the oldest of them, on the primary's clock.
    pub ms: u64,
}

/// A replica as its primary sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaView {
    /// The replica.
    pub node: NodeId,
    /// How it does.
    pub status: ReplicaStatus,
    /// Why it is said to do so.
    pub reason: String,
    /// The last sequence that it acknowledged as durable.
    pub durable: Sequence,
    /// The last sequence that its engine applied.
    pub applied: Sequence,
    /// How far it is behind.
    pub lag: ReplicaLag,
    /// Whether a link to it is open.
    pub connected: bool,
    /// Whether it is paused by an operator.
    pub paused: bool,
    /// Whether it counts in no majority, since it may have forgotten what it acknowledged; `durable` is what it said last.
    pub recovering: bool,
    /// Batches sent since this start, repeated ones included.
    pub batches_sent: u64,
    /// Batches that were not acknowledged in time, or were refused.
    pub batches_failed: u64,
}

/// What a primary may lose of what it answered at Local, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Exposed {
    /// Entries at Local that have a place in the log and are not committed.
    pub entries: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// The age of the oldest of them, in milliseconds.
    pub ms: u64,
    /// Appends at Local that wait for the exposure to shrink; they have no place in the log yet.
    pub held: u64,
    /// The limit on the bytes; `None` where there is none.
    pub bytes_max: Option<u64>,
}

/// A space on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpaceStatus {
    /// Its id.
    #[serde(skip)]
    pub space: SpaceId,
    /// Its name.
    pub name: SpaceName,
    /// The node's part in it.
    pub role: Role,
    /// Why it stopped, where it did.
    pub stopped: Option<String>,
    /// The primary, as far as this node knows; `None` while it hears none.
    pub primary: Option<NodeId>,
    /// Whether a majority echoed lately, where this node is the primary.
    pub leased: bool,
    /// The epoch in force, as far as this node knows; printed form.
    #[serde(serialize_with = "as_text")]
    pub epoch: Epoch,
    /// The voters in force, as far as this node's log says.
    pub voters: Vec<NodeId>,
    /// The highest epoch that this node promised; printed form.
    #[serde(serialize_with = "as_text")]
    pub promise: Epoch,
    /// The last entry in the log, writes in flight included.
    pub end: Sequence,
    /// The epoch of that entry; printed form. Of two logs, the one whose last entry is of the higher epoch has what was
    /// committed, however long the other is.
    #[serde(serialize_with = "as_text")]
    pub end_epoch: Epoch,
    /// The last durable entry.
    pub durable: Sequence,
    /// The last entry known to be committed.
    pub commit: Sequence,
    /// The last entry that the engine here has applied; what is committed and durable where no engine tells.
    pub applied: Sequence,
    /// Appends that wait for their answers.
    pub waiting: u64,
    /// What is answered at Local and not committed, where this node is the primary.
    pub exposure: Exposed,
    /// The replicas, where this node is the primary.
    pub replicas: Vec<ReplicaView>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// The node.
    pub node: NodeId,
    /// Whether a link to each peer is open.
    pub peers: BTreeMap<NodeId, bool>,
    /// Its spaces, by id.
    pub spaces: Vec<SpaceStatus>,
}

fn as_text<S: serde::Serializer>(epoch: &Epoch, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(epoch)
}

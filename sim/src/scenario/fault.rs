//! What goes wrong, and what operators do.

use engraft::types::NodeId;
use serde::{Deserialize, Serialize};

/// What goes wrong, or what an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Nothing passes between `node` and `peer` (all others where it is not given).
    Partition,
    /// Nothing passes from `node` to `peer`.
    PartitionOneWay,
    /// What goes from `node` to `peer` takes `amount` microseconds longer.
    Delay,
    /// `amount` of a thousand frames from `node` to `peer` are lost.
    FrameLoss,
    /// `amount` of a thousand frames come twice.
    FrameDuplicate,
    /// `amount` of a thousand frames come after the one behind them.
    FrameReorder,
    /// `amount` of a thousand deliveries are remembered and come once more, later, behind what came meanwhile.
    FrameStale,
    /// `amount` of a thousand frames have a bit turned.
    FrameCorrupt,
    /// Bytes from `node` to `peer` come in pieces of at most `amount`.
    Split,
    /// `amount` bytes per second pass from `node` to `peer`.
    SlowLink,
    /// The links between `node` and `peer` are reset.
    Reset,
    /// `peer` forgets its links with `node`, which hears nothing of it.
    HalfOpen,
    /// The process of `node` dies; it starts again after `for_us`.
    Crash,
    /// The power of `node` fails: unsynced bytes are lost.
    Power,
    /// `node` shuts down in order.
    Shutdown,
    /// `node` loses everything and comes back as new.
    Wipe,
    /// `node` stands still.
    Pause,
    /// The clock of `node` jumps ahead by `amount` microseconds.
    ClockJump,
    /// The clock of `node` goes `amount` millionths faster.
    ClockDrift,
    /// The next sync on `node` fails.
    SyncFails,
    /// The disk of `node` has room for `amount` more bytes.
    DiskFull,
    /// The disk of `node` takes `amount` times as long.
    SlowDisk,
    /// Syncs on `node` are answered well and do nothing.
    LyingSync,
    /// One bit of a log file on `node` turns.
    Rot,
    /// One block is written over another on `node`.
    Misdirect,
    /// An old completion reaches the core of `node` a second time.
    StaleCompletion,
    /// An operator pauses the replica `peer` on the primary `node`, and resumes it after `for_us`.
    PauseReplica,
    /// An engine tells the primary `node` that its log began anew: another epoch opens in each of its spaces.
    OpenEpoch,
    /// An operator has `node` go on by itself, in all spaces in which it votes; with `amount`
    /// 1 although a primary is heard.
    Force,
}

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins.
    pub at_us: u64,
    /// What it is.
    pub kind: FaultKind,
    /// Where.
    pub node: NodeId,
    /// The other side, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<NodeId>,
    /// How long; until all is healed where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_us: Option<u64>,
    /// How much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
}

impl Fault {
    /// A fault without a peer, an end or an amount.
    #[must_use]
    pub const fn new(at_us: u64, kind: FaultKind, node: NodeId) -> Self {
        Self { at_us, kind, node, peer: None, for_us: None, amount: None }
    }

    /// The same with another side.
    #[must_use]
    pub const fn with(mut self, peer: NodeId) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The same for so long.
    #[must_use]
    pub const fn lasting(mut self, for_us: u64) -> Self {
        self.for_us = Some(for_us);
        self
    }

    /// The same by so much.
    #[must_use]
    pub const fn by(mut self, amount: i64) -> Self {
        self.amount = Some(amount);
        self
    }
}

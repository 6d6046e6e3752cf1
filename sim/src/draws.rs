//! Keyed draws: every random decision of the simulator is a pure function of (seed, purpose, subject, n).
//!
//! The subject names who or what is drawn for, and `n` counts that subject's draws of that purpose.
//! So a fault that is taken out of a scenario takes its own draws with it and no others.

pub use engraft::core::draw::{draw, draw_below};

/// What draws of the simulator are for. The numbers never change: they are part of every recorded run.
pub mod purpose {
    /// How long a chunk of bytes travels; subject: the direction of two nodes.
    pub const LATENCY: u64 = 0x100;
    /// Whether a frame is lost.
    pub const FRAME_LOSS: u64 = 0x101;
    /// Whether a frame comes twice.
    pub const FRAME_DUPLICATE: u64 = 0x102;
    /// Whether a frame comes after the one behind it.
    pub const FRAME_REORDER: u64 = 0x103;
    /// Whether a frame is corrupted.
    pub const FRAME_CORRUPT: u64 = 0x104;
    /// Which bit of a corrupted frame is turned.
    pub const CORRUPT_BIT: u64 = 0x105;
    /// Whether and where a chunk of bytes is split.
    pub const SPLIT: u64 = 0x106;
    /// How long a dial takes.
    pub const DIAL: u64 = 0x107;
    /// Whether a delivery comes once more, and when; subject: the direction.
    pub const FRAME_STALE: u64 = 0x108;

    /// How long a write to the log takes; subject: the node.
    pub const WAL_WRITE: u64 = 0x200;
    /// How long a sync takes.
    pub const WAL_SYNC: u64 = 0x201;
    /// How long a completion takes to be heard of.
    pub const WAL_COMPLETE: u64 = 0x202;
    /// Whether a promise is told one step later; subject: the node.
    pub const VOTE_TOLD: u64 = 0x203;

    /// What a crash leaves of a file; subject: the file.
    pub const CRASH_FILE: u64 = 0x210;
    /// What a crash leaves of a block; subject: the file.
    pub const CRASH_BLOCK: u64 = 0x211;
    /// Where a block is torn.
    pub const CRASH_TEAR: u64 = 0x212;
    /// Which size a crash leaves a file.
    pub const CRASH_SIZE: u64 = 0x213;
    /// Whether a crash leaves a name; subject: the change's number.
    pub const CRASH_NAME: u64 = 0x214;
    /// Which pages a failed sync calls clean; subject: the file.
    pub const SYNC_FAILED_PAGE: u64 = 0x215;
    /// Where a misdirected write goes; subject: the file.
    pub const MISDIRECT: u64 = 0x216;
    /// Which byte rots; subject: the fault.
    pub const ROT: u64 = 0x217;

    /// Whether a power failure waits for the moment when it hurts; subject: the node.
    pub const POWER: u64 = 0x218;

    /// The size of a payload; subject: the load.
    pub const PAYLOAD_SIZE: u64 = 0x300;
    /// The level of an append where it is mixed; subject: the load.
    pub const ACK_LEVEL: u64 = 0x301;
    /// Whether an operation is a read; subject: the load.
    pub const READ: u64 = 0x302;
    /// How long a client waits; subject: the load.
    pub const CLIENT_WAIT: u64 = 0x303;
    /// Whether a client waits for its append by the token, and on which node; subject: the load.
    pub const WAIT_FOR: u64 = 0x304;

    /// How long an embedder's engine takes for a step; subject: the node and the space.
    pub const ENGINE_STEP: u64 = 0x310;
    /// How much it applies without a step between; subject: the node and the space.
    pub const ENGINE_RUN: u64 = 0x311;
    /// Whether a crash waits for an engine's flush, and where in it it comes; subject: the node.
    pub const ENGINE_CRASH: u64 = 0x312;
    /// What an embedder's payload is made of; subject: the load, and what is drawn.
    pub const OWN_PAYLOAD: u64 = 0x313;

    /// What a swarm scenario is made of; subject: the part.
    pub const SWARM: u64 = 0x400;
    /// The connected quorum that is healed first.
    pub const QUORUM: u64 = 0x401;
    /// Which completion is repeated as a stale one; subject: the node.
    pub const STALE: u64 = 0x402;
    /// Whether, when and where an operator forces a node on.
    pub const FORCED: u64 = 0x403;
}

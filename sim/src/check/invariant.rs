//! The invariants by number, and what a violation of one says.

use core::fmt;

use engraft::types::{NodeId, SpaceName, Time};

macro_rules! invariants {
    ($($name:ident $words:literal,)*) => {
        /// An invariant of the design, by its number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $(#[doc = $words] $name,)*
        }

        impl Invariant {
            /// All that are checked.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its number.
            #[must_use]
            pub const fn number(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What it says.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

invariants! {
    S1 "at most one primary per epoch, and it is the epoch's owner; no role survives a restart",
    S2 "the promised epoch never goes back, crashes included; promises are durable before they are answered",
    S3 "only an epoch's primary creates its entries; sequences are contiguous",
    S4 "equal epoch and sequence mean equal bytes, on every node",
    S5 "an ack means that the entry is durable on the acknowledging node; none comes after a failed fsync",
    S6 "an append answered at Quorum or All is durable on a majority or on all, and in the log of every later primary",
    S7 "commit never goes back within a process's life; committed prefixes agree; only committed entries are given out",
    S8 "a committed entry is never truncated",
    S9 "once a majority has promised above an epoch, no append of it is answered at Quorum or All, nor by whoever promised",
    S10 "commit advances only through an entry of the current epoch",
    S11 "where a limit is in force, the exposure is within it at each answer at Local",
    S13 "what is truncated is durable in a salvage file before",
    S15 "tokens tell the truth",
    S17 "quorums of memberships that follow each other meet; one change is open at a time",
    S18 "duplicated, reordered, stale and corrupt frames change no log, promise or commit",
    S19 "a node that lost its memory is in no quorum",
    S20 "corruption at or below the synced mark is never taken for a torn tail",
    S23 "memory stays within the configured bounds",
    S24 "state and applied sequence move together",
    S26 "stale completions change nothing",
    S28 "at most one entry per operation in any log",
    S29 "a generation has one lineage, or both sides refuse each other",
    L1 "a healed quorum has a primary within seconds",
    L2 "a healed quorum makes progress within seconds",
    L3 "every replica that the primary reaches converges",
    L5 "a slow replica never delays others' acks while a majority keeps up",
    L6 "catch-up ends",
    L7 "a breaker half-opens within 60 s",
    L8 "every client operation resolves",
    Lag "a lag is an age on the primary's own clock",
    Status "a replica that has everything becomes Healthy",
    Spin "a timer that is due does something when it fires",
    Assert "no assertion fails, in the core or in the log",
    Halt "no node halts unless it was told to",
    Own "an invariant that the embedder gave",
}

impl Invariant {
    /// Whether it is about what several nodes agree on: the disks of those that can be primary decide it.
    pub(crate) const fn needs_sound_disks(self) -> bool {
        match self {
            Self::S3
            | Self::S4
            | Self::S6
            | Self::S7
            | Self::S8
            | Self::S10
            | Self::S15
            | Self::S17
            | Self::S28
            | Self::S29 => true,
            Self::S1
            | Self::S2
            | Self::S5
            | Self::S9
            | Self::S11
            | Self::S13
            | Self::S18
            | Self::S19
            | Self::S20
            | Self::S23
            | Self::S24
            | Self::S26
            | Self::L1
            | Self::L2
            | Self::L3
            | Self::L5
            | Self::L6
            | Self::L7
            | Self::L8
            | Self::Lag
            | Self::Status
            | Self::Spin
            | Self::Assert
            | Self::Own
            | Self::Halt => false,
        }
    }
}

/// What is broken, where and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: Invariant,
    /// What the embedder calls it, where it is [`Invariant::Own`].
    pub own: Option<String>,
    /// When, in the world's time.
    pub at: Time,
    /// Where, where it is one node's doing.
    pub node: Option<NodeId>,
    /// In which space.
    pub space: Option<SpaceName>,
    /// What was seen.
    pub what: String,
}

impl Violation {
    /// The invariant's number, or what the embedder calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.own.as_deref().unwrap_or(self.invariant.number())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.own {
            Some(own) => write!(formatter, "\"{own}\" is broken at {}", self.at)?,
            None => write!(formatter, "{} is broken at {}", self.invariant.number(), self.at)?,
        }
        if let Some(node) = self.node {
            write!(formatter, " on {node}")?;
        }
        if let Some(space) = &self.space {
            write!(formatter, " in {space}")?;
        }
        write!(formatter, ": {} ({})", self.what, self.invariant.words())
    }
}

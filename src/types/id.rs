//! Who, where and which: the ids of nodes, spaces, epochs, sequences, links and requests.

use ::core::fmt;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A node, unique in its cluster and never used again; printed `n1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u16);

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "n{}", self.0)
    }
}

/// A name that is not one: what stood there, and what a name looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} name {found:?} is not 3 to 64 characters of a-z, 0-9, '_' and '-' (such as \"orders\")")]
pub struct NameError {
    /// What was to be named.
    pub what: &'static str,
    /// What stood there.
    pub found: String,
}

/// The name of a space: 3 to 64 characters of `[a-z0-9_-]`, the rule that Engram has for its memory spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpaceName(Arc<str>);

impl SpaceName {
    /// Parses a name.
    ///
    /// # Errors
    /// Where the name is too short, too long, or has another character.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_name("space", name)?;
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id that follows from the name.
    #[must_use]
    pub fn id(&self) -> SpaceId {
        SpaceId(*Uuid::new_v5(&NAMESPACE_SPACE, self.0.as_bytes()).as_bytes())
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    let fits = (3..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-');
    if fits { Ok(()) } else { Err(NameError { what, found: name.to_owned() }) }
}

impl TryFrom<String> for SpaceName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(&name)
    }
}

impl From<SpaceName> for String {
    fn from(name: SpaceName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for SpaceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The namespace under which space names become ids (a version-4 UUID drawn once for this purpose).
const NAMESPACE_SPACE: Uuid = Uuid::from_u128(0x6f1d_53a0_7e0c_4b5e_9a41_26c8_d3f7_10b2);
/// The namespace under which cluster names become ids.
const NAMESPACE_CLUSTER: Uuid = Uuid::from_u128(0x21c7_b0fd_9b1a_4f0e_8f53_70aa_5c1e_64d9);

/// A space: UUID v5 of its name, so that every node derives the same one.
///
/// Printed as `~` and eight hex digits; a trace replaces that by the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpaceId(pub [u8; 16]);

impl fmt::Display for SpaceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third, fourth, ..] = self.0;
        write!(formatter, "~{first:02x}{second:02x}{third:02x}{fourth:02x}")
    }
}

/// A cluster: UUID v5 of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub [u8; 16]);

impl ClusterId {
    /// The id of the cluster of that name (the same rule of names as for spaces).
    ///
    /// # Errors
    /// Where the name is too short, too long, or has another character.
    pub fn from_name(name: &str) -> Result<Self, NameError> {
        check_name("cluster", name)?;
        Ok(Self(*Uuid::new_v5(&NAMESPACE_CLUSTER, name.as_bytes()).as_bytes()))
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(formatter)
    }
}

/// A random id written when a data directory is created: another one means that the node lost its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub [u8; 16]);

impl fmt::Display for Incarnation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(formatter)
    }
}

/// A place in a log, contiguous per space from 1; 0 is "nothing". Printed `#41`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Nothing: the place before the first entry.
    pub const ZERO: Self = Self(0);

    /// The sequence after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The sequence before this one; that of nothing is nothing.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How many sequences lie above `lower`, up to and including this one.
    #[must_use]
    pub const fn above(self, lower: Self) -> u64 {
        self.0.saturating_sub(lower.0)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", self.0)
    }
}

/// A ballot: generation (16 bits), term (32) and owner (16), totally ordered and unique to its owner.
///
/// Printed `e3n1`, or `g1e3n1` where the generation is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// No epoch: below every ballot, and what an entry of Engram's own carries.
    pub const ZERO: Self = Self(0);

    /// The ballot of these parts.
    #[must_use]
    pub const fn new(generation: u16, term: u32, owner: NodeId) -> Self {
        Self((generation as u64) << 48 | (term as u64) << 16 | owner.0 as u64)
    }

    /// Raised by each forced promotion.
    #[must_use]
    pub const fn generation(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Raised by each start of a primary.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the term is the 32 bits above the owner's 16")]
    pub const fn term(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// The one node that may be primary in this epoch.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the owner is the lowest 16 bits")]
    pub const fn owner(self) -> NodeId {
        NodeId(self.0 as u16)
    }

    /// The lowest ballot of `owner` with a term above this one's; `None` once the terms of a generation are used up.
    #[must_use]
    pub fn next_for(self, owner: NodeId) -> Option<Self> {
        Some(Self::new(self.generation(), self.term().checked_add(1)?, owner))
    }

    /// The ballot of `owner` that begins the generation above this one's; `None` once generations are used up. The term goes
    /// on, and begins anew where there is none left.
    #[must_use]
    pub fn next_generation(self, owner: NodeId) -> Option<Self> {
        Some(Self::new(self.generation().checked_add(1)?, self.term().checked_add(1).unwrap_or(1), owner))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.generation() != 0 {
            write!(formatter, "g{}", self.generation())?;
        }
        write!(formatter, "e{}{}", self.term(), self.owner())
    }
}

/// An entry named by what decides placement: its epoch, its sequence, and the chain over all before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// The epoch of the entry; [`Epoch::ZERO`] for the place before the first.
    pub epoch: Epoch,
    /// Its sequence.
    pub sequence: Sequence,
    /// Its chain value: CRC32C over everything up to it. It only detects; placement needs the other two as well.
    pub chain: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.epoch, self.sequence)
    }
}

/// What an append is known by afterwards: the space, and the entry's place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    /// The space.
    pub space: SpaceId,
    /// The epoch in which the entry was appended.
    pub epoch: Epoch,
    /// Its sequence.
    pub sequence: Sequence,
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}{}", self.space, self.epoch, self.sequence)
    }
}

/// One connection's life. The core numbers those that it dials, the shell those that it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    const ACCEPTED: u64 = 1 << 63;

    /// The `n`th link that this node dialled.
    #[must_use]
    pub const fn dialled(n: u64) -> Self {
        Self(n & !Self::ACCEPTED)
    }

    /// The `n`th link that this node accepted.
    #[must_use]
    pub const fn accepted(n: u64) -> Self {
        Self(n | Self::ACCEPTED)
    }

    /// Whether the peer dialled it.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        self.0 & Self::ACCEPTED != 0
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.is_accepted() { '<' } else { '>' };
        write!(formatter, "link{direction}{}", self.0 & !Self::ACCEPTED)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

counter! {
    /// A write to one WAL. An entry that is truncated and written again has another one, so that a stale completion shows.
    WriteId, "w"
}
counter! {
    /// A read from one WAL.
    ReadId, "r"
}
counter! {
    /// A client's request, numbered by the driver; its reply carries the same number.
    RequestId, "q"
}

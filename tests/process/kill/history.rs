//! What clients did and were told.

use core::time::Duration;

use engraft::types::{Epoch, NodeId};

use super::payload::PayloadId;

/// When an append is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Local,
    Quorum,
    All,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Quorum => "quorum",
            Self::All => "all",
        }
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) epoch: Epoch,
    pub(super) sequence: u64,
}

impl core::fmt::Display for Place {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "{}#{}", self.epoch, self.sequence)
    }
}

/// What the client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// It is as durable as the level demands.
    Appended(Place),
    /// It is in the log, and these nodes have it.
    Unknown { place: Place, acked_by: Vec<u16> },
    /// Nothing was appended; the kind of the failure.
    Failed(String),
    /// The connection broke, or the client went away.
    Nothing,
}

/// One append.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) id: PayloadId,
    pub(super) space: usize,
    pub(super) level: Level,
    /// Since the run's start; the same clock for all clients.
    pub(super) sent: Duration,
    pub(super) answered: Duration,
    /// Its place among the lines of its request.
    pub(super) line: u32,
    pub(super) told: Told,
}

/// An entry that a node showed to a reader as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) space: usize,
    pub(super) node: u16,
    pub(super) place: Place,
    pub(super) payload_crc: u32,
}

/// The epoch of that printed form: `e3n1` or `g1e3n1`.
pub(super) fn parse_epoch(text: &str) -> Option<Epoch> {
    let (generation, rest) = match text.strip_prefix('g') {
        Some(rest) => rest.split_once('e')?,
        None => ("0", text.strip_prefix('e')?),
    };
    let (term, owner) = rest.split_once('n')?;
    Some(Epoch::new(generation.parse().ok()?, term.parse().ok()?, NodeId(owner.parse().ok()?)))
}

//! What travels about elections and leases: each message speaks of many spaces.

use ::core::fmt;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::super::{Epoch, Sequence, SpaceId, Time};

/// A space and an epoch of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpaceEpoch {
    /// The space.
    pub space: SpaceId,
    /// The epoch.
    pub epoch: Epoch,
}

/// What a candidate asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum VoteRound {
    /// Whether a vote would be granted; nobody promises anything.
    PreVote,
    /// A vote: the voter promises the epoch.
    Vote,
}

/// What a candidate asks of a voter in one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VoteAsk {
    /// The space.
    pub space: SpaceId,
    /// The epoch that the candidate would open, or opens; it owns it.
    pub epoch: Epoch,
    /// Which of the two it asks for.
    pub round: VoteRound,
    /// The epoch of its last entry, writes in flight included.
    pub end_epoch: Epoch,
    /// The sequence of that entry.
    pub end_sequence: Sequence,
    /// The epoch of the last forced start in its log; [`Epoch::ZERO`] where there was none.
    pub lineage: Epoch,
    /// The candidate's clock when it asked; the answer carries it back.
    pub sent: Time,
}

/// A candidate asks for votes or pre-votes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VoteRequest {
    /// What it asks, space by space.
    #[serde(deserialize_with = "super::super::list::deserialize")]
    pub asks: Vec<VoteAsk>,
}

/// What a voter says to a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Yes: in a vote, the promise is durable.
    Granted,
    /// It has promised an epoch that is as high.
    Promised,
    /// It heard a leased primary lately, or is one.
    Sticky,
    /// It started lately, and may have forgotten whom it heard.
    Restarted,
    /// The candidate's log ends before its own.
    Behind,
    /// One of the two is no voter of the space.
    NotVoter,
    /// The epoch is of another generation, or the candidate's log of another lineage.
    Lineage,
    /// The space has stopped there.
    Stopped,
    /// The space is not open there.
    UnknownSpace,
    /// Yes, but the voter may have forgotten what it acknowledged: it counts only where every voter says yes. In a vote,
    /// the promise is durable.
    Recovering,
}

impl Verdict {
    /// Whether the voter follows the candidate if it is elected: in a vote, it promised.
    #[must_use]
    pub const fn is_yes(self) -> bool {
        match self {
            Self::Granted | Self::Recovering => true,
            Self::Promised
            | Self::Sticky
            | Self::Restarted
            | Self::Behind
            | Self::NotVoter
            | Self::Lineage
            | Self::Stopped
            | Self::UnknownSpace => false,
        }
    }
}

/// A voter's answer in one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VoteReply {
    /// The space.
    pub space: SpaceId,
    /// The epoch that was asked for.
    pub epoch: Epoch,
    /// What was asked for.
    pub round: VoteRound,
    /// Whether it is granted, or why not.
    pub verdict: Verdict,
    /// The highest epoch that the voter has promised: the next request has to be above it.
    pub promised: Epoch,
    /// The candidate's clock when it asked.
    pub sent: Time,
}

/// A voter's answers to a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VoteAnswer {
    /// The answers, space by space.
    #[serde(deserialize_with = "super::super::list::deserialize")]
    pub replies: Vec<VoteReply>,
}

/// A space in which a primary asks whether it is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProbedSpace {
    /// The space.
    pub space: SpaceId,
    /// The epoch that the sender is the primary of.
    pub epoch: Epoch,
    /// The epoch of the last forced start in its log; [`Epoch::ZERO`] where there was none.
    pub lineage: Epoch,
}

/// A primary without a lease asks whether it is still followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Probe {
    /// The primary's clock.
    pub sent: Time,
    /// The spaces that it asks for, and its epoch in each.
    #[serde(deserialize_with = "super::super::list::deserialize")]
    pub spaces: Vec<ProbedSpace>,
}

/// The answer to a [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProbeEcho {
    /// The probe's `sent`.
    pub sent: Time,
    /// For each space that is open, goes on, and is of the asking primary's lineage: the highest epoch that is promised.
    #[serde(deserialize_with = "super::super::list::deserialize")]
    pub promised: Vec<SpaceEpoch>,
}

/// From here on heartbeats, or echoes, do not hold for these spaces in these epochs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Detach {
    /// The spaces, and the epoch of the primary that is given up or not echoed any more.
    #[serde(deserialize_with = "super::super::list::deserialize")]
    pub spaces: Vec<SpaceEpoch>,
}

impl fmt::Display for SpaceEpoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.space, self.epoch)
    }
}

impl fmt::Display for ProbedSpace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.space, self.epoch)
    }
}

impl fmt::Display for VoteRound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::PreVote => "pre-vote",
            Self::Vote => "vote",
        })
    }
}

impl fmt::Display for VoteAsk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { space, epoch, round, end_epoch, end_sequence, .. } = self;
        write!(formatter, "{space} {round} {epoch} ends {end_epoch}{end_sequence}")
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Granted => "granted",
            Self::Promised => "refused: promised",
            Self::Sticky => "refused: a primary is heard",
            Self::Restarted => "refused: started lately",
            Self::Behind => "refused: the log is behind",
            Self::NotVoter => "refused: no voter",
            Self::Lineage => "refused: another lineage",
            Self::Stopped => "refused: stopped",
            Self::UnknownSpace => "refused: unknown space",
            Self::Recovering => "granted, recovering",
        })
    }
}

impl fmt::Display for VoteReply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { space, epoch, round, verdict, promised, .. } = self;
        write!(formatter, "{space} {round} {epoch} {verdict}, promised {promised}")
    }
}

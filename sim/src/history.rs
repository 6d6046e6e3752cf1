//! Every operation that a client asked for, and what became of it.

use engraft::core::Ack;
use engraft::types::{Epoch, Sequence, SpaceId, Time, Token};

use crate::check::SpaceIndex;
use crate::queue::NodeIndex;

/// One operation of a client.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// Its place in the history.
    pub(crate) number: usize,
    /// Its place among those of its client, from 1 on.
    pub(crate) n: u64,
    pub(crate) load: usize,
    pub(crate) space: SpaceIndex,
    pub(crate) node: NodeIndex,
    /// The level in force for it.
    pub(crate) level: Ack,
    /// Its timestamp, by which its entry is known; 0 for a read.
    pub(crate) stamp: u64,
    pub(crate) bytes: usize,
    pub(crate) wants: Wants,
    pub(crate) asked: Time,
    /// The highest sequence that was answered before it was asked for, and in which lineage.
    pub(crate) floor: (Epoch, Sequence),
    pub(crate) state: OperationState,
}

/// What an operation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Append,
    /// Committed entries from there on.
    Read {
        from: Sequence,
    },
    /// What became of an append, told at that time of the asked node's clock at the latest.
    WaitFor {
        token: Token,
        deadline: Time,
    },
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OperationState {
    Waiting,
    Done,
    Unknown,
    Failed,
}

/// Where each append stands, as the disks say.
///
/// An append is known by its timestamp, which is its alone: a payload is the embedder's, and may be empty.
#[derive(Debug, Default)]
pub(crate) struct WrittenOperations {
    /// By rising stamp.
    list: Vec<Written>,
}

#[derive(Debug, Clone, Copy)]
struct Written {
    stamp: u64,
    token: Option<(SpaceId, Epoch, Sequence)>,
    failed: bool,
}

impl WrittenOperations {
    /// The timestamp of an append that is asked for now, in nanoseconds: that of no other one, and never 0.
    pub(crate) fn stamp(&mut self, now: Time) -> u64 {
        let after = self.list.last().map_or(1, |last| last.stamp + 1);
        let stamp = after.max(now.0.saturating_mul(1_000));
        self.list.push(Written { stamp, token: None, failed: false });
        stamp
    }

    /// Notes a new entry. The error is where the append stands already; none where it was answered as failed.
    pub(crate) fn written(&mut self, stamp: u64, token: Token) -> Result<(), Option<Token>> {
        let Some(place) = self.place(stamp) else { return Ok(()) };
        if let Some((space, epoch, sequence)) = place.token {
            return Err(Some(Token { space, epoch, sequence }));
        }
        place.token = Some((token.space, token.epoch, token.sequence));
        if place.failed { Err(None) } else { Ok(()) }
    }

    pub(crate) fn find(&self, stamp: u64) -> Option<Token> {
        let at = self.list.binary_search_by_key(&stamp, |written| written.stamp).ok()?;
        let (space, epoch, sequence) = self.list.get(at)?.token?;
        Some(Token { space, epoch, sequence })
    }

    /// Notes that the append was answered as failed, and gives where it stands nonetheless.
    pub(crate) fn failed(&mut self, stamp: u64) -> Option<Token> {
        let place = self.place(stamp)?;
        place.failed = true;
        self.find(stamp)
    }

    fn place(&mut self, stamp: u64) -> Option<&mut Written> {
        let at = self.list.binary_search_by_key(&stamp, |written| written.stamp).ok()?;
        self.list.get_mut(at)
    }
}

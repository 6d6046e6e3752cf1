//! Every operation that a client asked for, and what became of it.

use engraft::core::Ack;
use engraft::types::{Epoch, Sequence, SpaceId, Time, Token};

use crate::check::SpaceIndex;
use crate::queue::NodeIndex;

/// The first bytes of a payload that say which operation it is of: this, and the operation's number.
const KEY: u64 = 0x53_494d << 40;
const KEY_NUMBER: u64 = (1 << 40) - 1;

/// One operation of a client.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// Its place in the history.
    pub(crate) number: usize,
    pub(crate) load: usize,
    pub(crate) space: SpaceIndex,
    pub(crate) node: NodeIndex,
    /// The level in force for it.
    pub(crate) level: Ack,
    pub(crate) bytes: usize,
    /// Whether it reads; `from` is where.
    pub(crate) reads: bool,
    pub(crate) from: Sequence,
    pub(crate) asked: Time,
    /// The highest sequence that was answered before it was asked for.
    pub(crate) floor: Sequence,
    pub(crate) state: OperationState,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OperationState {
    Waiting,
    Done,
    Unknown,
    Failed,
}

impl Operation {
    /// The number that its payload begins with; 0 where it has no room for one.
    pub(crate) const fn key(&self) -> u64 {
        if self.bytes < 8 || self.reads { 0 } else { key(self.number) }
    }
}

pub(crate) const fn key(number: usize) -> u64 {
    KEY | (number as u64 & KEY_NUMBER)
}

/// Where each operation stands, as the disks say.
#[derive(Debug, Default)]
pub(crate) struct WrittenOperations {
    list: Vec<Written>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Written {
    token: Option<(SpaceId, Epoch, Sequence)>,
    failed: bool,
}

impl WrittenOperations {
    /// Notes a new entry. The error is where the operation stands already; none where it was answered as failed.
    pub(crate) fn written(&mut self, key: u64, token: Token) -> Result<(), Option<Token>> {
        let Some(place) = self.place(key) else { return Ok(()) };
        if let Some((space, epoch, sequence)) = place.token {
            return Err(Some(Token { space, epoch, sequence }));
        }
        place.token = Some((token.space, token.epoch, token.sequence));
        if place.failed { Err(None) } else { Ok(()) }
    }

    pub(crate) fn find(&self, key: u64) -> Option<Token> {
        let (space, epoch, sequence) = self.list.get(number(key)?)?.token?;
        Some(Token { space, epoch, sequence })
    }

    /// Notes that the operation was answered as failed, and gives where it stands nonetheless.
    pub(crate) fn failed(&mut self, key: u64) -> Option<Token> {
        let place = self.place(key)?;
        place.failed = true;
        self.find(key)
    }

    fn place(&mut self, key: u64) -> Option<&mut Written> {
        let number = number(key)?;
        if self.list.len() <= number {
            self.list.resize(number + 1, Written::default());
        }
        self.list.get_mut(number)
    }
}

fn number(key: u64) -> Option<usize> {
    (key & !KEY_NUMBER == KEY).then_some(key & KEY_NUMBER).and_then(|number| usize::try_from(number).ok())
}

//! One space's log: ours, or the index of an engine's.

use crate::types::{Entry, Position, Sequence};
use crate::wal::own_wal::SideLog;
use crate::wal::{Disk, Ledger, Wal, WalError};

/// Where a space's entries are.
pub(super) enum SpaceLog<D: Disk> {
    /// In our own segments.
    Ours(Box<Wal<D>>),
    /// In an engine's log.
    Engine(Box<SideLog<D>>),
}

impl<D: Disk> SpaceLog<D> {
    pub(super) fn end(&self) -> Position {
        match self {
            Self::Ours(log) => log.end(),
            Self::Engine(log) => log.end(),
        }
    }

    pub(super) fn synced(&self) -> Sequence {
        match self {
            Self::Ours(log) => log.synced(),
            Self::Engine(log) => log.synced(),
        }
    }

    pub(super) const fn take_rolled(&mut self) -> bool {
        match self {
            Self::Ours(log) => log.take_rolled(),
            Self::Engine(log) => log.take_rolled(),
        }
    }

    pub(super) fn append<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), WalError> {
        match self {
            Self::Ours(log) => log.append(entries),
            Self::Engine(log) => log.append(entries),
        }
    }

    pub(super) fn sync(&mut self) -> Result<(), WalError> {
        match self {
            Self::Ours(log) => log.sync(),
            Self::Engine(log) => log.sync(),
        }
    }

    pub(super) fn read(&mut self, from: Sequence, entries: u32, bytes: u64) -> Result<Vec<Entry>, WalError> {
        match self {
            Self::Ours(log) => log.read(from, entries, bytes),
            Self::Engine(log) => log.read(from, entries, bytes),
        }
    }

    pub(super) fn truncate(&mut self, ledger: &mut Ledger<D>, last: Sequence) -> Result<(), WalError> {
        match self {
            Self::Ours(log) => log.truncate(ledger, last),
            Self::Engine(log) => log.truncate(ledger, last),
        }
    }

    /// An index is kept whole: what it points to is the engine's.
    pub(super) fn retire(&mut self, ledger: &mut Ledger<D>, from: Sequence) -> Result<u64, WalError> {
        match self {
            Self::Ours(log) => log.retire(ledger, from),
            Self::Engine(_) => Ok(0),
        }
    }

    /// Cuts from an index what the engine does not have any more; the new end, where anything was cut.
    pub(super) fn settle(&mut self, ledger: &mut Ledger<D>) -> Result<Option<Position>, WalError> {
        match self {
            Self::Ours(_) => Ok(None),
            Self::Engine(log) => log.settle(ledger),
        }
    }
}

//! What the core knows of one space's log: its end, what of it is durable, and the writes under way.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::types::entry::StartFound;
use crate::types::{Control, Entry, Epoch, EpochHistory, Position, Sequence, SpaceId, Time, WriteId};

use super::action::{Action, Actions};
use super::members::Members;

/// Entries in one write at most; Engram's group.
const WRITE_ENTRIES_MAX: usize = 1_000;
/// Bytes in one write at most (a larger entry goes alone).
const WRITE_BYTES_MAX: usize = 4 << 20;
/// Writes under way at once where they are large. One is being synced while the next is queued behind it, so that the
/// disk never waits for the core; what comes in meanwhile is one write. More would only cut it smaller.
pub const WRITES_UNDER_WAY: usize = 2;
/// While fewer entries than this are under way, the next is handed over at once, however many writes there are: it shares
/// the next fsync with those before it. If it waited for a completion, it would wait for an fsync more. So there are at
/// most this many writes, of an entry each. Each has a price: with 64 the primary's core was 6 % slower.
pub const ENTRIES_AT_ONCE: u64 = 16;
/// Chain values kept of the newest entries, against which a repeated batch is held.
const RECENT_CHAINS: usize = 4_096;

/// A write that the disk has not confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Write {
    id: WriteId,
    end: Position,
    bytes: u64,
    /// When it was handed to the disk.
    at: Time,
}

/// One space's log as the core sees it.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Log {
    space: SpaceId,
    history: EpochHistory,
    members: Members,
    end: Position,
    durable: Sequence,
    unwritten: VecDeque<Entry>,
    writes: VecDeque<Write>,
    write_counter: u64,
    undurable_bytes: u64,
    chains: VecDeque<u32>,
}

impl Log {
    /// The log as recovery found it: all of it is durable.
    pub(crate) fn new(space: SpaceId, end: Position, history: EpochHistory) -> Self {
        Self {
            space,
            history,
            members: Members::default(),
            end,
            durable: end.sequence,
            unwritten: VecDeque::new(),
            writes: VecDeque::new(),
            write_counter: 0,
            undurable_bytes: 0,
            chains: VecDeque::from([end.chain]),
        }
    }

    /// The same, with what recovery found in the start entries.
    pub(crate) fn recovered(space: SpaceId, end: Position, history: EpochHistory, starts: Vec<StartFound>) -> Self {
        let mut log = Self::new(space, end, history);
        log.members.recover(starts);
        log
    }

    /// The last entry, writes under way included.
    pub(crate) fn end(&self) -> Position {
        self.end
    }

    /// The last durable entry.
    pub(crate) fn durable(&self) -> Sequence {
        self.durable
    }

    /// Which epoch each entry is of, writes under way included.
    pub(crate) fn history(&self) -> &EpochHistory {
        &self.history
    }

    /// What the start entries say of voters and lineage, writes under way included.
    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    /// Entries that are not durable yet.
    pub(crate) fn undurable_entries(&self) -> u64 {
        self.end.sequence.above(self.durable)
    }

    /// Their bytes, headers included.
    pub(crate) fn undurable_bytes(&self) -> u64 {
        self.undurable_bytes
    }

    /// The first entry that has not been handed to the disk; one past the end where all were.
    pub(crate) fn first_unwritten(&self) -> Sequence {
        self.unwritten.front().map_or(self.end.sequence.next(), |entry| entry.header.sequence())
    }

    /// The chain value of the entry at `sequence`, where it is recent enough to be kept.
    pub(crate) fn chain_at(&self, sequence: Sequence) -> Option<u32> {
        if sequence > self.end.sequence {
            return None;
        }
        let back = usize::try_from(self.end.sequence.above(sequence)).ok()?;
        self.chains.len().checked_sub(back + 1).and_then(|index| self.chains.get(index)).copied()
    }

    /// Adds an entry behind the end. It is written by the next [`Log::write`].
    pub(crate) fn push(&mut self, entry: Entry) {
        let position = entry.position();
        assert_eq!(position.sequence, self.end.sequence.next(), "S3: sequences are contiguous");
        assert!(position.epoch >= self.end.epoch, "S3: epochs of a log never go back");
        self.history.note(position.epoch, position.sequence);
        if entry.header.control().kind == Control::EPOCH_START {
            self.members.note_entry(&entry);
        }
        self.end = position;
        self.undurable_bytes += entry.size() as u64;
        if self.chains.len() == RECENT_CHAINS {
            self.chains.pop_front();
        }
        self.chains.push_back(position.chain);
        self.unwritten.push_back(entry);
    }

    /// Hands what was pushed to the disk, as long as it is not busy enough.
    pub(crate) fn write(&mut self, now: Time, actions: &mut Actions) {
        while !self.unwritten.is_empty() && self.takes_another_write() {
            let mut bytes = 0;
            let mut count = 0;
            for entry in self.unwritten.iter().take(WRITE_ENTRIES_MAX) {
                if count > 0 && bytes + entry.size() > WRITE_BYTES_MAX {
                    break;
                }
                bytes += entry.size();
                count += 1;
            }
            let mut entries = actions.spare.take(count);
            entries.extend(self.unwritten.drain(..count));
            let Some(last) = entries.last() else { return };
            let write = Write { id: self.next_write(), end: last.position(), bytes: bytes as u64, at: now };
            self.writes.push_back(write);
            actions.push(Action::WalAppend { space: self.space, write: write.id, entries });
        }
    }

    /// When the disk counts as stalled, unless it confirms a write before.
    pub(crate) fn stalls_at(&self, limit: Duration) -> Option<Time> {
        self.writes.front().map(|write| write.at + limit)
    }

    fn takes_another_write(&self) -> bool {
        let under_way = self.undurable_entries() - self.unwritten.len() as u64;
        self.writes.len() < WRITES_UNDER_WAY || under_way < ENTRIES_AT_ONCE
    }

    /// A write is durable. Says whether anything new is; a stale completion changes nothing (S26).
    pub(crate) fn appended(&mut self, write: WriteId, epoch: Epoch, sequence: Sequence) -> bool {
        let known = self
            .writes
            .iter()
            .position(|pending| pending.id == write && pending.end.epoch == epoch && pending.end.sequence == sequence);
        let Some(index) = known else { return false };
        for done in self.writes.drain(..=index) {
            self.durable = done.end.sequence;
            self.undurable_bytes -= done.bytes;
        }
        true
    }

    /// A number for the next order to the disk.
    pub(crate) fn next_write(&mut self) -> WriteId {
        self.write_counter += 1;
        WriteId(self.write_counter)
    }

    /// Everything behind `end` is gone from the disk, which had nothing under way.
    pub(crate) fn truncate(&mut self, end: Position) {
        assert!(self.is_settled(), "what is under way cannot be cut off");
        let dropped = usize::try_from(self.end.sequence.above(end.sequence)).unwrap_or(usize::MAX);
        self.chains.truncate(self.chains.len().saturating_sub(dropped));
        if self.chains.is_empty() {
            self.chains.push_back(end.chain);
        }
        self.history.truncate(end.sequence);
        self.members.truncate(end.sequence);
        (self.end, self.durable) = (end, end.sequence);
    }

    /// Whether everything is durable.
    pub(crate) fn is_settled(&self) -> bool {
        self.writes.is_empty() && self.unwritten.is_empty()
    }

    /// Forgets what was never handed to the disk. Only for a space that stops.
    pub(crate) fn abandon(&mut self) {
        self.unwritten.clear();
        self.writes.clear();
    }
}

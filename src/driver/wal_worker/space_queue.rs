//! What waits for one space's log, and what was written and not yet told.

use alloc::collections::VecDeque;

use crate::core::Event;
use crate::types::{Entry, EntryLists, Epoch, FsyncMode, Position, ReadId, Sequence, SpaceId, WriteId};
use crate::wal::{Disk, Ledger, WalError, WalOptions};

use super::space_log::SpaceLog;

/// One space's log and its queues.
pub(super) struct SpaceQueue<D: Disk> {
    wal: SpaceLog<D>,
    mode: FsyncMode,
    group_entries: usize,
    group_bytes: u64,
    appends: VecDeque<PendingAppend>,
    reads: VecDeque<PendingRead>,
    /// Writes whose last entry was written, in order.
    written: Vec<Written>,
    /// Set by a write, cleared by the sync or the completion that follows.
    unsynced: bool,
    stopped: bool,
}

struct PendingAppend {
    write: WriteId,
    entries: Vec<Entry>,
    /// How many of them are written.
    done: usize,
}

struct PendingRead {
    read: ReadId,
    from: Sequence,
    entries_max: u32,
    bytes_max: u64,
}

struct Written {
    write: WriteId,
    epoch: Epoch,
    sequence: Sequence,
}

impl<D: Disk> SpaceQueue<D> {
    pub(super) fn new(wal: SpaceLog<D>, mode: FsyncMode, options: &WalOptions) -> Self {
        Self {
            wal,
            mode,
            group_entries: options.group_entries,
            group_bytes: options.group_bytes,
            appends: VecDeque::new(),
            reads: VecDeque::new(),
            written: Vec::new(),
            unsynced: false,
            stopped: false,
        }
    }

    pub(super) fn queue_append(&mut self, write: WriteId, entries: Vec<Entry>) {
        if !self.stopped && !entries.is_empty() {
            self.appends.push_back(PendingAppend { write, entries, done: 0 });
        }
    }

    pub(super) fn queue_read(&mut self, read: ReadId, from: Sequence, entries_max: u32, bytes_max: u64) {
        if !self.stopped {
            self.reads.push_back(PendingRead { read, from, entries_max, bytes_max });
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !(self.appends.is_empty() && self.reads.is_empty() && self.written.is_empty()) || self.unsynced
    }

    /// The last entry that is known to be on disk; `None` once the log has stopped.
    pub(super) fn synced(&self) -> Option<Sequence> {
        (!self.stopped).then(|| self.wal.synced())
    }

    pub(super) const fn take_rolled(&mut self) -> bool {
        self.wal.take_rolled()
    }

    /// Writes the next group. Where a sync is owed, nothing: at most one group is ever unsynced.
    /// The lists of appends that are written as a whole go to `spent`.
    pub(super) fn write(&mut self, spent: &mut EntryLists) -> Result<(), WalError> {
        if self.stopped || self.unsynced || self.appends.is_empty() {
            return Ok(());
        }
        let group = take_group(&mut self.appends, self.mode, self.group_entries, self.group_bytes);
        let result = self.wal.append(
            self.appends
                .iter()
                .zip(&group)
                .flat_map(|(pending, count)| pending.entries.iter().skip(pending.done).take(*count)),
        );
        if let Err(error) = result {
            self.stop();
            return Err(error);
        }
        self.unsynced = is_strict(self.mode);
        for count in group {
            let Some(pending) = self.appends.front_mut() else { break };
            pending.done += count;
            if pending.done < pending.entries.len() {
                break;
            }
            if let Some(last) = pending.entries.last().map(Entry::position) {
                self.written.push(Written { write: pending.write, epoch: last.epoch, sequence: last.sequence });
            }
            spent.extend(self.appends.pop_front().map(|pending| pending.entries));
        }
        Ok(())
    }

    /// Whether the next sync has something to do.
    pub(super) const fn owes_sync(&self) -> bool {
        self.unsynced && !self.stopped
    }

    pub(super) fn sync(&mut self) -> Result<(), WalError> {
        if self.stopped || !self.unsynced {
            return Ok(());
        }
        self.wal.sync().inspect_err(|_| self.stop())?;
        self.unsynced = false;
        Ok(())
    }

    pub(super) fn sync_by_timer(&mut self) -> Result<(), WalError> {
        if self.stopped || self.mode != FsyncMode::Timer {
            return Ok(());
        }
        self.wal.sync().inspect_err(|_| self.stop())
    }

    pub(super) fn sync_for_good(&mut self) -> Result<(), WalError> {
        if self.stopped { Ok(()) } else { self.wal.sync().inspect_err(|_| self.stop()) }
    }

    pub(super) fn truncate(&mut self, ledger: &mut Ledger<D>, last: Sequence) -> Result<(), WalError> {
        while !self.stopped && (self.unsynced || !self.appends.is_empty()) {
            self.write(&mut EntryLists::default())?;
            self.sync()?;
        }
        self.wal.truncate(ledger, last).inspect_err(|error| {
            if !matches!(error, WalError::NoSuchCut { .. }) {
                self.stop();
            }
        })
    }

    /// Cuts from an engine's index what the engine does not have any more; the new end, where anything was cut.
    pub(super) fn settle(&mut self, ledger: &mut Ledger<D>) -> Result<Option<Position>, WalError> {
        self.wal.settle(ledger)
    }

    pub(super) fn retire(&mut self, ledger: &mut Ledger<D>, from: Sequence) -> Result<u64, WalError> {
        self.wal.retire(ledger, from).inspect_err(|_| self.stop())
    }

    /// Tells of writes that are durable, in the sense of the space's mode.
    pub(super) fn complete(&mut self, space: SpaceId, events: &mut Vec<Event>) {
        if self.unsynced {
            return;
        }
        for Written { write, epoch, sequence } in self.written.drain(..) {
            events.push(Event::WalAppended { space, write, epoch, sequence });
        }
    }

    pub(super) fn answer_reads(&mut self, space: SpaceId, events: &mut Vec<Event>) -> Result<(), WalError> {
        while let Some(read) = self.reads.pop_front() {
            let entries = self.wal.read(read.from, read.entries_max, read.bytes_max).inspect_err(|_| self.stop())?;
            events.push(Event::WalRead { space, read: read.read, entries });
        }
        Ok(())
    }

    /// Final: what the disk holds is known only after the next start.
    fn stop(&mut self) {
        self.stopped = true;
        self.unsynced = false;
        self.appends.clear();
        self.reads.clear();
        self.written.clear();
    }
}

const fn is_strict(mode: FsyncMode) -> bool {
    match mode {
        FsyncMode::PerWrite | FsyncMode::PerBatch => true,
        FsyncMode::Timer | FsyncMode::None => false,
    }
}

/// How many entries of each waiting append form the next group.
fn take_group(
    appends: &mut VecDeque<PendingAppend>,
    mode: FsyncMode,
    entries_max: usize,
    bytes_max: u64,
) -> Vec<usize> {
    let (mut entries, mut bytes) = (0, 0);
    let mut group = Vec::new();
    for pending in appends.iter() {
        let mut count = 0;
        for entry in pending.entries.iter().skip(pending.done) {
            let size = entry.size() as u64;
            if entries == entries_max || (entries > 0 && bytes + size > bytes_max) {
                break;
            }
            (entries, bytes, count) = (entries + 1, bytes + size, count + 1);
        }
        if count > 0 {
            group.push(count);
        }
        // Per write means that each write has an fsync of its own.
        if count < pending.entries.len() - pending.done || mode == FsyncMode::PerWrite {
            break;
        }
    }
    group
}

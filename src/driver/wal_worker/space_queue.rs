//! What waits for one space's log, and what was written and not yet told.

use alloc::collections::VecDeque;

use crate::core::{Event, StorageOperation};
use crate::types::{Entry, EntryLists, Epoch, FsyncMode, Position, ReadId, Sequence, SpaceId, WriteId};
use crate::wal::salvage::{self, SalvagePlace, SaveError};
use crate::wal::{Disk, Ledger, WalError, WalOptions};

use super::space_log::SpaceLog;

/// One space's log and its queues.
pub(super) struct SpaceQueue<D: Disk> {
    wal: SpaceLog<D>,
    salvage: SalvagePlace,
    mode: FsyncMode,
    group_entries: usize,
    group_bytes: u64,
    orders: VecDeque<Order>,
    /// How many cuts were ever queued, and done.
    cuts_queued: u64,
    cuts_done: u64,
    reads: VecDeque<PendingRead>,
    /// What was done and not yet told, in order.
    done: Vec<Done>,
    /// Set by a write, cleared by the sync or the completion that follows.
    unsynced: bool,
    stopped: bool,
}

/// What changes the log, or saves what is about to be cut from it: done in order.
enum Order {
    Append(PendingAppend),
    Salvage { write: WriteId, first: Sequence, last: Sequence, by: Epoch },
    Cut { write: WriteId, last: Sequence },
}

struct PendingAppend {
    write: WriteId,
    entries: Vec<Entry>,
    /// How many of them are written.
    done: usize,
}

struct PendingRead {
    /// The cuts that were queued before it: it sees the log behind them, and before any other.
    cuts: u64,
    read: ReadId,
    from: Sequence,
    entries_max: u32,
    bytes_max: u64,
}

enum Done {
    Written { write: WriteId, epoch: Epoch, sequence: Sequence },
    Saved { write: WriteId },
    Cut { write: WriteId },
}

/// What failed of a space, and how.
pub(super) struct Failed {
    pub(super) operation: StorageOperation,
    pub(super) error: WalError,
}

impl<D: Disk> SpaceQueue<D> {
    pub(super) fn new(wal: SpaceLog<D>, salvage: SalvagePlace, mode: FsyncMode, options: &WalOptions) -> Self {
        Self {
            wal,
            salvage,
            mode,
            group_entries: options.group_entries,
            group_bytes: options.group_bytes,
            orders: VecDeque::new(),
            cuts_queued: 0,
            cuts_done: 0,
            reads: VecDeque::new(),
            done: Vec::new(),
            unsynced: false,
            stopped: false,
        }
    }

    pub(super) fn queue_append(&mut self, write: WriteId, entries: Vec<Entry>) {
        if !self.stopped && !entries.is_empty() {
            self.orders.push_back(Order::Append(PendingAppend { write, entries, done: 0 }));
        }
    }

    pub(super) fn queue_salvage(&mut self, write: WriteId, first: Sequence, last: Sequence, by: Epoch) {
        if !self.stopped {
            self.orders.push_back(Order::Salvage { write, first, last, by });
        }
    }

    pub(super) fn queue_cut(&mut self, write: WriteId, last: Sequence) {
        if !self.stopped {
            self.orders.push_back(Order::Cut { write, last });
            self.cuts_queued += 1;
        }
    }

    pub(super) fn queue_read(&mut self, read: ReadId, from: Sequence, entries_max: u32, bytes_max: u64) {
        if !self.stopped {
            self.reads.push_back(PendingRead { cuts: self.cuts_queued, read, from, entries_max, bytes_max });
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !(self.orders.is_empty() && self.reads.is_empty() && self.done.is_empty()) || self.unsynced
    }

    /// The last entry that is known to be on disk; `None` once the log has stopped.
    pub(super) fn synced(&self) -> Option<Sequence> {
        (!self.stopped).then(|| self.wal.synced())
    }

    pub(super) const fn take_rolled(&mut self) -> bool {
        self.wal.take_rolled()
    }

    /// Writes the next group, or saves or cuts what is next. Where a sync is owed, nothing: at most one group is ever
    /// unsynced. The lists of appends that are written as a whole go to `spent`.
    pub(super) fn write(&mut self, disk: &D, ledger: &mut Ledger<D>, spent: &mut EntryLists) -> Result<(), Failed> {
        if self.stopped || self.unsynced {
            return Ok(());
        }
        match self.orders.front() {
            None => Ok(()),
            Some(Order::Append(_)) => {
                self.write_group(spent).map_err(|error| Failed { operation: StorageOperation::Append, error })
            }
            Some(&Order::Salvage { write, first, last, by }) => {
                self.orders.pop_front();
                self.save(disk, (first, last), by)?;
                self.done.push(Done::Saved { write });
                Ok(())
            }
            // Whoever asked before the cut is answered from the log that was asked.
            Some(Order::Cut { .. }) if self.reads.front().is_some_and(|read| read.cuts == self.cuts_done) => Ok(()),
            Some(&Order::Cut { write, last }) => {
                self.orders.pop_front();
                let cut = self.wal.truncate(ledger, last).inspect_err(|_| self.stop());
                cut.map_err(|error| Failed { operation: StorageOperation::Truncate, error })?;
                self.cuts_done += 1;
                self.done.push(Done::Cut { write });
                Ok(())
            }
        }
    }

    /// What the next write is about.
    pub(super) fn next_operation(&self) -> StorageOperation {
        match self.orders.front() {
            None | Some(Order::Append(_)) => StorageOperation::Append,
            Some(Order::Salvage { .. }) => StorageOperation::Salvage,
            Some(Order::Cut { .. }) => StorageOperation::Truncate,
        }
    }

    fn write_group(&mut self, spent: &mut EntryLists) -> Result<(), WalError> {
        let group = take_group(appends(&self.orders), self.mode, self.group_entries, self.group_bytes);
        let result = self.wal.append(
            appends(&self.orders)
                .zip(&group)
                .flat_map(|(pending, count)| pending.entries.iter().skip(pending.done).take(*count)),
        );
        if let Err(error) = result {
            self.stop();
            return Err(error);
        }
        self.unsynced = is_strict(self.mode);
        for count in group {
            let Some(Order::Append(pending)) = self.orders.front_mut() else { break };
            pending.done += count;
            if pending.done < pending.entries.len() {
                break;
            }
            if let Some(last) = pending.entries.last().map(Entry::position) {
                self.done.push(Done::Written { write: pending.write, epoch: last.epoch, sequence: last.sequence });
            }
            if let Some(Order::Append(pending)) = self.orders.pop_front() {
                spent.extend([pending.entries]);
            }
        }
        Ok(())
    }

    /// Whether the next sync has something to do.
    pub(super) const fn owes_sync(&self) -> bool {
        self.unsynced && !self.stopped
    }

    /// Saves entries that are about to be cut. Where the file cannot be written the log is as it was, and goes on;
    /// where the log cannot be read, or a sync failed, it stops.
    fn save(&mut self, disk: &D, range: (Sequence, Sequence), by: Epoch) -> Result<(), Failed> {
        let wal = &mut self.wal;
        let saved =
            salvage::save(disk, &self.salvage, by, range, |from, entries, bytes| wal.read(from, entries, bytes));
        let (operation, error) = match saved {
            Ok(_) => return Ok(()),
            Err(SaveError::Write(error)) => (StorageOperation::Salvage, error),
            Err(SaveError::Read(error)) => (StorageOperation::Read, error),
            Err(SaveError::Sync(error)) => (StorageOperation::Sync, error),
        };
        if operation != StorageOperation::Salvage {
            self.stop();
        }
        Err(Failed { operation, error })
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
        events.extend(self.done.drain(..).map(|done| match done {
            Done::Written { write, epoch, sequence } => Event::WalAppended { space, write, epoch, sequence },
            Done::Saved { write } => Event::SalvageSaved { space, write },
            Done::Cut { write } => Event::WalTruncated { space, write },
        }));
    }

    /// Answers the reads that see the log as it is; the others wait for a cut that was queued before them.
    pub(super) fn answer_reads(&mut self, space: SpaceId, events: &mut Vec<Event>) -> Result<(), WalError> {
        while let Some(read) = self.reads.pop_front_if(|read| read.cuts == self.cuts_done) {
            let entries = self.wal.read(read.from, read.entries_max, read.bytes_max).inspect_err(|_| self.stop())?;
            events.push(Event::WalRead { space, read: read.read, entries });
        }
        Ok(())
    }

    /// Final: what the disk holds is known only after the next start.
    fn stop(&mut self) {
        self.stopped = true;
        self.unsynced = false;
        self.orders.clear();
        self.reads.clear();
        self.done.clear();
    }
}

const fn is_strict(mode: FsyncMode) -> bool {
    match mode {
        FsyncMode::PerWrite | FsyncMode::PerBatch => true,
        FsyncMode::Timer | FsyncMode::None => false,
    }
}

/// The appends that wait before anything else.
fn appends(orders: &VecDeque<Order>) -> impl Iterator<Item = &PendingAppend> {
    orders.iter().map_while(|order| match order {
        Order::Append(pending) => Some(pending),
        Order::Salvage { .. } | Order::Cut { .. } => None,
    })
}

/// How many entries of each waiting append form the next group.
fn take_group<'a>(
    appends: impl Iterator<Item = &'a PendingAppend>,
    mode: FsyncMode,
    entries_max: usize,
    bytes_max: u64,
) -> Vec<usize> {
    let (mut entries, mut bytes) = (0, 0);
    let mut group = Vec::new();
    for pending in appends {
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

//! A node's storage in steps: submit, write, sync, complete.
//!
//! It maps the core's orders to the logs, and the logs' results to the core's facts. Every host and the simulator
//! runs this very code; a host only decides when each step runs, so that a kill can land between any two of them.

mod import;
mod request;
mod saved_peers;
mod space_log;
mod space_queue;
mod starts;
mod storage;

use alloc::collections::{BTreeMap, BTreeSet};

use crate::core::{Event, StorageError, StorageErrorKind, StorageOperation};
use crate::types::message::SpaceEpoch;
use crate::types::{EntryLists, Epoch, Sequence, SpaceId};
use crate::wal::{Disk, Ledger, StorageOpenError, WalError};

pub use import::{ImportOptions, import_engram};
pub use request::WalRequest;
pub use storage::{StorageOpened, StorageOptions};

use super::figures::DiskWatch;

use saved_peers::SavedPeers;
use space_queue::{Failed, SpaceQueue};
use storage::Storage;

/// A node's storage: all of its logs and the file of promises.
pub struct WalWorker<D: Disk> {
    storage: Storage<D>,
    ledger: Ledger<D>,
    spaces: BTreeMap<SpaceId, SpaceQueue<D>>,
    /// The spaces that have something queued, or written and not yet completed.
    busy: BTreeSet<SpaceId>,
    votes: Vec<(SpaceId, Epoch)>,
    votes_written: Vec<(SpaceId, Epoch)>,
    /// Those that may be told.
    votes_synced: Vec<(SpaceId, Epoch)>,
    peers: SavedPeers,
    failures: Vec<Event>,
    ledger_failed: bool,
    spent: EntryLists,
    watch: DiskWatch,
}

impl<D: Disk> WalWorker<D> {
    /// Opens a data directory, or makes it where it is new, and recovers every space.
    ///
    /// What one space's log is unfit for is told in that space's event; everything it recovered is durable.
    ///
    /// # Errors
    /// Where the directory as a whole cannot be used: it belongs to another node or process, its superblock or its
    /// file of promises is broken, or the disk refuses.
    pub fn open(disk: D, options: &StorageOptions) -> Result<(Self, StorageOpened), StorageOpenError> {
        let opening = storage::open(disk, options)?;
        let worker = Self {
            storage: opening.storage,
            ledger: opening.ledger,
            spaces: opening.spaces,
            busy: BTreeSet::new(),
            votes: Vec::new(),
            votes_written: Vec::new(),
            votes_synced: Vec::new(),
            peers: SavedPeers::default(),
            failures: Vec::new(),
            ledger_failed: false,
            spent: EntryLists::default(),
            watch: DiskWatch::default(),
        };
        Ok((worker, opening.opened))
    }

    /// Where the work on the disk can be seen while it is done.
    pub(super) fn watch(&self) -> DiskWatch {
        self.watch.clone()
    }

    /// Queues a request. Nothing of it reaches the disk before the next [`WalWorker::write`].
    ///
    /// A request to a space that is not open, or has stopped, is dropped: that was told when it happened.
    pub fn submit(&mut self, request: WalRequest) {
        match request {
            WalRequest::Append { space, write, entries } => {
                if let Some(queue) = self.spaces.get_mut(&space) {
                    queue.queue_append(write, entries);
                    self.busy.insert(space);
                }
            }
            WalRequest::Read { space, read, from, entries_max, bytes_max } => {
                if let Some(queue) = self.spaces.get_mut(&space) {
                    queue.queue_read(read, from, entries_max, bytes_max);
                    self.busy.insert(space);
                }
            }
            WalRequest::SaveVote { space, promise } => {
                if !self.ledger_failed {
                    self.votes.push((space, promise));
                }
            }
            WalRequest::SavePeer { peer, incarnation } => {
                if !self.ledger_failed {
                    self.peers.queue(peer, incarnation);
                }
            }
            // It is written with what is saved next.
            WalRequest::EndRecovering { space } => self.ledger.change(space, |memory| memory.recovering = false),
            WalRequest::Salvage { space, write, first, last, by } => {
                if let Some(queue) = self.spaces.get_mut(&space) {
                    queue.queue_salvage(write, first, last, by);
                    self.busy.insert(space);
                }
            }
            WalRequest::Truncate { space, write, last } => {
                if let Some(queue) = self.spaces.get_mut(&space) {
                    queue.queue_cut(write, last);
                    self.busy.insert(space);
                }
            }
        }
    }

    /// Whether a step has something to do.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let votes = [&self.votes, &self.votes_written, &self.votes_synced];
        let votes = votes.iter().any(|votes| !votes.is_empty());
        votes || self.peers.has_work() || !(self.busy.is_empty() && self.failures.is_empty())
    }

    /// Step 1: writes a group of each space, and all promises and peers as one frame. Nothing of it is durable yet.
    /// Where entries are to be saved or cut next, that is done whole, syncs included.
    pub fn write(&mut self) {
        for space in &self.busy {
            let Some(queue) = self.spaces.get_mut(space) else { continue };
            let (disk, ledger, spent) = (self.storage.disk(), &mut self.ledger, &mut self.spent);
            let next = queue.next_operation();
            let Err(Failed { operation, error }) =
                self.watch.during(Some(*space), next, || queue.write(disk, ledger, spent))
            else {
                continue;
            };
            self.failures.push(failed(*space, operation, &error));
        }
        for (space, promise) in &self.votes {
            self.ledger.change(*space, |memory| memory.promise = memory.promise.max(*promise));
        }
        let peers = self.peers.write(&mut self.ledger);
        if peers || !self.votes.is_empty() {
            // The marks that are known by now travel in the same frame, for no fsync of their own.
            self.note_marks();
            self.write_ledger();
            self.votes_written.append(&mut self.votes);
        }
    }

    /// Step 2: makes durable what step 1 wrote, as each space's fsync mode says; promises in every mode.
    pub fn sync(&mut self) {
        let mut rolled = false;
        for space in &self.busy {
            let Some(queue) = self.spaces.get_mut(space) else { continue };
            if queue.owes_sync()
                && let Err(error) = self.watch.during_sync(*space, || queue.sync())
            {
                self.failures.push(failed(*space, StorageOperation::Sync, &error));
            }
            rolled |= queue.take_rolled();
        }
        if rolled {
            self.save_marks();
        } else {
            self.sync_ledger();
        }
        self.votes_synced.append(&mut self.votes_written);
        self.peers.synced();
    }

    /// Step 3: tells what step 2 made durable, and answers reads.
    ///
    /// The core takes the events in any order: each names its subject, the completion of a write stands for those of all
    /// before it, and whatever comes late changes nothing.
    pub fn complete(&mut self, events: &mut Vec<Event>) {
        if self.ledger_failed {
            self.votes_synced.clear();
            self.peers = SavedPeers::default();
        }
        self.peers.complete(events);
        let saved = |(space, epoch)| SpaceEpoch { space, epoch };
        let votes: Vec<SpaceEpoch> = self.votes_synced.drain(..).map(saved).collect();
        if !votes.is_empty() {
            events.push(Event::VotesSaved { votes });
        }
        for space in core::mem::take(&mut self.busy) {
            let Some(queue) = self.spaces.get_mut(&space) else { continue };
            queue.complete(space, events);
            let read = self.watch.during(Some(space), StorageOperation::Read, || queue.answer_reads(space, events));
            if let Err(error) = read {
                self.failures.push(failed(space, StorageOperation::Read, &error));
            }
            if queue.has_work() {
                self.busy.insert(space);
            }
        }
        events.append(&mut self.failures);
    }

    /// The lists of appends that were written, empty: the core uses their memory again.
    pub fn take_spent(&mut self) -> EntryLists {
        core::mem::take(&mut self.spent)
    }

    /// Deletes whole segments of a space that lie below `from`, durably, oldest first; how many.
    ///
    /// # Errors
    /// What failed; the space has stopped then, as after any failure of its log.
    pub fn retire(&mut self, space: SpaceId, from: Sequence) -> Result<u64, StorageError> {
        let Some(queue) = self.spaces.get_mut(&space) else { return Err(not_open(space)) };
        queue.retire(&mut self.ledger, from).map_err(|error| storage_error(&error))
    }

    /// Makes durable what spaces under [`FsyncMode::Timer`](crate::types::FsyncMode::Timer) have written.
    /// The host calls it at its own interval (10 ms by Engram's default), between two rounds of steps.
    pub fn sync_by_timer(&mut self) {
        for (space, queue) in &mut self.spaces {
            let synced = self.watch.during(Some(*space), StorageOperation::Sync, || queue.sync_by_timer());
            if let Err(error) = synced {
                self.failures.push(failed(*space, StorageOperation::Sync, &error));
            }
        }
    }

    /// After 100 ms without work: saves the synced marks, so that rot in what lies below them is told from a tear.
    pub fn idle(&mut self) {
        self.sync_by_timer();
        self.save_marks();
    }

    /// A clean stop: syncs every log, saves the marks, and notes in the superblock that nothing is torn.
    /// What is queued and not written is dropped; a host that wants it runs the steps until
    /// [`WalWorker::has_work`] says no.
    ///
    /// # Errors
    /// What failed. The next start recovers as after a crash then.
    pub fn close(mut self) -> Result<(), StorageError> {
        for (space, queue) in &mut self.spaces {
            let synced = self.watch.during(Some(*space), StorageOperation::Sync, || queue.sync_for_good());
            synced.map_err(|error| storage_error(&error))?;
        }
        self.note_marks();
        let closed = self.watch.during(None, StorageOperation::SaveVote, || {
            self.ledger.write()?;
            self.ledger.sync()?;
            self.storage.stop_cleanly()
        });
        closed.map_err(|error| storage_error(&error))
    }

    fn note_marks(&mut self) {
        for (space, queue) in &self.spaces {
            if let Some(synced) = queue.synced() {
                self.ledger.change(*space, |memory| memory.mark = memory.mark.max(synced));
            }
        }
    }

    fn save_marks(&mut self) {
        if self.ledger_failed {
            return;
        }
        self.note_marks();
        self.write_ledger();
        self.sync_ledger();
    }

    fn write_ledger(&mut self) {
        if self.ledger_failed {
            return;
        }
        if let Err(error) = self.watch.during(None, StorageOperation::SaveVote, || self.ledger.write()) {
            self.fail_ledger(&error);
        }
    }

    fn sync_ledger(&mut self) {
        if self.ledger_failed {
            return;
        }
        if let Err(error) = self.watch.during(None, StorageOperation::SaveVote, || self.ledger.sync()) {
            self.fail_ledger(&error);
        }
    }

    /// Without promises no space of this node can go on.
    fn fail_ledger(&mut self, error: &WalError) {
        self.ledger_failed = true;
        self.votes.clear();
        for space in self.spaces.keys() {
            self.failures.push(failed(*space, StorageOperation::SaveVote, error));
        }
    }
}

fn not_open(space: SpaceId) -> StorageError {
    StorageError { kind: StorageErrorKind::Io, detail: format!("the space {space} is not open here") }
}

fn failed(space: SpaceId, operation: StorageOperation, error: &WalError) -> Event {
    Event::StorageFailed { space, operation, error: storage_error(error) }
}

/// The core's words for a failure of the log's.
#[must_use]
pub fn storage_error(error: &WalError) -> StorageError {
    let kind = match error {
        WalError::Corrupt { .. } | WalError::Engram { .. } => StorageErrorKind::Corrupt,
        WalError::Io { .. } if error.is_full() => StorageErrorKind::Full,
        WalError::Io { .. }
        | WalError::NotContiguous { .. }
        | WalError::TooLarge { .. }
        | WalError::Stopped { .. }
        | WalError::NoSuchCut { .. } => StorageErrorKind::Io,
    };
    StorageError { kind, detail: error.to_string() }
}

//! An engine that owns its log: engraft keeps only an index of it.
//!
//! The engine writes an entry into its own log, makes it durable, and reports it. Epoch, sequence, chain and control
//! entries live in a *side index*: a log of ours ([`SideLog`]) whose entries hold, in the place of a payload, the
//! header that the entry has in the space and where the engine keeps it. So the index has everything that our log has:
//! checksums, witnesses, recovery, cuts. Payloads are read from the engine's log when a replica needs them.

mod engram_wal;
mod side_log;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::types::{SpaceId, WalEntryHeader, WalEntryType};

pub use engram_wal::EngramWal;
pub use side_log::SideLog;

/// Where the engine keeps an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnginePlace {
    /// The name of the file in the engine's directory; names rise.
    pub file: String,
    /// Where in it the entry begins.
    pub offset: u64,
    /// Where the next one begins.
    pub end: u64,
    /// The file's inode: another one under the same name is another file.
    pub inode: u64,
    /// The engine's own number; decides nothing.
    pub number: u64,
}

/// An entry that is durable in the engine's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEntry {
    /// Where it is.
    pub place: EnginePlace,
    /// Its type.
    pub entry_type: WalEntryType,
    /// Nanoseconds since the Unix epoch.
    pub timestamp: u64,
    /// The payload.
    pub payload: Bytes,
}

/// What stands at a place of the engine's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// An entry whose checksums hold.
    Held(Box<EngineEntry>),
    /// The file is there, the entry is not.
    Missing,
    /// Another file has the name, or none: the engine has rewritten its log.
    Replaced,
}

/// The engine's log, as engraft reads it. Every call blocks.
pub trait OwnWal: Send + Sync + 'static {
    /// Looks at a place.
    ///
    /// # Errors
    /// Those of the operating system.
    fn look(&self, place: &EnginePlace) -> io::Result<Look>;

    /// Entries behind a place (from the first one where it is `None`), in the engine's order, at most so many and so
    /// many bytes, and one however large it is; fewer only at the end.
    ///
    /// # Errors
    /// Those of the operating system.
    fn entries_after(
        &self,
        after: Option<&EnginePlace>,
        entries_max: usize,
        bytes_max: usize,
    ) -> io::Result<Vec<EngineEntry>>;
}

/// What ties a space to the engine's log.
pub struct EngineLink {
    wal: Arc<dyn OwnWal>,
    state: Mutex<LinkState>,
}

#[derive(Debug, Default)]
struct LinkState {
    /// Reported entries that the index does not have yet, in the engine's order.
    pending: VecDeque<Pending>,
    /// The last entry of the engine's that is in the index; `None` where the engine's log is to be read from its
    /// beginning.
    last: Option<EnginePlace>,
}

#[derive(Debug)]
struct Pending {
    place: EnginePlace,
    entry_type: WalEntryType,
    payload_size: usize,
    payload_crc: u32,
}

impl fmt::Debug for EngineLink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EngineLink").field("state", &*self.lock()).finish_non_exhaustive()
    }
}

impl EngineLink {
    /// A link to this log.
    #[must_use]
    pub fn new(wal: Arc<dyn OwnWal>) -> Self {
        Self { wal, state: Mutex::default() }
    }

    /// The engine's log.
    #[must_use]
    pub fn wal(&self) -> &Arc<dyn OwnWal> {
        &self.wal
    }

    /// The last entry of the engine's that is in the index.
    #[must_use]
    pub fn last(&self) -> Option<EnginePlace> {
        self.lock().last.clone()
    }

    /// Says which entries are appended next, in this order.
    pub fn expect(&self, entries: &[EngineEntry]) {
        let pending = entries.iter().map(|entry| Pending {
            place: entry.place.clone(),
            entry_type: entry.entry_type,
            payload_size: entry.payload.len(),
            payload_crc: crc32c::crc32c(&entry.payload),
        });
        self.lock().pending.extend(pending);
    }

    /// Forgets what is expected: every append that was handed over is answered.
    pub fn expect_nothing(&self) {
        self.lock().pending.clear();
    }

    /// The engine's log is to be read from its beginning: what was indexed was another one.
    pub fn begin_anew(&self) {
        self.set_last(None);
    }

    fn set_last(&self, last: Option<EnginePlace>) {
        let mut state = self.lock();
        state.pending.clear();
        state.last = last;
    }

    /// The place of the entry that is written now. Reported entries before it were refused.
    fn take(&self, header: &WalEntryHeader) -> Option<EnginePlace> {
        let mut state = self.lock();
        while let Some(pending) = state.pending.pop_front() {
            let same = pending.entry_type == header.entry_type()
                && u32::try_from(pending.payload_size) == Ok(header.payload_size())
                && pending.payload_crc == header.payload_crc();
            if same {
                state.last = Some(pending.place.clone());
                return Some(pending.place);
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, LinkState> {
        // Nothing under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The spaces whose entries an engine keeps.
#[derive(Debug, Clone, Default)]
pub struct Engines(BTreeMap<SpaceId, Arc<EngineLink>>);

impl Engines {
    /// Gives a space to an engine. To be done before the storage is opened.
    pub fn insert(&mut self, space: SpaceId, link: Arc<EngineLink>) {
        self.0.insert(space, link);
    }

    /// The engine of a space.
    #[must_use]
    pub fn get(&self, space: SpaceId) -> Option<&Arc<EngineLink>> {
        self.0.get(&space)
    }
}

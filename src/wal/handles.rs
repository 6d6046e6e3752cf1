//! Open files, the least recently used closed first, so that many spaces need few descriptors.

use alloc::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use alloc::sync::Arc;

use super::disk::{Access, Disk};

/// The open files of a node's logs; a clone shares them.
///
/// A log holds on to a file that it has written and not yet synced, so an unsynced file is never closed here.
#[derive(Debug)]
pub struct Handles<D: Disk> {
    disk: D,
    shared: Arc<Mutex<Shared<D::File>>>,
}

#[derive(Debug)]
struct Shared<F> {
    open: BTreeMap<(u64, u64), (Arc<F>, u64)>,
    open_max: usize,
    clock: u64,
    logs: u64,
}

impl<D: Disk> Clone for Handles<D> {
    fn clone(&self) -> Self {
        Self { disk: self.disk.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<D: Disk> Handles<D> {
    /// A set that keeps at most `open_max` files open beside those in use.
    #[must_use]
    pub fn new(disk: D, open_max: usize) -> Self {
        let shared = Shared { open: BTreeMap::new(), open_max: open_max.max(1), clock: 0, logs: 0 };
        Self { disk, shared: Arc::new(Mutex::new(shared)) }
    }

    /// The disk.
    #[must_use]
    pub const fn disk(&self) -> &D {
        &self.disk
    }

    /// A number for a log, under which its files are known here.
    pub(crate) fn register(&self) -> u64 {
        let mut shared = self.lock();
        shared.logs += 1;
        shared.logs
    }

    /// The file of a log's segment, opened at its path where it is not open.
    pub(crate) fn get(&self, log: u64, segment: u64, path: impl FnOnce() -> PathBuf) -> io::Result<Arc<D::File>> {
        let mut shared = self.lock();
        shared.clock += 1;
        let clock = shared.clock;
        if let Some((file, used)) = shared.open.get_mut(&(log, segment)) {
            *used = clock;
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.disk.open(&path(), Access::ReadWrite)?);
        shared.insert((log, segment), Arc::clone(&file));
        Ok(file)
    }

    /// Takes a file that was just made.
    pub(crate) fn put(&self, log: u64, segment: u64, file: Arc<D::File>) {
        self.lock().insert((log, segment), file);
    }

    /// Forgets a file that is removed.
    pub(crate) fn forget(&self, log: u64, segment: u64) {
        self.lock().open.remove(&(log, segment));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared<D::File>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Shared<F> {
    fn insert(&mut self, key: (u64, u64), file: Arc<F>) {
        while self.open.len() >= self.open_max {
            let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            self.open.remove(&oldest);
        }
        self.open.insert(key, (file, self.clock));
    }
}

//! What a node counts of itself beside what the core knows: the bytes of its links, the work of its disk.
//!
//! The work that is under way is known as well, so that whoever waits for it in vain can say what it is.

use ::core::fmt;
use ::core::sync::atomic::{AtomicU64, Ordering};
use ::core::time::Duration;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::core::StorageOperation;
use crate::types::SpaceId;

/// The upper bounds of the groups in which [`SyncTimes`] counts, in microseconds; the last group has none.
pub const SYNC_BOUNDS_US: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

/// What a node has counted since it started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFigures {
    /// Bytes that have left on links to other nodes.
    pub bytes_sent: u64,
    /// Bytes that have come in on links from other nodes.
    pub bytes_received: u64,
    /// How long the groups of each space took to sync; none of a space that never synced one.
    pub syncs: BTreeMap<SpaceId, SyncTimes>,
}

/// How long syncs took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncTimes {
    /// How many took at most as long as each of [`SYNC_BOUNDS_US`], and longer than the bound before; last those that took
    /// longer than all.
    pub counts: [u64; SYNC_BOUNDS_US.len() + 1],
    /// How long all took together.
    pub total: Duration,
}

impl SyncTimes {
    fn record(&mut self, took: Duration) {
        let group = SYNC_BOUNDS_US.iter().take_while(|bound| took > Duration::from_micros(**bound)).count();
        if let Some(count) = self.counts.get_mut(group) {
            *count += 1;
        }
        self.total += took;
    }
}

/// Where the tasks and threads of a node count.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    pub(super) traffic: Arc<Traffic>,
    pub(super) disk: DiskWatch,
}

impl Counters {
    pub(super) fn figures(&self) -> NodeFigures {
        NodeFigures {
            bytes_sent: self.traffic.sent.load(Ordering::Relaxed),
            bytes_received: self.traffic.received.load(Ordering::Relaxed),
            syncs: self.disk.lock().syncs.clone(),
        }
    }
}

/// The bytes of all links of a node.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Watches the thread that works on the disk.
#[derive(Debug, Clone, Default)]
pub(super) struct DiskWatch(Arc<Mutex<Watched>>);

#[derive(Debug, Default)]
struct Watched {
    doing: Option<Doing>,
    syncs: BTreeMap<SpaceId, SyncTimes>,
}

/// What the disk is asked to do.
#[derive(Debug, Clone, Copy)]
struct Doing {
    /// Nothing where it concerns the node's file of promises.
    space: Option<SpaceId>,
    operation: StorageOperation,
    since: Instant,
}

impl fmt::Display for Doing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operation, ms) = (self.operation.name(), self.since.elapsed().as_millis());
        match self.space {
            Some(space) => write!(formatter, "`{operation}` of {space} has taken {ms} ms"),
            None => write!(formatter, "`{operation}` of the file of promises has taken {ms} ms"),
        }
    }
}

impl DiskWatch {
    /// Does something on the disk; others can see that it is being done.
    pub(super) fn during<T>(&self, space: Option<SpaceId>, operation: StorageOperation, work: impl FnOnce() -> T) -> T {
        self.lock().doing = Some(Doing { space, operation, since: Instant::now() });
        let result = work();
        self.lock().doing = None;
        result
    }

    /// The same for a sync that has something to do; it is counted.
    pub(super) fn during_sync<T>(&self, space: SpaceId, sync: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let result = self.during(Some(space), StorageOperation::Sync, sync);
        self.lock().syncs.entry(space).or_default().record(begun.elapsed());
        result
    }

    /// What is being done now, with the printed form of a space's id.
    pub(super) fn doing(&self) -> String {
        let doing = self.lock().doing;
        doing.map_or_else(|| "nothing is under way that is watched".into(), |doing| format!("{doing}"))
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        // Nothing under the lock can panic half-way, so a poisoned state is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_counted_once_in_the_first_group_that_holds_it() {
        let mut times = SyncTimes::default();
        for us in [0, 100, 101, 5_000_000, 5_000_001] {
            times.record(Duration::from_micros(us));
        }
        assert_eq!((times.counts[0], times.counts[1], times.counts[13], times.counts[14]), (2, 1, 1, 1));
        assert_eq!(times.counts.iter().sum::<u64>(), 5);
        assert_eq!(times.total, Duration::from_micros(10_000_202));
    }

    #[test]
    fn what_is_under_way_is_named_until_it_is_done() {
        let (watch, space) = (DiskWatch::default(), crate::types::SpaceName::new("orders").expect("a name").id());
        let during = watch.during_sync(space, || watch.doing());
        assert!(during.starts_with(&format!("`sync` of {space} has taken ")), "{during}");
        assert!(watch.doing().starts_with("nothing"), "{}", watch.doing());
        assert_eq!(watch.lock().syncs[&space].counts.iter().sum::<u64>(), 1);
    }
}

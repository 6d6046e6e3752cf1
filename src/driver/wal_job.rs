//! The log's work of a node, in steps that a host runs.

use ::core::mem;
use ::core::time::Duration;
use alloc::sync::Arc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::core::Event;
use crate::types::EntryLists;
use crate::wal::Disk;

use super::wal_worker::{WalRequest, WalWorker};

/// How often the logs are synced whose mode is [`FsyncMode::Timer`](crate::types::FsyncMode::Timer).
const TIMER_SYNC_AFTER: Duration = Duration::from_millis(10);
/// How long the log is without work, after such a sync, before its synced marks are saved.
const IDLE_AFTER: Duration = Duration::from_millis(90);

/// The log's work: take what is queued, write, sync, complete; what queues during a sync is the next group.
///
/// A thread calls [`WalJob::run`]. A host that wants to let other things happen between the steps (a kill, say) calls
/// them itself: [`WalJob::wait`], or [`WalJob::rest`] where that takes longer than [`WalJob::patience`];
/// [`WalJob::take`], then while [`WalJob::has_work`]: [`WalJob::write`], [`WalJob::sync`], [`WalJob::complete`]; and
/// [`WalJob::close`] once there is nothing to wait for.
///
/// Dropping it leaves the log as a crash would.
pub struct WalJob<D: Disk> {
    worker: WalWorker<D>,
    queue: Arc<Queue>,
    taken: Vec<WalRequest>,
    completions: mpsc::UnboundedSender<Completed>,
    rest: Rest,
    timer_synced: Instant,
    // Dropped last: whoever waits for it may open the directory anew.
    _ended: oneshot::Sender<()>,
}

impl<D: Disk> ::core::fmt::Debug for WalJob<D> {
    fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        formatter.debug_struct("WalJob").finish_non_exhaustive()
    }
}

/// How long nothing has come.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// Something has just come.
    Busy,
    /// Long enough to sync what a timer syncs.
    Synced,
    /// Long enough to save the marks: there is nothing left to do.
    Idle,
}

/// The shell's end of the queue. Dropping it lets the job end once it has done what is queued.
#[derive(Debug)]
pub(super) struct WalSender {
    queue: Arc<Queue>,
    limit: usize,
}

/// What a group brought.
#[derive(Debug)]
pub(super) struct Completed {
    /// What the core is to know.
    pub(super) events: Vec<Event>,
    /// The lists in which the written entries came.
    pub(super) spent: EntryLists,
}

/// What the shell holds of a job.
#[derive(Debug)]
pub(super) struct WalPort {
    /// Takes requests.
    pub(super) requests: WalSender,
    /// Gives completions. Bounded by what the core has in flight: each request is completed at most once.
    pub(super) completions: mpsc::UnboundedReceiver<Completed>,
    /// Resolves, with an error, when the job is gone.
    pub(super) ended: oneshot::Receiver<()>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<QueueState>,
    for_threads: Condvar,
    for_tasks: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    requests: Vec<WalRequest>,
    closed: bool,
}

/// What there is to do.
enum Waited {
    Requests,
    Closed,
}

/// A job over an opened log, and the shell's end of it.
pub(super) fn wal_job<D: Disk>(worker: WalWorker<D>, requests_max: usize) -> (WalJob<D>, WalPort) {
    let queue = Arc::new(Queue::default());
    let (completions, received) = mpsc::unbounded_channel();
    let (ending, ended) = oneshot::channel();
    let requests = WalSender { queue: Arc::clone(&queue), limit: requests_max };
    let (rest, timer_synced) = (Rest::Idle, Instant::now());
    let job = WalJob { worker, queue, taken: Vec::new(), completions, rest, timer_synced, _ended: ending };
    (job, WalPort { requests, completions: received, ended })
}

impl<D: Disk> WalJob<D> {
    /// Does all the work on the calling thread; returns when the node has ended and the log is closed.
    pub fn run(mut self) {
        loop {
            match self.queue.wait_timeout(self.patience()) {
                Some(Waited::Requests) => self.take(),
                Some(Waited::Closed) => break,
                None => self.rest(),
            }
            while self.has_work() {
                self.write();
                self.sync();
                self.complete();
                self.take();
            }
        }
        self.close();
    }

    /// How long to wait for requests before [`WalJob::rest`] is to be called; for ever where it is `None`.
    #[must_use]
    pub const fn patience(&self) -> Option<Duration> {
        match self.rest {
            Rest::Busy => Some(TIMER_SYNC_AFTER),
            Rest::Synced => Some(IDLE_AFTER),
            Rest::Idle => None,
        }
    }

    /// Does what is to be done when nothing has come for as long as [`WalJob::patience`] said: syncs what a timer syncs,
    /// later saves the synced marks. There may be something to complete afterwards.
    pub fn rest(&mut self) {
        self.rest = match self.rest {
            Rest::Busy => {
                self.sync_by_timer();
                Rest::Synced
            }
            Rest::Synced | Rest::Idle => {
                self.worker.idle();
                Rest::Idle
            }
        };
    }

    /// Waits for requests; `false` once the node has ended and nothing is queued.
    ///
    /// It may be dropped before it is ready: nothing is lost.
    pub async fn wait(&mut self) -> bool {
        loop {
            let woken = self.queue.for_tasks.notified();
            match self.queue.look() {
                Some(Waited::Requests) => return true,
                Some(Waited::Closed) => return false,
                None => woken.await,
            }
        }
    }

    /// Gives the log what is queued.
    pub fn take(&mut self) {
        mem::swap(&mut self.taken, &mut self.queue.lock().requests);
        if !self.taken.is_empty() {
            self.rest = Rest::Busy;
        }
        for request in self.taken.drain(..) {
            self.worker.submit(request);
        }
    }

    /// Whether a group is to be written, synced and completed.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.worker.has_work()
    }

    /// Writes a group. Nothing of it is durable yet.
    pub fn write(&mut self) {
        self.worker.write();
    }

    /// Makes the group durable, and what a timer syncs where it is time.
    pub fn sync(&mut self) {
        self.worker.sync();
        if self.timer_synced.elapsed() >= TIMER_SYNC_AFTER {
            self.sync_by_timer();
        }
    }

    fn sync_by_timer(&mut self) {
        self.worker.sync_by_timer();
        self.timer_synced = Instant::now();
    }

    /// Tells the core of the group.
    pub fn complete(&mut self) {
        let mut events = Vec::new();
        self.worker.complete(&mut events);
        if !events.is_empty() {
            // The shell is gone where this fails; the next wait tells.
            let _ = self.completions.send(Completed { events, spent: self.worker.take_spent() });
        }
    }

    /// Ends the log cleanly.
    pub fn close(self) {
        let Self { worker, _ended, .. } = self;
        if let Err(error) = worker.close() {
            tracing::warn!(target: "engraft::wal", "the log could not be closed cleanly: {error}");
        }
    }
}

impl WalSender {
    /// Queues a request.
    ///
    /// # Errors
    /// The limit, where as many requests wait: the core's windows do not hold.
    pub(super) fn push(&self, request: WalRequest) -> Result<(), usize> {
        let mut state = self.queue.lock();
        if state.requests.len() >= self.limit {
            return Err(self.limit);
        }
        state.requests.push(request);
        drop(state);
        self.queue.wake();
        Ok(())
    }
}

impl Drop for WalSender {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.wake();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // Nothing under the lock can panic half-way, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.for_threads.notify_one();
        self.for_tasks.notify_one();
    }

    fn look(&self) -> Option<Waited> {
        self.lock().look()
    }

    /// What there is to do, once there is something; `None` once the time-out has passed without.
    fn wait_timeout(&self, timeout: Option<Duration>) -> Option<Waited> {
        let mut state = self.lock();
        loop {
            if let Some(waited) = state.look() {
                return Some(waited);
            }
            match timeout {
                None => state = self.for_threads.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(timeout) => {
                    let waited = self.for_threads.wait_timeout(state, timeout);
                    let (woken, result) = waited.unwrap_or_else(PoisonError::into_inner);
                    state = woken;
                    if result.timed_out() {
                        return state.look();
                    }
                }
            }
        }
    }
}

impl QueueState {
    fn look(&self) -> Option<Waited> {
        match (self.requests.is_empty(), self.closed) {
            (false, _) => Some(Waited::Requests),
            (true, true) => Some(Waited::Closed),
            (true, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::core::SpaceConfig;
    use crate::driver::wal_worker::StorageOptions;
    use crate::types::entry::chain_start;
    use crate::types::{
        ClusterId, Control, Entry, Epoch, FsyncMode, Incarnation, NodeId, Position, SpaceName, WalEntryType, WriteId,
    };
    use crate::wal::StdDisk;

    fn request() -> WalRequest {
        WalRequest::SaveVote { space: SpaceName::new("orders").expect("a name").id(), promise: Epoch::ZERO }
    }

    #[test]
    fn a_full_queue_is_an_error() {
        let sender = WalSender { queue: Arc::default(), limit: 2 };
        assert_eq!(sender.push(request()), Ok(()));
        assert_eq!(sender.push(request()), Ok(()));
        assert_eq!(sender.push(request()), Err(2));
        sender.queue.lock().requests.clear();
        assert_eq!(sender.push(request()), Ok(()), "taken requests make room");
    }

    /// Where a group were told a round late, those that follow would hold it up for as long as they come.
    #[test]
    fn each_group_is_told_before_the_next_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let (cluster, node) = (ClusterId([1; 16]), NodeId(1));
        let mut options = StorageOptions::new(directory.path().into(), cluster, node, Incarnation([7; 16]), [9; 16]);
        let name = SpaceName::new("orders").expect("a name");
        let space = name.id();
        // Each write is a group.
        let fsync = FsyncMode::PerWrite;
        options.spaces.push((name, SpaceConfig { fsync, ..SpaceConfig::new(node, [node].into()) }));
        let (worker, _) = WalWorker::open(StdDisk, &options).expect("it opens");
        let (job, WalPort { requests, mut completions, .. }) = wal_job(worker, 8);
        let mut end = Position { chain: chain_start(cluster, space), ..Position::default() };
        for write in (1..=3).map(WriteId) {
            let (kind, control) = (WalEntryType::EpisodeStore, Control::user());
            let entry = Entry::following(&end, Epoch::new(0, 1, node), kind, control, 0, Bytes::from_static(b"x"));
            end = entry.position();
            assert_eq!(requests.push(WalRequest::Append { space, write, entries: [entry].into() }), Ok(()));
        }
        drop(requests);
        job.run();
        let told = ::core::iter::from_fn(|| completions.try_recv().ok());
        let told: Vec<usize> = told.map(|completed| completed.events.len()).collect();
        assert_eq!(told, [1, 1, 1]);
    }

    #[test]
    fn what_is_queued_is_done_before_the_end_is_told() {
        let sender = WalSender { queue: Arc::default(), limit: 2 };
        let queue = Arc::clone(&sender.queue);
        assert!(queue.wait_timeout(Some(Duration::ZERO)).is_none());
        assert_eq!(sender.push(request()), Ok(()));
        drop(sender);
        assert!(matches!(queue.wait_timeout(None), Some(Waited::Requests)));
        queue.lock().requests.clear();
        assert!(matches!(queue.wait_timeout(None), Some(Waited::Closed)));
    }
}

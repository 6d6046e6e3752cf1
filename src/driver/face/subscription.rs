//! Committed entries, one after the other, for as long as the node runs.

use ::core::future::{Future, poll_fn};
use ::core::pin::Pin;
use ::core::task::{Context, Poll, ready};
use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use futures_core::Stream;
use tokio::sync::watch;

use crate::core;
use crate::core::Outcome;
use crate::driver::space_watch::Retracted;
use crate::types::{Control, Entry, Sequence};

use super::error::ReadError;
use super::space::Space;

/// Entries and bytes read at once; as much is in memory at most, and one entry however large it is.
const RUN_ENTRIES: u32 = 1_000;
const RUN_BYTES: u64 = 1 << 20;
/// The wait after a read that was refused because too many were under way.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// What a read gives: entries, at least one; nothing once the node has ended.
type Run = Result<Vec<Entry>, Option<ReadError>>;

/// Committed entries in the order of the log, each once, from any node that has the space. Entries that are the library's
/// own are passed over, so sequences have gaps.
///
/// It reads ahead by at most 1,000 entries or 1 MiB, and only while somebody waits for the next: a slow reader holds up
/// nobody. Like every handle, it keeps the node running.
pub struct Subscription {
    space: Space,
    next: Sequence,
    buffer: VecDeque<Entry>,
    reading: Option<Pin<Box<dyn Future<Output = Run> + Send>>>,
    ended: bool,
    /// What was committed here and is no more; what is in it already was told, or was so before.
    retracted: watch::Receiver<Vec<Retracted>>,
    told: usize,
}

impl ::core::fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        formatter.debug_struct("Subscription").field("space", self.space.name()).field("at", &self.at()).finish()
    }
}

impl Subscription {
    pub(super) fn new(space: Space, from: Sequence) -> Self {
        let retracted = space.retracted_receiver();
        let told = retracted.borrow().len();
        let (next, buffer) = (from.max(Sequence(1)), VecDeque::new());
        Self { space, next, buffer, reading: None, ended: false, retracted, told }
    }

    /// The sequence that is looked at next: where a later subscription goes on.
    #[must_use]
    pub fn at(&self) -> Sequence {
        self.buffer.front().map_or(self.next, |entry| entry.header.sequence())
    }

    /// The next committed entry, once there is one; `None` once the node has ended. It may be dropped at any time: no entry
    /// is lost or given twice.
    ///
    /// # Errors
    /// [`ReadError::Stopped`], after which `None` comes; [`ReadError::CommittedTruncated`], after which it goes on with the
    /// first of what is committed in the place of those entries.
    pub async fn next(&mut self) -> Option<Result<Entry, ReadError>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Entry, ReadError>>> {
        loop {
            if let Some(error) = self.take_back() {
                return Poll::Ready(Some(Err(error)));
            }
            if let Some(entry) = self.buffer.pop_front() {
                return Poll::Ready(Some(Ok(entry)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let (space, next) = (&self.space, self.next);
            let reading = self.reading.get_or_insert_with(|| Box::pin(read(space.clone(), next)));
            let run = ready!(reading.as_mut().poll(context));
            self.reading = None;
            if self.retracted.borrow().len() > self.told {
                // These may be what was committed before, or what is now: they are read again.
                continue;
            }
            match run {
                Ok(entries) => {
                    self.next = entries.last().map_or(self.next, |last| last.header.sequence().next());
                    self.buffer.extend(entries.into_iter().filter(is_users));
                }
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(error.map(Err));
                }
            }
        }
    }

    /// Goes back to the first entry that is committed no more, where it was given or passed over.
    fn take_back(&mut self) -> Option<ReadError> {
        let news: Vec<Retracted> = self.retracted.borrow().get(self.told..).unwrap_or_default().to_vec();
        self.told += news.len();
        let (at, next) = (self.at(), self.next);
        let taken = news.iter().filter(|retracted| retracted.first < next);
        let first = taken.clone().map(|retracted| retracted.first).min()?;
        let last = taken.map(|retracted| retracted.last).max()?;
        self.buffer.retain(|entry| entry.header.sequence() < first);
        (self.next, self.reading) = (first, None);
        (first < at).then_some(ReadError::CommittedTruncated { first, last })
    }
}

impl Stream for Subscription {
    type Item = Result<Entry, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

pub(super) fn is_users(entry: &Entry) -> bool {
    entry.header.control().kind == Control::USER
}

/// Waits until there is something to read, and reads it.
async fn read(space: Space, next: Sequence) -> Run {
    let mut reach = space.reach_receiver();
    let mut role = space.role_receiver();
    loop {
        // The role is looked at as well: a space that has stopped will never reach anything.
        tokio::select! {
            biased;
            more = reach.wait_for(|reach| reach.readable() >= next) => if more.is_err() { return Err(None) },
            stopped = role.wait_for(|role| role.stopped.is_some()) => if stopped.is_err() { return Err(None) },
        }
        match read_once(&space, next, RUN_ENTRIES, RUN_BYTES).await {
            Ok((entries, _)) if !entries.is_empty() => return Ok(entries),
            Ok(_) | Err(ReadError::Overloaded { .. }) => space.sleep(RETRY_AFTER).await,
            Err(ReadError::Shutdown) => return Err(None),
            Err(error @ (ReadError::Stopped { .. } | ReadError::CommittedTruncated { .. })) => return Err(Some(error)),
        }
    }
}

/// One read: entries, and the last that may be read.
pub(super) async fn read_once(
    space: &Space,
    from: Sequence,
    entries_max: u32,
    bytes_max: u64,
) -> Result<(Vec<Entry>, Sequence), ReadError> {
    match space.node().read(space.id(), from, entries_max, bytes_max).await {
        Outcome::Entries { entries, commit } => Ok((entries, commit)),
        Outcome::Failed(core::AppendError::Overloaded { waiting, .. }) => Err(ReadError::Overloaded { waiting }),
        Outcome::Failed(core::AppendError::Stopped(reason)) => Err(ReadError::Stopped { reason }),
        // The space is one of this node's, and the rest are answers to appends.
        Outcome::Failed(
            core::AppendError::Shutdown
            | core::AppendError::NotPrimary { .. }
            | core::AppendError::NoPrimary
            | core::AppendError::Promotion(_)
            | core::AppendError::NotReady
            | core::AppendError::Isolated
            | core::AppendError::ExposureReached { .. }
            | core::AppendError::NotEnoughReplicas { .. }
            | core::AppendError::UnknownSpace { .. }
            | core::AppendError::TooLarge { .. }
            | core::AppendError::ReservedControl { .. },
        )
        | Outcome::Appended { .. }
        | Outcome::Unknown { .. }
        | Outcome::Standing { .. }
        | Outcome::Resolved { .. } => Err(ReadError::Shutdown),
    }
}

//! What a turn of the shell is made of: waiting until a deadline, and taking what is ready.

use ::core::future::{pending, poll_fn};
use ::core::mem;
use ::core::task::Poll;
use alloc::vec::Vec;

use tokio::sync::mpsc;

use crate::types::Time;

use super::Host;

/// Sleeps until the deadline, for ever where there is none.
pub(super) async fn sleep<H: Host>(host: &H, deadline: Option<Time>) {
    match deadline {
        Some(deadline) => host.sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Lets others run once.
pub(super) async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Takes what is ready up to `limit`, without waiting. A source that has ended shows at the next wait.
pub(super) fn fill<T>(source: &mut impl Source<T>, into: &mut Vec<T>, limit: usize) {
    while into.len() < limit
        && let Some(item) = source.ready()
    {
        into.push(item);
    }
}

/// Something that may have an item ready.
pub(super) trait Source<T> {
    fn ready(&mut self) -> Option<T>;
}

impl<T> Source<T> for mpsc::Receiver<T> {
    fn ready(&mut self) -> Option<T> {
        self.try_recv().ok()
    }
}

impl<T> Source<T> for mpsc::UnboundedReceiver<T> {
    fn ready(&mut self) -> Option<T> {
        self.try_recv().ok()
    }
}

//! The same node for programs that have no runtime: every method blocks.
//!
//! The node gets a runtime of its own, on threads of its own, which end when the node does.

use ::core::future::{Future, IntoFuture};
use ::core::time::Duration;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::{Condvar, Mutex, PoisonError, mpsc};

use bytes::Bytes;
use tokio::runtime::{Handle, Runtime};

use crate::core::{Ack, Command, TokenState};
use crate::types::{Entry, NodeId, Sequence, Token};
use crate::wal::Disk;

use super::append::Receipt;
use super::builder::{BuildError, Builder};
use super::engraft::engines_ended;
use super::error::{AppendError, PauseError, ReadError, SpaceError, WaitError};
use super::status::Status;
use super::{Append, AppendAll, Engraft as Node, Space as NodeSpace, Subscription as NodeSubscription};

/// Why a call that blocks has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    /// It was made on a thread of a tokio runtime, whose tasks it would hold up; also where the runtime keeps that thread for
    /// work that blocks.
    #[error("a call that blocks was made within a tokio runtime: use the handle from `node()` and await it there")]
    InsideRuntime,
    /// The node's own runtime has ended.
    #[error("the node and its runtime have ended")]
    Ended,
    /// What the node says.
    #[error(transparent)]
    Node(E),
}

/// The call was made within a runtime, or the node's own has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Misuse {
    InsideRuntime,
    Ended,
}

impl<E> From<Misuse> for Error<E> {
    fn from(misuse: Misuse) -> Self {
        match misuse {
            Misuse::InsideRuntime => Self::InsideRuntime,
            Misuse::Ended => Self::Ended,
        }
    }
}

impl<D: Disk> Builder<D> {
    /// Starts the node on a runtime of its own; see [`blocking`](self).
    ///
    /// # Errors
    /// As [`Builder::start`]; [`BuildError::InsideRuntime`] within a runtime.
    pub fn start_blocking(self) -> Result<Engraft, BuildError> {
        if Handle::try_current().is_ok() {
            return Err(BuildError::InsideRuntime);
        }
        let cannot = |what| move |error| BuildError::Thread { what, error };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("engraft-runtime")
            .enable_all()
            .build()
            .map_err(cannot("a runtime"))?;
        let (started, starting) = mpsc::channel();
        let end = Arc::new(End::default());
        let ending = Ending(Arc::clone(&end));
        std::thread::Builder::new()
            .name("engraft".into())
            .spawn(move || live(runtime, self, &started, ending))
            .map_err(cannot("the node's thread"))?;
        match starting.recv() {
            Ok(result) => result.map(|node| Engraft { node, end }),
            Err(error) => Err(cannot("the node")(std::io::Error::other(error))),
        }
    }
}

/// Threads of the node's runtime: one for the shell, one for its links.
const WORKERS: usize = 2;

/// Whether the node and its runtime have ended.
#[derive(Debug, Default)]
struct End {
    ended: Mutex<bool>,
    told: Condvar,
}

impl End {
    fn tell(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    fn wait(&self) {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.told.wait_while(ended, |ended| !*ended).unwrap_or_else(PoisonError::into_inner));
    }
}

/// Tells of the end, also where the thread ends by a panic.
struct Ending(Arc<End>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.tell();
    }
}

/// Keeps the runtime for as long as the node runs. It is dropped here: no other thread could do so without blocking.
fn live<D: Disk>(
    runtime: Runtime,
    builder: Builder<D>,
    started: &mpsc::Sender<Result<Node, BuildError>>,
    ending: Ending,
) {
    runtime.block_on(async {
        match builder.start().await {
            Ok(node) => {
                let (weak, engines) = (node.handle().downgrade(), node.engines());
                // Where nobody takes it, the node is dropped with it and shuts down.
                let _ = started.send(Ok(node));
                weak.halted().await;
                engines_ended(engines).await;
            }
            Err(error) => drop(started.send(Err(error))),
        }
    });
    drop(runtime);
    drop(ending);
}

/// A node whose methods block. The rest is as with [`Engraft`](super::Engraft).
#[derive(Debug, Clone)]
#[must_use = "the node shuts down when its last handle is dropped"]
pub struct Engraft {
    node: Node,
    end: Arc<End>,
}

impl Engraft {
    /// A handle of one of its spaces.
    ///
    /// # Errors
    /// As [`Engraft::space`](super::Engraft::space).
    pub fn space(&self, name: &str) -> Result<Space, SpaceError> {
        Ok(Space { space: self.node.space(name)?, runtime: self.node.runtime().clone() })
    }

    /// What the node says of itself.
    ///
    /// # Errors
    /// Within a runtime, and once the node has ended.
    pub fn status(&self) -> Result<Status, Error<::core::convert::Infallible>> {
        let node = self.node.clone();
        wait(self.node.runtime(), async move { node.status().await })?.ok_or(Error::Ended)
    }

    /// Shuts the node down as [`Engraft::shutdown`](super::Engraft::shutdown) does.
    ///
    /// # Errors
    /// Within a runtime. A node that has ended is shut down.
    pub fn shutdown(&self) -> Result<(), Error<::core::convert::Infallible>> {
        let node = self.node.handle().clone();
        match wait(self.node.runtime(), async move { node.command(Command::Shutdown).await }) {
            Err(Misuse::InsideRuntime) => return Err(Error::InsideRuntime),
            Ok(()) | Err(Misuse::Ended) => {}
        }
        self.end.wait();
        Ok(())
    }

    /// The same node for code that awaits: on any runtime, the node's own among them.
    pub const fn node(&self) -> &Node {
        &self.node
    }
}

/// A space whose methods block. The rest is as with [`Space`](super::Space).
#[derive(Debug, Clone)]
pub struct Space {
    space: NodeSpace,
    runtime: Handle,
}

impl Space {
    /// Appends one entry at the space's own level.
    ///
    /// # Errors
    /// As with [`Space::append`](super::Space::append).
    pub fn append(&self, payload: impl Into<Bytes>) -> Result<Receipt, Error<AppendError>> {
        self.make(self.space.append(payload))
    }

    /// Appends one entry at this level, waiting at most so long.
    ///
    /// # Errors
    /// As with [`Space::append`](super::Space::append).
    pub fn append_with(
        &self,
        payload: impl Into<Bytes>,
        ack: Ack,
        timeout: Duration,
    ) -> Result<Receipt, Error<AppendError>> {
        self.make(self.space.append(payload).ack(ack).timeout(timeout))
    }

    /// Makes an append that was set up by [`Space::space`].
    ///
    /// # Errors
    /// As with [`Space::append`](super::Space::append).
    pub fn make(&self, append: Append) -> Result<Receipt, Error<AppendError>> {
        wait(&self.runtime, append.into_future())?.map_err(Error::Node)
    }

    /// Makes many appends that were set up by [`Space::space`]; the answers are in their order.
    ///
    /// # Errors
    /// Within a runtime, and once the node has ended.
    pub fn make_all(
        &self,
        appends: AppendAll,
    ) -> Result<Vec<Result<Receipt, AppendError>>, Error<::core::convert::Infallible>> {
        Ok(wait(&self.runtime, appends.into_future())?)
    }

    /// Waits until this node's state includes an entry.
    ///
    /// # Errors
    /// As with [`Space::wait_for`](super::Space::wait_for).
    pub fn wait_for(&self, token: Token, timeout: Duration) -> Result<(), Error<WaitError>> {
        wait(&self.runtime, self.space.wait_for(token).timeout(timeout).into_future())?.map_err(Error::Node)
    }

    /// What is known of an append now.
    ///
    /// # Errors
    /// As [`Space::resolve`](super::Space::resolve).
    pub fn resolve(&self, token: Token) -> Result<TokenState, Error<WaitError>> {
        let space = self.space.clone();
        wait(&self.runtime, async move { space.resolve(token).await })?.map_err(Error::Node)
    }

    /// Committed entries from a sequence on, one after the other: the iterator blocks until there is one, and ends with the
    /// node.
    #[must_use]
    pub fn subscribe(&self, from: Sequence) -> Subscription {
        Subscription { entries: Some(self.space.subscribe(from)), runtime: self.runtime.clone() }
    }

    /// Pauses a replica as [`Space::pause_replica`](super::Space::pause_replica) does.
    ///
    /// # Errors
    /// As there.
    pub fn pause_replica(&self, replica: NodeId) -> Result<(), Error<PauseError>> {
        let space = self.space.clone();
        wait(&self.runtime, async move { space.pause_replica(replica).await })?.map_err(Error::Node)
    }

    /// Resumes a replica as [`Space::resume_replica`](super::Space::resume_replica) does.
    ///
    /// # Errors
    /// As there.
    pub fn resume_replica(&self, replica: NodeId) -> Result<(), Error<PauseError>> {
        let space = self.space.clone();
        wait(&self.runtime, async move { space.resume_replica(replica).await })?.map_err(Error::Node)
    }

    /// The same space for code that awaits, and for what does not block: closing it, its role, its engine.
    #[must_use]
    pub const fn space(&self) -> &NodeSpace {
        &self.space
    }
}

/// Committed entries, one after the other.
#[derive(Debug)]
pub struct Subscription {
    /// Away while it is waited for.
    entries: Option<NodeSubscription>,
    runtime: Handle,
}

impl Iterator for Subscription {
    type Item = Result<Entry, Error<ReadError>>;

    fn next(&mut self) -> Option<Self::Item> {
        if Handle::try_current().is_ok() {
            return Some(Err(Error::InsideRuntime));
        }
        let mut entries = self.entries.take()?;
        let waited = wait(&self.runtime, async move {
            let next = entries.next().await;
            (entries, next)
        });
        let (entries, next) = waited.ok()?;
        self.entries = Some(entries);
        next.map(|next| next.map_err(Error::Node))
    }
}

/// Runs a future on the node's runtime and blocks until it is ready. Where the runtime ends first, so does this.
fn wait<F>(runtime: &Handle, future: F) -> Result<F::Output, Misuse>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    if Handle::try_current().is_ok() {
        return Err(Misuse::InsideRuntime);
    }
    let (answer, answered) = mpsc::channel();
    runtime.spawn(async move {
        // Whoever asked waits.
        let _ = answer.send(future.await);
    });
    answered.recv().map_err(|_| Misuse::Ended)
}

//! What a host provides: where tasks run, what the time is, how bytes travel.

use ::core::future::Future;
use ::core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::types::Time;
use crate::wal::Disk;

use super::WalJob;

/// How a link's connection is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkOptions {
    /// After how long a silence the operating system asks whether the peer is still there.
    pub keepalive: Duration,
}

/// The two halves of a connection.
pub type Halves<H> = (<H as Host>::Reader, <H as Host>::Writer);

/// Where the shell runs.
///
/// What a host must keep:
/// - `now` never goes back, and `sleep_until` does not return before its deadline has come by `now`;
/// - bytes of a connection arrive in order and unchanged, or the connection ends;
/// - what was written has left once `flush` returns, as far as this node can tell;
/// - dropping a [`Host::Task`] ends it at its next await, and dropping both halves ends the connection;
/// - [`Host::run_wal`] drives the job until it ends, in the order of its steps.
///
/// Futures are written as plain `async fn` in an implementation.
pub trait Host: Clone + Send + Sync + 'static {
    /// The receiving half of a connection.
    type Reader: AsyncRead + Send + Unpin + 'static;
    /// The sending half of a connection. Its `shutdown` tells the peer that nothing more comes.
    type Writer: AsyncWrite + Send + Unpin + 'static;
    /// Something that accepts connections.
    type Listener: Send + 'static;
    /// A running task; dropping it ends the task.
    type Task: Send + 'static;
    /// The disk.
    type Disk: Disk;

    /// The time since the host began.
    fn now(&self) -> Time;

    /// Nanoseconds since the Unix epoch: serves people, decides nothing.
    fn unix_nanos(&self) -> u64;

    /// Returns once the deadline has come.
    fn sleep_until(&self, deadline: Time) -> impl Future<Output = ()> + Send;

    /// Runs a task beside the others.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Self::Task;

    /// Lets a task run on without its owner.
    fn detach(task: Self::Task);

    /// Runs work that blocks, where it does not hold up tasks.
    ///
    /// # Errors
    /// Where the work could not be run to its end.
    fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send;

    /// Connects to an address. It may take for ever: the core gives up a dial by its own timer.
    ///
    /// # Errors
    /// Those of the operating system.
    fn dial(&self, address: &str, options: LinkOptions) -> impl Future<Output = io::Result<Halves<Self>>> + Send;

    /// Begins to accept connections at an address.
    ///
    /// # Errors
    /// Those of the operating system.
    fn listen(&self, address: &str) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// The address in force: with the port that was chosen where 0 was asked for.
    ///
    /// # Errors
    /// Those of the operating system.
    fn listen_address(&self, listener: &Self::Listener) -> io::Result<::core::net::SocketAddr>;

    /// The next connection.
    ///
    /// # Errors
    /// Those of the operating system; the shell asks again after a while.
    fn accept(
        &self,
        listener: &mut Self::Listener,
        options: LinkOptions,
    ) -> impl Future<Output = io::Result<Halves<Self>>> + Send;

    /// The disk that the logs are on.
    fn disk(&self) -> Self::Disk;

    /// Runs the log's job until it ends, where blocking holds up no task.
    ///
    /// # Errors
    /// Where it cannot be started.
    fn run_wal(&self, job: WalJob<Self::Disk>) -> io::Result<()>;
}

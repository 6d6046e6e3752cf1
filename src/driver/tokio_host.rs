//! The host for production: tokio's sockets and timers, real files, a thread for the log.

use ::core::future::Future;
use ::core::net::SocketAddr;
use ::core::time::Duration;
use std::io;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::types::Time;
use crate::types::time::micros;
use crate::wal::{Disk, StdDisk};

use super::{Host, LinkOptions, WalJob};

/// The host for production. Use it within a tokio runtime that has timers and sockets enabled.
#[derive(Debug, Clone)]
pub struct TokioHost<D: Disk = StdDisk> {
    began: Instant,
    disk: D,
}

impl TokioHost {
    /// A host over real files; its time begins now.
    #[must_use]
    pub fn new() -> Self {
        Self::with_disk(StdDisk)
    }
}

impl Default for TokioHost {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Disk> TokioHost<D> {
    /// A host over another disk; its time begins now.
    #[must_use]
    pub fn with_disk(disk: D) -> Self {
        Self { began: Instant::now(), disk }
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub struct TokioTask(Option<JoinHandle<()>>);

impl Drop for TokioTask {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl<D: Disk> Host for TokioHost<D> {
    type Reader = OwnedReadHalf;
    type Writer = OwnedWriteHalf;
    type Listener = TcpListener;
    type Task = TokioTask;
    type Disk = D;

    fn now(&self) -> Time {
        Time(micros(self.began.elapsed()))
    }

    fn unix_nanos(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
    }

    async fn sleep_until(&self, deadline: Time) {
        // Where the clock cannot count so far, nobody will see the end of it.
        match self.began.checked_add(Duration::from_micros(deadline.0)) {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => ::core::future::pending().await,
        }
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> TokioTask {
        TokioTask(Some(tokio::spawn(future)))
    }

    fn detach(mut task: TokioTask) {
        task.0 = None;
    }

    async fn run_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
    }

    async fn dial(&self, address: &str, options: LinkOptions) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
        set_up(TcpStream::connect(address).await?, options)
    }

    async fn listen(&self, address: &str) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }

    fn listen_address(&self, listener: &TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    async fn accept(
        &self,
        listener: &mut TcpListener,
        options: LinkOptions,
    ) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
        let (stream, _) = listener.accept().await?;
        set_up(stream, options)
    }

    fn disk(&self) -> D {
        self.disk.clone()
    }

    fn run_wal(&self, job: WalJob<D>) -> io::Result<()> {
        // Nobody joins the thread: the job itself tells when it is gone.
        std::thread::Builder::new().name("engraft-wal".into()).spawn(move || job.run()).map(drop)
    }
}

fn set_up(stream: TcpStream, options: LinkOptions) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
    // Acks and heartbeats are small and must not wait for more; the shell already writes a turn's frames together.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(options.keepalive).with_interval(options.keepalive);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream.into_split())
}

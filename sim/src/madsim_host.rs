//! The driver's host on madsim: its time, its network, and a disk that forgets what was not synced.
//!
//! It runs the very shell, links and log of production. What madsim's network lacks stands in [`network`]; machines that are
//! killed and started again stand in [`world`].

pub mod network;
pub mod trace;
pub mod wal_gate;
pub mod world;

use core::future::{Future, pending};
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::time::Instant;

use engraft::driver::{Host, LinkOptions, WalJob};
use engraft::types::time::micros;
use engraft::types::{NodeId, Time};
use madsim::net::{TcpListener, TcpStream};
use madsim::task::JoinHandle;

use crate::disk::SimDisk;
use crate::draws::{draw_below, purpose};

use network::{Network, SimReader, SimWriter};
use wal_gate::{WalGate, WalStep};

pub use trace::{Trace, TraceLine};
pub use world::{Detail, World, run_story, sleep};

/// Nanoseconds of the Unix epoch at which every simulated run begins.
const EPOCH_NANOS: u64 = 1_700_000_000_000_000_000;

/// The longest wait between two steps of the log, in milliseconds; madsim's timers know no shorter one than 1.
const STEP_MILLIS_MAX: u64 = 3;

/// The host of one start of a node. Its time begins with it.
#[derive(Debug, Clone)]
pub struct MadsimHost {
    node: NodeId,
    seed: u64,
    began: Instant,
    disk: SimDisk,
    network: Network,
    gate: WalGate,
}

impl MadsimHost {
    /// A host within a madsim runtime.
    #[must_use]
    pub fn new(node: NodeId, seed: u64, disk: SimDisk, network: Network, gate: WalGate) -> Self {
        Self { node, seed, began: Instant::now(), disk, network, gate }
    }

    /// Waits as a keyed draw says: not at all, or up to [`STEP_MILLIS_MAX`].
    async fn wait(&self, purpose: u64, n: u64) {
        let millis = draw_below(self.seed, purpose, u64::from(self.node.0), n, STEP_MILLIS_MAX + 1);
        if millis > 0 {
            madsim::time::sleep(Duration::from_millis(millis)).await;
        }
    }

    async fn step(&self, step: WalStep, n: u64) {
        let purpose = match step {
            WalStep::Taken => purpose::WAL_WRITE,
            WalStep::Written => purpose::WAL_SYNC,
            WalStep::Synced => purpose::WAL_COMPLETE,
        };
        self.gate.reach(step).await;
        self.wait(purpose, n).await;
    }

    /// The log's work as a task: production's steps, with time between them in which a kill can land.
    async fn drive(self, mut job: WalJob<SimDisk>) {
        let mut groups = 0;
        loop {
            let patience = job.patience();
            let alive = tokio::select! {
                biased;
                alive = job.wait() => alive,
                () = rest(patience) => {
                    job.rest();
                    true
                }
            };
            if !alive {
                break;
            }
            job.take();
            while job.has_work() {
                groups += 1;
                self.step(WalStep::Taken, groups).await;
                job.write();
                self.step(WalStep::Written, groups).await;
                job.sync();
                self.step(WalStep::Synced, groups).await;
                job.complete();
                job.take();
            }
        }
        job.close();
    }
}

async fn rest(patience: Option<Duration>) {
    match patience {
        Some(patience) => madsim::time::sleep(patience).await,
        None => pending().await,
    }
}

/// A task that ends when this is dropped.
#[derive(Debug)]
pub struct SimTask(Option<JoinHandle<()>>);

impl Drop for SimTask {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Host for MadsimHost {
    type Reader = SimReader;
    type Writer = SimWriter;
    type Listener = TcpListener;
    type Task = SimTask;
    type Disk = SimDisk;

    fn now(&self) -> Time {
        Time(micros(self.began.elapsed()))
    }

    fn unix_nanos(&self) -> u64 {
        // madsim's own calendar is drawn from its seed; a fixed one keeps the logs of different seeds comparable.
        let elapsed = madsim::time::TimeHandle::current().elapsed();
        EPOCH_NANOS + u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX - EPOCH_NANOS)
    }

    async fn sleep_until(&self, deadline: Time) {
        match self.began.checked_add(Duration::from_micros(deadline.0)) {
            Some(deadline) => madsim::time::sleep_until(deadline).await,
            None => pending().await,
        }
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> SimTask {
        SimTask(Some(madsim::task::spawn(future)))
    }

    fn detach(mut task: SimTask) {
        task.0 = None;
    }

    async fn run_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(work())
    }

    async fn dial(&self, address: &str, _options: LinkOptions) -> io::Result<(SimReader, SimWriter)> {
        let address = address.parse::<SocketAddr>().map_err(io::Error::other)?;
        // A real dial into silence gets no answer; madsim refuses it at once.
        self.network.reachable(self.node, address.ip()).await;
        self.network.adopt(self.node, TcpStream::connect(address).await?)
    }

    async fn listen(&self, address: &str) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }

    fn listen_address(&self, listener: &TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    async fn accept(&self, listener: &mut TcpListener, _options: LinkOptions) -> io::Result<(SimReader, SimWriter)> {
        let (stream, _) = listener.accept().await?;
        self.network.adopt(self.node, stream)
    }

    fn disk(&self) -> SimDisk {
        self.disk.clone()
    }

    fn run_wal(&self, job: WalJob<SimDisk>) -> io::Result<()> {
        Self::detach(self.spawn(self.clone().drive(job)));
        Ok(())
    }
}

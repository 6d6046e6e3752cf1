//! Machines that are started, killed and cut off from each other.

use alloc::collections::BTreeMap;
use core::future::Future;
use core::time::Duration;
use std::panic;

use engraft::driver::{NodeHandle, NodeOptions, StartError, start};
use engraft::types::NodeId;
use madsim::net::NetSim;
use madsim::runtime::{Handle, Runtime};
use tokio::sync::oneshot;
use tracing::Level;

use crate::disk::SimDisk;

use super::MadsimHost;
use super::network::{Network, address_of};
use super::trace::{Recorder, Trace};
use super::wal_gate::{WalGate, WalStep};

/// The port that every node listens on.
pub const PORT: u16 = 7400;

/// Machines on a simulated network. Every random decision follows from the seed.
#[derive(Debug)]
pub struct World {
    seed: u64,
    runtime: Handle,
    network: Network,
    trace: Trace,
    machines: BTreeMap<NodeId, Machine>,
}

#[derive(Debug)]
struct Machine {
    id: madsim::task::NodeId,
    disk: SimDisk,
    gate: WalGate,
    crashes: u64,
}

/// How much of a run is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What people review: the notices.
    Notices,
    /// What the cores are told and order as well.
    Everything,
}

/// Tells a story in a world of these nodes; what happened.
///
/// It runs on a thread of its own: madsim keeps the order of hash maps from run to run only for the first runtime of a
/// thread.
///
/// # Panics
/// Where the story does.
pub fn run_story<S, F>(seed: u64, nodes: &[NodeId], detail: Detail, story: S) -> Trace
where
    S: FnOnce(World) -> F + Send + 'static,
    F: Future<Output = ()>,
{
    let nodes = nodes.to_vec();
    let trace = Trace::default();
    let level = match detail {
        Detail::Notices => Level::INFO,
        Detail::Everything => Level::TRACE,
    };
    let recorder = Recorder { trace: trace.clone(), level };
    let told = trace.clone();
    let run = move || {
        let runtime = Runtime::with_seed_and_config(seed, madsim::Config::default());
        tracing::subscriber::with_default(recorder, || {
            let world = World::new(seed, &nodes, runtime.handle().clone(), told);
            runtime.block_on(story(world));
        });
    };
    if let Err(reason) = std::thread::spawn(run).join() {
        eprintln!("the story under seed {seed} failed after:\n{}", trace.story());
        panic::resume_unwind(reason);
    }
    trace
}

/// Lets simulated time pass.
pub async fn sleep(duration: Duration) {
    madsim::time::sleep(duration).await;
}

impl World {
    fn new(seed: u64, nodes: &[NodeId], runtime: Handle, trace: Trace) -> Self {
        let machine = |node: &NodeId| {
            let built = runtime.create_node().name(node.to_string()).ip(address_of(*node)).build();
            let disk = SimDisk::new(seed, node.0);
            (*node, Machine { id: built.id(), disk, gate: WalGate::default(), crashes: 0 })
        };
        let machines = nodes.iter().map(machine).collect();
        Self { seed, runtime, network: Network::default(), trace, machines }
    }

    /// Where a node listens.
    #[must_use]
    pub fn address(&self, node: NodeId) -> String {
        format!("{}:{PORT}", address_of(node))
    }

    /// The node's disk.
    #[must_use]
    pub fn disk(&self, node: NodeId) -> &SimDisk {
        &self.machine(node).disk
    }

    /// Notes in the trace what the story does or has seen.
    pub fn milestone(&self, text: impl Into<String>) {
        self.trace.milestone(text);
    }

    /// Starts the node on its machine.
    ///
    /// # Errors
    /// What keeps it from starting.
    ///
    /// # Panics
    /// Where the machine is killed meanwhile.
    pub async fn start(&self, node: NodeId, options: NodeOptions) -> Result<NodeHandle, StartError> {
        let machine = self.machine(node);
        let (disk, gate) = (machine.disk.clone(), machine.gate.clone());
        let (network, seed) = (self.network.clone(), self.seed);
        let (reply, started) = oneshot::channel();
        let place = self.runtime.get_node(machine.id).expect("the machine was made with the world");
        drop(place.spawn(async move {
            let host = MadsimHost::new(node, seed, disk, network, gate);
            // The story waits for it.
            let _ = reply.send(start(host, options).await);
        }));
        started.await.expect("the machine lives while its node starts")
    }

    /// The machine loses its power: its tasks end and its disk forgets what was not synced, in the same instant. Its peers
    /// hear nothing of it.
    pub fn power_off(&mut self, node: NodeId) {
        self.milestone(format!("{node} loses its power"));
        self.network.power_off(node);
        let machine = self.machine_mut(node);
        machine.crashes += 1;
        let crash = machine.crashes;
        machine.disk.crash(crash);
        let id = machine.id;
        self.runtime.kill(id);
    }

    /// The process is killed and the machine lives on: its tasks end, what was written stays, its peers see the
    /// connections end.
    pub fn kill(&mut self, node: NodeId) {
        self.milestone(format!("{node} is killed"));
        let machine = self.machine_mut(node);
        machine.disk.kill();
        let id = machine.id;
        self.runtime.kill(id);
    }

    /// Lets the node's log come to `step` and stop there; kill the node then. Something has to be written meanwhile.
    pub async fn stop_log_at(&self, node: NodeId, step: WalStep) {
        let gate = self.machine(node).gate.clone();
        gate.stop_at(step).await;
    }

    /// The machine is ready for [`World::start`] again.
    pub fn power_on(&mut self, node: NodeId) {
        self.milestone(format!("{node} starts again"));
        self.network.power_on(node);
        let machine = self.machine_mut(node);
        machine.gate = WalGate::default();
        let id = machine.id;
        self.runtime.restart(id);
    }

    /// Nothing travels between the two any more.
    pub fn cut(&self, a: NodeId, b: NodeId) {
        self.milestone(format!("{a} and {b} no longer hear each other"));
        for (from, to) in [(a, b), (b, a)] {
            self.network.cut(from, to);
            NetSim::current().clog_link(self.machine(from).id, self.machine(to).id);
        }
    }

    /// The two hear each other again.
    pub fn heal(&self, a: NodeId, b: NodeId) {
        self.milestone(format!("{a} and {b} hear each other again"));
        for (from, to) in [(a, b), (b, a)] {
            self.network.heal(from, to);
            NetSim::current().unclog_link(self.machine(from).id, self.machine(to).id);
        }
    }

    fn machine(&self, node: NodeId) -> &Machine {
        self.machines.get(&node).expect("the node was named when the world was made")
    }

    fn machine_mut(&mut self, node: NodeId) -> &mut Machine {
        self.machines.get_mut(&node).expect("the node was named when the world was made")
    }
}

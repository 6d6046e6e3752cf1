//! From what a program says to a running node.

use ::core::sync::atomic::AtomicBool;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::io;
use std::path::{Path, PathBuf};

use tokio::runtime::Handle;

use crate::core::{ConfigError, ReplicationConfig, SpaceConfig};
use crate::driver::boot::{boot_id, fresh_incarnation};
use crate::driver::config::NodeConfig;
use crate::driver::space_watch::SpaceView;
use crate::driver::tokio_host::TokioHost;
use crate::driver::wal_worker::StorageOptions;
use crate::driver::{NodeHandle, NodeOptions, StartError, node};
use crate::types::id::NameError;
use crate::types::{ClusterId, Incarnation, NodeId, SpaceName};
use crate::wal::{Disk, StdDisk, WalOptions};

use super::StateMachine;
use super::apply::{Apply, Engine, run};
use super::engraft::{Engraft, Shared};
use super::options::SpaceOptions;
use super::space::Parts;

/// Replicas of a space that names no voters.
const REPLICA_COUNT: usize = 2;

/// Why a node is not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The name of the cluster or of a space is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Something that has no default was not said.
    #[error("{what} is missing: call `{method}` on the builder")]
    Missing {
        /// What.
        what: &'static str,
        /// What says it.
        method: &'static str,
    },
    /// Something was said twice.
    #[error("{what} is given twice")]
    Twice {
        /// What.
        what: String,
    },
    /// An engine is given for a space that this node does not have.
    #[error("an engine is given for {space:?}, expected one of this node's spaces {expected:?}")]
    EngineWithoutSpace {
        /// The space.
        space: String,
        /// The spaces that this node has.
        expected: Vec<String>,
    },
    /// A value cannot be.
    #[error("{of}: {error}")]
    Config {
        /// The node or the space.
        of: String,
        /// The value, and what was expected.
        error: ConfigError,
    },
    /// There is no runtime to run on.
    #[error("no tokio runtime runs here: call `start` within one, or `start_blocking` without")]
    NoRuntime,
    /// The runtime or the thread of an engine cannot be started.
    #[error("cannot start {what}: {error}")]
    Thread {
        /// What.
        what: &'static str,
        /// The system's own words.
        error: io::Error,
    },
    /// A call that blocks was made within a runtime, whose other tasks it would hold up.
    #[error("`start_blocking` would hold up the runtime that it is called within: call `start` and await it")]
    InsideRuntime,
    /// The node does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A change of numbers.
type Tune = Box<dyn FnOnce(&mut ReplicationConfig) + Send>;

/// A node to be.
#[must_use = "nothing runs until it is started"]
pub struct Builder<D: Disk = StdDisk> {
    node: NodeId,
    cluster: String,
    data_dir: Option<PathBuf>,
    listen: Option<String>,
    peers: Vec<(NodeId, String)>,
    spaces: Vec<SpaceOptions>,
    engines: Vec<(String, Engine)>,
    tune: Vec<Tune>,
    wal: WalOptions,
    disk: D,
}

impl<D: Disk> ::core::fmt::Debug for Builder<D> {
    fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("node", &self.node)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Builder<StdDisk> {
    pub(super) fn new(node: NodeId, cluster: &str) -> Self {
        Self {
            node,
            cluster: cluster.to_string(),
            data_dir: None,
            listen: None,
            peers: Vec::new(),
            spaces: Vec::new(),
            engines: Vec::new(),
            tune: Vec::new(),
            wal: WalOptions::default(),
            disk: StdDisk,
        }
    }
}

impl From<&NodeConfig> for Builder<StdDisk> {
    /// A node as a TOML file describes it ([`NodeConfig::load`]); engines come in by [`Builder::state`]. Its addresses for
    /// clients have no effect: who embeds a node has its own.
    fn from(config: &NodeConfig) -> Self {
        let mut builder = Self::new(config.node, &config.cluster).data_dir(&config.data_dir).listen(&config.listen);
        builder.peers = config.peers.iter().map(|peer| (peer.id, peer.address.clone())).collect();
        for space in &config.spaces {
            let SpaceConfig { primary, voters, ack, fsync, .. } = space.config.clone();
            let mut options = SpaceOptions::new(space.name.as_str()).ack(ack).fsync(fsync);
            (options.primary, options.voters) = (Some(primary), Some(voters));
            builder.spaces.push(options);
        }
        let numbers = config.replication.clone();
        builder.tune(move |replication| *replication = numbers).wal_options(config.wal.clone())
    }
}

impl<D: Disk> Builder<D> {
    /// The directory of the node's logs; made where it is not there. No default.
    pub fn data_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.data_dir = Some(directory.as_ref().to_owned());
        self
    }

    /// The address on which other nodes connect, `host:port`. The default is a free port of the loopback, which is right
    /// only where there are no other nodes.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// Another node, and where it listens.
    pub fn peer(mut self, node: u16, address: impl Into<String>) -> Self {
        self.peers.push((NodeId(node), address.into()));
        self
    }

    /// A space of the cluster. One that does not have this node among its voters is known by name only.
    pub fn space(mut self, options: SpaceOptions) -> Self {
        self.spaces.push(options);
        self
    }

    /// An engine for a space, where the space itself comes from a file.
    pub fn state(mut self, space: &str, apply: Apply, machine: impl StateMachine) -> Self {
        self.engines.push((space.to_string(), Engine { apply, machine: Box::new(machine) }));
        self
    }

    /// Changes numbers of the protocol; their bounds are checked at the start. The node, its cluster, its peers and its
    /// incarnation are the builder's own, whatever is written there.
    pub fn tune(mut self, tune: impl FnOnce(&mut ReplicationConfig) + Send + 'static) -> Self {
        self.tune.push(Box::new(tune));
        self
    }

    /// The numbers of the logs on disk.
    pub fn wal_options(mut self, options: WalOptions) -> Self {
        self.wal = options;
        self
    }

    /// The disk that the logs are on, where it is not the file system.
    pub fn wal<E: Disk>(self, disk: E) -> Builder<E> {
        let Self { node, cluster, data_dir, listen, peers, spaces, engines, tune, wal, disk: _ } = self;
        Builder { node, cluster, data_dir, listen, peers, spaces, engines, tune, wal, disk }
    }

    /// Starts the node on the tokio runtime that this is called within (with time and io enabled), and returns once its
    /// logs are open. A primary opens its epoch a little later; appends wait for that.
    ///
    /// # Errors
    /// What keeps it from starting; nothing runs then. A space that cannot be opened is no reason: it is shown as stopped.
    pub async fn start(self) -> Result<Engraft, BuildError> {
        let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let plan = self.plan()?;
        let addresses = plan.options.peers.clone();
        let append_timeout = plan.options.replication.append_timeout;
        let node = node::start(TokioHost::with_disk(plan.disk), plan.options).await?;
        let spaces = plan
            .spaces
            .into_iter()
            .map(|(name, engine)| Ok((name.clone(), Arc::new(open(&node, name, engine)?))))
            .collect::<Result<_, BuildError>>()?;
        Ok(Engraft::new(Shared { node, runtime, addresses, append_timeout, spaces, elsewhere: plan.elsewhere }))
    }

    /// Checks everything that can be checked before anything is touched.
    fn plan(self) -> Result<Plan<D>, BuildError> {
        let Self { node, cluster, data_dir, listen, peers, mut spaces, engines, tune, wal, disk } = self;
        let cluster = ClusterId::from_name(&cluster)?;
        let directory = data_dir.ok_or(BuildError::Missing { what: "the data directory", method: "data_dir" })?;
        let count = peers.len();
        let addresses: BTreeMap<NodeId, String> = peers.into_iter().collect();
        if addresses.len() != count {
            return Err(BuildError::Twice { what: "a peer".to_string() });
        }
        if listen.is_none() && count > 0 {
            return Err(BuildError::Missing { what: "the address to listen on", method: "listen" });
        }
        let mut replication = ReplicationConfig::new(node, cluster, Incarnation([0; 16]), Vec::new());
        replication.seed = u64::from(node.0);
        for tune in tune {
            tune(&mut replication);
        }
        (replication.node, replication.cluster) = (node, cluster);
        replication.peers = addresses.keys().copied().collect();
        replication.validate().map_err(|error| BuildError::Config { of: node.to_string(), error })?;

        place_engines(&mut spaces, engines)?;
        let mut storage = StorageOptions::new(directory, cluster, node, fresh_incarnation(), boot_id());
        storage.wal = wal;
        let (mut own, mut elsewhere, mut names) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        for mut options in spaces {
            let name = SpaceName::new(&options.name)?;
            if !names.insert(name.clone()) {
                return Err(BuildError::Twice { what: alloc::format!("the space {name}") });
            }
            let config = space_config(&options, &replication);
            config.validate(&replication).map_err(|error| BuildError::Config { of: name.to_string(), error })?;
            let engine = options.take_engine();
            if config.voters.contains(&node) {
                storage.spaces.push((name.clone(), config));
                own.push((name, engine));
            } else if engine.is_some() {
                let expected = own.iter().map(|(name, _)| name.to_string()).collect();
                return Err(BuildError::EngineWithoutSpace { space: name.to_string(), expected });
            } else {
                elsewhere.insert(name, config.voters);
            }
        }
        let listen = listen.unwrap_or_else(|| "127.0.0.1:0".to_string());
        let options = NodeOptions { listen, peers: addresses, storage, replication };
        Ok(Plan { options, disk, spaces: own, elsewhere })
    }
}

/// What is to be started, checked.
struct Plan<D: Disk> {
    options: NodeOptions,
    disk: D,
    spaces: Vec<(SpaceName, Option<Engine>)>,
    elsewhere: BTreeMap<SpaceName, Vec<NodeId>>,
}

/// Gives each engine to its space.
fn place_engines(spaces: &mut [SpaceOptions], engines: Vec<(String, Engine)>) -> Result<(), BuildError> {
    for (space, engine) in engines {
        let Some(index) = spaces.iter().position(|options| options.name == space) else {
            let expected = spaces.iter().map(|options| options.name.clone()).collect();
            return Err(BuildError::EngineWithoutSpace { space, expected });
        };
        if let Some(options) = spaces.get_mut(index) {
            if options.machine.is_some() {
                return Err(BuildError::Twice { what: alloc::format!("an engine for {space}") });
            }
            (options.apply, options.machine) = (engine.apply, Some(engine.machine));
        }
    }
    Ok(())
}

/// What is configured for a space, with the defaults in the place of what was not said.
fn space_config(options: &SpaceOptions, replication: &ReplicationConfig) -> SpaceConfig {
    let primary = options.primary.unwrap_or(replication.node);
    let voters = options.voters.clone().unwrap_or_else(|| {
        let all: BTreeSet<NodeId> = replication.peers.iter().copied().chain([replication.node]).collect();
        let others = all.into_iter().filter(|other| *other != primary);
        [primary].into_iter().chain(others.take(REPLICA_COUNT)).collect()
    });
    let SpaceOptions { ack, fsync, promotion, isolation, readiness_gate, .. } = *options;
    SpaceConfig { ack, fsync, promotion, isolation, readiness_gate, ..SpaceConfig::new(primary, voters) }
}

/// What the handles of an opened space share; its engine runs from now on.
fn open(node: &NodeHandle, name: SpaceName, engine: Option<Engine>) -> Result<Parts, BuildError> {
    let space = name.id();
    // Each space of the options was opened or reported as failed, and is there in either case.
    let Some(view) = node.view(space) else {
        return Err(BuildError::Missing { what: "a space that was configured", method: "space" });
    };
    let failed = |error| BuildError::Thread { what: "the thread of an engine", error };
    let applying = engine.map(|engine| run(&node.downgrade(), space, &view, engine)).transpose().map_err(failed)?;
    let SpaceView { reach, role, retracted, .. } = view;
    Ok(Parts { name, reach, role, retracted, applying, closed: AtomicBool::new(false) })
}

//! The configuration of a node: a TOML file, over it the environment, over that the flags.
//!
//! ```toml
//! node = 1
//! cluster = "shop"
//! listen = "10.0.0.1:7400"
//! http = "10.0.0.1:7480"
//! data_dir = "/var/lib/engraft"
//! replica_count = 2
//!
//! [[peers]]
//! id = 2
//! address = "10.0.0.2:7400"
//! http = "10.0.0.2:7480"
//!
//! [[peers]]
//! id = 3
//! address = "10.0.0.3:7400"
//!
//! [[spaces]]
//! name = "orders"
//! primary = 1
//! ack = "quorum"
//!
//! [replication]
//! batch_delay = "10ms"
//! ```
//!
//! Times are text with a unit (`"100ms"`, `"5s"`), sizes are whole numbers of bytes or text (`"1MiB"`).
//! Every key outside the lists is also a variable of the environment: `ENGRAFT_LISTEN`,
//! `ENGRAFT_REPLICATION_BATCH_ENTRIES`.
//! Unknown keys are refused; [`FIELDS`] lists the numbers with their bounds.

use std::fs;
use std::path::{Path, PathBuf};

use ::core::time::Duration;

use crate::core::config::{Isolation, Promotion};
use crate::core::{Ack, ReplicationConfig, SpaceConfig};
use crate::types::{ClusterId, FsyncMode, Incarnation, NodeId, SpaceName};
use crate::wal::WalOptions;
use crate::wal::own_wal::Engines;

use super::node::NodeOptions;
use super::wal_worker::StorageOptions;

pub mod error;
pub mod field;
mod lists;
mod print;
mod read;
mod source;
pub mod unit;

pub use error::{ConfigFileError, Origin, ValueError};
pub use field::{FIELDS, Field};

use source::{Source, TOP_KEYS};

/// The configuration of a node, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// This node's id, 1 to 65535, unique in the cluster and never used again. No default.
    pub node: NodeId,
    /// The cluster's name, 3 to 64 characters of `a-z`, `0-9`, `_`, `-`; the same on all nodes. No default.
    pub cluster: String,
    /// The address on which other nodes connect, `host:port`; port 0 lets the system choose. No default.
    pub listen: String,
    /// The address on which clients speak HTTP, `host:port`; no clients where it is left out.
    pub http: Option<String>,
    /// The directory of the node's logs. No default.
    pub data_dir: PathBuf,
    /// How many replicas a space has that names no voters; 0 to 6. Default 2.
    pub replica_count: u16,
    /// The other nodes, by id. An entry with this node's own id is passed over, so that all nodes may share one file.
    pub peers: Vec<PeerConfig>,
    /// The spaces, as written.
    pub spaces: Vec<SpaceSettings>,
    /// The numbers of the protocol (tables `replication` and `pool`). The incarnation in it is all zero: the one in the
    /// data directory counts.
    pub replication: ReplicationConfig,
    /// The numbers of the logs on disk (table `wal`).
    pub wal: WalOptions,
    /// What clients may ask at once (table `clients`).
    pub clients: ClientLimits,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its id.
    pub id: NodeId,
    /// The address on which it listens for nodes, `host:port`.
    pub address: String,
    /// The address on which it speaks HTTP, to be given to clients that come to the wrong node.
    pub http: Option<String>,
}

/// A space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceSettings {
    /// Its name, 3 to 64 characters of `a-z`, `0-9`, `_`, `-`.
    pub name: SpaceName,
    /// Who does what in it. `voters` defaults to the primary and the first `replica_count` other nodes by id,
    /// `ack` to local, `fsync` to per_batch.
    pub config: SpaceConfig,
}

/// What clients may ask at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// Connections at once. Default 1,024, 1 to 1,000,000. More wait in the system's queue until one ends.
    pub connections_max: usize,
    /// How long a connection may be without a request, and how long the head of one may take to come in. Default 30 s,
    /// 1 ms to 1 h.
    pub head_timeout: Duration,
    /// The largest head of a request, in bytes. Default 64 KiB, 8 KiB to 1 MiB.
    pub head_bytes_max: usize,
    /// How long a client may take nothing of an answer before its connection is closed. Default 30 s, 1 ms to 1 h.
    pub write_timeout: Duration,
    /// The largest body of a request, in bytes. Default 32 MiB, 1 KiB to 1 GiB.
    pub body_bytes_max: u64,
    /// Bytes of bodies in memory at once. Default 256 MiB; at least `body_bytes_max`.
    pub bodies_bytes_max: u64,
    /// How long the body of a request may take to come in. Default 30 s, 1 ms to 1 h.
    pub body_timeout: Duration,
    /// Entries in the answer to one read at most. Default 10,000, 1 to 1,000,000.
    pub read_entries_max: u32,
    /// Bytes of entries in the answer to one read at most; a window of the replication (`window_bytes`) bounds it, too.
    /// Default 4 MiB, 1 KiB to 1 GiB.
    pub read_bytes_max: u64,
    /// How long a stopping node waits for the requests that it has taken. Default 5 s, 0 to 1 h.
    pub drain_timeout: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            head_timeout: Duration::from_secs(30),
            head_bytes_max: 64 << 10,
            write_timeout: Duration::from_secs(30),
            body_bytes_max: 32 << 20,
            bodies_bytes_max: 256 << 20,
            body_timeout: Duration::from_secs(30),
            read_entries_max: 10_000,
            read_bytes_max: 4 << 20,
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// What comes over the file's values.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Variables of the environment, those that do not begin with `ENGRAFT_` among them: they are passed over.
    pub environment: Vec<(String, String)>,
    /// Keys with their table, and values as text; they come last.
    pub flags: Vec<(String, String)>,
}

impl Overrides {
    /// The process's environment, and these flags.
    #[must_use]
    pub fn from_process(flags: Vec<(String, String)>) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { environment: std::env::vars_os().filter_map(text).collect(), flags }
    }
}

/// The variable of the environment that overrides a key: `ENGRAFT_REPLICATION_BATCH_ENTRIES`.
#[must_use]
pub fn environment_name(key: &str) -> String {
    format!("ENGRAFT_{}", key.replace('.', "_").to_ascii_uppercase())
}

impl NodeConfig {
    /// Reads a file, puts the overrides over it, and checks every value.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line, key, what was expected, what was found, and an example.
    pub fn load(file: &Path, overrides: &Overrides) -> Result<Self, ConfigFileError> {
        let text =
            fs::read_to_string(file).map_err(|error| ConfigFileError::Unreadable { file: file.to_owned(), error })?;
        Self::parse(file, &text, overrides)
    }

    /// The same from text; `file` is only named in errors.
    ///
    /// # Errors
    /// As [`NodeConfig::load`].
    pub fn parse(file: &Path, text: &str, overrides: &Overrides) -> Result<Self, ConfigFileError> {
        let mut source = Source::parse(file, text)?;
        // In the order of the keys, so that which error comes first does not depend on the environment's order.
        for key in TOP_KEYS.into_iter().chain(FIELDS.iter().map(|field| field.key)) {
            let name = environment_name(key);
            if let Some((_, value)) = overrides.environment.iter().find(|(found, _)| *found == name) {
                source.set(key, value, Origin::Environment(name))?;
            }
        }
        for (key, value) in &overrides.flags {
            source.set(key, value, Origin::Flag)?;
        }
        read::read(source)
    }

    /// The effective configuration as TOML, every number with its bounds; [`NodeConfig::parse`] reads it back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        print::to_toml(self)
    }

    /// The space of that name.
    #[must_use]
    pub fn space(&self, name: &str) -> Option<&SpaceSettings> {
        self.spaces.iter().find(|space| space.name.as_str() == name)
    }

    /// The spaces that this node has a log of.
    pub fn own_spaces(&self) -> impl Iterator<Item = &SpaceSettings> {
        self.spaces.iter().filter(|space| space.config.voters.contains(&self.node))
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> ClusterId {
        self.replication.cluster
    }

    /// What the node is started with.
    ///
    /// `fresh_incarnation` is what a data directory gets that is new: 16 random bytes; `boot_id` tells one boot of the
    /// machine from another.
    #[must_use]
    pub fn node_options(&self, fresh_incarnation: Incarnation, boot_id: [u8; 16]) -> NodeOptions {
        let storage = StorageOptions {
            directory: self.data_dir.clone(),
            cluster: self.cluster_id(),
            node: self.node,
            fresh_incarnation,
            boot_id,
            spaces: self.own_spaces().map(|space| (space.name.clone(), space.config.clone())).collect(),
            wal: self.wal.clone(),
            engines: Engines::default(),
        };
        NodeOptions {
            listen: self.listen.clone(),
            peers: self.peers.iter().map(|peer| (peer.id, peer.address.clone())).collect(),
            storage,
            replication: self.replication.clone(),
        }
    }
}

/// The level of that name.
fn ack_of(text: &str) -> Option<Ack> {
    [Ack::Local, Ack::Quorum, Ack::All].into_iter().find(|ack| ack.to_string() == text)
}

/// The modes by name.
const FSYNC_MODES: [(&str, FsyncMode); 4] = [
    ("per_write", FsyncMode::PerWrite),
    ("per_batch", FsyncMode::PerBatch),
    ("timer", FsyncMode::Timer),
    ("none", FsyncMode::None),
];

/// Who promotes, by name.
const PROMOTIONS: [(&str, Promotion); 2] = [("automatic", Promotion::Automatic), ("manual", Promotion::Manual)];
/// What isolation does, by name.
const ISOLATIONS: [(&str, Isolation); 3] =
    [("exposure", Isolation::Exposure), ("stop", Isolation::Stop), ("continue", Isolation::Continue)];

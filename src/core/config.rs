//! The numbers of the protocol: defaults, bounds, and the check of both.

use ::core::fmt;
use ::core::time::Duration;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::types::{ClusterId, FsyncMode, Incarnation, NodeId};

/// When an append is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// After the primary's own fsync.
    #[default]
    Local,
    /// When a majority of the voters has it durable.
    Quorum,
    /// When every voter has it durable.
    All,
}

impl fmt::Display for Ack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Local => "local",
            Self::Quorum => "quorum",
            Self::All => "all",
        })
    }
}

/// Who decides that a replica becomes the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promotion {
    /// The replicas: one stands once it has not heard its primary for an election time-out.
    #[default]
    Automatic,
    /// An operator. By itself stands only who was the last primary, or is preferred where there was none.
    Manual,
}

/// What a primary without a lease does with appends at [`Ack::Local`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// It takes them as long as the exposure is within its limit.
    #[default]
    Exposure,
    /// It takes none.
    Stop,
    /// It takes them without a limit. Only with [`Promotion::Manual`]: nobody else takes over meanwhile.
    Continue,
}

/// What is configured for a space.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpaceConfig {
    /// Who stands first where nobody was the primary yet. Elections decide afterwards.
    pub primary: NodeId,
    /// All voters, the primary among them.
    pub voters: Vec<NodeId>,
    /// When appends are answered that do not say it themselves.
    pub ack: Ack,
    /// When the log is made durable.
    pub fsync: FsyncMode,
    /// Who decides that a replica becomes the primary. With two voters it is an operator, whatever stands here.
    pub promotion: Promotion,
    /// What a primary without a lease does with appends.
    pub isolation: Isolation,
    /// Whether a new primary takes appends only once its engine says that it is ready
    /// ([`Command::Ready`](super::Command::Ready)).
    pub readiness_gate: bool,
}

impl SpaceConfig {
    /// The defaults for a space of these voters.
    #[must_use]
    pub fn new(primary: NodeId, voters: Vec<NodeId>) -> Self {
        Self {
            primary,
            voters,
            ack: Ack::default(),
            fsync: FsyncMode::PerBatch,
            promotion: Promotion::default(),
            isolation: Isolation::default(),
            readiness_gate: false,
        }
    }

    /// Whether replicas stand by themselves.
    pub(crate) fn promotes_itself(&self) -> bool {
        // Of two voters the one that is left is no majority: it could stand, and would never be elected.
        self.promotion == Promotion::Automatic && self.voters.len() != 2
    }

    /// Checks the space against the node that it is configured on.
    ///
    /// # Errors
    /// Where the voters are none, name a node twice or one that is neither this node nor a peer, or lack the primary;
    /// where `isolation` is `continue` and promotion automatic.
    pub fn validate(&self, node: &ReplicationConfig) -> Result<(), ConfigError> {
        let known = |voter: NodeId| voter == node.node || node.peers.contains(&voter);
        let mut sorted = self.voters.clone();
        sorted.sort_unstable();
        let twice = sorted.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first().copied())?);
        let found = if self.voters.is_empty() {
            "no voters".to_string()
        } else if let Some(voter) = twice {
            alloc::format!("{voter} twice")
        } else if let Some(voter) = self.voters.iter().copied().find(|&voter| !known(voter)) {
            alloc::format!("{voter}, which is neither this node nor under `peers`")
        } else if !self.voters.contains(&self.primary) {
            "a list without it".to_string()
        } else if self.isolation == Isolation::Continue && self.promotion == Promotion::Automatic {
            let expected = "`exposure` or `stop`, or `promotion = \"manual\"` beside it".to_string();
            return Err(ConfigError {
                key: "isolation",
                expected,
                found: "`continue`".to_string(),
                example: "\"exposure\"",
            });
        } else {
            return Ok(());
        };
        let expected = alloc::format!("different nodes, the primary {} among them", self.primary);
        Err(ConfigError { key: "voters", expected, found, example: "[1, 2, 3]" })
    }
}

/// A value that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("`{key}`: expected {expected}, found {found}; for example `{key} = {example}`")]
pub struct ConfigError {
    /// Which.
    pub key: &'static str,
    /// What was expected.
    pub expected: String,
    /// What stood there.
    pub found: String,
    /// A value that would do.
    pub example: &'static str,
}

/// How links are dialled, watched and given up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionPoolConfig {
    /// How long a dial may take. Default 5 s; between voters half the shortest election time-out holds where it is shorter.
    pub connect_timeout: Duration,
    /// How long a link may be silent before it is closed and dialled again. Default 10 s; between voters one shortest
    /// election time-out holds where it is shorter.
    pub read_timeout: Duration,
    /// How long bytes may wait to leave. Default 10 s.
    pub write_timeout: Duration,
    /// The TCP keepalive. Default 10 s.
    pub keepalive: Duration,
    /// The waits between dials, the last one repeated. Default 100 ms, 1 s, 10 s, 60 s; between voters each is capped
    /// at half the shortest election time-out. A keyed draw takes up to a quarter off.
    pub backoff: Vec<Duration>,
    /// Failures in a row after which the breaker opens. Default 3, 1 to 100.
    pub max_retries: u32,
}

impl Default for ConnectionPoolConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(10),
            backoff: [100, 1_000, 10_000, 60_000].map(Duration::from_millis).to_vec(),
            max_retries: 3,
        }
    }
}

/// The numbers of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReplicationConfig {
    /// This node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The seed of every draw.
    pub seed: u64,
    /// The other nodes.
    pub peers: Vec<NodeId>,
    /// How links are kept.
    pub pool: ConnectionPoolConfig,
    /// Between heartbeats. Default 100 ms, 1 ms to 10 s.
    pub heartbeat_interval: Duration,
    /// The shortest election time-out. Default 1 s; at least three heartbeats.
    pub election_timeout_min: Duration,
    /// The longest election time-out; each is drawn between the two. Default 2 s; at least 1.1 times the shortest.
    pub election_timeout_max: Duration,
    /// How much of the shortest election time-out a majority's echoes keep a lease, in percent. Default 80, 10 to 90:
    /// what is left is for clocks that run at different speeds.
    pub lease_percent: u32,
    /// Bytes that may be answered at [`Ack::Local`] and not be committed. Default 64 MiB; at least `entry_bytes_max`.
    pub exposure_bytes_max: u64,
    /// How long an entry may be answered at [`Ack::Local`] and not be committed. Default 5 s, 1 ms to 1 h.
    pub exposure_age_max: Duration,
    /// How long a primary of two may be without its lease, since its replica is gone, before it goes on alone.
    /// Default 2 s; at least the shortest election time-out.
    pub alone_after: Duration,
    /// How long a write may stay unsynced before the node gives up its lease, or its part in one. Default 1 s, 1 ms to 1 h.
    pub stall_limit: Duration,
    /// Entries in a batch at most. Default 100, 1 to 100,000.
    pub batch_entries: u32,
    /// Bytes in a batch at most (an entry larger than that travels alone). Default 1 MiB, 4 KiB to 64 MiB.
    pub batch_bytes: u64,
    /// How long a batch waits to fill while the pipe is busy. Default 10 ms, 0 to 1 s.
    pub batch_delay: Duration,
    /// Bytes in flight to a replica at most. Default 4 MiB; at least `batch_bytes`.
    pub window_bytes: u64,
    /// Batches in flight to a replica at most. Default 256, 1 to 65,536.
    pub window_batches: u32,
    /// When a batch that was not acknowledged is sent again. Default 1 s, 1 ms to 60 s.
    pub retransmit_after: Duration,
    /// Bytes of batches that may wait to leave on a link before the next one is sent; control frames wait behind these
    /// at most. Default 64 KiB, 1 KiB to 16 MiB.
    pub link_bulk_bytes: u64,
    /// Bytes of recent entries kept in memory per space. Default 4 MiB; at least `batch_bytes`.
    pub tail_bytes: u64,
    /// The largest payload. Default 16 MiB, 1 B to 256 MiB.
    pub entry_bytes_max: u64,
    /// Appends that may wait for their answers, per space. Default 65,536, 1 to 16,777,216.
    pub append_entries_max: u64,
    /// Bytes of appends that may wait for their answers, per space. Default 64 MiB; at least `entry_bytes_max`.
    pub append_bytes_max: u64,
    /// When an append that does not say it itself is answered "unknown". Default 5 s, 1 ms to 1 h.
    pub append_timeout: Duration,
    /// The lag at which a replica is Degraded and an alert is raised. Default 1 s.
    pub lag_alert: Duration,
    /// The lag at which the critical alert is raised. Default 5 s; above `lag_alert`.
    pub lag_critical: Duration,
    /// How long a better status must hold before it is believed. Default 1 s.
    pub status_hold: Duration,
    /// How long a shutdown waits for appends under way. Default 1 s, 0 to 1 h.
    pub shutdown_drain: Duration,
    /// The wall clock at the driver's start, nanoseconds since the Unix epoch: the timestamps of entries that the core
    /// makes itself. Serves people, decides nothing. Default 0.
    pub clock_origin: u64,
}

impl ReplicationConfig {
    /// The defaults for a node.
    #[must_use]
    pub fn new(node: NodeId, cluster: ClusterId, incarnation: Incarnation, peers: Vec<NodeId>) -> Self {
        Self {
            node,
            cluster,
            incarnation,
            seed: 0,
            peers,
            pool: ConnectionPoolConfig::default(),
            heartbeat_interval: Duration::from_millis(100),
            election_timeout_min: Duration::from_secs(1),
            election_timeout_max: Duration::from_secs(2),
            lease_percent: 80,
            exposure_bytes_max: 64 << 20,
            exposure_age_max: Duration::from_secs(5),
            alone_after: Duration::from_secs(2),
            stall_limit: Duration::from_secs(1),
            batch_entries: 100,
            batch_bytes: 1 << 20,
            batch_delay: Duration::from_millis(10),
            window_bytes: 4 << 20,
            window_batches: 256,
            retransmit_after: Duration::from_secs(1),
            link_bulk_bytes: 64 << 10,
            tail_bytes: 4 << 20,
            entry_bytes_max: 16 << 20,
            append_entries_max: 65_536,
            append_bytes_max: 64 << 20,
            append_timeout: Duration::from_secs(5),
            lag_alert: Duration::from_secs(1),
            lag_critical: Duration::from_secs(5),
            status_hold: Duration::from_secs(1),
            shutdown_drain: Duration::from_secs(1),
            clock_origin: 0,
        }
    }

    /// How long a dial may take between voters.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.pool.connect_timeout.min(self.election_timeout_min / 2)
    }

    /// How long a link between voters may be silent.
    #[must_use]
    pub fn link_silence(&self) -> Duration {
        self.pool.read_timeout.min(self.election_timeout_min)
    }

    /// How long an echo keeps a lease.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.election_timeout_min * self.lease_percent / 100
    }

    /// The wait after `failures` failed dials in a row, before the draw takes its part off.
    #[must_use]
    pub fn backoff(&self, failures: u32) -> Duration {
        let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        let step = self.pool.backoff.get(index).or(self.pool.backoff.last()).copied().unwrap_or_default();
        step.min(self.election_timeout_min / 2)
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// The first value that cannot be, with what was expected.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let ms = Duration::from_millis;
        let hour = Duration::from_secs(3600);
        within("heartbeat_interval", self.heartbeat_interval, ms(1), ms(10_000), "\"100ms\"")?;
        within("election_timeout_min", self.election_timeout_min, self.heartbeat_interval * 3, hour, "\"1s\"")?;
        let above = self.election_timeout_min + self.election_timeout_min / 10;
        within("election_timeout_max", self.election_timeout_max, above, hour * 2, "\"2s\"")?;
        within("lease_percent", self.lease_percent, 10, 90, "80")?;
        within("exposure_age_max", self.exposure_age_max, ms(1), hour, "\"5s\"")?;
        within("alone_after", self.alone_after, self.election_timeout_min, hour * 2, "\"2s\"")?;
        within("stall_limit", self.stall_limit, ms(1), hour, "\"1s\"")?;
        within("batch_entries", self.batch_entries, 1, 100_000, "100")?;
        within("batch_bytes", self.batch_bytes, 4 << 10, 64 << 20, "1048576")?;
        within("batch_delay", self.batch_delay, ms(0), ms(1_000), "\"10ms\"")?;
        within("window_bytes", self.window_bytes, self.batch_bytes, 1 << 32, "4194304")?;
        within("window_batches", self.window_batches, 1, 65_536, "256")?;
        within("retransmit_after", self.retransmit_after, ms(1), ms(60_000), "\"1s\"")?;
        within("tail_bytes", self.tail_bytes, self.batch_bytes, 1 << 40, "4194304")?;
        within("entry_bytes_max", self.entry_bytes_max, 1, 256 << 20, "16777216")?;
        within("exposure_bytes_max", self.exposure_bytes_max, self.entry_bytes_max, 1 << 40, "67108864")?;
        within("append_entries_max", self.append_entries_max, 1, 1 << 24, "65536")?;
        within("append_bytes_max", self.append_bytes_max, self.entry_bytes_max, 1 << 40, "67108864")?;
        within("append_timeout", self.append_timeout, ms(1), hour, "\"5s\"")?;
        within("lag_alert", self.lag_alert, ms(1), hour, "\"1s\"")?;
        within("lag_critical", self.lag_critical, self.lag_alert, hour, "\"5s\"")?;
        within("status_hold", self.status_hold, ms(0), hour, "\"1s\"")?;
        within("shutdown_drain", self.shutdown_drain, ms(0), hour, "\"1s\"")?;
        within("link_bulk_bytes", self.link_bulk_bytes, 1 << 10, 16 << 20, "65536")?;
        within("connect_timeout", self.pool.connect_timeout, ms(1), hour, "\"5s\"")?;
        within("read_timeout", self.pool.read_timeout, self.heartbeat_interval * 3, hour, "\"10s\"")?;
        within("write_timeout", self.pool.write_timeout, ms(1), hour, "\"10s\"")?;
        within("keepalive", self.pool.keepalive, ms(1_000), hour, "\"10s\"")?;
        within("max_retries", self.pool.max_retries, 1, 100, "3")?;
        if self.pool.backoff.is_empty() || self.pool.backoff.iter().any(|step| !(ms(1)..=hour).contains(step)) {
            return Err(ConfigError {
                key: "backoff",
                expected: "one or more waits of 1ms to 1h".to_string(),
                found: alloc::format!("{:?}", self.pool.backoff),
                example: "[\"100ms\", \"1s\", \"10s\", \"60s\"]",
            });
        }
        if self.peers.contains(&self.node) {
            return Err(ConfigError {
                key: "peers",
                expected: "the other nodes only".to_string(),
                found: self.node.to_string(),
                example: "[[peers]]",
            });
        }
        Ok(())
    }
}

fn within<T: PartialOrd + fmt::Debug>(
    key: &'static str,
    found: T,
    lowest: T,
    highest: T,
    example: &'static str,
) -> Result<(), ConfigError> {
    if found < lowest || found > highest {
        return Err(ConfigError {
            key,
            expected: alloc::format!("{lowest:?} to {highest:?}"),
            found: alloc::format!("{found:?}"),
            example,
        });
    }
    Ok(())
}

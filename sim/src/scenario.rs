//! A run as plain data: what is built, what is asked of it, what goes wrong and when.
//!
//! It is written as TOML with one value per line, so that two scenarios differ where they differ.
//! Times are microseconds of the simulated world since its beginning.

mod swarm;
mod validate;

use core::time::Duration;

use engraft::core::{Ack, ReplicationConfig, SpaceConfig};
use engraft::types::{ClusterId, FsyncMode, Incarnation, NodeId, SpaceName, Time};
use serde::{Deserialize, Serialize};

pub use validate::ScenarioError;

/// The version of the scenario's form that this build writes and reads.
pub const SCENARIO_VERSION: u16 = 1;

/// A run as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The form's version; [`SCENARIO_VERSION`].
    pub version: u16,
    /// What it is called.
    pub name: String,
    /// What it shows, in a sentence or two.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Keys every draw.
    pub seed: u64,
    /// How long it goes on.
    pub phases: Phases,
    /// How many nodes there are: `n1`, `n2` and so on.
    pub nodes: u16,
    /// How links behave when nothing is wrong.
    #[serde(default)]
    pub network: NetworkPlan,
    /// How long a disk takes when nothing is wrong.
    #[serde(default)]
    pub disk: DiskPlan,
    /// Numbers of the protocol that are not the defaults.
    #[serde(default, skip_serializing_if = "Knobs::is_default")]
    pub knobs: Knobs,
    /// The logs.
    pub spaces: Vec<SpacePlan>,
    /// Clocks that are not like the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<ClockPlan>,
    /// What clients ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<Load>,
    /// What goes wrong, and what operators do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Bugs put in by hand, to see that a check fires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planted: Vec<Planted>,
}

/// How long a run goes on: chaos, then a connected quorum healed, then everything healed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// Loads and faults, by their own times.
    pub chaos_us: u64,
    /// With only a connected quorum healed; 0 leaves this phase out.
    #[serde(default)]
    pub quorum_us: u64,
    /// The nodes of that quorum; drawn where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quorum: Vec<NodeId>,
    /// Within which everything must converge once all is healed; 0 leaves the judgement out.
    #[serde(default)]
    pub converge_us: u64,
}

/// How links behave when nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkPlan {
    /// The shortest time on the way.
    pub latency_min_us: u64,
    /// The longest.
    pub latency_max_us: u64,
    /// Bytes under way in one direction of one link; what is more waits with the sender.
    pub socket_bytes: u64,
}

impl Default for NetworkPlan {
    fn default() -> Self {
        Self { latency_min_us: 100, latency_max_us: 300, socket_bytes: 256 << 10 }
    }
}

/// How long a disk takes when nothing is wrong; each is drawn between half and the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskPlan {
    /// Until a write begins.
    pub write_us: u64,
    /// Until a sync is done.
    pub sync_us: u64,
    /// Until the completion is heard of.
    pub complete_us: u64,
}

impl Default for DiskPlan {
    fn default() -> Self {
        Self { write_us: 20, sync_us: 200, complete_us: 10 }
    }
}

/// Numbers of the protocol that are not the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is the field of that name in `ReplicationConfig`")]
pub struct Knobs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election_timeout_min_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_entries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_delay_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_batches: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmit_after_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_entries_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_timeout_us: Option<u64>,
}

impl Knobs {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn apply(&self, config: &mut ReplicationConfig) {
        let set = |place: &mut Duration, value: Option<u64>| {
            if let Some(value) = value {
                *place = Duration::from_micros(value);
            }
        };
        set(&mut config.heartbeat_interval, self.heartbeat_interval_us);
        set(&mut config.election_timeout_min, self.election_timeout_min_us);
        set(&mut config.batch_delay, self.batch_delay_us);
        set(&mut config.retransmit_after, self.retransmit_after_us);
        set(&mut config.append_timeout, self.append_timeout_us);
        config.batch_entries = self.batch_entries.unwrap_or(config.batch_entries);
        config.batch_bytes = self.batch_bytes.unwrap_or(config.batch_bytes);
        config.window_bytes = self.window_bytes.unwrap_or(config.window_bytes);
        config.window_batches = self.window_batches.unwrap_or(config.window_batches);
        config.tail_bytes = self.tail_bytes.unwrap_or(config.tail_bytes);
        config.entry_bytes_max = self.entry_bytes_max.unwrap_or(config.entry_bytes_max);
        config.append_entries_max = self.append_entries_max.unwrap_or(config.append_entries_max);
        config.append_bytes_max = self.append_bytes_max.unwrap_or(config.append_bytes_max);
    }
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpacePlan {
    /// Its name.
    pub name: SpaceName,
    /// Its primary.
    pub primary: NodeId,
    /// Its voters, the primary among them.
    pub voters: Vec<NodeId>,
    /// When appends are answered that do not say it themselves.
    #[serde(default)]
    pub ack: Ack,
    /// When its log is made durable.
    #[serde(default)]
    pub fsync: FsyncMode,
}

impl SpacePlan {
    /// What the core and the log are told of it.
    #[must_use]
    pub fn config(&self) -> SpaceConfig {
        SpaceConfig { primary: self.primary, voters: self.voters.clone(), ack: self.ack, fsync: self.fsync }
    }
}

/// A clock that is not like the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockPlan {
    /// Whose.
    pub node: NodeId,
    /// What it shows at the beginning.
    #[serde(default)]
    pub offset_us: u64,
    /// How much faster it goes than the world's, in millionths; slower where it is negative.
    #[serde(default)]
    pub drift_ppm: i64,
}

/// When a load's appends are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadAck {
    /// By the space's own level.
    #[default]
    Space,
    /// After the primary's fsync.
    Local,
    /// At commit.
    Quorum,
    /// When all voters have it.
    All,
    /// Each append draws its own.
    Mixed,
}

/// One client that appends and reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// When it begins.
    #[serde(default)]
    pub at_us: u64,
    /// The space.
    pub space: SpaceName,
    /// Whom it asks; the space's primary where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<NodeId>,
    /// How many operations it wants to see through.
    pub entries: u64,
    /// How many it sends at once.
    #[serde(default = "one")]
    pub burst: u64,
    /// Between two bursts, drawn between half and one and a half of it.
    #[serde(default = "default_every_us")]
    pub every_us: u64,
    /// How many may wait for their answers.
    #[serde(default = "default_in_flight")]
    pub in_flight: u64,
    /// The smallest payload.
    #[serde(default = "default_bytes")]
    pub bytes_min: u64,
    /// The largest payload.
    #[serde(default = "default_bytes")]
    pub bytes_max: u64,
    /// When its appends are answered.
    #[serde(default)]
    pub ack: LoadAck,
    /// When an append is answered "unknown"; the configured time where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_us: Option<u64>,
    /// How many of a thousand operations are reads.
    #[serde(default)]
    pub reads_permille: u64,
}

const fn one() -> u64 {
    1
}

const fn default_every_us() -> u64 {
    1_000
}

const fn default_in_flight() -> u64 {
    64
}

const fn default_bytes() -> u64 {
    64
}

/// What goes wrong, or what an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Nothing passes between `node` and `peer` (all others where it is not given).
    Partition,
    /// Nothing passes from `node` to `peer`.
    PartitionOneWay,
    /// What goes from `node` to `peer` takes `amount` microseconds longer.
    Delay,
    /// `amount` of a thousand frames from `node` to `peer` are lost.
    FrameLoss,
    /// `amount` of a thousand frames come twice.
    FrameDuplicate,
    /// `amount` of a thousand frames come after the one behind them.
    FrameReorder,
    /// `amount` of a thousand frames have a bit turned.
    FrameCorrupt,
    /// Bytes from `node` to `peer` come in pieces of at most `amount`.
    Split,
    /// `amount` bytes per second pass from `node` to `peer`.
    SlowLink,
    /// The links between `node` and `peer` are reset.
    Reset,
    /// `peer` forgets its links with `node`, which hears nothing of it.
    HalfOpen,
    /// The process of `node` dies; it starts again after `for_us`.
    Crash,
    /// The power of `node` fails: unsynced bytes are lost.
    Power,
    /// `node` shuts down in order.
    Shutdown,
    /// `node` loses everything and comes back as new.
    Wipe,
    /// `node` stands still.
    Pause,
    /// The clock of `node` jumps ahead by `amount` microseconds.
    ClockJump,
    /// The clock of `node` goes `amount` millionths faster.
    ClockDrift,
    /// The next sync on `node` fails.
    SyncFails,
    /// The disk of `node` has room for `amount` more bytes.
    DiskFull,
    /// The disk of `node` takes `amount` times as long.
    SlowDisk,
    /// Syncs on `node` are answered well and do nothing.
    LyingSync,
    /// One bit of a log file on `node` turns.
    Rot,
    /// One block is written over another on `node`.
    Misdirect,
    /// An old completion reaches the core of `node` a second time.
    StaleCompletion,
    /// An operator pauses the replica `peer` on the primary `node`, and resumes it after `for_us`.
    PauseReplica,
}

/// What goes wrong, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins.
    pub at_us: u64,
    /// What it is.
    pub kind: FaultKind,
    /// Where.
    pub node: NodeId,
    /// The other side, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<NodeId>,
    /// How long; until all is healed where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_us: Option<u64>,
    /// How much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
}

impl Fault {
    /// A fault without a peer, an end or an amount.
    #[must_use]
    pub const fn new(at_us: u64, kind: FaultKind, node: NodeId) -> Self {
        Self { at_us, kind, node, peer: None, for_us: None, amount: None }
    }

    /// The same with another side.
    #[must_use]
    pub const fn with(mut self, peer: NodeId) -> Self {
        self.peer = Some(peer);
        self
    }

    /// The same for so long.
    #[must_use]
    pub const fn lasting(mut self, for_us: u64) -> Self {
        self.for_us = Some(for_us);
        self
    }

    /// The same by so much.
    #[must_use]
    pub const fn by(mut self, amount: i64) -> Self {
        self.amount = Some(amount);
        self
    }
}

/// A bug put in by hand between the core and what is around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlantedKind {
    /// Writes are reported as durable before they are synced.
    AckBeforeSync,
    /// Acks leave for one entry more than is durable.
    AckTooFar,
    /// A replica writes another payload than it was sent, with checksums that hold.
    OtherPayload,
    /// An entry of the primary is written under another node's epoch.
    ForeignEpoch,
    /// Batches carry a commit that is one too high.
    CommitTooHigh,
    /// The promise is forgotten at a restart.
    ForgottenPromise,
    /// The durable end of a log is zeroed while the node is down.
    LostEnd,
    /// Appends are answered at once, whatever level they ask for.
    AnswerTooEarly,
    /// A failed sync is reported as a good one.
    SyncFailureHidden,
    /// Reads give entries that are not committed.
    ReadUncommitted,
    /// Corrupt frames are mended into good ones with other entries.
    CorruptFrameBelieved,
    /// An entry is written twice, under two sequences.
    DuplicateApply,
    /// Timers never fire.
    ForgottenTimer,
    /// Replies are dropped.
    ForgottenReply,
    /// An old completion changes the node.
    StaleBelieved,
    /// Batches are shipped under another node's epoch.
    ForeignPrimary,
    /// A replica's echoes name no commit any more.
    CommitGoesBack,
}

/// A bug put in by hand on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// The bug.
    pub kind: PlantedKind,
    /// Where.
    pub node: NodeId,
}

impl Scenario {
    /// A quiet cluster: one space `orders` with `n1` as its primary and all nodes as voters.
    #[must_use]
    pub fn quiet(name: &str, seed: u64, nodes: u16) -> Self {
        let voters: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
        let spaces = SpaceName::new("orders")
            .map(|name| SpacePlan { name, primary: NodeId(1), voters, ack: Ack::Local, fsync: FsyncMode::PerBatch })
            .into_iter()
            .collect();
        Self {
            version: SCENARIO_VERSION,
            name: name.to_owned(),
            about: String::new(),
            seed,
            phases: Phases { chaos_us: 1_000_000, quorum_us: 0, quorum: Vec::new(), converge_us: 10_000_000 },
            nodes,
            network: NetworkPlan::default(),
            disk: DiskPlan::default(),
            knobs: Knobs::default(),
            spaces,
            clocks: Vec::new(),
            loads: Vec::new(),
            faults: Vec::new(),
            planted: Vec::new(),
        }
    }

    /// Reads a scenario from its text.
    ///
    /// # Errors
    /// Where it is no scenario of this version, or of a cluster that cannot be.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        validate::parse(text)
    }

    /// The scenario as text; [`Self::parse`] gives it back.
    #[must_use]
    pub fn to_text(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be written: {error}\n"))
    }

    /// Checks what the form alone does not.
    ///
    /// # Errors
    /// The first place that cannot be.
    pub fn validate(&self) -> Result<(), ScenarioError> {
        validate::check(self)
    }

    /// All node ids.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.nodes).map(NodeId)
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        ClusterId::from_name("simulated").unwrap_or(ClusterId([0; 16]))
    }

    /// The numbers that a node starts with.
    #[must_use]
    pub fn replication_config(&self, node: NodeId, incarnation: Incarnation) -> ReplicationConfig {
        let peers = self.node_ids().filter(|peer| *peer != node).collect();
        let mut config = ReplicationConfig::new(node, self.cluster(), incarnation, peers);
        config.seed = self.seed;
        self.knobs.apply(&mut config);
        config
    }

    /// When the last phase ends at the latest.
    #[must_use]
    pub fn end(&self) -> Time {
        Time(self.phases.chaos_us + self.phases.quorum_us + self.phases.converge_us)
    }
}

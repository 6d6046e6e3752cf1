//! A run as plain data: what is built, what is asked of it, what goes wrong and when.
//!
//! It is written as TOML with one value per line, so that two scenarios differ where they differ.
//! Times are microseconds of the simulated world since its beginning.

mod elections;
mod fault;
mod forced;
mod knobs;
mod planted;
mod swarm;
mod validate;

use engraft::core::{Ack, Isolation, Promotion, ReplicationConfig, SpaceConfig};
use engraft::types::{ClusterId, FsyncMode, Incarnation, NodeId, SpaceName, Time};
use serde::{Deserialize, Serialize};

pub use fault::{Fault, FaultKind};
pub use knobs::Knobs;
pub use planted::{Planted, PlantedKind};
pub use validate::ScenarioError;

/// The largest payload where no knob says otherwise.
const LARGEST_PAYLOAD: u64 = 16 << 20;

/// The version of the scenario's form that this build writes and reads.
pub const SCENARIO_VERSION: u16 = 2;

/// Two clocks that drift by this much in opposite directions go 1.22 to 1; a lease allows for 1.25 to 1.
const DRIFT_MAX_PPM: i64 = 100_000;

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
    /// Whether everything converges by itself before an append shows that it does: an append would push on what has come
    /// to a standstill.
    #[serde(default, skip_serializing_if = "is_false")]
    pub alone: bool,
    /// Within which every append at Local or Quorum must be answered, whatever goes wrong (L5); 0 leaves the judgement
    /// out. For scenarios in which nothing goes wrong with the primary and a majority.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub answer_within_us: u64,
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
    /// Whether every other promise is told one step of the storage later than the entries that were written with it.
    #[serde(skip_serializing_if = "is_false")]
    pub promises_late: bool,
}

impl Default for DiskPlan {
    fn default() -> Self {
        Self { write_us: 20, sync_us: 200, complete_us: 10, promises_late: false }
    }
}

/// A log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpacePlan {
    /// Its name.
    pub name: SpaceName,
    /// Its first primary.
    pub primary: NodeId,
    /// Its voters, the primary among them.
    pub voters: Vec<NodeId>,
    /// Who decides that another voter becomes the primary.
    pub promotion: Promotion,
    /// When appends are answered that do not say it themselves.
    #[serde(default)]
    pub ack: Ack,
    /// When its log is made durable.
    #[serde(default)]
    pub fsync: FsyncMode,
    /// What a primary without a lease does with appends at Local.
    #[serde(default)]
    pub isolation: Isolation,
}

impl SpacePlan {
    /// Whether another voter than the first primary can become the primary: with two, one alone is no majority.
    #[must_use]
    pub fn elects(&self) -> bool {
        self.promotion == Promotion::Automatic && self.voters.len() > 2
    }

    /// What the core and the log are told of it.
    #[must_use]
    pub fn config(&self) -> SpaceConfig {
        SpaceConfig {
            ack: self.ack,
            fsync: self.fsync,
            promotion: self.promotion,
            isolation: self.isolation,
            ..SpaceConfig::new(self.primary, self.voters.clone())
        }
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
    /// Whom it asks; the space's primary, wherever that is by then, where it is not given.
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
    /// How many of a thousand answered appends the client then waits for by their tokens, on any of the voters.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waits_permille: u64,
    /// Whether it appends nothing and reads everything, from the first committed entry on, each once and in order.
    #[serde(default, skip_serializing_if = "is_false")]
    pub follows: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
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

impl Scenario {
    /// A quiet cluster: one space `orders` with all nodes as voters, and `n1` as its primary as long as nobody asks for
    /// another promotion than by hand.
    #[must_use]
    pub fn quiet(name: &str, seed: u64, nodes: u16) -> Self {
        let voters: Vec<NodeId> = (1..=nodes).map(NodeId).collect();
        let spaces = SpaceName::new("orders")
            .map(|name| SpacePlan {
                name,
                primary: NodeId(1),
                voters,
                promotion: Promotion::Manual,
                ack: Ack::Local,
                fsync: FsyncMode::PerBatch,
                isolation: Isolation::default(),
            })
            .into_iter()
            .collect();
        Self {
            version: SCENARIO_VERSION,
            name: name.to_owned(),
            about: String::new(),
            seed,
            phases: Phases {
                chaos_us: 1_000_000,
                quorum_us: 0,
                quorum: Vec::new(),
                converge_us: 10_000_000,
                alone: false,
                answer_within_us: 0,
            },
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

    /// Whether the clocks run at the same speed but for what a lease allows for: it is four fifths of the shortest
    /// election time-out.
    #[must_use]
    pub fn clocks_hold(&self) -> bool {
        let drifts = self.clocks.iter().map(|clock| clock.drift_ppm);
        let changes = self.faults.iter().filter(|fault| fault.kind == FaultKind::ClockDrift);
        let drifts = drifts.chain(changes.filter_map(|fault| fault.amount));
        drifts.map(i64::abs).all(|drift| drift <= DRIFT_MAX_PPM)
            && !self.faults.iter().any(|fault| fault.kind == FaultKind::ClockJump)
    }

    /// The largest payload that an append may have.
    #[must_use]
    pub fn largest_payload(&self) -> u64 {
        self.knobs.entry_bytes_max.unwrap_or(LARGEST_PAYLOAD)
    }

    /// When the last phase ends at the latest.
    #[must_use]
    pub fn end(&self) -> Time {
        Time(self.phases.chaos_us + self.phases.quorum_us + self.phases.converge_us)
    }
}

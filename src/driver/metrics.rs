//! What a node tells a monitor: the names, what they mean, and how a status becomes figures.
//!
//! [`publish`] writes to the recorder that is in force, so an engine with a recorder of its own calls it now and then.
//! [`render`] is for nodes that are asked over HTTP: it writes a status into a recorder that lives for one answer.
//! No figure is older than the answer that it stands in, and several nodes of one process do not mix theirs.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use metrics::{IntoLabels, Label, Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::core::{NodeStatus, ReplicaView, Role, SpaceStatus};
use crate::types::{NodeId, SpaceId, SpaceName};

/// The media type of what [`render`] returns.
pub const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4";

/// The age of the oldest entry that a replica has not acknowledged.
pub const LAG_MS: &str = "engram_replication_lag_ms";
/// The entries that a replica has not acknowledged.
pub const LAG_ENTRIES: &str = "engram_replication_lag_entries";
/// The bytes of the entries that a replica has not acknowledged.
pub const LAG_BYTES: &str = "engram_replication_lag_bytes";
/// Batches sent to a replica.
pub const BATCHES_SENT: &str = "engram_replication_batches_sent_total";
/// Batches that a replica did not acknowledge in time, or refused.
pub const BATCHES_FAILED: &str = "engram_replication_batches_failed_total";
/// How a replica does, by number.
pub const REPLICA_STATUS: &str = "engram_replication_replica_status";
/// Entries that a replica acknowledged per second.
pub const THROUGHPUT: &str = "engram_replication_throughput_entries_per_sec";
/// The term of the epoch in force.
pub const EPOCH: &str = "engram_replication_epoch";
/// The node's part in a space, by number.
pub const ROLE: &str = "engram_replication_role";
/// The last entry known to be committed.
pub const COMMIT: &str = "engram_replication_commit_sequence";

/// What kind of figure a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only rises, until the process starts again.
    Counter,
    /// It rises and falls.
    Gauge,
}

/// A metric: its name, its kind, its unit and what it means.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// The unit.
    pub unit: Unit,
    /// What it means, in one sentence.
    pub help: &'static str,
    /// Whether there is one for each replica, on the primary only; otherwise there is one for each space.
    pub by_replica: bool,
}

/// Lays out one metric.
const fn metric(name: &'static str, kind: MetricKind, unit: Unit, by_replica: bool, help: &'static str) -> Metric {
    Metric { name, kind, unit, help, by_replica }
}

/// Every metric of a node.
pub const METRICS: &[Metric] = &[
    metric(
        LAG_MS,
        MetricKind::Gauge,
        Unit::Milliseconds,
        true,
        "Age of the oldest entry that the replica has not acknowledged, on the primary's clock.",
    ),
    metric(LAG_ENTRIES, MetricKind::Gauge, Unit::Count, true, "Entries that the replica has not acknowledged."),
    metric(LAG_BYTES, MetricKind::Gauge, Unit::Bytes, true, "Bytes of entries that the replica has not acknowledged."),
    metric(
        BATCHES_SENT,
        MetricKind::Counter,
        Unit::Count,
        true,
        "Batches sent to the replica since the primary started, repeated ones included.",
    ),
    metric(
        BATCHES_FAILED,
        MetricKind::Counter,
        Unit::Count,
        true,
        "Batches that the replica did not acknowledge in time, or refused, since the primary started.",
    ),
    metric(
        REPLICA_STATUS,
        MetricKind::Gauge,
        Unit::Count,
        true,
        "How the replica does: 0 failed, 1 degraded, 2 lagging, 3 healthy.",
    ),
    metric(
        THROUGHPUT,
        MetricKind::Gauge,
        Unit::CountPerSecond,
        true,
        "Entries that the replica acknowledged per second, over the last five seconds.",
    ),
    metric(EPOCH, MetricKind::Gauge, Unit::Count, false, "The term of the epoch in force, as far as this node knows."),
    metric(
        ROLE,
        MetricKind::Gauge,
        Unit::Count,
        false,
        "The node's part in the space: 0 stopped, 1 opening, 2 replica, 3 primary.",
    ),
    metric(COMMIT, MetricKind::Gauge, Unit::Count, false, "The last entry that this node knows to be committed."),
];

/// The labels of a figure.
#[derive(Debug, Clone, Default)]
pub struct Labels(Vec<Label>);

impl Labels {
    /// No labels.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the label `memory_space`: the space's name.
    #[must_use]
    pub fn with_space(mut self, space: &SpaceName) -> Self {
        self.0.push(Label::new("memory_space", space.to_string()));
        self
    }

    /// Adds the label `replica_id`: the replica's number, as it stands in the configuration.
    #[must_use]
    pub fn with_replica(mut self, replica: NodeId) -> Self {
        self.0.push(Label::new("replica_id", replica.0.to_string()));
        self
    }
}

impl IntoLabels for &Labels {
    fn into_labels(self) -> Vec<Label> {
        self.0.clone()
    }
}

/// Tells the recorder in force what each metric means.
pub fn describe() {
    for &Metric { name, kind, unit, help, .. } in METRICS {
        match kind {
            MetricKind::Counter => describe_counter!(name, unit, help),
            MetricKind::Gauge => describe_gauge!(name, unit, help),
        }
    }
}

/// Writes a status to the recorder in force. `entries_per_second` tells a replica's throughput.
pub fn publish(status: &NodeStatus, entries_per_second: impl Fn(SpaceId, NodeId) -> f64) {
    for space in &status.spaces {
        publish_space(space);
        for replica in &space.replicas {
            let labels = Labels::new().with_space(&space.name).with_replica(replica.node);
            publish_replica(replica, entries_per_second(space.space, replica.node), &labels);
        }
    }
}

fn publish_space(space: &SpaceStatus) {
    let labels = Labels::new().with_space(&space.name);
    gauge!(EPOCH, &labels).set(f64::from(space.epoch.term()));
    gauge!(ROLE, &labels).set(f64::from(role_number(space.role)));
    gauge!(COMMIT, &labels).set(float(space.commit.0));
}

fn publish_replica(replica: &ReplicaView, entries_per_second: f64, labels: &Labels) {
    gauge!(LAG_MS, labels).set(float(replica.lag.ms));
    gauge!(LAG_ENTRIES, labels).set(float(replica.lag.entries));
    gauge!(LAG_BYTES, labels).set(float(replica.lag.bytes));
    counter!(BATCHES_SENT, labels).absolute(replica.batches_sent);
    counter!(BATCHES_FAILED, labels).absolute(replica.batches_failed);
    gauge!(REPLICA_STATUS, labels).set(f64::from(replica.status.number()));
    gauge!(THROUGHPUT, labels).set(entries_per_second);
}

/// A status as Prometheus reads it.
#[must_use]
pub fn render(status: &NodeStatus, entries_per_second: impl Fn(SpaceId, NodeId) -> f64) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe();
        publish(status, entries_per_second);
    });
    recorder.handle().render()
}

const fn role_number(role: Role) -> u8 {
    match role {
        Role::Stopped => 0,
        Role::Opening => 1,
        Role::Replica => 2,
        Role::Primary => 3,
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; what is lost is one part in 2^53")]
const fn float(value: u64) -> f64 {
    value as f64
}

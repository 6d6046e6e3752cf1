//! What a node tells a monitor: the names, what they mean, and how a status becomes figures.
//!
//! [`publish`] writes to the recorder that is in force, so an engine with a recorder of its own calls it now and then.
//! [`render`] is for nodes that are asked over HTTP: it writes a status into a recorder that lives for one answer.
//! No figure is older than the answer that it stands in, and several nodes of one process do not mix theirs.

use ::core::fmt::{self, Write};
use ::core::time::Duration;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use metrics::{IntoLabels, Label, Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::core::{NodeStatus, ReplicaView, Role, SpaceStatus};
use crate::types::{NodeId, SpaceId, SpaceName};

use super::figures::{NodeFigures, SYNC_BOUNDS_US};

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
/// Entries at Local that are not committed.
pub const EXPOSURE_ENTRIES: &str = "engram_replication_exposure_entries";
/// Bytes of entries at Local that are not committed.
pub const EXPOSURE_BYTES: &str = "engram_replication_exposure_bytes";
/// The age of the oldest entry at Local that is not committed.
pub const EXPOSURE_MS: &str = "engram_replication_exposure_ms";
/// The term of the epoch in force.
pub const EPOCH: &str = "engram_replication_epoch";
/// Bytes on links to and from other nodes.
pub const BYTES: &str = "engram_replication_bytes_total";
/// How long a group took to sync.
pub const FSYNC: &str = "engram_replication_fsync_seconds";
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
    /// How many values lie below each of several bounds; only [`render`] has it.
    Histogram,
}

/// What a metric stands once for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The node, and whether bytes were sent or received.
    Direction,
    /// A space.
    Space,
    /// A replica of a space, on the primary only.
    Replica,
}

impl Subject {
    /// The labels that tell one subject from the others.
    #[must_use]
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Direction => &["direction"],
            Self::Space => &["memory_space"],
            Self::Replica => &["memory_space", "replica_id"],
        }
    }
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
    /// What there is one for.
    pub subject: Subject,
}

/// Lays out one metric.
const fn metric(name: &'static str, kind: MetricKind, unit: Unit, subject: Subject, help: &'static str) -> Metric {
    Metric { name, kind, unit, help, subject }
}

/// Every metric of a node.
pub const METRICS: &[Metric] = &[
    metric(
        LAG_MS,
        MetricKind::Gauge,
        Unit::Milliseconds,
        Subject::Replica,
        "Age of the oldest entry that the replica has not acknowledged, on the primary's clock.",
    ),
    metric(
        LAG_ENTRIES,
        MetricKind::Gauge,
        Unit::Count,
        Subject::Replica,
        "Entries that the replica has not acknowledged.",
    ),
    metric(
        LAG_BYTES,
        MetricKind::Gauge,
        Unit::Bytes,
        Subject::Replica,
        "Bytes of entries that the replica has not acknowledged.",
    ),
    metric(
        BATCHES_SENT,
        MetricKind::Counter,
        Unit::Count,
        Subject::Replica,
        "Batches sent to the replica since the primary started, repeated ones included.",
    ),
    metric(
        BATCHES_FAILED,
        MetricKind::Counter,
        Unit::Count,
        Subject::Replica,
        "Batches that the replica did not acknowledge in time, or refused, since the primary started.",
    ),
    metric(
        REPLICA_STATUS,
        MetricKind::Gauge,
        Unit::Count,
        Subject::Replica,
        "How the replica does: 0 failed, 1 degraded, 2 lagging, 3 healthy.",
    ),
    metric(
        THROUGHPUT,
        MetricKind::Gauge,
        Unit::CountPerSecond,
        Subject::Replica,
        "Entries that the replica acknowledged per second, over the last five seconds.",
    ),
    metric(
        BYTES,
        MetricKind::Counter,
        Unit::Bytes,
        Subject::Direction,
        "Bytes sent to and received from other nodes since this node started.",
    ),
    metric(
        FSYNC,
        MetricKind::Histogram,
        Unit::Seconds,
        Subject::Space,
        "How long the groups of entries took to sync since this node started.",
    ),
    metric(
        EXPOSURE_ENTRIES,
        MetricKind::Gauge,
        Unit::Count,
        Subject::Space,
        "Entries at Local that are not committed: what is lost at most if this primary never comes back.",
    ),
    metric(
        EXPOSURE_BYTES,
        MetricKind::Gauge,
        Unit::Bytes,
        Subject::Space,
        "Bytes of payloads at Local that are not committed, limited by `exposure_bytes_max`.",
    ),
    metric(
        EXPOSURE_MS,
        MetricKind::Gauge,
        Unit::Milliseconds,
        Subject::Space,
        "Age of the oldest entry at Local that is not committed, limited by `exposure_age_max`.",
    ),
    metric(
        EPOCH,
        MetricKind::Gauge,
        Unit::Count,
        Subject::Space,
        "The term of the epoch in force, as far as this node knows.",
    ),
    metric(
        ROLE,
        MetricKind::Gauge,
        Unit::Count,
        Subject::Space,
        "The node's part in the space: 0 stopped, 1 opening, 2 replica, 3 primary.",
    ),
    metric(
        COMMIT,
        MetricKind::Gauge,
        Unit::Count,
        Subject::Space,
        "The last entry that this node knows to be committed.",
    ),
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
            // It is not written through a recorder.
            MetricKind::Histogram => {}
        }
    }
}

/// Writes a status and what was counted to the recorder in force. `entries_per_second` tells a replica's throughput.
///
/// [`FSYNC`] is not among it: a recorder takes single values of a histogram, and only their counts are kept.
pub fn publish(status: &NodeStatus, figures: &NodeFigures, entries_per_second: impl Fn(SpaceId, NodeId) -> f64) {
    counter!(BYTES, "direction" => "sent").absolute(figures.bytes_sent);
    counter!(BYTES, "direction" => "received").absolute(figures.bytes_received);
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
    gauge!(EXPOSURE_ENTRIES, &labels).set(float(space.exposure.entries));
    gauge!(EXPOSURE_BYTES, &labels).set(float(space.exposure.bytes));
    gauge!(EXPOSURE_MS, &labels).set(float(space.exposure.ms));
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

/// A status and what was counted, as Prometheus reads it.
#[must_use]
pub fn render(
    status: &NodeStatus,
    figures: &NodeFigures,
    entries_per_second: impl Fn(SpaceId, NodeId) -> f64,
) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe();
        publish(status, figures, entries_per_second);
    });
    let mut text = recorder.handle().render();
    // It cannot fail: it writes into memory.
    let _ = write_syncs(&mut text, status, figures);
    text
}

/// The histogram of syncs. The recorder keeps every value of one that it renders; here only counts are there, and enough.
fn write_syncs(text: &mut String, status: &NodeStatus, figures: &NodeFigures) -> fmt::Result {
    let Some(metric) = METRICS.iter().find(|metric| metric.name == FSYNC) else { return Ok(()) };
    writeln!(text, "# HELP {FSYNC} {}\n# TYPE {FSYNC} histogram", metric.help)?;
    for space in &status.spaces {
        let (name, times) = (&space.name, figures.syncs.get(&space.space).copied().unwrap_or_default());
        let mut below = 0;
        let bounds = SYNC_BOUNDS_US.iter().map(|bound| Duration::from_micros(*bound).as_secs_f64().to_string());
        for (count, bound) in times.counts.iter().zip(bounds.chain(["+Inf".to_string()])) {
            below += count;
            writeln!(text, "{FSYNC}_bucket{{memory_space=\"{name}\",le=\"{bound}\"}} {below}")?;
        }
        writeln!(text, "{FSYNC}_sum{{memory_space=\"{name}\"}} {}", times.total.as_secs_f64())?;
        writeln!(text, "{FSYNC}_count{{memory_space=\"{name}\"}} {below}")?;
    }
    Ok(())
}

const fn role_number(role: Role) -> u8 {
    match role {
        Role::Stopped => 0,
        Role::Candidate | Role::Opening | Role::Recovering => 1,
        Role::Replica => 2,
        Role::Primary => 3,
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; what is lost is one part in 2^53")]
const fn float(value: u64) -> f64 {
    value as f64
}

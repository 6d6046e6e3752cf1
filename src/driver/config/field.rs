//! The numbers that a configuration may set: one table, from which they are read, overridden, printed and documented.

use ::core::time::Duration;

use super::NodeConfig;
use super::unit::{format_duration, format_size};

/// One number of the configuration.
#[derive(Debug)]
pub struct Field {
    /// The key, with its table: `replication.batch_entries`.
    pub key: &'static str,
    /// What may stand there, in words: the unit and the bounds.
    pub expected: &'static str,
    /// What it does.
    pub about: &'static str,
    /// A value that would do, as TOML.
    pub example: &'static str,
    /// Where it lies in the configuration.
    pub(super) slot: fn(&mut NodeConfig) -> Slot<'_>,
}

/// A place for a value of one kind.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    Duration(&'a mut Duration),
    Durations(&'a mut Vec<Duration>),
    Bytes(&'a mut u64),
    Count(&'a mut u64),
    Count32(&'a mut u32),
    CountSize(&'a mut usize),
    BytesSize(&'a mut usize),
}

impl Field {
    /// The key without its table.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, name)| name)
    }

    /// The table that the key stands in.
    #[must_use]
    pub fn table(&self) -> &'static str {
        self.key.rsplit_once('.').map_or("", |(table, _)| table)
    }

    /// The value in force, as TOML.
    #[must_use]
    pub fn value(&self, config: &NodeConfig) -> String {
        let mut config = config.clone();
        match (self.slot)(&mut config) {
            Slot::Duration(duration) => format!("\"{}\"", format_duration(*duration)),
            Slot::Durations(durations) => {
                let each: Vec<String> =
                    durations.iter().map(|step| format!("\"{}\"", format_duration(*step))).collect();
                format!("[{}]", each.join(", "))
            }
            Slot::Bytes(bytes) => format!("\"{}\"", format_size(*bytes)),
            Slot::Count(count) => count.to_string(),
            Slot::Count32(count) => count.to_string(),
            Slot::CountSize(count) => count.to_string(),
            Slot::BytesSize(bytes) => format!("\"{}\"", format_size(*bytes as u64)),
        }
    }
}

/// Lays out one field: key, what is expected, what it does, an example, and its place.
macro_rules! field {
    ($key:literal, $expected:literal, $about:literal, $example:literal, $kind:ident $($place:ident).+) => {
        Field {
            key: $key,
            expected: $expected,
            about: $about,
            example: $example,
            slot: |config| Slot::$kind(&mut config.$($place).+),
        }
    };
}

/// Every number that a configuration may set, by table.
pub const FIELDS: &[Field] = &[
    field!("replication.seed", "a whole number", "The seed of every draw (back-off). Default: the node's id.", "1",
        Count replication.seed),
    field!("replication.heartbeat_interval", "a time of 1ms to 10s", "Between heartbeats.", "\"100ms\"",
        Duration replication.heartbeat_interval),
    field!("replication.election_timeout_min", "a time of at least 3 x `heartbeat_interval`, up to 1h",
        "The shortest election time-out; a link silent for that long is dialled again.", "\"1s\"",
        Duration replication.election_timeout_min),
    field!("replication.election_timeout_max", "a time of at least 1.1 x `election_timeout_min`, up to 2h",
        "The longest election time-out: how long a replica hears no primary before it stands is drawn between the two.",
        "\"2s\"", Duration replication.election_timeout_max),
    field!("replication.lease_percent", "a whole number of 10 to 90",
        "How much of `election_timeout_min` a majority's echoes keep a primary's lease, in percent.", "80",
        Count32 replication.lease_percent),
    field!("replication.exposure_bytes_max", "a size of `entry_bytes_max` to 1024GiB",
        "How many bytes of payloads may be answered at `local` and not be committed, for each space.", "\"64MiB\"",
        Bytes replication.exposure_bytes_max),
    field!("replication.exposure_age_max", "a time of 1ms to 1h",
        "How long an entry may be answered at `local` and not be committed.",
        "\"5s\"", Duration replication.exposure_age_max),
    field!("replication.alone_after", "a time of `election_timeout_min` to 2h",
        "How long the one replica of a primary may be gone before it goes on alone.", "\"2s\"",
        Duration replication.alone_after),
    field!("replication.stall_limit", "a time of 1ms to 1h",
        "How long a write may stay unsynced before the node gives up its lease, or its part in one.", "\"1s\"",
        Duration replication.stall_limit),
    field!("replication.batch_entries", "a whole number of 1 to 100000", "Entries in a batch at most.", "100",
        Count32 replication.batch_entries),
    field!("replication.batch_bytes", "a size of 4KiB to 64MiB",
        "Bytes in a batch at most; an entry larger than that travels alone.", "\"1MiB\"", Bytes replication.batch_bytes),
    field!("replication.batch_delay", "a time of 0ms to 1s",
        "How long a batch waits to fill while the pipe is busy; an idle pipe ships at once.", "\"10ms\"",
        Duration replication.batch_delay),
    field!("replication.window_bytes", "a size of `batch_bytes` to 4GiB", "Bytes in flight to a replica at most.",
        "\"4MiB\"", Bytes replication.window_bytes),
    field!("replication.window_batches", "a whole number of 1 to 65536", "Batches in flight to a replica at most.",
        "256", Count32 replication.window_batches),
    field!("replication.retransmit_after", "a time of 1ms to 1min",
        "When a batch that was not acknowledged is sent again.", "\"1s\"", Duration replication.retransmit_after),
    field!(
        "replication.link_bulk_bytes",
        "a size of 1KiB to 16MiB",
        "Bytes of batches that may wait to leave on a link; control frames wait behind these at most.",
        "\"64KiB\"",
        Bytes replication.link_bulk_bytes
    ),
    field!("replication.tail_bytes", "a size of `batch_bytes` to 1024GiB",
        "Bytes of recent entries kept in memory per space.", "\"4MiB\"", Bytes replication.tail_bytes),
    field!("replication.entry_bytes_max", "a size of 1B to 256MiB", "The largest payload of an entry.", "\"16MiB\"",
        Bytes replication.entry_bytes_max),
    field!("replication.append_entries_max", "a whole number of 1 to 16777216",
        "Appends that may wait for their answers, per space; one request may bring as many.", "65536",
        Count replication.append_entries_max),
    field!("replication.append_bytes_max", "a size of `entry_bytes_max` to 1024GiB",
        "Bytes of appends that may wait for their answers, per space.", "\"64MiB\"", Bytes replication.append_bytes_max),
    field!("replication.append_timeout", "a time of 1ms to 1h",
        "When an append that does not say it itself is answered \"unknown\".", "\"5s\"",
        Duration replication.append_timeout),
    field!("replication.lag_alert", "a time of 1ms to 1h",
        "The lag at which a replica is Degraded and an alert is raised.", "\"1s\"", Duration replication.lag_alert),
    field!("replication.lag_critical", "a time of `lag_alert` to 1h", "The lag at which the critical alert is raised.",
        "\"5s\"", Duration replication.lag_critical),
    field!("replication.status_hold", "a time of 0ms to 1h", "How long a better status must hold to be believed.",
        "\"1s\"", Duration replication.status_hold),
    field!(
        "replication.shutdown_drain",
        "a time of 0ms to 1h",
        "How long a shutdown waits for appends under way.",
        "\"1s\"",
        Duration replication.shutdown_drain
    ),
    field!("pool.connect_timeout", "a time of 1ms to 1h",
        "How long a dial may take; between voters at most half the shortest election time-out.", "\"5s\"",
        Duration replication.pool.connect_timeout),
    field!("pool.read_timeout", "a time of at least 3 x `heartbeat_interval`, up to 1h",
        "How long a link may be silent; between voters at most one shortest election time-out.", "\"10s\"",
        Duration replication.pool.read_timeout),
    field!("pool.write_timeout", "a time of 1ms to 1h", "How long bytes may wait to leave.", "\"10s\"",
        Duration replication.pool.write_timeout),
    field!("pool.keepalive", "a time of 1s to 1h", "The TCP keepalive.", "\"10s\"", Duration replication.pool.keepalive),
    field!("pool.backoff", "one or more times of 1ms to 1h", "The waits between dials, the last one repeated.",
        "[\"100ms\", \"1s\", \"10s\", \"60s\"]", Durations replication.pool.backoff),
    field!("pool.max_retries", "a whole number of 1 to 100", "Failures in a row after which the breaker opens.", "3",
        Count32 replication.pool.max_retries),
    field!("wal.segment_bytes_min", "a size of 4KiB to `segment_bytes_max`", "The size of a space's first segment.",
        "\"64KiB\"", Bytes wal.segment_bytes_min),
    field!("wal.segment_bytes_max", "a size of 4KiB to 1GiB",
        "The size that segments grow to by doubling; an entry that is larger gets a segment of its own size.",
        "\"64MiB\"", Bytes wal.segment_bytes_max),
    field!("wal.group_entries", "a whole number of 1 to 1000000", "Entries that share an fsync at most.", "1000",
        CountSize wal.group_entries),
    field!("wal.group_bytes", "a size of 4KiB to 1GiB",
        "Bytes that share an fsync at most; an entry larger than that is a group of its own.", "\"8MiB\"",
        Bytes wal.group_bytes),
    field!("wal.files_open_max", "a whole number of 1 to 1000000", "Files kept open for all spaces together.", "128",
        CountSize wal.files_open_max),
    field!("wal.indexes_max", "a whole number of 1 to 1000000",
        "Indexes of older segments kept in memory per space, 4 bytes per entry.", "4", CountSize wal.indexes_max),
    field!("wal.reserve_bytes", "a size of 0B to 1GiB", "What is given up when the disk is full; 0 for nothing.",
        "\"1MiB\"", Bytes wal.reserve_bytes),
    field!("wal.close_timeout", "a time of 1ms to 1h",
        "How long a stopping node waits for its disk; past it the node ends with an error that says what hangs.",
        "\"30s\"", Duration wal.close_timeout),
    field!("clients.connections_max", "a whole number of 1 to 1000000",
        "Connections of clients at once; more wait until one ends.", "1024", CountSize clients.connections_max),
    field!("clients.head_timeout", "a time of 1ms to 1h",
        "How long a connection may be without a request, and the head of one may take to come in.", "\"30s\"",
        Duration clients.head_timeout),
    field!("clients.head_bytes_max", "a size of 8KiB to 1MiB", "The largest head of a client's request.", "\"64KiB\"",
        BytesSize clients.head_bytes_max),
    field!("clients.write_timeout", "a time of 1ms to 1h",
        "How long a client may take nothing of an answer before its connection is closed.", "\"30s\"",
        Duration clients.write_timeout),
    field!("clients.body_bytes_max", "a size of 1KiB to 1GiB", "The largest body of a client's request.", "\"32MiB\"",
        Bytes clients.body_bytes_max),
    field!("clients.bodies_bytes_max", "a size of `body_bytes_max` to 64GiB",
        "Bytes of clients' bodies in memory at once; what goes over is answered 429.", "\"256MiB\"",
        Bytes clients.bodies_bytes_max),
    field!("clients.body_timeout", "a time of 1ms to 1h", "How long the body of a request may take to come in.",
        "\"30s\"", Duration clients.body_timeout),
    field!("clients.read_entries_max", "a whole number of 1 to 1000000", "Entries in the answer to one read at most.",
        "10000", Count32 clients.read_entries_max),
    field!("clients.read_bytes_max", "a size of 1KiB to 1GiB",
        "Bytes of entries in the answer to one read at most, within `replication.window_bytes`; one entry comes however large it is.",
        "\"4MiB\"",
        Bytes clients.read_bytes_max),
    field!("clients.drain_timeout", "a time of 0ms to 1h",
        "How long a stopping node waits for the requests that it has taken.", "\"5s\"", Duration clients.drain_timeout),
];

//! From what was written to a configuration whose every value holds.

use std::path::PathBuf;

use crate::core::{ConfigError, ReplicationConfig};
use crate::types::{ClusterId, Incarnation, NodeId};
use crate::wal::WalOptions;

use super::error::{ConfigFileError, Origin};
use super::field::{FIELDS, Field, Slot};
use super::lists::{read_peers, read_spaces};
use super::source::{Setting, Source, Value};
use super::unit::{parse_duration, parse_size};
use super::{ClientLimits, NodeConfig};

/// What a name is.
pub(super) const NAME: &str = "a name of 3 to 64 characters of a-z, 0-9, _ and -";
/// What an address is.
pub(super) const ADDRESS: &str = "an address `host:port`";
/// What a node's id is.
pub(super) const NODE: &str = "a whole number of 1 to 65535";

/// Replicas in a space at most: seven voters.
pub(super) const REPLICAS_MAX: u16 = 6;

/// Reads and checks everything.
pub(super) fn read(mut source: Source) -> Result<NodeConfig, ConfigFileError> {
    let node = NodeId(number(&source, top(&source, "node"), "node", NODE, (1, 65_535), "node = 1")?);
    let cluster = text(&source, top(&source, "cluster"), "cluster", NAME, "cluster = \"shop\"")?;
    let cluster_id = ClusterId::from_name(&cluster).map_err(|_| {
        let origin = origin_of(&source, "cluster");
        source.error(origin, "cluster", NAME, &format!("{cluster:?}"), "cluster = \"shop\"")
    })?;
    let listen = address(&source, top(&source, "listen"), "listen", "listen = \"127.0.0.1:7400\"", true)?;
    let http = optional(top(&source, "http"), |setting| {
        address(&source, Some(setting), "http", "http = \"127.0.0.1:7480\"", true)
    })?;
    let example = "data_dir = \"/var/lib/engraft\"";
    let data_dir = text(&source, top(&source, "data_dir"), "data_dir", "the path of a directory", example)?;
    let peers = read_peers(&mut source, node)?;
    let replica_count = match top(&source, "replica_count") {
        None => 2,
        setting => {
            let bounds = (0, u64::from(REPLICAS_MAX));
            number(&source, setting, "replica_count", "a whole number of 0 to 6", bounds, "replica_count = 2")?
        }
    };
    let others = peers.iter().map(|peer| peer.id).collect();
    let mut replication = ReplicationConfig::new(node, cluster_id, Incarnation([0; 16]), others);
    replication.seed = u64::from(node.0);
    let mut config = NodeConfig {
        node,
        cluster,
        listen,
        http,
        data_dir: PathBuf::from(data_dir),
        replica_count,
        peers,
        spaces: Vec::new(),
        replication,
        wal: WalOptions::default(),
        clients: ClientLimits::default(),
    };
    config.spaces = read_spaces(&mut source, &config)?;
    for field in FIELDS {
        if let Some(setting) = top(&source, field.key) {
            read_field(&source, &mut config, field, &setting)?;
        }
    }
    check_bounds(&source, &config)?;
    config.replication.validate().map_err(|error| place(&source, &error))?;
    Ok(config)
}

/// Puts one number in its place.
fn read_field(
    source: &Source,
    config: &mut NodeConfig,
    field: &Field,
    setting: &Setting,
) -> Result<(), ConfigFileError> {
    let whole = |value: &Value| match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Text(_) | Value::List(_) | Value::Other(_) => None,
    };
    let duration = |value: &Value| match value {
        Value::Text(text) => parse_duration(text),
        Value::Integer(_) | Value::List(_) | Value::Other(_) => None,
    };
    let size = |value: &Value| match value {
        Value::Text(text) => parse_size(text),
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::List(_) | Value::Other(_) => None,
    };
    let value = &setting.value;
    let fits = match (field.slot)(config) {
        Slot::Duration(place) => duration(value).map(|found| *place = found),
        Slot::Bytes(place) => size(value).map(|found| *place = found),
        Slot::Count(place) => whole(value).map(|found| *place = found),
        Slot::Count32(place) => whole(value).and_then(|found| u32::try_from(found).ok()).map(|found| *place = found),
        Slot::CountSize(place) => {
            whole(value).and_then(|found| usize::try_from(found).ok()).map(|found| *place = found)
        }
        Slot::BytesSize(place) => size(value).and_then(|found| usize::try_from(found).ok()).map(|found| *place = found),
        Slot::Durations(place) => match value {
            Value::List(values) => values.iter().map(duration).collect::<Option<Vec<_>>>().map(|found| *place = found),
            Value::Integer(_) | Value::Text(_) | Value::Other(_) => None,
        },
    };
    fits.ok_or_else(|| refuse_field(source, field, value.found()))
}

fn refuse_field(source: &Source, field: &Field, found: String) -> ConfigFileError {
    let example = format!("{} = {}", field.name(), field.example);
    source.error(origin_of(source, field.key), field.key, field.expected, &found, &example)
}

/// Checks the bounds that the core does not know of.
fn check_bounds(source: &Source, config: &NodeConfig) -> Result<(), ConfigFileError> {
    let (limits, wal) = (&config.clients, &config.wal);
    let gib = 1_u64 << 30;
    let checks = [
        ("wal.segment_bytes_max", (4096..=gib).contains(&wal.segment_bytes_max)),
        ("wal.segment_bytes_min", (4096..=wal.segment_bytes_max).contains(&wal.segment_bytes_min)),
        ("wal.group_entries", (1..=1_000_000).contains(&wal.group_entries)),
        ("wal.group_bytes", (4096..=gib).contains(&wal.group_bytes)),
        ("wal.files_open_max", (1..=1_000_000).contains(&wal.files_open_max)),
        ("wal.indexes_max", (1..=1_000_000).contains(&wal.indexes_max)),
        ("wal.reserve_bytes", wal.reserve_bytes <= gib),
        ("wal.close_timeout", (1..=3_600_000).contains(&wal.close_timeout.as_millis())),
        ("clients.connections_max", (1..=1_000_000).contains(&limits.connections_max)),
        ("clients.head_timeout", (1..=3_600_000).contains(&limits.head_timeout.as_millis())),
        ("clients.head_bytes_max", (8 << 10..=1 << 20).contains(&limits.head_bytes_max)),
        ("clients.write_timeout", (1..=3_600_000).contains(&limits.write_timeout.as_millis())),
        ("clients.body_bytes_max", (1024..=gib).contains(&limits.body_bytes_max)),
        ("clients.bodies_bytes_max", (limits.body_bytes_max..=64 * gib).contains(&limits.bodies_bytes_max)),
        ("clients.body_timeout", (1..=3_600_000).contains(&limits.body_timeout.as_millis())),
        ("clients.read_entries_max", (1..=1_000_000).contains(&limits.read_entries_max)),
        ("clients.read_bytes_max", (1024..=gib).contains(&limits.read_bytes_max)),
        ("clients.drain_timeout", limits.drain_timeout.as_secs() <= 3_600),
    ];
    for (key, fits) in checks {
        if !fits && let Some(field) = FIELDS.iter().find(|field| field.key == key) {
            return Err(refuse_field(source, field, field.value(config)));
        }
    }
    Ok(())
}

/// Gives an error of the core its file, table and line.
fn place(source: &Source, error: &ConfigError) -> ConfigFileError {
    let field = FIELDS.iter().find(|field| field.name() == error.key);
    let key = field.map_or(error.key, |field| field.key);
    let example = format!("{} = {}", error.key, error.example);
    source.error(origin_of(source, key), key, &error.expected, &error.found, &example)
}

fn top(source: &Source, key: &str) -> Option<Setting> {
    source.settings.get(key).cloned()
}

pub(super) fn origin_of(source: &Source, key: &str) -> Origin {
    source.settings.get(key).map_or(Origin::Absent, |setting| setting.origin.clone())
}

pub(super) fn optional<T>(
    setting: Option<Setting>,
    read: impl FnOnce(Setting) -> Result<T, ConfigFileError>,
) -> Result<Option<T>, ConfigFileError> {
    setting.map(read).transpose()
}

pub(super) fn text(
    source: &Source,
    setting: Option<Setting>,
    key: &str,
    expected: &str,
    example: &str,
) -> Result<String, ConfigFileError> {
    let Some(setting) = setting else {
        return Err(source.error(Origin::Absent, key, expected, "nothing", example));
    };
    match setting.value {
        Value::Text(text) if !text.is_empty() => Ok(text),
        value @ (Value::Text(_) | Value::Integer(_) | Value::List(_) | Value::Other(_)) => {
            Err(source.error(setting.origin, key, expected, &value.found(), example))
        }
    }
}

pub(super) fn address(
    source: &Source,
    setting: Option<Setting>,
    key: &str,
    example: &str,
    zero_port: bool,
) -> Result<String, ConfigFileError> {
    let origin = setting.as_ref().map_or(Origin::Absent, |setting| setting.origin.clone());
    let found = text(source, setting, key, ADDRESS, example)?;
    let port = found.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse().ok());
    match port {
        Some(0) if !zero_port => Err(source.error(
            origin,
            key,
            "an address `host:port` with a port of 1 to 65535",
            &format!("{found:?}"),
            example,
        )),
        Some(0..=65_535_u16) => Ok(found),
        None => Err(source.error(origin, key, ADDRESS, &format!("{found:?}"), example)),
    }
}

pub(super) fn number(
    source: &Source,
    setting: Option<Setting>,
    key: &str,
    expected: &str,
    bounds: (u64, u64),
    example: &str,
) -> Result<u16, ConfigFileError> {
    let Some(setting) = setting else {
        return Err(source.error(Origin::Absent, key, expected, "nothing", example));
    };
    let fitting = match &setting.value {
        Value::Integer(found) => {
            u16::try_from(*found).ok().filter(|found| (bounds.0..=bounds.1).contains(&u64::from(*found)))
        }
        Value::Text(_) | Value::List(_) | Value::Other(_) => None,
    };
    fitting.ok_or_else(|| source.error(setting.origin, key, expected, &setting.value.found(), example))
}

//! The lists of a configuration: peers and spaces.

use crate::core::config::{Isolation, Promotion};
use crate::core::{Ack, SpaceConfig};
use crate::types::{FsyncMode, NodeId, SpaceName};

use super::error::{ConfigFileError, Origin};
use super::read::{ADDRESS, NAME, NODE, REPLICAS_MAX, address, number, optional, origin_of, text};
use super::source::{Row, Source, Value};
use super::{FSYNC_MODES, ISOLATIONS, NodeConfig, PROMOTIONS, PeerConfig, SpaceSettings, ack_of};

pub(super) fn read_peers(source: &mut Source, node: NodeId) -> Result<Vec<PeerConfig>, ConfigFileError> {
    let mut peers: Vec<PeerConfig> = Vec::new();
    for mut row in ::core::mem::take(&mut source.peers) {
        let id = NodeId(row_number(source, &mut row, "id", NODE, "id = 2")?);
        let address_setting = row.take("address");
        let key = row.key("address");
        let address_text = match address_setting {
            None => return Err(missing(source, &row, "address", ADDRESS, "address = \"127.0.0.1:7401\"")),
            setting => address(source, setting, &key, "address = \"127.0.0.1:7401\"", false)?,
        };
        let key = row.key("http");
        let http = optional(row.take("http"), |setting| {
            address(source, Some(setting), &key, "http = \"127.0.0.1:7481\"", false)
        })?;
        refuse_unknown(source, &row, "id, address, http", "address = \"127.0.0.1:7401\"")?;
        if peers.iter().any(|peer| peer.id == id) {
            let found = format!("{} a second time", id.0);
            let expected = "an id that no other peer has";
            return Err(source.error(Origin::Line(row.line), &row.key("id"), expected, &found, "id = 2"));
        }
        peers.push(PeerConfig { id, address: address_text, http });
    }
    peers.retain(|peer| peer.id != node);
    peers.sort_by_key(|peer| peer.id);
    Ok(peers)
}

pub(super) fn read_spaces(source: &mut Source, config: &NodeConfig) -> Result<Vec<SpaceSettings>, ConfigFileError> {
    let mut spaces: Vec<SpaceSettings> = Vec::new();
    for mut row in ::core::mem::take(&mut source.spaces) {
        let example = "name = \"orders\"";
        let key = row.key("name");
        let written = match row.take("name") {
            None => return Err(missing(source, &row, "name", NAME, example)),
            setting => text(source, setting, &key, NAME, example)?,
        };
        let name = SpaceName::new(&written)
            .map_err(|_| source.error(Origin::Line(row.line), &key, NAME, &format!("{written:?}"), example))?;
        if spaces.iter().any(|space| space.name == name) {
            let found = format!("{written:?} a second time");
            return Err(source.error(Origin::Line(row.line), &key, "a name that no other space has", &found, example));
        }
        let primary = NodeId(row_number(source, &mut row, "primary", NODE, "primary = 1")?);
        if !known(config, primary) {
            let expected = format!("the id of this node or a peer ({})", ids(&node_ids(config)));
            let key = row.key("primary");
            return Err(source.error(Origin::Line(row.line), &key, &expected, &primary.0.to_string(), "primary = 1"));
        }
        let voters = read_voters(source, &mut row, config, primary)?;
        let ack = read_ack(source, &mut row)?;
        let fsync = read_fsync(source, &mut row)?;
        let promotion = read_word(source, &mut row, "promotion", &PROMOTIONS)?;
        let isolation = read_isolation(source, &mut row, promotion)?;
        refuse_unknown(source, &row, "name, primary, voters, ack, fsync, promotion, isolation", example)?;
        let config = SpaceConfig { ack, fsync, promotion, isolation, ..SpaceConfig::new(primary, voters) };
        spaces.push(SpaceSettings { name, config });
    }
    Ok(spaces)
}

/// The voters as written, or the primary and the first `replica_count` other nodes by id.
fn read_voters(
    source: &Source,
    row: &mut Row,
    config: &NodeConfig,
    primary: NodeId,
) -> Result<Vec<NodeId>, ConfigFileError> {
    let Some(setting) = row.take("voters") else {
        let replicas: Vec<NodeId> = node_ids(config).into_iter().filter(|id| *id != primary).collect();
        let count = usize::from(config.replica_count);
        if replicas.len() < count {
            let expected = format!("at most the number of other nodes, {}", replicas.len());
            let origin = origin_of(source, "replica_count");
            let mut found = config.replica_count.to_string();
            if origin == Origin::Absent {
                found.push_str(" (the default)");
            }
            let example = format!("replica_count = {}", replicas.len());
            return Err(source.error(origin, "replica_count", &expected, &found, &example));
        }
        let mut voters: Vec<NodeId> = ::core::iter::once(primary).chain(replicas.into_iter().take(count)).collect();
        voters.sort_unstable();
        return Ok(voters);
    };
    let nodes = node_ids(config);
    let expected = format!("1 to 7 different ids of {}, the primary {} among them", ids(&nodes), primary.0);
    let refuse = || {
        let key = row.key("voters");
        source.error(setting.origin.clone(), &key, &expected, &setting.value.found(), "voters = [1, 2, 3]")
    };
    let Value::List(values) = &setting.value else {
        return Err(refuse());
    };
    let mut voters = Vec::new();
    for value in values {
        let id = match value {
            Value::Integer(id) => u16::try_from(*id).map(NodeId).map_err(|_| refuse())?,
            Value::Text(_) | Value::List(_) | Value::Other(_) => return Err(refuse()),
        };
        if voters.contains(&id) || !nodes.contains(&id) {
            return Err(refuse());
        }
        voters.push(id);
    }
    if !voters.contains(&primary) || voters.len() > usize::from(REPLICAS_MAX) + 1 {
        return Err(refuse());
    }
    voters.sort_unstable();
    Ok(voters)
}

fn read_ack(source: &Source, row: &mut Row) -> Result<Ack, ConfigFileError> {
    let Some(setting) = row.take("ack") else {
        return Ok(Ack::default());
    };
    let found = match &setting.value {
        Value::Text(text) => ack_of(text),
        Value::Integer(_) | Value::List(_) | Value::Other(_) => None,
    };
    let expected = "\"local\", \"quorum\" or \"all\"";
    found.ok_or_else(|| {
        source.error(setting.origin, &row.key("ack"), expected, &setting.value.found(), "ack = \"quorum\"")
    })
}

fn read_fsync(source: &Source, row: &mut Row) -> Result<FsyncMode, ConfigFileError> {
    let Some(setting) = row.take("fsync") else {
        return Ok(FsyncMode::default());
    };
    let found = FSYNC_MODES.iter().find(|(name, _)| setting.value == Value::Text((*name).to_owned()));
    let expected = "\"per_write\", \"per_batch\", \"timer\" or \"none\"";
    found.map(|(_, mode)| *mode).ok_or_else(|| {
        source.error(setting.origin, &row.key("fsync"), expected, &setting.value.found(), "fsync = \"per_batch\"")
    })
}

/// A word of a list, the first where it is left out.
fn read_word<T: Copy + Default>(
    source: &Source,
    row: &mut Row,
    key: &str,
    words: &[(&str, T)],
) -> Result<T, ConfigFileError> {
    let Some(setting) = row.take(key) else {
        return Ok(T::default());
    };
    let found = words.iter().find(|(name, _)| setting.value == Value::Text((*name).to_owned()));
    let expected = words.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
    let example = words.first().map_or(String::new(), |(name, _)| format!("{key} = \"{name}\""));
    found
        .map(|(_, word)| *word)
        .ok_or_else(|| source.error(setting.origin, &row.key(key), &expected, &setting.value.found(), &example))
}

/// Writes go on without a limit only where nobody else takes over meanwhile.
fn read_isolation(source: &Source, row: &mut Row, promotion: Promotion) -> Result<Isolation, ConfigFileError> {
    let origin = row.settings.get("isolation").map_or(Origin::Absent, |setting| setting.origin.clone());
    let isolation = read_word(source, row, "isolation", &ISOLATIONS)?;
    if isolation == Isolation::Continue && promotion == Promotion::Automatic {
        let expected = "\"exposure\" or \"stop\", or `promotion = \"manual\"` beside it";
        return Err(source.error(origin, &row.key("isolation"), expected, "\"continue\"", "promotion = \"manual\""));
    }
    Ok(isolation)
}

fn row_number(
    source: &Source,
    row: &mut Row,
    key: &str,
    expected: &str,
    example: &str,
) -> Result<u16, ConfigFileError> {
    let full = row.key(key);
    match row.take(key) {
        None => Err(missing(source, row, key, expected, example)),
        setting => number(source, setting, &full, expected, (1, 65_535), example),
    }
}

fn missing(source: &Source, row: &Row, key: &str, expected: &str, example: &str) -> ConfigFileError {
    source.error(Origin::Line(row.line), &row.key(key), expected, "nothing", example)
}

fn refuse_unknown(source: &Source, row: &Row, known: &str, example: &str) -> Result<(), ConfigFileError> {
    let Some((key, setting)) = row.settings.iter().next() else {
        return Ok(());
    };
    let expected = format!("one of the keys {known}");
    Err(source.error(setting.origin.clone(), &row.key(key), &expected, "an unknown key", example))
}

fn known(config: &NodeConfig, id: NodeId) -> bool {
    id == config.node || config.peers.iter().any(|peer| peer.id == id)
}

/// This node and its peers, by id: the same list on every node.
fn node_ids(config: &NodeConfig) -> Vec<NodeId> {
    let mut ids: Vec<NodeId> = config.peers.iter().map(|peer| peer.id).chain([config.node]).collect();
    ids.sort_unstable();
    ids
}

fn ids(nodes: &[NodeId]) -> String {
    nodes.iter().map(|node| node.0.to_string()).collect::<Vec<_>>().join(", ")
}

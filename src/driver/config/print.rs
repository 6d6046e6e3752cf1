//! The effective configuration, as TOML with a word on each number.

use ::core::fmt::Write;

use super::field::FIELDS;
use super::source::TABLES;
use super::{FSYNC_MODES, ISOLATIONS, NodeConfig, PROMOTIONS};

/// The whole configuration; every default is spelt out.
pub(super) fn to_toml(config: &NodeConfig) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_all(&mut text, config);
    text
}

fn write_all(text: &mut String, config: &NodeConfig) -> ::core::fmt::Result {
    writeln!(text, "# This node's id: 1 to 65535, unique in the cluster, never used again.")?;
    writeln!(text, "node = {}", config.node.0)?;
    writeln!(text, "# The cluster's name, the same on all nodes: 3 to 64 characters of a-z, 0-9, _ and -.")?;
    writeln!(text, "cluster = {}", quoted(&config.cluster))?;
    writeln!(text, "# Where other nodes connect: `host:port`; port 0 lets the system choose.")?;
    writeln!(text, "listen = {}", quoted(&config.listen))?;
    writeln!(text, "# Where clients speak HTTP: `host:port`; left out, the node takes no clients.")?;
    match &config.http {
        Some(http) => writeln!(text, "http = {}", quoted(http))?,
        None => writeln!(text, "# http = \"127.0.0.1:7480\"")?,
    }
    writeln!(text, "# The directory of the node's logs.")?;
    writeln!(text, "data_dir = {}", quoted(&config.data_dir.to_string_lossy()))?;
    writeln!(text, "# Replicas of a space that names no voters: 0 to 6.")?;
    writeln!(text, "replica_count = {}", config.replica_count)?;
    for peer in &config.peers {
        writeln!(text, "\n[[peers]]\nid = {}\naddress = {}", peer.id.0, quoted(&peer.address))?;
        if let Some(http) = &peer.http {
            writeln!(text, "http = {}", quoted(http))?;
        }
    }
    for space in &config.spaces {
        let voters: Vec<String> = space.config.voters.iter().map(|voter| voter.0.to_string()).collect();
        let fsync = FSYNC_MODES.iter().find(|(_, mode)| *mode == space.config.fsync).map_or("", |(name, _)| *name);
        writeln!(text, "\n[[spaces]]\nname = {}\nprimary = {}", quoted(space.name.as_str()), space.config.primary.0)?;
        writeln!(text, "voters = [{}]\nack = \"{}\"\nfsync = \"{fsync}\"", voters.join(", "), space.config.ack)?;
        writeln!(text, "# Who decides that a replica becomes the primary: \"automatic\" or \"manual\".")?;
        writeln!(text, "promotion = \"{}\"", word(&PROMOTIONS, space.config.promotion))?;
        writeln!(
            text,
            "# What a primary without a lease does with appends at local: \"exposure\" takes them within the"
        )?;
        writeln!(
            text,
            "# limits of exposure, \"stop\" takes none, \"continue\" takes all (with manual promotion only)."
        )?;
        writeln!(text, "isolation = \"{}\"", word(&ISOLATIONS, space.config.isolation))?;
    }
    for table in TABLES {
        writeln!(text, "\n[{table}]")?;
        for field in FIELDS.iter().filter(|field| field.table() == table) {
            writeln!(text, "# {} ({}; for example {})", field.about, field.expected, field.example)?;
            writeln!(text, "{} = {}", field.name(), field.value(config))?;
        }
    }
    Ok(())
}

fn word<T: PartialEq>(words: &[(&'static str, T)], wanted: T) -> &'static str {
    words.iter().find(|(_, word)| *word == wanted).map_or("", |(name, _)| *name)
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

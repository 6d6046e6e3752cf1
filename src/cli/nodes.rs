//! Which nodes a command speaks to.

use ::core::time::Duration;
use alloc::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use crate::core::Ack;
use crate::driver::config::{NodeConfig, unit};
use crate::types::{Epoch, NodeId};

use super::client::Client;
use super::config::OverrideArguments;
use super::exit::Failure;

/// Which nodes to ask.
#[derive(Debug, Clone, Args)]
pub struct NodeArguments {
    /// Where a node speaks HTTP, such as `http://10.0.0.1:7480` or `10.0.0.1:7480`; may be repeated.
    #[arg(long = "node", value_name = "URL", value_parser = parse_address, required_unless_present = "config")]
    nodes: Vec<String>,
    /// A node's configuration: it names that node and its peers.
    #[arg(long, env = "ENGRAFT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    overrides: OverrideArguments,
}

impl NodeArguments {
    /// The nodes that were named, otherwise those of the configuration.
    pub(super) fn nodes(&self) -> Result<Nodes, Failure> {
        let config = match &self.config {
            Some(file) => Some(NodeConfig::load(file, &self.overrides.overrides())?),
            None => None,
        };
        let known = config.as_ref().map(addresses).unwrap_or_default();
        let asked = if self.nodes.is_empty() { known.values().cloned().collect() } else { self.nodes.clone() };
        if asked.is_empty() {
            return Err(Failure::usage(
                "no node of the configuration has an `http` address; name one, such as `--node 10.0.0.1:7480`",
            ));
        }
        Ok(Nodes { asked, known, clients: BTreeMap::new() })
    }

    /// The configuration that was named.
    pub(super) fn config(&self) -> Result<Option<NodeConfig>, Failure> {
        let Some(file) = &self.config else { return Ok(None) };
        Ok(Some(NodeConfig::load(file, &self.overrides.overrides())?))
    }
}

/// Where nodes speak HTTP, by their ids.
fn addresses(config: &NodeConfig) -> BTreeMap<u16, String> {
    let peers = config.peers.iter().filter_map(|peer| Some((peer.id.0, peer.http.clone()?)));
    config.http.iter().map(|http| (config.node.0, http.clone())).chain(peers).collect()
}

/// The nodes that a command speaks to.
#[derive(Debug)]
pub(super) struct Nodes {
    /// In the order in which they are tried.
    pub(super) asked: Vec<String>,
    /// By their ids, where a configuration tells.
    known: BTreeMap<u16, String>,
    clients: BTreeMap<String, Client>,
}

impl Nodes {
    /// The client of the node at this address; its connections are kept.
    pub(super) fn client(&mut self, address: &str) -> Result<Client, Failure> {
        if let Some(client) = self.clients.get(address) {
            return Ok(client.clone());
        }
        let client = Client::new(address)?;
        self.clients.insert(address.to_owned(), client.clone());
        Ok(client)
    }

    /// Where a node speaks HTTP, where the configuration tells.
    pub(super) fn known(&self, node: u16) -> Option<&str> {
        self.known.get(&node).map(String::as_str)
    }

    /// The one to try after this one.
    pub(super) fn after(&self, address: &str) -> String {
        let at = self.asked.iter().position(|asked| asked == address).map_or(0, |at| at + 1);
        self.asked.get(at).or(self.asked.first()).cloned().unwrap_or_default()
    }
}

/// `host:port`, with or without `http://` before it.
pub(super) fn parse_address(text: &str) -> Result<String, String> {
    let address = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    if address.contains(['/', '@', ' ', '?', '#']) || !matches!(port, Some(Ok(1..))) {
        return Err("expected host:port, such as http://10.0.0.1:7480".to_owned());
    }
    Ok(address.to_owned())
}

/// A level by its name.
pub(super) fn parse_ack(text: &str) -> Result<Ack, String> {
    let levels = [Ack::Local, Ack::Quorum, Ack::All];
    levels.into_iter().find(|ack| ack.to_string() == text).ok_or_else(|| "expected local, quorum or all".to_owned())
}

/// The epoch of that printed form: `e3n1` or `g1e3n1`.
pub(super) fn parse_epoch(text: &str) -> Option<Epoch> {
    let (generation, rest) = match text.strip_prefix('g') {
        Some(rest) => rest.split_once('e').map(|(number, rest)| (number.parse().ok(), rest))?,
        None => (Some(0), text.strip_prefix('e')?),
    };
    let (term, owner) = rest.split_once('n')?;
    Some(Epoch::new(generation?, term.parse().ok()?, NodeId(owner.parse().ok()?)))
}

/// A time of 1 ms to 1 h.
pub(super) fn parse_wait(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(1)..=Duration::from_secs(3_600);
    let time = unit::parse_duration(text).filter(|time| bounds.contains(time));
    time.ok_or_else(|| "expected a time of 1ms to 1h, such as 500ms or 5s".to_owned())
}

/// A runtime for a command that waits for the network.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(work);
    // A thread that reads stdin may be blocked until the process ends.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_read_as_it_is_printed() {
        for epoch in [Epoch::new(0, 1, NodeId(1)), Epoch::new(7, 4_000_000_000, NodeId(65_535))] {
            assert_eq!(parse_epoch(&epoch.to_string()), Some(epoch));
        }
        for text in ["", "e1", "n1", "1n1", "e1n1x", "g1", "ge1n1", "e1n70000"] {
            assert_eq!(parse_epoch(text), None, "{text:?}");
        }
    }
}

//! Three nodes in processes of their own, with one space between them whose primary is n1.

use core::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::support::{Server, eventually};
use crate::support::free_addresses;

/// Short times, so that a fault shows soon.
pub(super) const TIMES: &str = "[replication]\nheartbeat_interval = \"50ms\"\nelection_timeout_min = \"500ms\"\n\
    retransmit_after = \"100ms\"\nlag_alert = \"300ms\"\nlag_critical = \"600ms\"\nstatus_hold = \"100ms\"\n\
    shutdown_drain = \"200ms\"\n";

/// The nodes; killed when it is dropped.
pub(crate) struct Trio {
    directory: TempDir,
    listen: [SocketAddr; 3],
    http: [SocketAddr; 3],
    /// What `n<row>` is told of the address of `n<column>`.
    dialled: [[SocketAddr; 3]; 3],
    /// The rest of each configuration.
    more: String,
    servers: [Option<Server>; 3],
}

impl Trio {
    /// Starts all three and waits until the primary takes appends and both replicas have everything.
    pub(crate) fn start() -> Self {
        let mut trio = Self::prepare();
        trio.start_all();
        trio
    }

    /// Starts all three and waits until the primary takes appends and both replicas have everything.
    pub(crate) fn start_all(&mut self) {
        (1..=3).for_each(|node| self.start_node(node));
        self.wait_until_healthy();
    }

    /// Three nodes that do not run yet.
    pub(crate) fn prepare() -> Self {
        let (listen, http) = (free_addresses(), free_addresses());
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            listen,
            http,
            dialled: [listen; 3],
            more: TIMES.to_owned(),
            servers: [None, None, None],
        }
    }

    /// Lets a node, from its next start on, dial another one at this address.
    pub(crate) fn dial(&mut self, from: usize, to: usize, address: SocketAddr) {
        self.dialled[from - 1][to - 1] = address;
    }

    /// Gives every node, from its next start on, this in the place of the short times.
    pub(crate) fn configure(&mut self, more: &str) {
        self.more = more.to_owned();
    }

    /// Where a node listens for nodes.
    pub(crate) fn listen(&self, node: usize) -> SocketAddr {
        self.listen[node - 1]
    }

    /// Where a node speaks HTTP.
    pub(crate) fn http(&self, node: usize) -> String {
        self.http[node - 1].to_string()
    }

    /// A running node.
    pub(crate) fn node(&self, node: usize) -> &Server {
        self.servers[node - 1].as_ref().expect("it runs")
    }

    /// Kills a node.
    pub(crate) fn kill(&mut self, node: usize) {
        self.servers[node - 1] = None;
    }

    /// Waits until a node has ended; its exit code.
    pub(crate) fn wait(&mut self, node: usize) -> Option<i32> {
        let code = self.servers[node - 1].as_mut().expect("it runs").wait();
        self.servers[node - 1] = None;
        code
    }

    /// A node's own directory.
    pub(crate) fn directory(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("n{node}"))
    }

    /// Starts a node.
    pub(crate) fn start_node(&mut self, node: usize) {
        let directory = self.directory(node);
        std::fs::create_dir_all(&directory).expect("made");
        let server = Server::start(&directory, &self.configuration(node, &directory));
        self.servers[node - 1] = Some(server);
    }

    fn configuration(&self, node: usize, directory: &Path) -> String {
        let peers: String = (1..=3)
            .filter(|peer| *peer != node)
            .map(|peer| {
                let (address, http) = (self.dialled[node - 1][peer - 1], self.http(peer));
                format!("[[peers]]\nid = {peer}\naddress = \"{address}\"\nhttp = \"{http}\"\n\n")
            })
            .collect();
        let (listen, http, data, more) = (self.listen(node), self.http(node), directory.join("data"), &self.more);
        format!(
            "node = {node}\ncluster = \"test\"\nlisten = \"{listen}\"\nhttp = \"{http}\"\ndata_dir = {data:?}\n\n\
             {peers}[[spaces]]\nname = \"orders\"\nprimary = 1\n\n{more}"
        )
    }

    /// Waits until both replicas have everything.
    pub(crate) fn wait_until_healthy(&self) {
        self.node(1).wait_for_primary();
        eventually("a healthy cluster", || {
            let answer = self.node(1).get("/v1/status");
            let status = answer.json();
            let replicas = status["spaces"][0]["replicas"].as_array().cloned().unwrap_or_default();
            let healthy = replicas.iter().all(|each| each["status"] == "healthy" && each["connected"] == true);
            let durable = replicas.iter().all(|each| each["durable"] == status["spaces"][0]["durable"]);
            if healthy && durable && replicas.len() == 2 { Ok(()) } else { Err(answer.text) }
        });
    }
}

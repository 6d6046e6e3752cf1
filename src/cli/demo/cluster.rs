//! The demo's nodes: processes of this very binary on loopback ports.

use ::core::time::Duration;
use std::fs::OpenOptions;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::types::NodeId;

use super::super::exit::Failure;

/// How many nodes there are: a primary and two replicas.
pub(super) const NODES: u16 = 3;
/// The space that is written to.
pub(super) const SPACE: &str = "demo";
/// How long a node may take until it serves.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a node may take to stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// How often a start on ports that were taken meanwhile is tried.
const ATTEMPTS: usize = 10;
/// What of a dead node's log is shown.
const TAIL_LINES: usize = 20;

/// Where a node is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Addresses {
    listen: String,
    http: String,
}

/// The running nodes. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Cluster {
    directory: PathBuf,
    addresses: Vec<Addresses>,
    nodes: Vec<Option<NodeProcess>>,
}

/// A node's process.
#[derive(Debug)]
struct NodeProcess {
    child: Child,
    /// Closed to make the node stop; the system closes it when this process dies.
    stdin: Option<ChildStdin>,
}

/// The line that a node prints once it serves.
#[derive(Debug, Deserialize)]
struct ReadyLine {
    ready: bool,
}

impl Cluster {
    /// Starts all nodes in a directory and returns once they serve.
    ///
    /// The ports are asked from the system and given back before the nodes take them; where another process was
    /// faster, other ports are tried.
    pub(super) async fn start(directory: &Path) -> Result<Self, Failure> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let addresses = free_addresses()?;
            let mut cluster = Self { directory: directory.to_owned(), addresses, nodes: Vec::new() };
            match cluster.start_all().await {
                Ok(()) => return Ok(cluster),
                Err(failure) if is_port_taken(&failure) => last = Some(failure),
                Err(failure) => return Err(failure),
            }
            cluster.kill_all().await;
        }
        Err(last.unwrap_or_else(|| Failure::failed("no free ports")))
    }

    async fn start_all(&mut self) -> Result<(), Failure> {
        for node in node_ids() {
            write_config(&self.directory, node, &self.addresses)?;
        }
        for node in node_ids() {
            let process = self.spawn(node).await?;
            self.nodes.push(Some(process));
        }
        Ok(())
    }

    /// Where the node speaks HTTP.
    pub(super) fn http(&self, node: NodeId) -> &str {
        self.addresses.get(index(node)).map_or("", |addresses| addresses.http.as_str())
    }

    /// The directory of the node's logs.
    pub(super) fn data_dir(directory: &Path, node: NodeId) -> PathBuf {
        directory.join(node.to_string())
    }

    /// Kills a node: SIGKILL, no goodbye.
    pub(super) async fn kill(&mut self, node: NodeId) -> Result<(), Failure> {
        let Some(mut process) = self.nodes.get_mut(index(node)).and_then(Option::take) else {
            return Err(Failure::failed(format!("{node} does not run")));
        };
        process.child.kill().await.map_err(|error| Failure::failed(format!("cannot kill {node}: {error}")))
    }

    /// Starts a killed node again, on the ports that it had.
    pub(super) async fn restart(&mut self, node: NodeId) -> Result<(), Failure> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.spawn(node).await {
                Ok(process) => {
                    if let Some(place) = self.nodes.get_mut(index(node)) {
                        *place = Some(process);
                    }
                    return Ok(());
                }
                // A connection of somebody's has the port for the moment.
                Err(failure) if is_port_taken(&failure) => last = Some(failure),
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err(last.unwrap_or_else(|| Failure::failed(format!("{node} does not start"))))
    }

    /// The nodes that run but should not have ended: the first that did, and its last words.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        for (node, process) in node_ids().zip(&mut self.nodes) {
            if let Some(process) = process
                && let Ok(Some(status)) = process.child.try_wait()
            {
                return Err(died(&self.directory, node, &status.to_string()));
            }
        }
        Ok(())
    }

    /// Stops all nodes in good order and returns once they have ended.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        let mut result = Ok(());
        for process in self.nodes.iter_mut().flatten() {
            process.stdin = None;
        }
        for (node, process) in node_ids().zip(&mut self.nodes) {
            let Some(mut process) = process.take() else { continue };
            let ended = tokio::time::timeout(STOPPED_WITHIN, process.child.wait()).await;
            match ended {
                Ok(Ok(status)) if status.success() => {}
                Ok(Ok(status)) => result = result.and(Err(died(&self.directory, node, &status.to_string()))),
                Ok(Err(error)) => result = result.and(Err(Failure::failed(format!("cannot wait for {node}: {error}")))),
                Err(_) => {
                    let _ = process.child.kill().await;
                    result = result.and(Err(died(&self.directory, node, "did not stop in time, killed")));
                }
            }
        }
        result
    }

    /// Kills whatever runs and returns once it has ended.
    pub(super) async fn kill_all(&mut self) {
        for mut process in self.nodes.drain(..).flatten() {
            let _ = process.child.kill().await;
        }
    }

    /// Starts a node and returns once it serves.
    async fn spawn(&self, node: NodeId) -> Result<NodeProcess, Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("cannot start {node}: {error}"));
        let binary = std::env::current_exe().map_err(failed)?;
        let log = OpenOptions::new().create(true).append(true).open(log_file(&self.directory, node)).map_err(failed)?;
        let mut command = Command::new(binary);
        // What is meant for nodes of one's own must not reach into these.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ENGRAFT_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args(["serve", "--stop-with-stdin", "--config"])
            .arg(config_file(&self.directory, node))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut reader = BufReader::new(stdout);
            let read = tokio::time::timeout(READY_WITHIN, reader.read_line(&mut line)).await;
            if read.is_err() {
                let _ = child.kill().await;
                return Err(died(&self.directory, node, "was not ready in time, killed"));
            }
        }
        match serde_json::from_str::<ReadyLine>(&line) {
            Ok(ReadyLine { ready: true }) => Ok(NodeProcess { child, stdin }),
            Ok(ReadyLine { ready: false }) | Err(_) => {
                let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(died(&self.directory, node, &status))
            }
        }
    }
}

/// The nodes' ids, the primary first.
pub(super) fn node_ids() -> impl Iterator<Item = NodeId> {
    (1..=NODES).map(NodeId)
}

fn index(node: NodeId) -> usize {
    usize::from(node.0.saturating_sub(1))
}

fn config_file(directory: &Path, node: NodeId) -> PathBuf {
    directory.join(format!("{node}.toml"))
}

fn log_file(directory: &Path, node: NodeId) -> PathBuf {
    directory.join(format!("{node}.log"))
}

fn write_config(directory: &Path, node: NodeId, addresses: &[Addresses]) -> Result<(), Failure> {
    let own = addresses.get(index(node)).ok_or_else(|| Failure::failed(format!("{node} has no address")))?;
    let data_dir = Cluster::data_dir(directory, node);
    let mut table = toml::Table::new();
    table.insert("node".to_owned(), i64::from(node.0).into());
    table.insert("cluster".to_owned(), "demo".into());
    table.insert("listen".to_owned(), own.listen.as_str().into());
    table.insert("http".to_owned(), own.http.as_str().into());
    table.insert("data_dir".to_owned(), data_dir.to_string_lossy().as_ref().into());
    table.insert("replica_count".to_owned(), i64::from(NODES - 1).into());
    let peers = node_ids().zip(addresses).filter(|(peer, _)| *peer != node).map(|(peer, addresses)| {
        toml::Value::Table(toml::Table::from_iter([
            ("id".to_owned(), i64::from(peer.0).into()),
            ("address".to_owned(), addresses.listen.as_str().into()),
            ("http".to_owned(), addresses.http.as_str().into()),
        ]))
    });
    table.insert("peers".to_owned(), toml::Value::Array(peers.collect()));
    let space = toml::Table::from_iter([("name".to_owned(), SPACE.into()), ("primary".to_owned(), 1_i64.into())]);
    table.insert("spaces".to_owned(), toml::Value::Array(vec![toml::Value::Table(space)]));
    let file = config_file(directory, node);
    std::fs::write(&file, table.to_string())
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))
}

/// Two ports for each node, all held at once so that none comes twice.
fn free_addresses() -> Result<Vec<Addresses>, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot find free loopback ports: {error}"));
    let mut held = Vec::new();
    let mut address = || {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?.to_string();
        held.push(listener);
        Ok::<_, std::io::Error>(address)
    };
    node_ids().map(|_| Ok(Addresses { listen: address()?, http: address()? })).collect::<Result<_, _>>().map_err(failed)
}

/// What a node's end looked like, with the end of its log.
fn died(directory: &Path, node: NodeId, how: &str) -> Failure {
    let file = log_file(directory, node);
    let log = std::fs::read(&file).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n  ");
    Failure::failed(format!("{node} ended ({how}); the end of its log, {}:\n  {tail}", file.display()))
}

fn is_port_taken(failure: &Failure) -> bool {
    let message = failure.message.to_ascii_lowercase();
    message.contains("address already in use") || message.contains("address in use")
}

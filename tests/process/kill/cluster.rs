//! Three nodes in processes of their own, with a proxy in the way of each link.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{PoisonError, mpsc};
use std::time::Instant;

use super::super::support::engraft;
use super::clients::{Doors, Target};
use super::proxy::{Done, Proxy, Way, Weather};
use super::schedule::NODES;

/// How long a node may take until it serves, and until it has stopped.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a node is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Plain,
    /// No file may become larger. One that is told gets an error for it; any other is ended by a signal.
    Short {
        bytes: u64,
        told: bool,
    },
}

/// The nodes; killed when they are dropped.
pub(super) struct Cluster {
    directory: PathBuf,
    doors: Doors,
    proxies: BTreeMap<(u16, u16), Proxy>,
    processes: BTreeMap<u16, Process>,
}

struct Process {
    child: Child,
    /// Closed when this process dies: the node ends then.
    _stdin: Option<ChildStdin>,
    paused: bool,
}

impl Cluster {
    /// Makes directories, configurations and proxies; no node runs yet. The replication may have more lines.
    pub(super) fn new(directory: &Path, seed: u64, targets: &[Target], replication: &str, doors: Doors) -> Self {
        let pairs = nodes().flat_map(|from| nodes().filter(move |to| *to != from).map(move |to| (from, to)));
        let proxies: BTreeMap<_, _> =
            pairs.map(|(from, to)| ((from, to), Proxy::start(seed, u64::from(from) * 10 + u64::from(to)))).collect();
        for node in nodes() {
            fs::create_dir_all(directory.join(format!("n{node}"))).expect("made");
            let text = configuration(directory, node, targets, replication, &proxies);
            fs::write(directory.join(format!("n{node}.toml")), text).expect("written");
        }
        Self { directory: directory.to_owned(), doors, proxies, processes: BTreeMap::new() }
    }

    /// Where the node keeps its files. Its parent may be a disk of its own.
    pub(super) fn data(&self, node: u16) -> PathBuf {
        self.directory.join(format!("n{node}")).join("data")
    }

    pub(super) fn runs(&self, node: u16) -> bool {
        self.processes.contains_key(&node)
    }

    /// Starts a node and returns once it serves.
    ///
    /// # Errors
    /// How it ended instead.
    pub(super) fn start(&mut self, node: u16, manner: Manner) -> Result<(), String> {
        let mut log = OpenOptions::new().create(true).append(true).open(self.log(node)).expect("a log");
        let mut command = command(manner);
        command.args(["serve", "--stop-with-stdin", "--log", "info", "--config"]);
        command.arg(self.directory.join(format!("n{node}.toml")));
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.expect("a process");
        let stdin = child.stdin.take();
        // Not the file itself: what limits the size of the node's files is not to reach its log.
        let mut stderr = child.stderr.take().expect("piped");
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut log));
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (told, ready) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = told.send(line);
        });
        let line = ready.recv_timeout(PATIENCE).unwrap_or_default();
        let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        let address = |key: &str| ready[key].as_str().and_then(|text| text.parse::<SocketAddr>().ok());
        let (Some(listen), Some(http)) = (address("listen"), address("http")) else {
            let _ = child.kill();
            let status = child.wait().expect("it has ended");
            return Err(format!("n{node} did not start: {status}\n{}", self.last_words(node)));
        };
        for ((_, to), proxy) in &self.proxies {
            if *to == node {
                proxy.lead_to(Some(listen));
            }
        }
        self.set_door(node, Some(http));
        self.processes.insert(node, Process { child, _stdin: stdin, paused: false });
        Ok(())
    }

    /// Kills a node; whether it ran.
    pub(super) fn kill(&mut self, node: u16) -> bool {
        let Some(mut process) = self.processes.remove(&node) else { return false };
        process.child.kill().expect("killed");
        process.child.wait().expect("it has ended");
        self.forget(node);
        true
    }

    /// Kills those nodes as close to each other as can be.
    pub(super) fn kill_all(&mut self, order: &[u16]) -> usize {
        for node in order {
            if let Some(process) = self.processes.get_mut(node) {
                process.child.kill().expect("killed");
            }
        }
        order.iter().filter(|node| self.kill(**node)).count()
    }

    /// Stops a node with SIGSTOP; whether it ran.
    pub(super) fn pause(&mut self, node: u16) -> bool {
        let Some(process) = self.processes.get_mut(&node).filter(|process| !process.paused) else { return false };
        process.paused = true;
        signal(process.child.id(), "STOP");
        true
    }

    /// Lets a stopped node go on.
    pub(super) fn resume(&mut self, node: u16) {
        if let Some(process) = self.processes.get_mut(&node).filter(|process| process.paused) {
            process.paused = false;
            signal(process.child.id(), "CONT");
        }
    }

    /// Ends a node in good order; how it ended, if it ran.
    pub(super) fn terminate(&mut self, node: u16) -> Option<ExitStatus> {
        self.resume(node);
        let mut process = self.processes.remove(&node)?;
        signal(process.child.id(), "TERM");
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = process.child.try_wait().expect("it can be waited for") {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                let _ = process.child.kill();
                break process.child.wait().expect("it has ended");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        self.forget(node);
        Some(status)
    }

    /// The nodes that have ended by themselves since the last call.
    pub(super) fn ended(&mut self) -> Vec<(u16, ExitStatus)> {
        let ended: Vec<(u16, ExitStatus)> = self
            .processes
            .iter_mut()
            .filter_map(|(node, process)| Some((*node, process.child.try_wait().expect("asked")?)))
            .collect();
        for (node, _) in &ended {
            self.processes.remove(node);
            self.forget(*node);
        }
        ended
    }

    /// Changes what happens to the bytes from one node to the other, whoever dialled.
    pub(super) fn set_weather(&self, from: u16, to: u16, weather: Weather) {
        for (pair, way) in [((from, to), Way::There), ((to, from), Way::Back)] {
            if let Some(proxy) = self.proxies.get(&pair) {
                proxy.set(way, weather);
            }
        }
    }

    /// What all proxies did.
    pub(super) fn weather_done(&self) -> Done {
        self.proxies.values().map(Proxy::done).fold(Done::default(), |sum, done| Done {
            corrupted: sum.corrupted + done.corrupted,
            reset: sum.reset + done.reset,
            swallowed: sum.swallowed + done.swallowed,
        })
    }

    fn log(&self, node: u16) -> PathBuf {
        self.directory.join(format!("n{node}.log"))
    }

    /// Everything that the node logged.
    pub(super) fn logged(&self, node: u16) -> String {
        fs::read_to_string(self.log(node)).unwrap_or_default()
    }

    /// The end of the node's log.
    pub(super) fn last_words(&self, node: u16) -> String {
        let logged = self.logged(node);
        let lines: Vec<&str> = logged.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    fn forget(&self, node: u16) {
        for ((_, to), proxy) in &self.proxies {
            if *to == node {
                proxy.lead_to(None);
            }
        }
        self.set_door(node, None);
    }

    /// Where the node speaks HTTP, if it runs.
    pub(super) fn door(&self, node: u16) -> Option<SocketAddr> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(node) - 1]
    }

    fn set_door(&self, node: u16, address: Option<SocketAddr>) {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(node) - 1] = address;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.processes.values_mut() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

/// The ids of all nodes.
pub(super) fn nodes() -> impl Iterator<Item = u16> + Clone {
    1..=NODES
}

/// Whether the system ended it for the size of a file.
pub(super) fn ended_by_file_size(status: ExitStatus) -> bool {
    // SIGXFSZ.
    status.signal() == Some(25)
}

fn command(manner: Manner) -> Command {
    let plain = engraft();
    let Manner::Short { bytes, told } = manner else { return plain };
    let mut shell = Command::new("sh");
    // The shell counts in units of 512 bytes; an ignored signal stays ignored in what it becomes.
    let ignore = if told { "trap '' XFSZ; " } else { "" };
    shell.arg("-c").arg(format!("{ignore}ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512)).arg(plain.get_program());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), process.to_string()]).status();
    assert!(status.expect("it runs").success(), "SIG{name}");
}

/// Small segments and short waits, so that there are many rolls and many links.
fn configuration(
    directory: &Path,
    node: u16,
    targets: &[Target],
    replication: &str,
    proxies: &BTreeMap<(u16, u16), Proxy>,
) -> String {
    let mut text = format!(
        "node = {node}\ncluster = \"kill\"\nlisten = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\ndata_dir = {:?}\n\n\
         [replication]\nretransmit_after = \"300ms\"\nshutdown_drain = \"200ms\"\n{replication}\n\
         [clients]\ndrain_timeout = \"500ms\"\n\n\
         [wal]\nsegment_bytes_min = \"16KiB\"\nsegment_bytes_max = \"256KiB\"\nreserve_bytes = \"64KiB\"\n\n",
        directory.join(format!("n{node}")).join("data")
    );
    for ((from, to), proxy) in proxies {
        if *from == node {
            text.push_str(&format!("[[peers]]\nid = {to}\naddress = \"{}\"\n\n", proxy.address()));
        }
    }
    for (target, fsync) in targets.iter().zip(["per_batch", "per_write"]) {
        let Target { name, primary, voters } = target;
        text.push_str(&format!("[[spaces]]\nname = \"{name}\"\nprimary = {primary}\nvoters = {voters:?}\n"));
        text.push_str(&format!("fsync = \"{fsync}\"\n\n"));
    }
    text
}

//! An engine that owns its log, replicated to two other nodes.
//!
//! The engine writes entries in Engram's format into files of its own and syncs them; engraft keeps an index beside
//! them and ships them. Everything runs in this one process, each node on a runtime of its own, on loopback ports and
//! in a temporary directory: the primary is killed while the engine writes on, starts again, and a replica that was
//! never there before gets everything out of the engine's files. At the end every node's entries are held against what
//! the engine wrote.
//!
//! ```text
//! cargo run --release --example own_wal
//! ```

extern crate alloc;

use alloc::collections::BTreeMap;
use core::error::Error;
use core::time::Duration;
use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use alloc::sync::Arc;

use bytes::Bytes;
use engraft::WalShipper;
use engraft::core::{Outcome, ReplicationConfig, SpaceConfig};
use engraft::driver::tokio_host::TokioHost;
use engraft::driver::wal_worker::StorageOptions;
use engraft::driver::{NodeHandle, NodeOptions, StartError, start};
use engraft::types::entry::HeaderFields;
use engraft::types::{
    ClusterId, Control, Epoch, Incarnation, NodeId, Sequence, SpaceName, WalEntryHeader, WalEntryType,
};
use engraft::wal::StorageOpenError;
use engraft::wal::own_wal::{EngineEntry, EngineLink, EnginePlace, EngramWal};
use tokio::runtime::Runtime;

type Outcomes<T> = Result<T, Box<dyn Error>>;

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);
const NODES: [NodeId; 3] = [N1, N2, N3];
/// Entries of the engine's that share a sync.
const GROUP: u64 = 100;

/// The engine: a log, and nothing else.
struct Engine {
    directory: PathBuf,
    name: String,
    file: File,
    end: u64,
    /// Its own counter, which begins anew in each file.
    next: u64,
    written: Vec<(WalEntryType, u64, Bytes)>,
}

impl Engine {
    fn new(directory: &Path) -> Outcomes<Self> {
        fs::create_dir_all(directory)?;
        let name = segment(1);
        let file = File::create_new(directory.join(&name))?;
        Ok(Self { directory: directory.to_owned(), name, file, end: 0, next: 0, written: Vec::new() })
    }

    /// Goes on in another file.
    fn roll(&mut self, number: u64) -> Outcomes<()> {
        self.name = segment(number);
        self.file = File::create_new(self.directory.join(&self.name))?;
        File::open(&self.directory)?.sync_all()?;
        (self.end, self.next) = (0, 0);
        Ok(())
    }

    /// Writes a group and syncs it: it is durable when this returns, and may be reported.
    fn write_group(&mut self) -> Outcomes<Vec<EngineEntry>> {
        let inode = self.file.metadata()?.ino();
        let (mut group, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..GROUP {
            let payload = Bytes::from(format!("memory {} of {}", self.next, self.name).repeat(3));
            let (entry_type, timestamp) =
                (WalEntryType::from_number(u32::try_from(self.next % 4)? + 1), 1_763_752_633_000_000_000 + self.next);
            let header = WalEntryHeader::new(&HeaderFields {
                sequence: Sequence(self.next),
                timestamp,
                entry_type,
                payload_size: u32::try_from(payload.len())?,
                payload_crc: crc32c::crc32c(&payload),
                epoch: Epoch::ZERO,
                chain: 0,
                control: Control::user(),
            });
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(&payload);
            let (offset, end) = (self.end, self.end + (64 + payload.len()) as u64);
            let place = EnginePlace { file: self.name.clone(), offset, end, inode, number: self.next };
            self.written.push((entry_type, timestamp, payload.clone()));
            group.push(EngineEntry { place, entry_type, timestamp, payload });
            (self.end, self.next) = (end, self.next + 1);
        }
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        Ok(group)
    }
}

fn segment(number: u64) -> String {
    format!("wal-{number:016x}.log")
}

/// Three nodes with one space, whose primary is n1.
struct Cluster {
    directory: PathBuf,
    addresses: BTreeMap<NodeId, String>,
    space: SpaceName,
    link: Arc<EngineLink>,
}

/// A running node, on a runtime of its own.
struct Node {
    handle: NodeHandle,
    runtime: Runtime,
}

impl Cluster {
    fn new(directory: &Path, engine: &Path) -> Outcomes<Self> {
        let mut held = Vec::new();
        let mut addresses = BTreeMap::new();
        for node in NODES {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            addresses.insert(node, listener.local_addr()?.to_string());
            held.push(listener);
        }
        let link = Arc::new(EngineLink::new(Arc::new(EngramWal::new(engine))));
        Ok(Self { directory: directory.to_owned(), addresses, space: SpaceName::new("memories")?, link })
    }

    fn start(&self, node: NodeId) -> Outcomes<Node> {
        let runtime = Runtime::new()?;
        let cluster = ClusterId::from_name("own-wal")?;
        let [high, low] = node.0.to_be_bytes();
        let incarnation = Incarnation([high, low, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        let directory = self.directory.join(node.to_string());
        let mut storage = StorageOptions::new(directory, cluster, node, incarnation, [1; 16]);
        let config = SpaceConfig::new(N1, NODES.to_vec());
        storage.spaces.push((self.space.clone(), config));
        if node == N1 {
            storage.engines.insert(self.space.id(), Arc::clone(&self.link));
        }
        let peers: Vec<NodeId> = NODES.into_iter().filter(|peer| *peer != node).collect();
        let listen = self.addresses.get(&node).cloned().unwrap_or_default();
        let addresses = self.addresses.iter().filter(|(peer, _)| **peer != node);
        let options = NodeOptions {
            listen,
            peers: addresses.map(|(peer, address)| (*peer, address.clone())).collect(),
            storage,
            replication: ReplicationConfig::new(node, cluster, incarnation, peers),
        };
        let begun = Instant::now();
        let handle = loop {
            match runtime.block_on(start(TokioHost::new(), options.clone())) {
                // A node that was killed a moment ago may still hold its directory or its port.
                Err(StartError::Open(StorageOpenError::Locked { .. }) | StartError::Listen { .. })
                    if begun.elapsed() < Duration::from_secs(10) =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                started => break started?,
            }
        };
        Ok(Node { handle, runtime })
    }

    /// The space of the engine's, once n1 takes entries.
    fn own_wal(&self, n1: &Node) -> Outcomes<WalShipper> {
        wait("the primary's epoch", || Ok(committed(n1)? > 0))?;
        Ok(WalShipper::new(n1.handle.clone(), self.space.id(), Arc::clone(&self.link)))
    }

    /// The users' entries of a node that are committed.
    fn entries(&self, node: &Node) -> Outcomes<Vec<(WalEntryType, u64, Bytes)>> {
        let mut found = Vec::new();
        let mut from = Sequence(1);
        loop {
            let read = node.runtime.block_on(node.handle.read(self.space.id(), from, 1_000, 4 << 20));
            let Outcome::Entries { entries, .. } = read else { return Err(format!("{read}").into()) };
            let Some(last) = entries.last() else { return Ok(found) };
            from = last.header.sequence().next();
            let users = entries.into_iter().filter(|entry| entry.header.control().kind == Control::USER);
            found.extend(users.map(|entry| (entry.header.entry_type(), entry.header.timestamp(), entry.payload)));
        }
    }
}

/// The last committed sequence of the one space.
fn committed(node: &Node) -> Outcomes<u64> {
    let status = node.runtime.block_on(node.handle.status()).ok_or("the node has ended")?;
    Ok(status.spaces.first().map_or(0, |space| space.commit.0))
}

fn wait(what: &str, reached: impl Fn() -> Outcomes<bool>) -> Outcomes<()> {
    let begun = Instant::now();
    while !reached()? {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(format!("not in time: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn main() -> Outcomes<()> {
    let directory = tempfile::tempdir()?;
    let place = directory.path().join("engine");
    let mut engine = Engine::new(&place)?;
    let cluster = Cluster::new(directory.path(), &place)?;

    let n2 = cluster.start(N2)?;
    let n1 = cluster.start(N1)?;
    let own = cluster.own_wal(&n1)?;
    for _ in 0..20 {
        let group = engine.write_group()?;
        n1.runtime.block_on(own.append_entries(group))?;
    }
    println!("{} entries written and indexed, n1 and n2 run", engine.written.len());

    // Killed: its tasks end where they are. The engine has no part in it, and writes on into another file.
    let Node { handle, runtime } = n1;
    runtime.shutdown_background();
    drop((handle, own));
    engine.roll(2)?;
    for _ in 0..10 {
        engine.write_group()?;
    }
    println!("{} entries written, n1 was killed at 2000", engine.written.len());

    let n1 = cluster.start(N1)?;
    let own = cluster.own_wal(&n1)?;
    n1.runtime.block_on(own.catch_up())?;
    let group = engine.write_group()?;
    n1.runtime.block_on(own.append_entries(group))?;
    println!("{} entries written, n1 runs again and has them indexed", engine.written.len());

    let n3 = cluster.start(N3)?;
    for (name, node) in [(N1, &n1), (N2, &n2), (N3, &n3)] {
        wait("every entry on every node", || Ok(cluster.entries(node)?.len() >= engine.written.len()))?;
        if cluster.entries(node)? != engine.written {
            return Err(format!("{name} has other entries than the engine wrote").into());
        }
        println!("{name}: all {} entries, payload, type, timestamp and order", engine.written.len());
    }
    for node in [n1, n2, n3] {
        node.runtime.block_on(node.handle.shutdown());
    }
    Ok(())
}

//! A log on this machine's disk: groups written, and written and synced.

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engraft::core::{Event, SpaceConfig};
use engraft::driver::wal_worker::{StorageOptions, WalRequest, WalWorker};
use engraft::types::entry::chain_start;
use engraft::types::{
    ClusterId, Control, Entry, Epoch, FsyncMode, Incarnation, NodeId, Position, SpaceName, WalEntryType, WriteId,
};
use engraft::wal::StdDisk;
use tempfile::TempDir;

/// Entries in a group; the default of a log.
const GROUP: usize = 1_000;
const SIZE: usize = 256;

/// A node's storage with one space.
struct Log {
    worker: WalWorker<StdDisk>,
    name: SpaceName,
    end: Position,
    write: WriteId,
    events: Vec<Event>,
    _directory: TempDir,
}

impl Log {
    fn open(fsync: FsyncMode) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (cluster, name, node) = (ClusterId([7; 16]), SpaceName::new("bench").expect("a name"), NodeId(1));
        let incarnation = Incarnation([1; 16]);
        let mut options = StorageOptions::new(directory.path().join("log"), cluster, node, incarnation, [1; 16]);
        let config = SpaceConfig { fsync, ..SpaceConfig::new(node, vec![node]) };
        options.spaces.push((name.clone(), config));
        let (worker, _) = WalWorker::open(StdDisk, &options).expect("a new log");
        let end = Position { chain: chain_start(cluster, name.id()), ..Position::default() };
        Self { worker, name, end, write: WriteId(0), events: Vec::new(), _directory: directory }
    }

    /// The next group, ready to be written.
    fn group(&mut self, entries: usize) -> WalRequest {
        self.write = WriteId(self.write.0 + 1);
        let mut group = Vec::with_capacity(entries);
        for _ in 0..entries {
            let (entry_type, control, payload) = (WalEntryType::EpisodeStore, Control::user(), vec![7; SIZE]);
            let entry = Entry::following(&self.end, Epoch(1), entry_type, control, 0, Bytes::from(payload));
            self.end = entry.position();
            group.push(entry);
        }
        WalRequest::Append { space: self.name.id(), write: self.write, entries: group }
    }

    fn run(&mut self, request: WalRequest) {
        self.worker.submit(request);
        while self.worker.has_work() {
            self.worker.write();
            self.worker.sync();
            self.worker.complete(&mut self.events);
        }
        assert_eq!(self.events.len(), 1, "the write is told of");
        self.events.clear();
    }
}

fn groups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wal");
    for (name, fsync, entries) in [
        ("synced", FsyncMode::PerBatch, 10),
        ("synced", FsyncMode::PerBatch, GROUP),
        ("written", FsyncMode::None, GROUP),
    ] {
        let log = core::cell::RefCell::new(Log::open(fsync));
        group.throughput(Throughput::Elements(entries as u64));
        group.bench_function(BenchmarkId::new(name, entries), |bencher| {
            let next = || log.borrow_mut().group(entries);
            bencher.iter_batched(next, |request| log.borrow_mut().run(request), BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, groups);
criterion_main!(benches);

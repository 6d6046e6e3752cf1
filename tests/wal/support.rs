//! What the log's tests share.

use std::io::IoSlice;
use std::path::Path;

use bytes::Bytes;
use engraft::core::{Event, SpaceConfig};
use engraft::driver::wal_worker::{StorageOpened, StorageOptions, WalRequest, WalWorker};
use engraft::types::entry::chain_start;
use engraft::types::{
    ClusterId, Control, Entry, Epoch, FsyncMode, Incarnation, NodeId, Position, Sequence, SpaceId, SpaceName,
    WalEntryType, WriteId,
};
use engraft::wal::{Access, Disk, DiskFile};
use engraft_sim::disk::SimDisk;

pub(crate) const SPACE: &str = "orders";

pub(crate) fn cluster() -> ClusterId {
    ClusterId::from_name("test-cluster").expect("a good name")
}

pub(crate) fn space_name() -> SpaceName {
    SpaceName::new(SPACE).expect("a good name")
}

pub(crate) fn space() -> SpaceId {
    space_name().id()
}

pub(crate) fn epoch(term: u32) -> Epoch {
    Epoch::new(0, term, NodeId(1))
}

/// Entries that continue `after`, each with a payload of the size that `payload_size` gives for its sequence.
pub(crate) fn entries_after(after: Position, term: u32, count: u64, payload_size: impl Fn(u64) -> usize) -> Vec<Entry> {
    let mut previous = after;
    (0..count)
        .map(|_| {
            let sequence = previous.sequence.next().0;
            let byte = u8::try_from(sequence % 251).expect("below 251");
            let payload = Bytes::from(vec![byte; payload_size(sequence)]);
            let (kind, control) = (WalEntryType::EpisodeStore, Control::user());
            let entry = Entry::following(&previous, epoch(term), kind, control, 1_000 + sequence, payload);
            previous = entry.position();
            entry
        })
        .collect()
}

/// Where the log of [`SPACE`] begins.
pub(crate) fn beginning() -> Position {
    Position { epoch: Epoch::ZERO, sequence: Sequence::ZERO, chain: chain_start(cluster(), space()) }
}

pub(crate) fn options(directory: &Path, mode: FsyncMode) -> StorageOptions {
    let mut options = StorageOptions::new(directory.to_owned(), cluster(), NodeId(1), Incarnation([7; 16]), [9; 16]);
    let config = SpaceConfig { fsync: mode, ..SpaceConfig::new(NodeId(1), vec![NodeId(1)]) };
    options.spaces.push((space_name(), config));
    options.wal.reserve_bytes = 4096;
    options
}

/// Opens a storage whose one space must open.
pub(crate) fn open<D: Disk>(disk: D, options: &StorageOptions) -> (WalWorker<D>, StorageOpened) {
    WalWorker::open(disk, options).expect("the storage opens")
}

pub(crate) fn end_of(opened: &StorageOpened) -> Position {
    match opened.events.first() {
        Some(Event::SpaceOpened(space)) => space.end,
        other => panic!("expected an open space, found {other:?}"),
    }
}

pub(crate) fn append<D: Disk>(worker: &mut WalWorker<D>, write: u64, entries: &[Entry]) -> Vec<Event> {
    worker.submit(WalRequest::Append { space: space(), write: WriteId(write), entries: entries.to_vec() });
    run(worker)
}

/// Cuts the log behind `last`.
pub(crate) fn truncate<D: Disk>(worker: &mut WalWorker<D>, last: Sequence) {
    worker.submit(WalRequest::Truncate { space: space(), write: WriteId(0), last });
    let expected = [Event::WalTruncated { space: space(), write: WriteId(0) }];
    assert_eq!(run(worker), expected);
}

/// Runs the steps until nothing is left to do.
pub(crate) fn run<D: Disk>(worker: &mut WalWorker<D>) -> Vec<Event> {
    let mut events = Vec::new();
    while worker.has_work() {
        worker.write();
        worker.sync();
        worker.complete(&mut events);
    }
    events
}

/// Every entry of the log, in reads of at most 100.
pub(crate) fn read_all<D: Disk>(worker: &mut WalWorker<D>) -> Vec<Entry> {
    read_behind(worker, 0)
}

/// Every entry behind `start`.
pub(crate) fn read_behind<D: Disk>(worker: &mut WalWorker<D>, start: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let from = Sequence((start + entries.len()) as u64 + 1);
        let read = engraft::types::ReadId(from.0);
        let request = WalRequest::Read { space: space(), read, from, entries_max: 100, bytes_max: 1 << 20 };
        worker.submit(request);
        let events = run(worker);
        let [Event::WalRead { entries: found, .. }] = events.as_slice() else {
            panic!("expected an answer to the read, found {events:?}");
        };
        if found.is_empty() {
            return entries;
        }
        entries.extend(found.iter().cloned());
    }
}

/// The same entries but for the node-local bytes.
pub(crate) fn same(left: &[Entry], right: &[Entry]) -> bool {
    let plain = |entry: &Entry| (entry.header.with_node_local([0; 8]), entry.payload.clone());
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| plain(left) == plain(right))
}

/// An empty disk in memory.
pub(crate) fn fresh_disk() -> SimDisk {
    SimDisk::new(1, 1)
}

/// The bytes of a file.
pub(crate) fn bytes(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let number = disk.paths().into_iter().find(|(known, _)| known == path).expect("the file").1;
    disk.with_bytes(number, <[u8]>::to_vec).expect("the file")
}

/// Turns the bits of a mask in one byte of a file.
pub(crate) fn flip(disk: &SimDisk, path: &Path, byte: usize, mask: u8) {
    for bit in (0..8).filter(|bit| mask >> bit & 1 == 1) {
        assert!(disk.rot(path, byte as u64, bit), "{} has no byte {byte}", path.display());
    }
}

/// Puts a file there, in the place of one that may be there already.
pub(crate) fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    if disk.open(path, Access::Read).is_ok() {
        disk.remove_file(path).expect("removed");
    }
    let file = disk.open(path, Access::CreateNew).expect("made");
    file.write_at(&[IoSlice::new(bytes)], 0).expect("written");
    disk.settle();
}

/// Gives each of two files the other's name.
pub(crate) fn swap(disk: &SimDisk, left: &Path, right: &Path) {
    let aside = left.with_extension("aside");
    for (from, to) in [(left, aside.as_path()), (right, left), (aside.as_path(), right)] {
        disk.rename(from, to).expect("renamed");
    }
    disk.settle();
}

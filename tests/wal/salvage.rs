//! Entries that are about to be truncated: saved first, whole, and never believed before every checksum holds.

use std::path::{Path, PathBuf};

use engraft::core::{Event, StorageErrorKind, StorageOperation};
use engraft::driver::wal_worker::{WalRequest, WalWorker};
use engraft::types::{Entry, Epoch, FsyncMode, ReadId, Sequence, WriteId};
use engraft::wal::salvage::{SalvageBreak, SalvageError, SalvageFile};
use engraft::wal::{Disk, StdDisk};
use engraft_sim::disk::SimDisk;

use super::support::{append, beginning, cluster, end_of, entries_after, epoch, open, options, read_all, run, same};
use super::support::{space, space_name, truncate};

const HEADER: usize = 192;

fn salvage(write: u64, first: u64, last: u64, by: Epoch) -> WalRequest {
    let (first, last) = (Sequence(first), Sequence(last));
    WalRequest::Salvage { space: space(), write: WriteId(write), first, last, by }
}

fn cut(write: u64, last: u64) -> WalRequest {
    WalRequest::Truncate { space: space(), write: WriteId(write), last: Sequence(last) }
}

/// The one salvage file of a data directory.
fn only_file<D: Disk>(disk: &D, directory: &Path) -> PathBuf {
    let directory = directory.join("salvage/orders");
    let named = disk.list(&directory).expect("listed");
    assert_eq!(named.len(), 1, "{named:?}");
    directory.join(&named[0].name)
}

fn read_back<D: Disk>(disk: &D, path: &Path) -> Vec<Entry> {
    let file = SalvageFile::open(disk, path).expect("whole");
    file.entries().collect::<Result<_, _>>().expect("whole")
}

/// A directory whose salvage file holds entries 4 to 10, and the file's bytes.
fn saved() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    append(
        &mut worker,
        1,
        &entries_after(beginning(), 1, 10, |sequence| usize::try_from(sequence * 9).expect("small")),
    );
    worker.submit(salvage(2, 4, 10, epoch(3)));
    assert_eq!(run(&mut worker), [Event::SalvageSaved { space: space(), write: WriteId(2) }]);
    let path = only_file(&StdDisk, directory.path());
    let bytes = std::fs::read(&path).expect("read");
    (directory, path, bytes)
}

#[test]
fn a_salvage_file_says_whose_entries_it_holds_and_gives_them_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    // More than is read of the log at a time, over several segments.
    let entries = entries_after(beginning(), 2, 2_500, |sequence| if sequence == 900 { 2_000_000 } else { 236 });
    append(&mut worker, 1, &entries);
    worker.submit(salvage(2, 301, 2_500, epoch(3)));
    worker.submit(cut(3, 300));
    let (saved, gone) = (WriteId(2), WriteId(3));
    let expected =
        [Event::SalvageSaved { space: space(), write: saved }, Event::WalTruncated { space: space(), write: gone }];
    assert_eq!(run(&mut worker), expected);
    let path = only_file(&StdDisk, directory.path());
    let file = SalvageFile::open(&StdDisk, &path).expect("whole");
    let header = file.header();
    assert_eq!(
        (header.cluster, header.node, header.space.clone()),
        (cluster(), engraft::types::NodeId(1), space_name())
    );
    assert_eq!((header.by, header.first, header.last), (epoch(3), entries[300].position(), entries[2_499].position()));
    assert_eq!((header.entries, header.bytes), (2_200, 2_199 * 300 + 2_000_064));
    assert_eq!(path.file_name().and_then(|name| name.to_str()), Some(header.file_name().as_str()));
    assert!(same(&read_back(&StdDisk, &path), &entries[300..]));
    assert!(same(&read_all(&mut worker), &entries[..300]));
}

#[test]
fn what_is_ordered_around_a_cut_is_done_in_that_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    let old = entries_after(beginning(), 1, 10, |_| 10);
    let new = entries_after(old[4].position(), 2, 3, |_| 20);
    let read = |read: u64| WalRequest::Read {
        space: space(),
        read: ReadId(read),
        from: Sequence(5),
        entries_max: 9,
        bytes_max: 1 << 20,
    };
    worker.submit(WalRequest::Append { space: space(), write: WriteId(1), entries: old.clone() });
    worker.submit(salvage(2, 6, 10, epoch(2)));
    let mut events = run(&mut worker);
    // Nothing is left that would answer the first one before the cut has its turn.
    worker.submit(read(1));
    worker.submit(cut(3, 5));
    worker.submit(read(2));
    worker.submit(WalRequest::Append { space: space(), write: WriteId(4), entries: new.clone() });
    events.extend(run(&mut worker));
    let lines: Vec<String> = events.iter().map(ToString::to_string).collect();
    let at =
        |what: &str| lines.iter().position(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {lines:?}"));
    assert!(at("WalAppended") < at("SalvageSaved") && at("SalvageSaved") < at("WalTruncated"), "{lines:?}");
    let found = |wanted: u64| {
        let found = events.iter().position(|event| matches!(event, Event::WalRead { read, .. } if read.0 == wanted));
        let Event::WalRead { entries, .. } = &events[found.expect("answered")] else { unreachable!("it is a read") };
        (found.expect("answered"), entries.clone())
    };
    let ((first, before), (second, after)) = (found(1), found(2));
    assert!(first < at("WalTruncated") && second > at("WalTruncated"), "{lines:?}");
    assert!(same(&before, &old[4..]), "the log that was asked: {before:?}");
    assert!(
        after.iter().skip(1).all(|entry| entry.header.epoch() == epoch(2)),
        "nothing that was cut is read: {after:?}"
    );
    assert_eq!(lines.iter().filter(|line| line.contains("WalAppended")).count(), 2);
    let expected: Vec<Entry> = old[..5].iter().chain(&new).cloned().collect();
    assert!(same(&read_all(&mut worker), &expected));
}

#[test]
fn the_same_entries_saved_again_replace_their_file() {
    let (directory, path, before) = saved();
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    worker.submit(salvage(1, 4, 10, epoch(5)));
    assert_eq!(run(&mut worker).len(), 1);
    assert_eq!(only_file(&StdDisk, directory.path()), path);
    assert_eq!(SalvageFile::open(&StdDisk, &path).expect("whole").header().by, epoch(5));
    assert_eq!(std::fs::read(&path).expect("read")[HEADER..], before[HEADER..]);
    // Other entries of the same sequences are another file.
    truncate(&mut worker, Sequence(3));
    let log = read_all(&mut worker);
    append(&mut worker, 3, &entries_after(log[2].position(), 6, 7, |_| 5));
    worker.submit(salvage(4, 4, 10, epoch(7)));
    run(&mut worker);
    assert_eq!(StdDisk.list(&directory.path().join("salvage/orders")).expect("listed").len(), 2);
}

#[test]
fn a_full_disk_fails_the_salvage_and_nothing_else() {
    let options = options(Path::new("/node"), FsyncMode::PerBatch);
    let disk = SimDisk::new(1, 1);
    let (mut worker, _) = open(disk.clone(), &options);
    let entries = entries_after(beginning(), 1, 30, |_| 100);
    append(&mut worker, 1, &entries);
    disk.fill(Some(disk.bytes_used() + 1_000));
    worker.submit(salvage(2, 11, 30, epoch(2)));
    let events = run(&mut worker);
    let [Event::StorageFailed { operation: StorageOperation::Salvage, error, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(error.kind, StorageErrorKind::Full);
    assert_eq!(disk.list(Path::new("/node/salvage/orders")).expect("listed"), [], "no half file takes the room");
    assert!(same(&read_all(&mut worker), &entries));
    disk.fill(None);
    worker.submit(salvage(3, 11, 30, epoch(2)));
    assert_eq!(run(&mut worker), [Event::SalvageSaved { space: space(), write: WriteId(3) }]);
    assert!(same(&read_back(&disk, &only_file(&disk, Path::new("/node"))), &entries[10..]));
}

#[test]
fn a_failed_sync_of_the_salvage_stops_the_space() {
    let options = options(Path::new("/node"), FsyncMode::PerBatch);
    let disk = SimDisk::new(1, 1);
    let (mut worker, _) = open(disk.clone(), &options);
    append(&mut worker, 1, &entries_after(beginning(), 1, 30, |_| 100));
    disk.fail_next_sync();
    worker.submit(salvage(2, 11, 30, epoch(2)));
    worker.submit(cut(3, 10));
    let events = run(&mut worker);
    let [Event::StorageFailed { operation: StorageOperation::Sync, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
}

#[test]
fn a_log_that_does_not_reach_so_far_stops_the_space() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    append(&mut worker, 1, &entries_after(beginning(), 1, 10, |_| 10));
    worker.submit(salvage(2, 6, 11, epoch(2)));
    worker.submit(cut(3, 5));
    let events = run(&mut worker);
    assert!(
        matches!(events.as_slice(), [Event::StorageFailed { operation: StorageOperation::Read, .. }]),
        "{events:?}"
    );
    assert_eq!(StdDisk.list(&directory.path().join("salvage/orders")).expect("listed"), []);
}

/// Every byte counts: what does not hold is named with file and offset, and nothing of the file is given out.
#[test]
fn no_flipped_byte_is_believed() {
    let (_directory, path, whole) = saved();
    let mut reasons = alloc::collections::BTreeSet::new();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).expect("written");
        match SalvageFile::open(&StdDisk, &path) {
            Err(SalvageError::Corrupt { path: named, offset, reason }) => {
                assert_eq!(named, path);
                assert!(offset <= at as u64, "byte {at}: {offset}");
                reasons.insert(name(&reason));
            }
            other => panic!("byte {at}: {other:?}"),
        }
    }
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), ["checksum", "entry", "header"]);
    for size in 0..whole.len() {
        std::fs::write(&path, &whole[..size]).expect("written");
        let refused = SalvageFile::open(&StdDisk, &path).map(|_| ());
        assert!(matches!(refused, Err(SalvageError::Corrupt { .. })), "cut at {size}: {refused:?}");
    }
    let longer = [whole.as_slice(), &[0; 64]].concat();
    std::fs::write(&path, longer).expect("written");
    let refused = SalvageFile::open(&StdDisk, &path).map(|_| ());
    assert!(matches!(refused, Err(SalvageError::Corrupt { reason: SalvageBreak::Size { .. }, .. })), "{refused:?}");
}

fn name(reason: &SalvageBreak) -> &'static str {
    match reason {
        SalvageBreak::Header => "header",
        SalvageBreak::Field(_) => "field",
        SalvageBreak::Size { .. } => "size",
        SalvageBreak::Entry(_) => "entry",
        SalvageBreak::Position { .. } => "position",
        SalvageBreak::Checksum { .. } => "checksum",
    }
}

/// A header whose own checksum is right, and that says what cannot be.
#[test]
fn a_forged_header_is_refused_without_panic_or_memory() {
    let (_directory, path, whole) = saved();
    let forge = |at: usize, with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        let crc = crc32c::crc32c(&bytes[..HEADER - 4]);
        bytes[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(&path, &bytes).expect("written");
        SalvageFile::open(&StdDisk, &path).map(|_| ()).expect_err("refused")
    };
    let most = u64::MAX.to_le_bytes();
    assert!(matches!(forge(8, &2_u32.to_le_bytes()), SalvageError::Version { found: 2, .. }));
    for (at, with) in [(14, &[0_u8, 0][..]), (14, &[255, 255]), (40, &[0; 8]), (40, &most), (60, &most), (80, &most)] {
        let refused = forge(at, with);
        let field = matches!(&refused, SalvageError::Corrupt { reason: SalvageBreak::Field(_), .. });
        assert!(field, "{at}: {refused}");
    }
    for (at, with) in
        [(88, &most[..]), (88, &[0; 8]), (48, &[9; 8]), (56, &[9; 4]), (68, &[9; 8]), (76, &[9; 4]), (184, &[9; 4])]
    {
        let refused = forge(at, with);
        assert!(matches!(&refused, SalvageError::Corrupt { .. }), "{at}: {refused}");
    }
}

/// The process dies at each operation of a salvage and a cut in turn, the power with it: what is there afterwards is the
/// log as it was, or cut with all that it lost in a file. The node then goes on and comes to the same end.
#[test]
fn a_death_at_each_step_of_salvage_and_cut_loses_nothing() {
    let mut options = options(Path::new("/node"), FsyncMode::PerBatch);
    options.wal.segment_bytes_min = 4096;
    options.wal.segment_bytes_max = 4096;
    let entries = entries_after(beginning(), 1, 100, |_| 100);
    let (mut steps, mut cut_by_then, mut done) = (0, 0, false);
    while !done {
        for seed in 0..4 {
            let disk = SimDisk::new(seed, 1);
            let (mut worker, _) = open(disk.clone(), &options);
            append(&mut worker, 1, &entries);
            worker.submit(salvage(2, 41, 100, epoch(2)));
            worker.submit(cut(3, 40));
            disk.kill_after(steps);
            done = matches!(run(&mut worker).as_slice(), [Event::SalvageSaved { .. }, Event::WalTruncated { .. }]);
            disk.crash(seed);
            drop(worker);
            let (mut worker, opened) = open(disk.clone(), &options);
            let log = read_all(&mut worker);
            assert_eq!(end_of(&opened), log.last().expect("40 at least").position());
            let is_cut = log.len() == 40;
            assert!(same(&log, &entries[..log.len()]) && (is_cut || log.len() == 100), "{steps}: {}", log.len());
            if is_cut {
                let path = only_file(&disk, Path::new("/node"));
                assert!(same(&read_back(&disk, &path), &entries[40..]), "step {steps}: cut before it was saved");
                cut_by_then += 1;
            } else {
                go_on(&mut worker, &disk, &entries);
            }
        }
        steps += 1;
    }
    assert!(steps > 20 && cut_by_then > 4, "{steps} steps, {cut_by_then} with a cut");
}

/// Saves and cuts once more, as the core orders it after a restart.
fn go_on(worker: &mut WalWorker<SimDisk>, disk: &SimDisk, entries: &[Entry]) {
    worker.submit(salvage(1, 41, 100, epoch(2)));
    worker.submit(cut(2, 40));
    assert_eq!(run(worker).len(), 2);
    assert!(same(&read_back(disk, &only_file(disk, Path::new("/node"))), &entries[40..]));
    assert!(same(&read_all(worker), &entries[..40]));
}

//! What else a data directory may be when a node is started on it: a typed answer, nothing deleted, nothing invented.

use alloc::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use engraft::core::{Event, StorageErrorKind, StorageOperation};
use engraft::driver::wal_worker::{StorageOptions, WalRequest, WalWorker};
use engraft::types::message::SpaceEpoch;
use engraft::types::{ClusterId, Entry, FsyncMode, NodeId, WriteId};
use engraft::wal::{StdDisk, StorageOpenError, WalError, verify};

use crate::test_disk::TestDisk;

use super::support::{
    append, beginning, end_of, entries_after, epoch, fresh_disk, open, options, read_all, run, same, space, truncate,
};

/// Every file under a directory, with its bytes.
fn tree(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.insert(path.clone(), fs::read(path).expect("read"));
        }
    }
    files
}

/// A node's directory with 100 entries of 100 bytes, stopped cleanly, and what it was opened with.
fn stopped() -> (tempfile::TempDir, StorageOptions) {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path(), FsyncMode::PerBatch);
    let (mut worker, _) = open(StdDisk, &options);
    append(&mut worker, 1, &entries_after(beginning(), 1, 100, |_| 36));
    worker.close().expect("a clean stop");
    (directory, options)
}

/// Opening is refused by an error that `expected` takes, and changes nothing.
fn refused(options: &StorageOptions, expected: impl Fn(&StorageOpenError) -> bool) {
    let before = tree(&options.directory);
    let error = WalWorker::open(StdDisk, options).map(|_| ()).expect_err("refused");
    assert!(expected(&error), "{error}");
    assert_eq!(tree(&options.directory), before, "{error}");
}

/// The space is refused with words that hold all of `words`; the segments stay as they are.
fn space_refused(options: &StorageOptions, words: &[&str]) {
    let spaces = options.directory.join("spaces");
    let before = tree(&spaces);
    let (_, opened) = open(StdDisk, options);
    let Some(Event::SpaceOpenFailed { error, .. }) = opened.events.first() else { panic!("{opened:?}") };
    for word in words {
        assert!(error.detail.contains(word), "{error}");
    }
    assert_eq!(tree(&spaces), before);
}

fn segment(options: &StorageOptions) -> PathBuf {
    options.directory.join("spaces/orders/wal-0000000000000001.log")
}

#[test]
fn another_clusters_or_nodes_directory_is_refused() {
    let (_directory, good) = stopped();
    let mut other = good.clone();
    other.node = NodeId(2);
    refused(&other, |error| matches!(error, StorageOpenError::OtherNode { found: NodeId(1), .. }));
    let mut other = good;
    other.cluster = ClusterId::from_name("another").expect("a good name");
    refused(&other, |error| matches!(error, StorageOpenError::OtherCluster { .. }));
}

#[test]
fn a_log_cut_short_anywhere_is_corruption_and_keeps_its_prefix() {
    let (_directory, options) = stopped();
    let path = segment(&options);
    let whole = fs::read(&path).expect("read");
    for size in [9_999, 9_950, 9_936, 9_901, 5_000, 64, 63, 1, 0] {
        fs::write(&path, &whole[..size]).expect("written");
        let report = verify(&StdDisk, &options.directory).expect("readable");
        assert_eq!(report.entries, size as u64 / 100, "cut at {size}");
        let [damage] = report.damage.as_slice() else { panic!("cut at {size}: {report:?}") };
        assert_eq!(damage.offset, size as u64 / 100 * 100, "cut at {size}");
        assert_eq!(damage.file, "spaces/orders/wal-0000000000000001.log");
        space_refused(&options, &["wal-0000000000000001.log at offset"]);
    }
    fs::remove_file(&path).expect("removed");
    space_refused(&options, &["the log ends at #0, though #100 was known to be on disk"]);
    assert_eq!(verify(&StdDisk, &options.directory).expect("readable").damage.len(), 1);
    fs::write(&path, &whole).expect("written");
    let (mut worker, _) = open(StdDisk, &options);
    assert_eq!(read_all(&mut worker).len(), 100, "and whole again it opens");
}

#[test]
fn a_directory_instead_of_a_segment_is_refused() {
    let (_directory, options) = stopped();
    let path = options.directory.join("spaces/orders/wal-0000000000000065.log");
    fs::create_dir(&path).expect("made");
    space_refused(&options, &["wal-0000000000000065.log at offset 0", "expected a regular file"]);
    let report = verify(&StdDisk, &options.directory).expect("readable");
    assert_eq!((report.entries, report.damage.len()), (100, 1), "{report:?}");
}

#[test]
fn a_file_instead_of_the_directory_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data");
    fs::write(&path, "no directory").expect("written");
    let error = WalWorker::open(StdDisk, &options(&path, FsyncMode::PerBatch)).map(|_| ()).expect_err("refused");
    assert!(matches!(error, StorageOpenError::Wal(WalError::Io { .. })), "{error}");
    assert!(error.to_string().contains("data"), "{error}");
    let error = verify(&StdDisk, &path).expect_err("no directory");
    assert!(matches!(error, WalError::Io { operation: "list", .. }), "{error}");
    let error = verify(&StdDisk, &directory.path().join("nothing")).expect_err("nothing there");
    assert!(error.to_string().contains("nothing"), "{error}");
}

#[test]
fn no_permission_is_said_with_the_files_name() {
    let (_directory, options) = stopped();
    let before = tree(&options.directory.join("spaces"));
    let disk = TestDisk::denying("wal-0000000000000001.log");
    let (_, opened) = open(disk.clone(), &options);
    let Some(Event::SpaceOpenFailed { error, .. }) = opened.events.first() else { panic!("{opened:?}") };
    for word in ["cannot open", "wal-0000000000000001.log", "ermission"] {
        assert!(error.detail.contains(word), "{error}");
    }
    let error = verify(&disk, &options.directory).expect_err("no permission");
    assert!(error.to_string().contains("wal-0000000000000001.log"), "{error}");
    assert_eq!(tree(&options.directory.join("spaces")), before, "nothing is deleted");
}

#[test]
fn lost_memory_is_refused() {
    let (_directory, options) = stopped();
    let promises = options.directory.join("promises.log");
    let kept = fs::read(&promises).expect("read");
    fs::remove_file(&promises).expect("removed");
    refused(&options, |error| matches!(error, StorageOpenError::MemoryLost { offset: 0, .. }));
    fs::write(&promises, &kept[..kept.len() / 2]).expect("written");
    if kept.len() < 200 {
        refused(&options, |error| matches!(error, StorageOpenError::MemoryLost { offset: 0, .. }));
    }
    fs::write(&promises, &kept).expect("written");
    let superblock = options.directory.join("superblock");
    let block = fs::read(&superblock).expect("read");
    fs::write(&superblock, vec![0; block.len()]).expect("written");
    refused(&options, |error| matches!(error, StorageOpenError::Superblock { .. }));
    fs::remove_file(&superblock).expect("removed");
    refused(&options, |error| matches!(error, StorageOpenError::Superblock { .. }));
    fs::write(&superblock, &block).expect("written");
    open(StdDisk, &options);
}

#[test]
fn a_break_in_any_frame_but_the_last_is_lost_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path(), FsyncMode::PerBatch);
    let (mut worker, _) = open(StdDisk, &options);
    for term in 1..=3 {
        worker.submit(WalRequest::SaveVote { space: space(), promise: epoch(term) });
        run(&mut worker);
    }
    drop(worker);
    let promises = directory.path().join("promises.log");
    let whole = fs::read(&promises).expect("read");
    let frame = 100;
    assert_eq!(whole.len() % frame, 0, "frames of one record");
    for at in 0..whole.len() - frame {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&promises, &bytes).expect("written");
        let lost = at / frame * frame;
        refused(&options, |error| matches!(error, StorageOpenError::MemoryLost { .. }));
        let error = WalWorker::open(StdDisk, &options).map(|_| ()).expect_err("refused").to_string();
        assert!(error.contains(&format!("at offset {lost}:")), "{error}");
    }
    // The last one may be torn: it was never answered for.
    fs::write(&promises, &whole[..whole.len() - 1]).expect("written");
    let (_, opened) = open(StdDisk, &options);
    let Some(Event::SpaceOpened(found)) = opened.events.first() else { panic!("{opened:?}") };
    assert_eq!(found.promise, epoch(2));
}

#[test]
fn a_failed_sync_is_final_and_acknowledges_nothing() {
    let disk = fresh_disk();
    let options = options(Path::new("/node"), FsyncMode::PerBatch);
    let (mut worker, _) = open(disk.clone(), &options);
    let entries = entries_after(beginning(), 1, 30, |_| 36);
    append(&mut worker, 1, &entries[..10]);
    disk.fail_next_sync();
    let events = append(&mut worker, 2, &entries[10..20]);
    assert!(
        matches!(events.as_slice(), [Event::StorageFailed { operation: StorageOperation::Sync, .. }]),
        "{events:?}"
    );
    assert_eq!(append(&mut worker, 3, &entries[20..]), [], "nothing more is taken or told");
    worker.idle();
    drop(worker);
    let (_, opened) = open(disk, &options);
    let end = end_of(&opened).sequence.0;
    assert!((10..=20).contains(&end), "{end}");
}

#[test]
fn a_failed_sync_of_a_promise_stops_every_space() {
    let disk = fresh_disk();
    let (mut worker, _) = open(disk.clone(), &options(Path::new("/node"), FsyncMode::None));
    disk.fail_next_sync();
    worker.submit(WalRequest::SaveVote { space: space(), promise: epoch(3) });
    let events = run(&mut worker);
    let [Event::StorageFailed { operation: StorageOperation::SaveVote, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    worker.submit(WalRequest::SaveVote { space: space(), promise: epoch(4) });
    assert_eq!(run(&mut worker), []);
}

#[test]
fn a_full_disk_stops_the_space_and_still_saves_promises_and_cuts() {
    let disk = fresh_disk();
    let options = options(Path::new("/node"), FsyncMode::PerBatch);
    let (mut worker, _) = open(disk.clone(), &options);
    let entries: Vec<Entry> = entries_after(beginning(), 1, 2_000, |_| 36);
    append(&mut worker, 1, &entries[..600]);
    disk.fill(Some(disk.bytes_used()));
    let events = append(&mut worker, 2, &entries[600..]);
    let [Event::StorageFailed { operation: StorageOperation::Append, error, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(error.kind, StorageErrorKind::Full);
    assert!(disk.files().contains_key(Path::new("/node/reserve")));
    worker.submit(WalRequest::SaveVote { space: space(), promise: epoch(3) });
    assert_eq!(run(&mut worker), [Event::VotesSaved { votes: vec![SpaceEpoch { space: space(), epoch: epoch(3) }] }]);
    assert!(!disk.files().contains_key(Path::new("/node/reserve")), "the reserve was given up");
    drop(worker);
    let (mut worker, opened) = open(disk.clone(), &options);
    assert!(end_of(&opened).sequence.0 >= 600);
    truncate(&mut worker, entries[99].header.sequence());
    assert!(same(&read_all(&mut worker), &entries[..100]));
    drop(worker);
    disk.fill(None);
    let (mut worker, _) = open(disk.clone(), &options);
    let events = append(&mut worker, 3, &entries[100..]);
    assert!(matches!(events.as_slice(), [Event::WalAppended { write: WriteId(3), .. }]), "{events:?}");
    assert!(disk.files().contains_key(Path::new("/node/reserve")), "and is there again");
}

#[test]
fn a_read_only_disk_is_said_and_can_be_verified() {
    let disk = fresh_disk();
    let options = options(Path::new("/node"), FsyncMode::PerBatch);
    let (mut worker, _) = open(disk.clone(), &options);
    append(&mut worker, 1, &entries_after(beginning(), 1, 10, |_| 36));
    drop(worker);
    disk.set_read_only(true);
    let error = WalWorker::open(disk.clone(), &options).map(|_| ()).expect_err("refused");
    assert!(matches!(error, StorageOpenError::Wal(WalError::Io { operation: "open", .. })), "{error}");
    assert_eq!(verify(&disk, Path::new("/node")).expect("readable").entries, 10);
}

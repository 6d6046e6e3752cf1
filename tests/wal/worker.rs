//! The storage as the driver sees it: steps in, facts out.

use engraft::core::{Event, StorageErrorKind, StorageOperation};
use engraft::driver::wal_worker::{WalRequest, WalWorker};
use engraft::types::message::SpaceEpoch;
use engraft::types::{FsyncMode, Incarnation, NodeId, ReadId, Sequence, WriteId};
use engraft::wal::{StdDisk, StorageOpenError};

use super::support::{append, beginning, end_of, entries_after, epoch, open, options, read_all, run, same, space};

#[test]
fn entries_are_there_after_a_clean_stop() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path(), FsyncMode::PerBatch);
    let entries = entries_after(beginning(), 1, 2_500, |sequence| usize::try_from(sequence % 300).expect("small"));
    let (mut worker, opened) = open(StdDisk, &options);
    assert!(opened.fresh);
    assert_eq!(end_of(&opened), beginning());
    let events = append(&mut worker, 1, &entries);
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(same(&read_all(&mut worker), &entries));
    worker.close().expect("a clean stop");
    let (mut worker, opened) = open(StdDisk, &options);
    assert!(opened.clean && opened.same_boot && !opened.fresh);
    assert_eq!(end_of(&opened), entries.last().expect("some").position());
    let report = &opened.reports.first().expect("one").1;
    assert_eq!((report.entries, report.rewritten, &report.torn_tail), (2_500, 0, &None));
    assert!(report.segments > 3, "{report:?}");
    assert!(same(&read_all(&mut worker), &entries));
}

#[test]
fn entries_are_there_after_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path(), FsyncMode::PerBatch);
    let entries = entries_after(beginning(), 1, 100, |_| 100);
    let (mut worker, _) = open(StdDisk, &options);
    append(&mut worker, 1, &entries[..50]);
    append(&mut worker, 2, &entries[50..]);
    drop(worker);
    let (mut worker, opened) = open(StdDisk, &options);
    assert!(!opened.clean);
    assert!(same(&read_all(&mut worker), &entries));
    assert_eq!(opened.reports.first().expect("one").1.rewritten, 50, "the last group has no witness");
}

#[test]
fn an_append_is_told_only_after_its_sync() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    let entries = entries_after(beginning(), 1, 10, |_| 10);
    worker.submit(WalRequest::Append { space: space(), write: WriteId(4), entries: entries.clone() });
    let mut events = Vec::new();
    worker.write();
    worker.complete(&mut events);
    assert_eq!(events, []);
    worker.write();
    worker.complete(&mut events);
    assert_eq!(events, [], "a second write does not stand for a sync");
    worker.sync();
    worker.complete(&mut events);
    let [Event::WalAppended { write: WriteId(4), sequence: Sequence(10), .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
}

#[test]
fn a_promise_is_told_only_after_its_sync() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::None));
    worker.submit(WalRequest::SaveVote { space: space(), promise: epoch(3) });
    let mut events = Vec::new();
    worker.write();
    worker.complete(&mut events);
    assert_eq!(events, []);
    worker.sync();
    worker.complete(&mut events);
    assert_eq!(events, [Event::VotesSaved { votes: vec![SpaceEpoch { space: space(), epoch: epoch(3) }] }]);
    assert!(!worker.has_work());
}

#[test]
fn the_list_of_an_append_comes_back_empty_once_it_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    append(&mut worker, 1, &entries_after(beginning(), 1, 10, |_| 10));
    let spent: Vec<_> = worker.take_spent().into_iter().collect();
    assert!(matches!(spent.as_slice(), [list] if list.is_empty() && list.capacity() >= 10), "{spent:?}");
    assert_eq!(worker.take_spent().into_iter().count(), 0);
}

#[test]
fn per_write_syncs_each_write_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerWrite));
    let entries = entries_after(beginning(), 1, 6, |_| 10);
    for (write, pair) in (1..).zip(entries.chunks(2)) {
        worker.submit(WalRequest::Append { space: space(), write: WriteId(write), entries: pair.to_vec() });
    }
    for write in 1..=3 {
        let mut events = Vec::new();
        worker.write();
        worker.sync();
        worker.complete(&mut events);
        assert!(
            matches!(events.as_slice(), [Event::WalAppended { write: found, .. }] if *found == WriteId(write)),
            "{events:?}"
        );
    }
    assert!(!worker.has_work());
}

#[test]
fn a_promise_outlives_a_kill_and_never_goes_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path(), FsyncMode::None);
    let (mut worker, _) = open(StdDisk, &options);
    for term in [3, 9, 5] {
        worker.submit(WalRequest::SaveVote { space: space(), promise: epoch(term) });
        let events = run(&mut worker);
        assert_eq!(events, [Event::VotesSaved { votes: vec![SpaceEpoch { space: space(), epoch: epoch(term) }] }]);
    }
    drop(worker);
    let (_, opened) = open(StdDisk, &options);
    let Some(Event::SpaceOpened(found)) = opened.events.first() else { panic!("{opened:?}") };
    assert_eq!(found.promise, epoch(9));
}

#[test]
fn a_known_peer_outlives_a_kill_and_is_durable_no_later_than_a_promise_behind_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path(), FsyncMode::None);
    let (mut worker, opened) = open(StdDisk, &options);
    assert!(matches!(opened.events.as_slice(), [Event::SpaceOpened(_)]), "nobody is known: {opened:?}");
    let (peer, incarnation) = (NodeId(2), Incarnation([8; 16]));
    worker.submit(WalRequest::SavePeer { peer, incarnation });
    worker.submit(WalRequest::SaveVote { space: space(), promise: epoch(3) });
    let mut events = Vec::new();
    worker.write();
    worker.complete(&mut events);
    assert_eq!(events, [], "nothing is told before the sync");
    worker.sync();
    worker.complete(&mut events);
    let votes = vec![SpaceEpoch { space: space(), epoch: epoch(3) }];
    assert_eq!(events, [Event::PeerSaved { peer, incarnation }, Event::VotesSaved { votes }]);
    assert!(!worker.has_work());
    drop(worker);
    for _ in 0..2 {
        let (_, opened) = open(StdDisk, &options);
        let [Event::PeersKnown { peers }, Event::SpaceOpened(found)] = opened.events.as_slice() else {
            panic!("{opened:?}")
        };
        assert_eq!((peers.as_slice(), found.promise), ([(peer, incarnation)].as_slice(), epoch(3)));
    }
}

#[test]
fn reads_keep_to_their_limits_and_give_one_entry_at_least() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    let entries = entries_after(beginning(), 1, 1_000, |sequence| if sequence == 700 { 100_000 } else { 236 });
    append(&mut worker, 1, &entries);
    let mut read = |from: u64, entries_max: u32, bytes_max: u64| {
        let read = ReadId(from);
        worker.submit(WalRequest::Read { space: space(), read, from: Sequence(from), entries_max, bytes_max });
        match run(&mut worker).as_slice() {
            [Event::WalRead { entries, .. }] => {
                entries.iter().map(|entry| entry.header.sequence().0).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(1, 3, 1 << 20), [1, 2, 3]);
    assert_eq!(read(5, 100, 900), [5, 6, 7]);
    assert_eq!(read(5, 100, 899), [5, 6]);
    assert_eq!(read(5, 100, 0), [5]);
    assert_eq!(read(700, 100, 10), [700]);
    assert_eq!(read(699, 100, 1_000), [699], "the large one does not fit behind it");
    assert_eq!(read(999, 100, 1 << 20), [999, 1_000]);
    assert_eq!(read(150, 500, 1 << 20).len(), 500, "across segments");
    assert_eq!(read(1_001, 10, 1 << 20), [] as [u64; 0]);
    assert_eq!(read(0, 10, 1 << 20), [] as [u64; 0]);
}

#[test]
fn a_second_process_is_kept_out() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path(), FsyncMode::PerBatch);
    let (worker, _) = open(StdDisk, &options);
    let refused = WalWorker::open(StdDisk, &options).map(|_| ());
    assert!(matches!(refused, Err(StorageOpenError::Locked { .. })), "{refused:?}");
    drop(worker);
    open(StdDisk, &options);
}

#[test]
fn rot_below_the_mark_keeps_the_space_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = options(directory.path(), FsyncMode::PerBatch);
    let (mut worker, _) = open(StdDisk, &options);
    append(&mut worker, 1, &entries_after(beginning(), 1, 100, |_| 36));
    worker.close().expect("a clean stop");
    let path = directory.path().join("spaces/orders/wal-0000000000000001.log");
    let mut bytes = std::fs::read(&path).expect("the segment");
    bytes[99 * 100 + 70] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    let (_, opened) = open(StdDisk, &options);
    let Some(Event::SpaceOpenFailed { error, .. }) = opened.events.first() else { panic!("{opened:?}") };
    assert_eq!(error.kind, StorageErrorKind::Corrupt);
    assert!(error.detail.contains("wal-0000000000000001.log at offset 9900"), "{error}");
    assert_eq!(std::fs::read(&path).expect("the segment"), bytes, "nothing is changed");
}

#[test]
fn a_read_that_meets_rot_stops_the_space() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    append(&mut worker, 1, &entries_after(beginning(), 1, 10, |_| 36));
    let path = directory.path().join("spaces/orders/wal-0000000000000001.log");
    let mut bytes = std::fs::read(&path).expect("the segment");
    bytes[5 * 100 + 70] ^= 1;
    std::fs::write(&path, &bytes).expect("written");
    let request =
        WalRequest::Read { space: space(), read: ReadId(1), from: Sequence(1), entries_max: 10, bytes_max: 1 << 20 };
    worker.submit(request);
    let events = run(&mut worker);
    let [Event::StorageFailed { operation: StorageOperation::Read, error, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(error.kind, StorageErrorKind::Corrupt);
    assert!(error.detail.contains("offset 500"), "{error}");
}

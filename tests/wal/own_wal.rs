//! The index of an engine's log: what it holds, and what becomes of it where the two do not agree.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use alloc::sync::Arc;

use bytes::Bytes;
use engraft::core::{Event, StorageOperation};
use engraft::driver::wal_worker::{StorageOptions, WalWorker};
use engraft::types::entry::control_payload;
use engraft::types::{Control, Entry, FsyncMode, Position, Sequence, WalEntryType};
use engraft::wal::own_wal::{EngineEntry, EngineLink, EngramWal};
use engraft::wal::{StdDisk, verify};

use super::engram_files::{EngramEntry, segment, two_counters, write_segment};
use super::kill_disk::KillDisk;
use super::support::{append, beginning, end_of, epoch, open, options, read_all, same, space};

fn options_over(data: &Path, engine: &Path) -> (StorageOptions, Arc<EngineLink>) {
    let link = Arc::new(EngineLink::new(Arc::new(EngramWal::new(engine))));
    let mut options = options(data, FsyncMode::PerBatch);
    options.engines.insert(space(), Arc::clone(&link));
    (options, link)
}

/// Everything that the engine has behind the index.
fn unread(link: &EngineLink) -> Vec<EngineEntry> {
    link.wal().entries_after(link.last().as_ref(), usize::MAX, usize::MAX).expect("readable")
}

/// What a primary makes of the engine's entries: the start of its epoch, then each of them.
fn entries_of(after: Position, term: u32, engine: &[EngineEntry]) -> Vec<Entry> {
    let body = control_payload(after.sequence.next(), b"a limit.");
    let start = Entry::following(&after, epoch(term), WalEntryType::Checkpoint, Control::epoch_start(), 5, body);
    let mut made = vec![start];
    for theirs in engine {
        let last = made.last().expect("some").position();
        let (kind, payload) = (theirs.entry_type, theirs.payload.clone());
        made.push(Entry::following(&last, epoch(term), kind, Control::user(), theirs.timestamp, payload));
    }
    made
}

/// Takes everything that the engine has behind the index, in an epoch of its own.
fn take(worker: &mut WalWorker<StdDisk>, link: &EngineLink, after: Position, term: u32) -> Vec<Entry> {
    let engine = unread(link);
    let entries = entries_of(after, term, &engine);
    link.expect(&engine);
    let events = append(worker, u64::from(term), &entries);
    assert!(matches!(events.as_slice(), [Event::WalAppended { .. }]), "{events:?}");
    entries
}

#[test]
fn entries_come_back_from_the_engines_log_with_our_headers() {
    let (data, engine) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let theirs = two_counters(engine.path());
    let (options, link) = options_over(data.path(), engine.path());
    let (mut worker, _) = open(StdDisk, &options);
    let entries = take(&mut worker, &link, beginning(), 1);
    assert_eq!(entries.len(), theirs.len() + 1);
    assert!(same(&read_all(&mut worker), &entries));
    // A kill: nothing is closed.
    drop(worker);
    let (mut worker, opened) = open(StdDisk, &options);
    assert_eq!(end_of(&opened), entries.last().expect("some").position());
    assert_eq!(link.last().map(|place| place.number), theirs.last().map(|entry| entry.number));
    assert!(same(&read_all(&mut worker), &entries));
    assert_eq!(unread(&link), []);
    worker.close().expect("a clean stop");
    let index = data.path().join("indexes/orders");
    let report = verify(&StdDisk, &index).expect("readable");
    assert_eq!((report.entries, report.damage), (entries.len() as u64, vec![]));
    let whole = verify(&StdDisk, data.path()).expect("readable");
    assert_eq!((whole.entries, whole.damage), (report.entries, vec![]), "the node's directory as a whole");
    assert!(report.bytes < 200 * report.entries, "the index holds no payloads: {} bytes", report.bytes);
}

#[test]
fn an_index_behind_the_engines_log_is_completed_and_one_ahead_of_it_is_cut() {
    let (data, engine) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let all: Vec<_> = (0..20).map(|number| EngramEntry::new(number, 1, vec![1; 36])).collect();
    write_segment(engine.path(), 1, &all[..10]);
    let (options, link) = options_over(data.path(), engine.path());
    let (mut worker, _) = open(StdDisk, &options);
    let first = take(&mut worker, &link, beginning(), 1);
    drop(worker);

    // Behind: the engine wrote on while nobody listened. In place, so that it is the same file.
    let bytes: Vec<u8> = all.iter().flat_map(EngramEntry::bytes).collect();
    fs::write(engine.path().join(segment(1)), bytes).expect("written");
    let (mut worker, opened) = open(StdDisk, &options);
    assert_eq!(end_of(&opened), first.last().expect("some").position());
    let numbers: Vec<_> = unread(&link).iter().map(|entry| entry.place.number).collect();
    assert_eq!(numbers, (10..20).collect::<Vec<_>>());
    let second = take(&mut worker, &link, end_of(&opened), 2);
    drop(worker);

    // Ahead: the engine lost its end, the last entry that it has torn.
    let file = OpenOptions::new().write(true).open(engine.path().join(segment(1))).expect("opened");
    file.set_len(13 * 100 + 50).expect("cut");
    let (mut worker, opened) = open(StdDisk, &options);
    let kept = [first.as_slice(), &second[..4]].concat();
    assert_eq!(end_of(&opened), kept.last().expect("some").position(), "the start of epoch 2, and three entries of it");
    let Some(Event::SpaceOpened(found)) = opened.events.first() else { panic!("{opened:?}") };
    assert_eq!(found.history.epoch_at(Sequence(kept.len() as u64)), epoch(2));
    assert!(same(&read_all(&mut worker), &kept));
    assert_eq!(link.last().map(|place| place.number), Some(12));
    // What the engine writes in that place is another entry, and it is taken.
    file.set_len(13 * 100).expect("cut");
    let other = EngramEntry::new(13, 2, vec![2; 36]).bytes();
    let mut bytes = fs::read(engine.path().join(segment(1))).expect("read");
    bytes.extend(other);
    fs::write(engine.path().join(segment(1)), bytes).expect("written");
    let third = take(&mut worker, &link, end_of(&opened), 3);
    drop(worker);
    let (mut worker, _) = open(StdDisk, &options);
    assert!(same(&read_all(&mut worker), &[kept, third].concat()));
}

#[test]
fn a_replaced_file_leaves_the_index_and_is_read_from_its_beginning() {
    let (data, engine) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let all: Vec<_> = (0..10).map(|number| EngramEntry::new(number, 1, vec![1; 36])).collect();
    write_segment(engine.path(), 1, &all);
    let (options, link) = options_over(data.path(), engine.path());
    let (mut worker, _) = open(StdDisk, &options);
    let first = take(&mut worker, &link, beginning(), 1);
    drop(worker);
    let inode = || fs::metadata(engine.path().join(segment(1))).expect("known").ino();
    let before = inode();
    // The same bytes, even: it is another file.
    let aside = engine.path().join("aside");
    fs::copy(engine.path().join(segment(1)), &aside).expect("copied");
    fs::rename(&aside, engine.path().join(segment(1))).expect("renamed");
    assert_ne!(inode(), before);
    let (mut worker, opened) = open(StdDisk, &options);
    assert_eq!(end_of(&opened), first.last().expect("some").position(), "nothing is cut");
    assert_eq!(link.last(), None);
    let second = take(&mut worker, &link, end_of(&opened), 2);
    assert_eq!(second.len(), 11);
    drop(worker);
    let (_worker, _) = open(StdDisk, &options);
    assert_eq!(link.last().map(|place| (place.number, place.inode)), Some((9, inode())), "and only once");
}

#[test]
fn an_entry_that_the_engine_did_not_report_is_refused() {
    let (data, engine) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let (options, _link) = options_over(data.path(), engine.path());
    let (mut worker, _) = open(StdDisk, &options);
    let theirs = EngramWal::new(engine.path());
    let place = engraft::wal::own_wal::EnginePlace { file: segment(1), offset: 0, end: 65, inode: 1, number: 1 };
    let look = engraft::wal::own_wal::OwnWal::look(&theirs, &place).expect("readable");
    assert_eq!(look, engraft::wal::own_wal::Look::Replaced);
    let entry =
        EngineEntry { place, entry_type: WalEntryType::EpisodeStore, timestamp: 1, payload: Bytes::from_static(b"x") };
    let events = append(&mut worker, 1, &entries_of(beginning(), 1, &[entry]));
    let [Event::StorageFailed { operation: StorageOperation::Append, error, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert!(error.detail.contains("did not report"), "{error}");
}

#[test]
fn no_kill_loses_or_repeats_an_entry_of_the_engines() {
    let (mut before, mut after) = (0, 0);
    for kill_at in 0.. {
        let (data, engine) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
        let all: Vec<_> = (0..30).map(|number| EngramEntry::new(number, 1, vec![1; 36])).collect();
        write_segment(engine.path(), 1, &all[..10]);
        let (options, link) = options_over(data.path(), engine.path());
        let (mut worker, _) = open(StdDisk, &options);
        let first = take(&mut worker, &link, beginning(), 1);
        worker.close().expect("a clean stop");
        let bytes: Vec<u8> = all.iter().flat_map(EngramEntry::bytes).collect();
        fs::write(engine.path().join(segment(1)), bytes).expect("written");

        let disk = KillDisk::new(Some(kill_at));
        let mut told = false;
        if let Ok((mut worker, opened)) = WalWorker::open(disk, &options)
            && matches!(opened.events.first(), Some(Event::SpaceOpened(_)))
        {
            let unread = unread(&link);
            let entries = entries_of(first.last().expect("some").position(), 2, &unread);
            link.expect(&unread);
            told = append(&mut worker, 2, &entries).iter().any(|event| matches!(event, Event::WalAppended { .. }));
        }
        let (mut worker, opened) = open(StdDisk, &options);
        let there = unread(&link).is_empty();
        assert!(there || !told, "killed at {kill_at}: told to be durable, and gone");
        (before, after) = if there { (before, after + 1) } else { (before + 1, after) };
        take(&mut worker, &link, end_of(&opened), 3);
        let log = read_all(&mut worker);
        let users = log.iter().filter(|entry| entry.header.control().kind == Control::USER);
        let timestamps: Vec<_> = users.map(|entry| entry.header.timestamp()).collect();
        assert_eq!(timestamps, all.iter().map(|entry| entry.timestamp).collect::<Vec<_>>(), "killed at {kill_at}");
        if told {
            break;
        }
    }
    assert!(before > 5 && after >= 1, "{before} without the second group, {after} with it");
}

#[test]
fn a_log_and_an_index_are_never_taken_for_one_another() {
    let engine = tempfile::tempdir().expect("made");
    write_segment(engine.path(), 1, &[EngramEntry::new(1, 1, "one")]);
    for engine_first in [false, true] {
        let data = tempfile::tempdir().expect("made");
        let (with, link) = options_over(data.path(), engine.path());
        let without = options(data.path(), FsyncMode::PerBatch);
        let (first, second) = if engine_first { (&with, &without) } else { (&without, &with) };
        let (mut worker, _) = open(StdDisk, first);
        let entries = entries_of(beginning(), 1, &unread(&link));
        link.expect(&unread(&link));
        append(&mut worker, 1, &entries);
        // Killed: no mark was saved that would tell.
        drop(worker);
        let (worker, opened) = open(StdDisk, second);
        let Some(Event::SpaceOpenFailed { error, .. }) = opened.events.first() else { panic!("{opened:?}") };
        assert!(error.detail.contains("the space is there already"), "{error}");
        drop(worker);
        let (mut worker, opened) = open(StdDisk, first);
        assert_eq!(end_of(&opened), entries.last().expect("some").position());
        assert!(same(&read_all(&mut worker), &entries), "nothing was changed");
    }
}

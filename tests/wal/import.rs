//! Directories of Engram's, imported: whole or not at all, in the order of files and offsets, its numbers kept.

use alloc::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use engraft::driver::wal_worker::{ImportOptions, StorageOptions, WalRequest, WalWorker, import_engram};
use engraft::types::{Control, Entry, Epoch, FsyncMode, NodeId, Sequence, SpaceName};
use engraft::wal::{IMPORT_REPORT, ImportError, ImportReport, Inspected, Origin, StdDisk, inspect, verify};
use serde_json::Value;

use super::engram_files::{EngramEntry, segment, two_counters, write_segment};
use super::kill_disk::KillDisk;
use super::support::{append, beginning, end_of, entries_after, open, options, read_all, run, same, space, space_name};

fn import_options(source: &Path) -> ImportOptions {
    ImportOptions { source: source.to_owned(), space: space_name(), entry_bytes_max: 16 << 20 }
}

fn import(source: &Path, data: &Path) -> Result<ImportReport, ImportError> {
    import_engram(&StdDisk, &options(data, FsyncMode::PerBatch), &import_options(source))
}

/// The space's log after an import, through the production worker.
fn imported(data: &Path) -> Vec<Entry> {
    let (mut worker, opened) = open(StdDisk, &options(data, FsyncMode::PerBatch));
    let end = end_of(&opened);
    let entries = read_all(&mut worker);
    assert_eq!(entries.last().map(Entry::position), Some(end));
    worker.close().expect("a clean stop");
    entries
}

fn report_lines(data: &Path) -> Vec<Value> {
    let text = fs::read_to_string(data.join("spaces/orders").join(IMPORT_REPORT)).expect("the report");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Every entry of Engram's is there once, in its order, with payload, type and timestamp; the sequences are ours.
fn check(entries: &[Entry], expected: &[EngramEntry]) {
    assert_eq!(entries.len(), expected.len());
    for ((entry, theirs), sequence) in entries.iter().zip(expected).zip(1..) {
        let header = &entry.header;
        assert_eq!(header.sequence(), Sequence(sequence));
        assert_eq!(header.epoch(), Epoch::new(0, 1, NodeId(1)));
        assert_eq!(header.control(), Control::user(), "a checkpoint of Engram's is no control entry of ours");
        assert_eq!(header.entry_type().number(), theirs.kind, "entry {sequence}");
        assert_eq!(header.timestamp(), theirs.timestamp, "entry {sequence}");
        assert_eq!(entry.payload, theirs.payload, "entry {sequence}");
    }
}

#[test]
fn sequences_follow_file_and_offset_and_no_entry_overwrites_another() {
    let (source, data) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let expected = two_counters(source.path());
    let report = import(source.path(), data.path()).expect("imported");
    check(&imported(data.path()), &expected);
    let count = expected.len() as u64;
    assert_eq!((report.entries, report.first_sequence, report.last_sequence, report.segments), (count, 1, count, 2));
    assert_eq!((report.engram_first_sequence, report.engram_last_sequence), (Some(0), Some(u64::MAX)));
    let distinct = expected.iter().map(|entry| entry.number).collect::<BTreeSet<_>>().len() as u64;
    assert_eq!((report.duplicates, report.damage, report.torn_tail), (count - distinct, vec![], None));
    let verified = verify(&StdDisk, data.path()).expect("readable");
    assert_eq!((verified.entries, verified.origin, verified.damage), (count, Origin::Engraft, vec![]));
}

#[test]
fn the_report_keeps_engrams_number_file_and_offset_of_every_entry() {
    let (source, data) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let expected = two_counters(source.path());
    let report = import(source.path(), data.path()).expect("imported");
    let lines = report_lines(data.path());
    assert_eq!(lines[0]["import"]["space"], "orders");
    assert_eq!(lines.last().expect("a summary")["summary"], serde_json::to_value(&report).expect("JSON"));
    let entries: Vec<&Value> = lines.iter().filter(|line| line["sequence"].is_u64()).collect();
    assert_eq!(entries.len(), expected.len());
    let mut seen = BTreeSet::new();
    for ((line, theirs), sequence) in entries.into_iter().zip(&expected).zip(1_u64..) {
        assert_eq!(line["sequence"], sequence);
        assert_eq!((&line["engram_sequence"], &line["type"]), (&theirs.number.into(), &theirs.kind.into()));
        assert_eq!(line["repeated"].as_bool().unwrap_or(false), !seen.insert(theirs.number), "entry {sequence}");
        // Whoever follows file and offset finds that very entry.
        let bytes = fs::read(source.path().join(line["file"].as_str().expect("a name"))).expect("read");
        let offset = usize::try_from(line["offset"].as_u64().expect("a number")).expect("small");
        let found = &bytes[offset..offset + 64 + theirs.payload.len()];
        assert_eq!(found, theirs.bytes(), "entry {sequence}");
    }
}

#[test]
fn damage_is_passed_over_and_reported_with_file_and_offset() {
    let (source, data) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let entries: Vec<_> = (0..20).map(|number| EngramEntry::new(number, 1, vec![1; 100])).collect();
    write_segment(source.path(), 1, &entries);
    write_segment(source.path(), 2, &entries);
    let path = source.path().join(segment(1));
    let mut bytes = fs::read(&path).expect("read");
    bytes[5 * 164 + 70] ^= 1;
    bytes[9 * 164 + 8] ^= 1;
    fs::write(&path, &bytes).expect("written");
    let torn = source.path().join(segment(2));
    let bytes = fs::read(&torn).expect("read");
    fs::write(&torn, &bytes[..bytes.len() - 1]).expect("written");
    let report = import(source.path(), data.path()).expect("imported");
    let places: Vec<_> = report.damage.iter().map(|damage| (damage.file.clone(), damage.offset)).collect();
    assert_eq!(places, [(segment(1), 5 * 164), (segment(1), 9 * 164)]);
    assert_eq!(report.torn_tail.as_ref().map(|torn| (torn.file.clone(), torn.offset)), Some((segment(2), 19 * 164)));
    assert_eq!((report.entries, report.duplicates), (18 + 19, 17));
    let kept = entries.iter().enumerate().filter(|(at, _)| *at != 5 && *at != 9).map(|(_, entry)| entry.clone());
    check(&imported(data.path()), &kept.chain(entries[..19].iter().cloned()).collect::<Vec<_>>());
    let lines = report_lines(data.path());
    assert_eq!(lines.iter().filter(|line| line["damage"].is_object()).count(), 2);
    assert_eq!(lines.iter().filter(|line| line["torn_tail"].is_object()).count(), 1);
}

#[test]
fn every_fixture_is_imported_as_it_is_inspected() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engram");
    for name in ["duplicate-seq", "payload-bitflip", "torn-header", "two-segments-contiguous"] {
        let data = tempfile::tempdir().expect("made");
        let report = import(&fixtures.join(name), data.path()).expect("imported");
        let source = inspect(StdDisk, &fixtures.join(name)).expect("readable");
        let theirs = source.filter_map(|item| match item.expect("readable") {
            Inspected::Entry(entry) => Some((
                entry.header.timestamp(),
                entry.header.entry_type(),
                entry.header.payload_crc(),
                entry.header.payload_size(),
            )),
            Inspected::Break { .. } => None,
        });
        let ours: Vec<_> = imported(data.path())
            .iter()
            .map(|entry| (entry.header.timestamp(), entry.header.entry_type(), crc32c::crc32c(&entry.payload), 0))
            .collect();
        let theirs: Vec<_> = theirs.map(|(timestamp, kind, crc, _)| (timestamp, kind, crc, 0)).collect();
        assert_eq!(ours, theirs, "{name}");
        assert_eq!(report.entries, ours.len() as u64, "{name}");
    }
}

#[test]
fn a_primary_opens_above_the_imported_epoch() {
    let (source, data) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    two_counters(source.path());
    import(source.path(), data.path()).expect("imported");
    let (mut worker, opened) = open(StdDisk, &options(data.path(), FsyncMode::PerBatch));
    let Some(engraft::core::Event::SpaceOpened(space)) = opened.events.first() else { panic!("{opened:?}") };
    // What the node would promise next is above both, and continues the chain.
    assert_eq!((space.promise, space.end.epoch), (Epoch::new(0, 1, NodeId(1)), Epoch::new(0, 1, NodeId(1))));
    let end = space.end;
    let more = entries_after(end, 2, 3, |_| 10);
    append(&mut worker, 1, &more);
    let all = read_all(&mut worker);
    assert!(same(&all[all.len() - 3..], &more));
}

#[test]
fn only_a_new_space_is_made() {
    let (source, data) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    two_counters(source.path());
    let options = options(data.path(), FsyncMode::PerBatch);
    let (mut worker, _) = open(StdDisk, &options);
    let entries = entries_after(beginning(), 1, 5, |_| 10);
    append(&mut worker, 1, &entries);
    assert!(
        matches!(import(source.path(), data.path()), Err(ImportError::Storage(_))),
        "a directory that is in use is refused"
    );
    worker.close().expect("a clean stop");
    let refused = import(source.path(), data.path());
    assert!(matches!(&refused, Err(ImportError::SpaceExists { .. })), "{refused:?}");
    assert!(same(&imported(data.path()), &entries), "what was there is untouched");

    // A promise outlives the files.
    let (mut worker, _) = open(StdDisk, &options);
    worker.submit(WalRequest::SaveVote { space: space(), promise: Epoch::new(0, 9, NodeId(1)) });
    run(&mut worker);
    worker.close().expect("a clean stop");
    fs::remove_dir_all(data.path().join("spaces/orders")).expect("removed");
    let refused = import(source.path(), data.path());
    assert!(
        matches!(&refused, Err(ImportError::SpaceRemembered { promise, .. }) if promise.term() == 9),
        "{refused:?}"
    );
}

#[test]
fn what_is_not_engrams_is_refused_and_leaves_no_space() {
    let (source, data) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    let refused = import(&source.path().join("nowhere"), &data.path().join("new"));
    assert!(matches!(&refused, Err(ImportError::Wal(_))), "{refused:?}");
    assert!(!data.path().join("new").exists(), "a mistaken path makes nothing");
    let refused = import(source.path(), data.path());
    assert!(matches!(&refused, Err(ImportError::Nothing { .. })), "{refused:?}");
    fs::write(source.path().join(segment(1)), "no log at all, but long enough to hold a header of 64 bytes or more")
        .expect("written");
    let refused = import(source.path(), data.path());
    assert!(matches!(&refused, Err(ImportError::Nothing { .. })), "{refused:?}");

    let ours = tempfile::tempdir().expect("made");
    let (mut worker, _) = open(StdDisk, &options(ours.path(), FsyncMode::PerBatch));
    append(&mut worker, 1, &entries_after(beginning(), 1, 5, |_| 10));
    worker.close().expect("a clean stop");
    let refused = import(&ours.path().join("spaces/orders"), data.path());
    assert!(matches!(&refused, Err(ImportError::NotEngram { .. })), "{refused:?}");

    write_segment(source.path(), 1, &[EngramEntry::new(1, 1, "a"), EngramEntry::new(2, 1, vec![0; 101])]);
    let limited = ImportOptions { entry_bytes_max: 100, ..import_options(source.path()) };
    let refused = import_engram(&StdDisk, &options(data.path(), FsyncMode::PerBatch), &limited);
    let Err(ImportError::TooLarge { offset: 65, expected: 100, found: 101, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(!data.path().join("spaces/orders").exists());
    import(source.path(), data.path()).expect("what was refused leaves nothing in the way");
}

/// A small directory of Engram's, so that every call of its import can be the last one.
fn small(directory: &Path) -> Vec<EngramEntry> {
    let entries: Vec<_> = (0..30).map(|number| EngramEntry::new(number % 20, 1, vec![3; 300])).collect();
    write_segment(directory, 5, &entries);
    entries
}

/// The options of a node that has another space besides.
fn with_other(data: &Path) -> (StorageOptions, SpaceName) {
    let mut options = options(data, FsyncMode::PerBatch);
    options.wal.segment_bytes_min = 4096;
    let other = SpaceName::new("other").expect("a name");
    let config = options.spaces[0].1.clone();
    options.spaces.insert(0, (other.clone(), config));
    (options, other)
}

#[test]
fn an_import_that_is_killed_at_any_call_leaves_the_whole_space_or_none() {
    let source = tempfile::tempdir().expect("made");
    let expected = small(source.path());
    let (mut absent, mut whole) = (0, 0);
    for kill_at in 0.. {
        let data = tempfile::tempdir().expect("made");
        let (options, other) = with_other(data.path());
        let promise = Epoch::new(0, 3, NodeId(1));
        let only_other = StorageOptions { spaces: options.spaces[..1].to_vec(), ..options.clone() };
        let (mut worker, _) = open(StdDisk, &only_other);
        worker.submit(WalRequest::SaveVote { space: other.id(), promise });
        run(&mut worker);
        worker.close().expect("a clean stop");

        let disk = KillDisk::new(Some(kill_at));
        let ended = import_engram(&disk, &options, &import_options(source.path()));
        if ended.is_err() {
            let again = import_engram(&StdDisk, &options, &import_options(source.path()));
            match again {
                Ok(report) => {
                    absent += 1;
                    assert_eq!(report.entries, 30, "killed at {kill_at}");
                }
                Err(ImportError::SpaceExists { .. }) => whole += 1,
                Err(error) => panic!("killed at {kill_at}: {error}"),
            }
        }
        let (worker, opened) = WalWorker::open(StdDisk, &options).expect("the storage opens");
        let Some(engraft::core::Event::SpaceOpened(found)) = opened.events.first() else { panic!("{opened:?}") };
        assert_eq!(
            (&found.name, found.promise),
            (&other, promise),
            "killed at {kill_at}: the other space's promise stands"
        );
        worker.close().expect("a clean stop");
        check(&imported(data.path()), &expected);
        let lines = report_lines(data.path());
        assert!(lines.last().is_some_and(|line| line["summary"].is_object()), "killed at {kill_at}: {lines:?}");
        assert_eq!(lines.iter().filter(|line| line["sequence"].is_u64()).count(), 30, "killed at {kill_at}");
        if ended.is_ok() {
            break;
        }
    }
    assert!(absent > 10 && whole >= 3, "{absent} without the space, {whole} with it");
}

#[test]
fn log_and_report_are_durable_before_the_space_is_there() {
    let (source, data) = (tempfile::tempdir().expect("made"), tempfile::tempdir().expect("made"));
    two_counters(source.path());
    let disk = KillDisk::new(None);
    import_engram(&disk, &options(data.path(), FsyncMode::PerBatch), &import_options(source.path())).expect("imported");
    let kill = disk.lock();
    assert_eq!(kill.renamed_dirty, Vec::<PathBuf>::new(), "put in place before it was durable");
    assert_eq!(kill.dirty, BTreeSet::new(), "not durable at the end");
}

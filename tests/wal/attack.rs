//! Every file of a data directory and of one of Engram's, cut, flipped and replaced: a typed answer, nothing deleted,
//! and never a clean verdict for damage.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use engraft::core::Event;
use engraft::driver::wal_worker::{ImportOptions, StorageOptions, WalWorker, import_engram};
use engraft::types::{Entry, FsyncMode};
use engraft::wal::{Access, Disk, StdDisk, inspect, verify};
use engraft_sim::disk::SimDisk;

use super::engram_files::{EngramEntry, segment};
use super::support::{
    append, beginning, bytes, entries_after, flip, fresh_disk, open, options, put, read_all, same, space_name,
};

const ENGRAM: &str = "/engram";
const NODE: &str = "/node";

/// Two files of Engram's that one log was split into, small enough to try each bit.
fn engrams() -> [Vec<EngramEntry>; 2] {
    let entry = |number| EngramEntry::new(number, 1, vec![7; usize::try_from(number % 5).expect("small")]);
    [(0..14).map(entry).collect(), (14..20).map(entry).collect()]
}

fn engrams_path(file: usize) -> PathBuf {
    Path::new(ENGRAM).join(segment(0x6920_bab9 + file as u64))
}

fn engrams_disk() -> SimDisk {
    let disk = fresh_disk();
    disk.create_dir_all(Path::new(ENGRAM)).expect("made");
    for (file, entries) in engrams().iter().enumerate() {
        let whole: Vec<u8> = entries.iter().flat_map(EngramEntry::bytes).collect();
        put(&disk, &engrams_path(file), &whole);
    }
    disk
}

/// Imports a damaged directory: what the report counts is there, and the source stays as it is.
fn import(disk: &SimDisk, what: &dyn Fn() -> String) {
    let before = disk.files();
    let options = options(Path::new(NODE), FsyncMode::PerBatch);
    let target = ImportOptions { source: ENGRAM.into(), space: space_name(), entry_bytes_max: 1 << 20 };
    let entries = verify(disk, Path::new(ENGRAM)).expect("readable").entries;
    match import_engram(disk, &options, &target) {
        Ok(report) => {
            let (mut worker, _) = open(disk.clone(), &options);
            assert_eq!((report.entries, read_all(&mut worker).len() as u64), (entries, entries), "{}", what());
        }
        Err(error) => assert_eq!(entries, 0, "{}: {error}", what()),
    }
    let after = disk.files();
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "{}: the source changed", what());
}

#[test]
fn a_file_of_engrams_cut_anywhere_keeps_its_prefix_and_is_told() {
    let files = engrams();
    for file in 0..2 {
        let size = bytes(&engrams_disk(), &engrams_path(file)).len();
        for cut in 0..size {
            let disk = engrams_disk();
            let whole = bytes(&disk, &engrams_path(file));
            put(&disk, &engrams_path(file), &whole[..cut]);
            let report = verify(&disk, Path::new(ENGRAM)).expect("readable");
            let mut end = 0;
            let kept = files[file].iter().take_while(|entry| {
                end += entry.bytes().len();
                end <= cut
            });
            let kept = kept.count();
            let what = || format!("file {file} cut at {cut}: {report:?}");
            assert_eq!(report.entries, (kept + files[1 - file].len()) as u64, "{}", what());
            let ends = files[file][..kept].iter().map(|entry| entry.bytes().len()).sum::<usize>() as u64;
            let [damage, torn] = [report.damage.len(), report.torn_tail.iter().count()];
            // What is cut off the last file between two entries was never there, as far as anybody can tell.
            assert_eq!(
                (damage, torn),
                if file == 0 { (1, 0) } else { (0, usize::from(cut as u64 > ends)) },
                "{}",
                what()
            );
            if cut as u64 > ends {
                let offset = report
                    .damage
                    .first()
                    .map_or_else(|| report.torn_tail.as_ref().map(|torn| torn.offset), |one| Some(one.offset));
                assert_eq!(offset, Some(ends), "{}", what());
            }
            if cut % 5 == 0 {
                import(&disk, &what);
            }
        }
    }
}

#[test]
fn no_flipped_bit_of_engrams_goes_undetected_or_costs_another_entry() {
    let disk = engrams_disk();
    let count = engrams().iter().map(Vec::len).sum::<usize>() as u64;
    for file in 0..2 {
        let path = engrams_path(file);
        let size = bytes(&disk, &path).len();
        for at in 0..size {
            for bit in 0..8 {
                flip(&disk, &path, at, 1 << bit);
                let report = verify(&disk, Path::new(ENGRAM)).expect("readable");
                let what = || format!("file {file} byte {at} bit {bit}: {report:?}");
                let places = report.damage.iter().map(|one| (&one.file, one.offset));
                let places: Vec<_> =
                    places.chain(report.torn_tail.iter().map(|torn| (&torn.file, torn.offset))).collect();
                let [(name, offset)] = places.as_slice() else { panic!("{}", what()) };
                assert!(path.ends_with(name.as_str()) && *offset <= at as u64, "{}", what());
                assert!(report.entries >= count - 1, "{}", what());
                let last = report.torn_tail.is_some();
                assert!(!last || file == 1 && at >= size - engrams()[1][5].bytes().len(), "{}", what());
                if bit == at % 8 && at % 3 == 0 {
                    import(&disk.fork(), &what);
                }
                flip(&disk, &path, at, 1 << bit);
            }
        }
    }
}

fn small(directory: &Path) -> StorageOptions {
    let mut options = options(directory, FsyncMode::PerBatch);
    options.wal.segment_bytes_min = 4096;
    options.wal.segment_bytes_max = 4096;
    options
}

/// A node that stopped cleanly with two segments.
fn stopped<D: Disk>(disk: D, directory: &Path) -> (StorageOptions, Vec<Entry>) {
    let options = small(directory);
    let entries = entries_after(beginning(), 1, 60, |_| 36);
    let (mut worker, _) = open(disk, &options);
    append(&mut worker, 1, &entries);
    worker.close().expect("a clean stop");
    (options, entries)
}

/// Opens what was damaged: the space is refused and its files are as they were, or it has every entry.
fn opens_whole_or_not_at_all<D: Disk>(
    disk: D,
    options: &StorageOptions,
    entries: &[Entry],
    files: &dyn Fn() -> Vec<(PathBuf, Vec<u8>)>,
    what: &dyn Fn() -> String,
) -> bool {
    let before = files();
    let Ok((mut worker, opened)) = WalWorker::open(disk, options) else {
        assert!(files() == before, "{}: refused and changed", what());
        return false;
    };
    match opened.events.first() {
        Some(Event::SpaceOpened(_)) => {
            assert!(same(&read_all(&mut worker), entries), "{}: opened with another log", what());
            true
        }
        Some(Event::SpaceOpenFailed { error, .. }) => {
            let segments = |files: Vec<(PathBuf, Vec<u8>)>| -> Vec<_> {
                files
                    .into_iter()
                    .filter(|(path, _)| {
                        path.extension().is_some_and(|end| end == "log") && !path.ends_with("promises.log")
                    })
                    .collect()
            };
            assert!(segments(files()) == segments(before), "{}: refused ({error}) and changed", what());
            false
        }
        other => panic!("{}: {other:?}", what()),
    }
}

#[test]
fn no_flipped_bit_or_cut_of_a_segment_opens_with_another_log() {
    let disk = fresh_disk();
    let (options, entries) = stopped(disk.clone(), Path::new(NODE));
    let (mut opened, mut refused) = (0, 0);
    for first in [1, 41] {
        let path = Path::new(NODE).join("spaces/orders").join(segment(first));
        let whole = bytes(&disk, &path);
        for at in 0..whole.len() {
            for cut in [false, true].into_iter().filter(|cut| !cut || at % 4 == 3) {
                let damaged = disk.fork();
                if cut {
                    put(&damaged, &path, &whole[..at]);
                } else {
                    flip(&damaged, &path, at, 1 << (at % 8));
                }
                let files = || damaged.files().into_iter().collect();
                let what = || format!("segment {first} byte {at} cut {cut}");
                let is_open = opens_whole_or_not_at_all(damaged.clone(), &options, &entries, &files, &what);
                *if is_open { &mut opened } else { &mut refused } += 1;
            }
        }
    }
    println!("{opened} opened whole, {refused} refused");
    assert!(refused > 5_000, "{opened} {refused}");
}

/// What may stand in the place of a file or directory.
const IN_ITS_PLACE: [&str; 8] = ["nothing", "empty", "foreign", "zeros", "directory", "loop", "nowhere", "above"];

/// Puts something in the place of `path`.
fn replace(path: &Path, what: &str) {
    let size = fs::metadata(path).map_or(0, |found| usize::try_from(found.len()).expect("small"));
    if path.is_dir() {
        fs::remove_dir_all(path).expect("removed");
    } else {
        fs::remove_file(path).expect("removed");
    }
    match what {
        "nothing" => {}
        "empty" => fs::write(path, "").expect("written"),
        "foreign" => fs::write(path, [b"\x89PNG\r\n".as_slice(), &[0x5a; 9_000]].concat()).expect("written"),
        "zeros" => fs::write(path, vec![0; size]).expect("written"),
        "directory" => fs::create_dir(path).expect("made"),
        "loop" => symlink(path, path).expect("linked"),
        "nowhere" => symlink("/nowhere/at/all", path).expect("linked"),
        "above" => symlink("..", path).expect("linked"),
        other => panic!("{other}"),
    }
}

/// Every file under a directory with its bytes, links as links.
fn tree(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut listed: Vec<_> = fs::read_dir(directory).expect("listed").map(|entry| entry.expect("an entry")).collect();
    listed.sort_by_key(fs::DirEntry::path);
    for entry in listed {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        if kind.is_dir() {
            files.push((path.clone(), Vec::new()));
            files.extend(tree(&path));
        } else if kind.is_symlink() {
            let target = fs::read_link(&path).expect("a link").into_os_string().into_encoded_bytes();
            files.push((path, target));
        } else {
            files.push((path.clone(), fs::read(&path).expect("read")));
        }
    }
    files
}

#[test]
fn whatever_stands_in_the_place_of_a_nodes_file_is_told_and_kept() {
    for victim in [
        "superblock",
        "promises.log",
        "reserve",
        "spaces",
        "spaces/orders",
        "spaces/orders/wal-0000000000000001.log",
        "spaces/orders/wal-0000000000000029.log",
    ] {
        for what in IN_ITS_PLACE {
            let directory = tempfile::tempdir().expect("a directory");
            let data = directory.path().join("data");
            let (options, entries) = stopped(StdDisk, &data);
            replace(&data.join(victim), what);
            let before = tree(&data);
            let report = verify(&StdDisk, &data);
            if let Ok(items) = inspect(StdDisk, &data.join("spaces/orders")) {
                assert!(items.count() < 1_000);
            }
            assert!(tree(&data) == before, "{victim}: {what}: reading changed something");
            let place = format!("{victim}: {what}: {report:?}");
            // A reserve may be given up, and is made again.
            let harmless = victim == "reserve" && ["nothing", "empty", "zeros"].contains(&what);
            assert_eq!(report.is_ok_and(|report| report.damage.is_empty()), harmless, "{place}");
            let files = || tree(&data);
            let opened = opens_whole_or_not_at_all(StdDisk, &options, &entries, &files, &|| place.clone());
            assert_eq!(opened, harmless || (victim, what) == ("reserve", "foreign"), "{place}");
        }
    }
}

#[test]
fn whatever_stands_in_the_place_of_engrams_file_is_told_and_kept() {
    for file in 0..2 {
        for what in IN_ITS_PLACE {
            let directory = tempfile::tempdir().expect("a directory");
            for (number, entries) in engrams().iter().enumerate() {
                super::engram_files::write_segment(directory.path(), 0x6920_bab9 + number as u64, entries);
            }
            replace(&directory.path().join(segment(0x6920_bab9 + file)), what);
            let before = tree(directory.path());
            let report = verify(&StdDisk, directory.path());
            if let Ok(items) = inspect(StdDisk, directory.path()) {
                assert!(items.count() < 1_000);
            }
            assert!(tree(directory.path()) == before, "{file}: {what}: reading changed something");
            // Whether there was a last file, nothing tells.
            let harmless = file == 1 && ["nothing", "empty", "zeros"].contains(&what);
            let place = format!("{file}: {what}: {report:?}");
            let report = report.expect("readable");
            assert_eq!(report.damage.is_empty() && report.torn_tail.is_none(), harmless, "{place}");
            assert_eq!(report.entries, if file == 0 { 6 } else { 14 }, "{place}");
            let options = options(&directory.path().join("data"), FsyncMode::PerBatch);
            let source = directory.path().to_owned();
            let target = ImportOptions { source, space: space_name(), entry_bytes_max: 1 << 20 };
            let imported = import_engram(&StdDisk, &options, &target).expect("the rest is imported");
            assert_eq!((imported.entries, imported.damage), (report.entries, report.damage), "{place}");
            let kept: Vec<_> =
                tree(directory.path()).into_iter().filter(|(path, _)| !path.starts_with(&options.directory)).collect();
            assert!(kept == before, "{place}: the import changed something");
        }
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_waits_for_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("superblock");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    let (told, answer) = std::sync::mpsc::channel();
    // A thread of its own: where the pipe is opened, it never comes back.
    std::thread::spawn(move || told.send(StdDisk.open(&pipe, Access::Read).map(drop)));
    let answer = answer.recv_timeout(core::time::Duration::from_secs(60)).expect("an answer");
    let words = answer.expect_err("refused").to_string();
    assert!(words.contains("expected a file, found") && words.contains("superblock"), "{words}");
}

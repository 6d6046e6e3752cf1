//! The disk forgets what was not synced, and nothing else.

use std::io::IoSlice;
use std::path::Path;

use engraft::wal::{Access, Disk, DiskFile};

use super::{SimDisk, Survivor, Survivors, UnsyncedKind};

fn file_with(disk: &SimDisk, path: &str, bytes: &[u8]) -> super::SimFile {
    let file = disk.open(Path::new(path), Access::CreateNew).expect("made");
    file.write_at(&[IoSlice::new(bytes)], 0).expect("written");
    file
}

fn read(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    disk.files().remove(Path::new(path))
}

#[test]
fn synced_bytes_and_names_survive_every_crash() {
    for draw in 0..200 {
        let disk = SimDisk::new(7, 1);
        let file = file_with(&disk, "/log", &[1; 3000]);
        file.sync().expect("synced");
        disk.sync_directory(Path::new("/")).expect("synced");
        file.write_at(&[IoSlice::new(&[2; 2000])], 3000).expect("written");
        disk.crash(draw);
        let bytes = read(&disk, "/log").expect("the name is durable");
        assert_eq!(&bytes[..3000], &[1; 3000], "crash {draw}");
        assert!(bytes[3000..].iter().all(|byte| *byte == 2 || *byte == 0), "crash {draw}");
    }
}

#[test]
fn unsynced_bytes_are_kept_lost_and_torn_over_many_crashes() {
    let (mut kept, mut lost, mut mixed, mut nameless) = (0, 0, 0, 0);
    for draw in 0..300 {
        let disk = SimDisk::new(7, 1);
        let file = file_with(&disk, "/log", &[0; 4096]);
        file.sync().expect("synced");
        let unnamed = draw % 2 == 0;
        if !unnamed {
            disk.sync_directory(Path::new("/")).expect("synced");
        }
        file.write_at(&[IoSlice::new(&[9; 4096])], 0).expect("written");
        disk.crash(draw);
        match read(&disk, "/log") {
            None => {
                assert!(unnamed, "a durable name was lost");
                nameless += 1;
            }
            Some(bytes) => match bytes.iter().filter(|byte| **byte == 9).count() {
                0 => lost += 1,
                4096 => kept += 1,
                _ => mixed += 1,
            },
        }
    }
    assert!(kept > 20 && lost > 20 && mixed > 20 && nameless > 20, "{kept} {lost} {mixed} {nameless}");
}

#[test]
fn a_failed_sync_may_call_pages_clean_that_are_lost_later() {
    let mut lost = 0;
    for draw in 0..50 {
        let disk = SimDisk::new(draw, 1);
        let file = file_with(&disk, "/log", &[0; 1024]);
        file.sync().expect("synced");
        disk.sync_directory(Path::new("/")).expect("synced");
        file.write_at(&[IoSlice::new(&[5; 1024])], 0).expect("written");
        disk.fail_next_sync();
        assert!(file.sync().is_err());
        assert_eq!(read(&disk, "/log").expect("there"), [5; 1024], "the page cache still shows them");
        assert!(file.sync().is_ok(), "the next sync lies without meaning to");
        disk.crash(draw);
        lost += u32::from(read(&disk, "/log").expect("there") != [5; 1024]);
    }
    assert!(lost > 10, "{lost}");
}

#[test]
fn written_again_after_a_failed_sync_they_are_durable() {
    for draw in 0..50 {
        let disk = SimDisk::new(draw, 1);
        let file = file_with(&disk, "/log", &[0; 1024]);
        disk.settle();
        file.write_at(&[IoSlice::new(&[5; 1024])], 0).expect("written");
        disk.fail_next_sync();
        assert!(file.sync().is_err());
        file.write_at(&[IoSlice::new(&[5; 1024])], 0).expect("written");
        file.sync().expect("synced");
        disk.crash(draw);
        assert_eq!(read(&disk, "/log").expect("there"), [5; 1024]);
    }
}

#[test]
fn a_lying_sync_keeps_nothing() {
    let mut lost = 0;
    for draw in 0..50 {
        let disk = SimDisk::new(draw, 1);
        let file = file_with(&disk, "/log", &[0; 512]);
        disk.settle();
        disk.set_lying(true);
        file.write_at(&[IoSlice::new(&[5; 512])], 0).expect("written");
        file.sync().expect("it says so");
        disk.crash(draw);
        lost += u32::from(read(&disk, "/log").expect("there") != [5; 512]);
    }
    assert!(lost > 10, "{lost}");
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let disk = SimDisk::new(1, 1);
    let file = file_with(&disk, "/log", &[1; 100]);
    disk.fill(Some(150));
    let error = file.write_at(&[IoSlice::new(&[2; 100])], 100).expect_err("full");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(file.size().expect("size"), 150);
    file.write_at(&[IoSlice::new(&[3; 100])], 0).expect("what is there can be written over");
    disk.fill(None);
    file.write_at(&[IoSlice::new(&[2; 100])], 100).expect("room again");
}

#[test]
fn handles_of_a_dead_process_are_dead() {
    let disk = SimDisk::new(1, 1);
    let file = file_with(&disk, "/log", &[1; 10]);
    disk.kill();
    assert!(file.write_at(&[IoSlice::new(&[2; 10])], 0).is_err());
    assert_eq!(read(&disk, "/log").expect("the page cache lives on"), [1; 10]);
}

#[test]
fn a_rename_is_whole_or_not_there() {
    let (mut old, mut new) = (0, 0);
    for draw in 0..60 {
        let disk = SimDisk::new(1, 1);
        let _ = file_with(&disk, "/name", b"old");
        disk.settle();
        file_with(&disk, "/other", b"new").sync().expect("synced");
        disk.sync_directory(Path::new("/")).expect("synced");
        disk.rename(Path::new("/other"), Path::new("/name")).expect("renamed");
        disk.crash(draw);
        match (read(&disk, "/name").as_deref(), read(&disk, "/other").as_deref()) {
            (Some(b"old"), Some(b"new")) => old += 1,
            (Some(b"new"), None) => new += 1,
            other => panic!("half a rename: {other:?}"),
        }
    }
    assert!(old > 10 && new > 10, "{old} {new}");
}

#[test]
fn a_misdirected_write_shows_after_a_crash() {
    let disk = SimDisk::new(3, 1);
    let file = file_with(&disk, "/log", &[1; 2048]);
    disk.settle();
    file.write_at(&[IoSlice::new(&[2; 512])], 512).expect("written");
    disk.misdirect_next_write();
    file.sync().expect("synced");
    assert_eq!(read(&disk, "/log").expect("there").iter().filter(|byte| **byte == 2).count(), 512);
    disk.crash(0);
    let bytes = read(&disk, "/log").expect("there");
    assert_eq!(&bytes[512..1024], &[1; 512], "its own place was not written");
    assert_eq!(bytes.iter().filter(|byte| **byte == 2).count(), 512, "another was");
}

#[test]
fn a_cut_that_was_not_synced_may_come_back() {
    let (mut cut, mut back) = (0, 0);
    for draw in 0..100 {
        let disk = SimDisk::new(1, 1);
        let file = file_with(&disk, "/log", &[1; 2048]);
        disk.settle();
        file.set_size(100).expect("cut");
        disk.crash(draw);
        match read(&disk, "/log").expect("there").as_slice() {
            bytes if bytes.len() == 100 => cut += 1,
            bytes if bytes.len() == 2048 => back += 1,
            bytes => panic!("{} bytes", bytes.len()),
        }
    }
    assert!(cut > 10 && back > 10, "{cut} {back}");
}

#[test]
fn a_fork_lives_for_itself_and_a_killed_process_writes_no_more() {
    let disk = SimDisk::new(1, 1);
    let file = file_with(&disk, "/log", &[1; 10]);
    let fork = disk.fork();
    disk.kill_after(1);
    file.write_at(&[IoSlice::new(&[2; 10])], 0).expect("the last one");
    assert!(file.write_at(&[IoSlice::new(&[3; 10])], 0).is_err());
    assert_eq!(read(&disk, "/log").expect("there"), [2; 10]);
    assert_eq!(read(&fork, "/log").expect("there"), [1; 10]);
}

/// Two unsynced writes over three blocks, a cut, and a rename.
fn unsynced_history() -> (SimDisk, super::SimFile) {
    let disk = SimDisk::new(1, 1);
    let file = file_with(&disk, "/log", &[1; 1024]);
    let _ = file_with(&disk, "/other", b"other");
    disk.settle();
    file.write_at(&[IoSlice::new(&[2; 600])], 500).expect("written");
    file.write_at(&[IoSlice::new(&[3; 100])], 550).expect("written");
    disk.rename(Path::new("/other"), Path::new("/another")).expect("renamed");
    (disk, file)
}

#[test]
fn a_crash_point_tells_each_block_of_each_unsynced_write() {
    let (disk, file) = unsynced_history();
    let point = disk.crash_point();
    let pieces: Vec<_> = point
        .changes()
        .iter()
        .map(|piece| match &piece.kind {
            UnsyncedKind::Bytes { offset, bytes, over } => (*offset, bytes.clone(), over.clone()),
            UnsyncedKind::Size(size) => panic!("no size was set: {size}"),
        })
        .collect();
    let expected = [
        (500, vec![2; 12], vec![1; 12]),
        (512, vec![2; 512], vec![1; 512]),
        (1024, vec![2; 76], vec![0; 76]),
        (550, vec![3; 100], vec![2; 100]),
    ];
    assert_eq!(pieces, expected);
    assert_eq!(point.changes()[2].change + 1, point.changes()[3].change, "three pieces of one write, one of the next");
    let paths: Vec<_> = point.names().iter().map(|name| name.paths.as_slice()).collect();
    assert_eq!(paths, [[Path::new("/other").to_owned(), Path::new("/another").to_owned()]]);
    file.sync().expect("synced");
    disk.sync_directory(Path::new("/")).expect("synced");
    assert!(disk.crash_point().changes().is_empty() && disk.crash_point().names().is_empty());
}

#[test]
fn what_is_chosen_survives_and_nothing_else() {
    let (disk, _file) = unsynced_history();
    let point = disk.crash_point();
    let log = |survivors: &Survivors| read(&point.disk(survivors), "/log").expect("durable");
    assert_eq!(log(&Survivors::default()), [1; 1024]);
    assert_eq!(Some(log(&point.keeping(|_| true))), read(&disk, "/log"), "all of it is what a reader saw");
    let last_block = log(&point.keeping(|piece| piece == 2));
    assert_eq!((last_block.len(), &last_block[1024..]), (1100, [2; 76].as_slice()), "its block makes the file longer");
    assert_eq!(last_block[..1024], [1; 1024], "and the blocks before it are as they were");
    let torn = log(&Survivors { changes: vec![Survivor { change: 1, bytes: 10..20 }], names: vec![] });
    assert_eq!((&torn[..522], &torn[522..532], &torn[532..]), (&[1; 522][..], &[2; 10][..], &[1; 492][..]));
    let reversed = [3, 1].map(Survivor::whole).to_vec();
    assert_eq!(log(&Survivors { changes: reversed, names: vec![] })[550..650], [2; 100], "the last one covers");
    let renamed = point.disk(&point.keeping(|_| false));
    assert_eq!((read(&renamed, "/other"), read(&renamed, "/another")), (None, Some(b"other".to_vec())));
    let kept = point.disk(&Survivors::default());
    assert_eq!((read(&kept, "/other"), read(&kept, "/another")), (Some(b"other".to_vec()), None));
    assert!(!kept.has_unsynced(), "what is left is durable");
}

#[test]
fn the_tears_of_a_write_are_all_of_its_beginnings() {
    let (disk, file) = unsynced_history();
    // Half of it is there already, so cutting there leaves the disk of the cut before.
    file.write_at(&[IoSlice::new(&[[3; 10], [4; 10]].concat())], 600).expect("written");
    let point = disk.crash_point();
    let torn: Vec<_> = point.tears().map(|tear| read(&point.disk(&tear), "/log").expect("durable")).collect();
    let whole = read(&disk, "/log").expect("durable");
    assert_eq!(torn.len(), 10);
    for (count, found) in (1..).zip(&torn) {
        assert_eq!(found[..610 + count], whole[..610 + count], "{count}");
        assert_eq!(found[610 + count..650], vec![3; 40 - count], "{count}");
    }
}

#[test]
fn a_size_survives_or_not_in_its_place() {
    let (disk, file) = unsynced_history();
    disk.settle();
    file.set_size(100).expect("cut");
    file.write_at(&[IoSlice::new(&[5; 10])], 200).expect("written");
    let point = disk.crash_point();
    assert_eq!(point.changes().len(), 2, "{:?}", point.changes());
    let log = |keep: &dyn Fn(usize) -> bool| read(&point.disk(&point.keeping(keep)), "/log").expect("durable");
    assert_eq!(log(&|_| false).len(), 1100);
    assert_eq!(log(&|piece| piece == 0), [[1; 100]].concat());
    assert_eq!(log(&|_| true), [&[1; 100][..], &[0; 100], &[5; 10]].concat());
    let without_the_cut = log(&|piece| piece == 1);
    assert_eq!((without_the_cut.len(), &without_the_cut[200..210]), (1100, [5; 10].as_slice()));
}

/// After a failed sync some pages are called clean: no choice brings them to the medium, until they are written again.
#[test]
fn pages_that_a_failed_sync_called_clean_do_not_survive() {
    let mut clean = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed, 1);
        let file = file_with(&disk, "/log", &[1; 512]);
        disk.settle();
        file.write_at(&[IoSlice::new(&[2; 512])], 0).expect("written");
        disk.fail_next_sync();
        assert!(file.sync().is_err());
        let log = |point: &super::CrashPoint| read(&point.disk(&point.keeping(|_| true)), "/log").expect("durable");
        let point = disk.crash_point();
        if point.changes().is_empty() {
            clean += 1;
            assert_eq!(log(&point), [1; 512]);
            file.write_at(&[IoSlice::new(&[3; 10])], 0).expect("written");
            assert_eq!(
                log(&disk.crash_point())[..],
                [&[3; 10][..], &[2; 502]].concat(),
                "the page is dirty as a whole"
            );
        } else {
            assert_eq!(log(&point), [2; 512]);
        }
    }
    assert!((5..35).contains(&clean), "{clean}");
}

#[test]
fn a_crash_point_is_kept_after_each_change() {
    let disk = SimDisk::new(1, 1);
    disk.keep_crash_points();
    let file = file_with(&disk, "/log", &[1; 10]);
    file.sync().expect("synced");
    assert_eq!(disk.crash_points_kept(), 3);
    disk.sync_directory(Path::new("/")).expect("synced");
    let points = disk.take_crash_points();
    let left: Vec<_> =
        points.iter().map(|(_, point)| read(&point.disk(&Survivors::default()), "/log").map(|log| log.len())).collect();
    assert_eq!(left, [None, None, None, Some(10)], "nothing survives before the name is durable");
    let most: Vec<_> = points
        .iter()
        .map(|(_, point)| read(&point.disk(&point.keeping(|_| true)), "/log").map(|log| log.len()))
        .collect();
    assert_eq!(most, [Some(0), Some(10), Some(10), Some(10)]);
}

#[test]
fn a_read_only_disk_refuses_every_change_and_reads() {
    let disk = SimDisk::new(1, 1);
    let file = file_with(&disk, "/log", &[1; 10]);
    disk.set_read_only(true);
    let refused = |result: std::io::Result<()>| {
        assert_eq!(result.expect_err("refused").kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    };
    refused(file.write_at(&[IoSlice::new(b"x")], 0));
    refused(file.set_size(0));
    refused(disk.open(Path::new("/log"), Access::ReadWrite).map(|_| ()));
    refused(disk.open(Path::new("/new"), Access::CreateNew).map(|_| ()));
    refused(disk.rename(Path::new("/log"), Path::new("/new")));
    refused(disk.remove_file(Path::new("/log")));
    refused(disk.create_dir_all(Path::new("/directory")));
    let read = disk.open(Path::new("/log"), Access::Read).expect("there");
    assert_eq!(read.size().expect("size"), 10);
}

#[test]
fn a_directory_is_renamed_with_all_that_is_in_it() {
    let disk = SimDisk::new(1, 1);
    disk.create_dir_all(Path::new("/from/below")).expect("made");
    let _ = file_with(&disk, "/from/below/log", b"log");
    let unsynced = disk.rename(Path::new("/from"), Path::new("/to")).expect_err("a name in it is not durable");
    assert_eq!(unsynced.kind(), std::io::ErrorKind::Unsupported);
    disk.settle();
    disk.rename(Path::new("/from"), Path::new("/to")).expect("renamed");
    assert_eq!((read(&disk, "/from/below/log"), read(&disk, "/to/below/log")), (None, Some(b"log".to_vec())));
    assert!(disk.list(Path::new("/from")).is_err());
    let point = disk.crash_point();
    assert_eq!(point.names().len(), 1, "at once");
    let before = point.disk(&Survivors::default());
    assert_eq!((read(&before, "/from/below/log"), read(&before, "/to/below/log")), (Some(b"log".to_vec()), None));
}

//! The disk forgets what was not synced, and nothing else.

use std::io::IoSlice;
use std::path::Path;

use engraft::wal::{Access, Disk, DiskFile};

use super::SimDisk;

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

//! Torn or corrupt: which break may be cut, and which must not.

use std::path::{Path, PathBuf};

use engraft::core::{Event, StorageErrorKind, StorageOperation};
use engraft::driver::wal_worker::{StorageOpened, StorageOptions, WalRequest};
use engraft::types::{FsyncMode, ReadId, Sequence};
use engraft::wal::{Disk, Inspected, inspect, verify};
use engraft_sim::disk::SimDisk;

use super::support::{
    append, beginning, bytes, entries_after, flip, fresh_disk, open, options, put, read_all, run, same, space, swap,
};

const NODE: &str = "/node";
const SPACE: &str = "/node/spaces/orders";

fn small() -> StorageOptions {
    let mut options = options(Path::new(NODE), FsyncMode::PerBatch);
    options.wal.segment_bytes_min = 4096;
    options.wal.segment_bytes_max = 8192;
    options
}

fn segment(first: u64) -> PathBuf {
    Path::new(SPACE).join(format!("wal-{first:016x}.log"))
}

/// A disk with these groups of entries of 100 bytes in all, killed after the last; nothing saved the mark.
fn killed_after(groups: &[u64]) -> SimDisk {
    let disk = fresh_disk();
    let (mut worker, _) = open(disk.clone(), &small());
    let entries = entries_after(beginning(), 1, groups.iter().sum(), |_| 36);
    let mut rest = entries.as_slice();
    for (write, count) in (1..).zip(groups) {
        let (group, behind) = rest.split_at(usize::try_from(*count).expect("small"));
        append(&mut worker, write, group);
        rest = behind;
    }
    disk
}

fn clear(disk: &SimDisk, path: &Path, from: usize, to: usize) {
    for at in from..to {
        let byte = bytes(disk, path)[at];
        flip(disk, path, at, byte);
    }
}

fn refused(opened: &StorageOpened) -> &str {
    match opened.events.first() {
        Some(Event::SpaceOpenFailed { error, .. }) => {
            assert_eq!(error.kind, StorageErrorKind::Corrupt);
            &error.detail
        }
        other => panic!("expected a refusal, found {other:?}"),
    }
}

/// The simpler rule, "valid entries behind a hole mean corruption", would refuse this log for good, though all that
/// happened is that the pages of one unsynced group reached the disk in another order.
#[test]
fn valid_entries_behind_a_hole_are_a_torn_group() {
    let disk = killed_after(&[5, 20]);
    // The second group was being written: its third block of 512 bytes never came, the later ones did.
    clear(&disk, &segment(1), 1_024, 1_536);
    let behind = inspect(disk.clone(), Path::new(SPACE))
        .expect("readable")
        .skip_while(|item| matches!(item, Ok(Inspected::Entry(_))))
        .filter(|item| matches!(item, Ok(Inspected::Entry(_))))
        .count();
    assert_eq!(behind, 9, "entries 17 to 25 check out behind the hole");
    let report = verify(&disk, Path::new(SPACE)).expect("readable");
    assert_eq!((report.damage, report.torn_tail.map(|torn| torn.offset)), (vec![], Some(1_000)));
    let (mut worker, opened) = open(disk.clone(), &small());
    let report = &opened.reports.first().expect("open").1;
    assert_eq!((report.entries, report.torn_tail.as_ref().map(|torn| torn.offset)), (10, Some(1_000)));
    assert!(same(&read_all(&mut worker), &entries_after(beginning(), 1, 10, |_| 36)), "the whole prefix is kept");
    assert!(bytes(&disk, &segment(1))[1_000..].iter().all(|byte| *byte == 0), "and nothing behind it");
}

#[test]
fn the_same_hole_is_corruption_once_a_later_entry_knew_it_synced() {
    let disk = killed_after(&[5, 20, 1]);
    clear(&disk, &segment(1), 1_024, 1_536);
    let before = bytes(&disk, &segment(1));
    let report = verify(&disk, Path::new(SPACE)).expect("readable");
    assert_eq!((report.damage.len(), &report.torn_tail), (1, &None), "{report:?}");
    assert_eq!((report.damage[0].offset, report.entries), (1_000, 5 + 5 + 9 + 1));
    let (_, opened) = open(disk.clone(), &small());
    assert!(refused(&opened).contains("wal-0000000000000001.log at offset 1000"), "{opened:?}");
    assert_eq!(bytes(&disk, &segment(1)), before, "nothing is changed");
}

#[test]
fn the_same_hole_is_corruption_below_the_saved_mark() {
    let disk = killed_after(&[5, 20]);
    let (mut worker, _) = open(disk.clone(), &small());
    worker.idle();
    assert_eq!(run(&mut worker), []);
    clear(&disk, &segment(1), 1_024, 2_500);
    let (_, opened) = open(disk, &small());
    assert!(refused(&opened).contains("wal-0000000000000001.log at offset 1000"), "{opened:?}");
}

/// A segment is made only once all before it is synced, so its name testifies, though it holds nothing yet.
#[test]
fn the_same_hole_is_corruption_once_a_next_segment_was_made() {
    let disk = killed_after(&[5, 35]);
    put(&disk, &segment(41), &[0; 8_192]);
    clear(&disk, &segment(1), 1_024, 1_536);
    let report = verify(&disk, Path::new(SPACE)).expect("readable");
    assert_eq!((report.damage.len(), &report.torn_tail), (1, &None), "{report:?}");
    let (_, opened) = open(disk, &small());
    assert!(refused(&opened).contains("wal-0000000000000001.log at offset 1000"), "{opened:?}");
}

#[test]
fn entries_missing_at_the_end_below_the_mark_are_corruption() {
    let disk = killed_after(&[5, 20]);
    drop(open(disk.clone(), &small()));
    clear(&disk, &segment(1), 2_400, 2_500);
    let report = verify(&disk, Path::new(SPACE)).expect("readable");
    assert_eq!((report.entries, report.damage.len(), &report.torn_tail), (24, 1, &None), "{report:?}");
    let (_, opened) = open(disk, &small());
    assert!(refused(&opened).contains("the log ends at #24, though #25 was known to be on disk"), "{opened:?}");
}

/// The marks of a later group are themselves in doubt where their node-local bytes do not hold: a copy of old bytes
/// at another place is no witness.
#[test]
fn moved_bytes_are_no_witness() {
    let disk = killed_after(&[5, 20, 1]);
    let path = segment(1);
    clear(&disk, &path, 1_024, 1_536);
    // The one witness, moved by one page: header, payload and checksum hold there as well.
    let witness = bytes(&disk, &path)[2_500..2_600].to_vec();
    clear(&disk, &path, 2_500, 2_600);
    for (at, byte) in witness.iter().enumerate() {
        flip(&disk, &path, 3_000 + at, *byte);
    }
    let (_, opened) = open(disk, &small());
    let report = &opened.reports.first().expect("it opens").1;
    assert_eq!((report.entries, report.torn_tail.as_ref().map(|torn| torn.offset)), (10, Some(1_000)));
}

#[test]
fn an_entry_whose_node_local_bytes_do_not_hold_is_not_accepted() {
    let disk = killed_after(&[5, 1]);
    flip(&disk, &segment(1), 5 * 100 + 61, 4);
    let (_, opened) = open(disk, &small());
    let report = &opened.reports.first().expect("it opens").1;
    assert_eq!((report.entries, report.torn_tail.as_ref().map(|torn| torn.offset)), (5, Some(500)));
}

#[test]
fn rot_in_a_full_segments_unused_bytes_never_costs_the_next_segment() {
    // 40 entries fill the first segment; the second holds only the last group, which nothing testifies for.
    let disk = killed_after(&[40, 3]);
    flip(&disk, &segment(1), 4_090, 1);
    let report = verify(&disk, Path::new(SPACE)).expect("readable");
    assert_eq!((report.entries, report.damage.len(), &report.torn_tail), (43, 1, &None), "{report:?}");
    let (_, opened) = open(disk.clone(), &small());
    assert!(refused(&opened).contains("wal-0000000000000001.log"), "{opened:?}");
    assert_eq!(bytes(&disk, &segment(41))[..4], 0xDEAD_BEEF_u32.to_le_bytes());
}

#[test]
fn a_missing_segment_is_corruption_and_named() {
    let disk = killed_after(&[40, 80, 80, 1]);
    disk.remove_file(&segment(41)).expect("removed");
    let report = verify(&disk, Path::new(SPACE)).expect("readable");
    assert_eq!(report.damage.len(), 1, "{report:?}");
    assert!(report.damage[0].reason.contains("begins with #41 is missing"), "{report:?}");
    let (_, opened) = open(disk, &small());
    assert!(refused(&opened).contains("begins with #41 is missing"), "{opened:?}");
}

#[test]
fn swapped_segments_are_corruption() {
    let disk = killed_after(&[40, 80, 80, 1]);
    swap(&disk, &segment(41), &segment(122));
    let report = verify(&disk, Path::new(SPACE)).expect("readable");
    assert!(report.damage.len() >= 2, "{report:?}");
    assert_eq!(report.entries, 201, "none is lost");
    let (_, opened) = open(disk.clone(), &small());
    assert!(refused(&opened).contains("wal-0000000000000029.log at offset 0"), "{opened:?}");
    assert_eq!(disk.files().keys().filter(|path| path.starts_with(SPACE)).count(), 3, "nothing is deleted");
}

#[test]
fn a_foreign_file_of_a_segments_name_is_refused_and_kept() {
    for first in [1, 41] {
        let disk = killed_after(&[40]);
        let foreign = b"\x89PNG\r\n\x1a\n, but longer than a header is: sixty-four bytes, and some more";
        put(&disk, &segment(first), foreign);
        let report = verify(&disk, Path::new(SPACE)).expect("readable");
        assert!(report.damage.iter().any(|one| one.reason.contains("no file of a log")), "{report:?}");
        let (_, opened) = open(disk.clone(), &small());
        let words = refused(&opened);
        assert!(words.contains(&format!("wal-{first:016x}.log at offset 0")), "{words}");
        assert_eq!(&bytes(&disk, &segment(first))[1..4], b"PNG");
    }
}

#[test]
fn an_empty_segment_is_unused() {
    let disk = killed_after(&[40]);
    put(&disk, &segment(41), b"");
    let report = verify(&disk, Path::new(SPACE)).expect("readable");
    assert_eq!((report.entries, report.damage, report.torn_tail), (40, vec![], None));
    let (_, opened) = open(disk, &small());
    let report = &opened.reports.first().expect("it opens").1;
    assert_eq!((report.entries, report.unused.as_slice()), (40, ["wal-0000000000000029.log".to_owned()].as_slice()));
}

/// A read while the log is open holds every byte of an entry, those that no replica looks at included.
#[test]
fn a_read_refuses_an_entry_whose_node_local_bytes_do_not_hold() {
    let disk = killed_after(&[10]);
    let (mut worker, _) = open(disk.clone(), &small());
    flip(&disk, &segment(1), 5 * 100 + 61, 4);
    let (read, from) = (ReadId(1), Sequence(1));
    worker.submit(WalRequest::Read { space: space(), read, from, entries_max: 10, bytes_max: 1 << 20 });
    let events = run(&mut worker);
    let [Event::StorageFailed { operation: StorageOperation::Read, error, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(error.kind, StorageErrorKind::Corrupt);
    assert!(error.detail.contains("wal-0000000000000001.log at offset 500"), "{error}");
}

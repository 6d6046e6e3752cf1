//! Every single bit of a directory that was stopped cleanly, flipped.

use std::path::{Path, PathBuf};

use engraft::types::FsyncMode;
use engraft::wal::{VerifyReport, verify};
use engraft_sim::disk::SimDisk;

use super::support::{append, beginning, bytes, entries_after, flip, fresh_disk, open, options};

const NODE: &str = "/node";
const SPACE: &str = "/node/spaces/orders";

/// A clean directory with 100 entries in two segments.
fn stopped_cleanly() -> SimDisk {
    let disk = fresh_disk();
    let mut options = options(Path::new(NODE), FsyncMode::PerBatch);
    options.wal.segment_bytes_min = 4096;
    options.wal.segment_bytes_max = 4096;
    let (mut worker, _) = open(disk.clone(), &options);
    let entries = entries_after(beginning(), 1, 100, |sequence| usize::try_from(sequence % 9).expect("small"));
    append(&mut worker, 1, &entries[..70]);
    append(&mut worker, 2, &entries[70..]);
    worker.close().expect("a clean stop");
    disk
}

/// Flips each bit of each file for which the choices say so, and gives the report of each to `check`.
fn flip_all(
    directory: &str,
    chosen: impl Fn(&Path) -> bool,
    bits: impl Fn(&Path, usize, u8) -> bool,
    check: impl Fn(&Path, usize, u8, &VerifyReport),
) -> u64 {
    let disk = stopped_cleanly();
    let clean = verify(&disk, Path::new(directory)).expect("readable");
    assert_eq!((clean.entries, &clean.damage, &clean.torn_tail), (100, &vec![], &None));
    let paths: Vec<PathBuf> = disk.paths().into_iter().map(|(path, _)| path).filter(|path| chosen(path)).collect();
    let mut flips = 0;
    for path in paths {
        for at in 0..bytes(&disk, &path).len() {
            for mask in (0..8).map(|bit| 1 << bit).filter(|mask| bits(&path, at, *mask)) {
                flip(&disk, &path, at, mask);
                check(&path, at, mask, &verify(&disk, Path::new(directory)).expect("readable"));
                flip(&disk, &path, at, mask);
                flips += 1;
            }
        }
    }
    flips
}

#[test]
fn no_flipped_bit_of_a_segment_goes_undetected_or_costs_another_entry() {
    let segments = |path: &Path| path.starts_with(SPACE);
    let flips = flip_all(
        SPACE,
        segments,
        |_, _, _| true,
        |path, at, mask, report| {
            let what = || format!("{} byte {at} mask {mask}: {report:?}", path.display());
            let [damage] = report.damage.as_slice() else { panic!("{}", what()) };
            assert_eq!(Some(damage.file.as_str()), path.file_name().and_then(|name| name.to_str()), "{}", what());
            assert!(damage.offset <= at as u64, "{}", what());
            assert_eq!(report.torn_tail, None, "{}", what());
            assert!(report.entries >= 99, "{}", what());
        },
    );
    assert_eq!(flips, 2 * 4096 * 8);
}

#[test]
fn no_flipped_bit_of_the_nodes_own_files_goes_undetected() {
    let others = |path: &Path| !path.starts_with(SPACE) && path != Path::new("/node/reserve");
    // Of the zeros that fill the superblock's slots, one bit of each byte.
    let bits = |path: &Path, at: usize, mask: u8| {
        !path.ends_with("superblock") || at % 4096 < 80 || at % 4096 >= 4088 || mask == 1 << (at % 8)
    };
    let flips = flip_all(NODE, others, bits, |path, at, mask, report| {
        assert_eq!(report.damage.len(), 1, "{} byte {at} mask {mask}: {report:?}", path.display());
        assert_eq!(report.entries, 100);
    });
    assert!(flips > 2 * 4096, "{flips}");
}

//! Files of Engram's that are missing, swapped or cut: what testifies is damage, what may be Engram's own doing is not.

use std::path::Path;

use engraft::wal::{Gap, Inspected, StdDisk, VerifyReport, inspect, verify};

use super::engram_files::{EngramEntry, segment, write_segment};

/// The second in which the first of the test's files was made.
const SECOND: u64 = 1_763_752_633;

/// Entries of these numbers, one each millisecond from so many seconds after the first file was made.
fn entries(numbers: impl IntoIterator<Item = u64>, seconds: u64) -> Vec<EngramEntry> {
    let entry = |(place, number)| {
        let timestamp = (SECOND + seconds) * 1_000_000_000 + place * 1_000_000;
        EngramEntry { timestamp, ..EngramEntry::new(number, 1, vec![3; 20]) }
    };
    (0_u64..).zip(numbers).map(entry).collect()
}

/// The report of a directory with files that were made so many seconds after the first.
fn verified(files: &[(u64, Vec<EngramEntry>)]) -> VerifyReport {
    let directory = tempfile::tempdir().expect("a directory");
    for (second, entries) in files {
        write_segment(directory.path(), SECOND + second, entries);
    }
    verify(&StdDisk, directory.path()).expect("readable")
}

/// The places of the damage: the file by its second, and the offset.
fn places(report: &VerifyReport) -> Vec<(u64, u64)> {
    let second = |file: &str| u64::from_str_radix(&file[4..20], 16).expect("a name") - SECOND;
    report.damage.iter().map(|damage| (second(&damage.file), damage.offset)).collect()
}

fn whole(report: &VerifyReport) {
    assert_eq!(
        (report.damage.as_slice(), report.torn_tail.as_ref(), report.gaps.as_slice()),
        ([].as_slice(), None, [].as_slice())
    );
}

/// One log that was split into three files, as the fixture of two is.
fn split() -> [(u64, Vec<EngramEntry>); 3] {
    let mut all = entries(0..100, 0);
    let third = all.split_off(70);
    let second = all.split_off(40);
    [(0, all), (3_600, second), (7_200, third)]
}

#[test]
fn a_split_log_and_one_of_many_starts_are_whole() {
    whole(&verified(&split()));
    // Each start of Engram's makes a file, both counters begin at 0, and a start that wrote nothing leaves it empty.
    let starts = [(0, entries(0..50, 0)), (60, vec![]), (70, entries(0..9, 80)), (100, entries(0..70, 100))];
    whole(&verified(&starts));
    // Two threads may take their numbers in one order and write in the other, also at a file's beginning.
    whole(&verified(&[(0, entries([1, 0, 2, 4, 3, 5], 0)), (9, entries([2, 1, 0], 9))]));
    // An entry may wait in the queue while later ones are written.
    let mut late = entries(0..20, 0);
    late[10].timestamp -= 5_000_000_000;
    whole(&verified(&[(0, late)]));
}

/// Compaction writes a new file, renames it, and then removes the others; meanwhile the writer goes on.
#[test]
fn a_compaction_that_was_cut_off_is_no_damage() {
    let report = verified(&[(0, entries(0..200, 0)), (100, entries(0..30, 100))]);
    assert_eq!((places(&report), report.duplicates, &report.gaps), (vec![], 30, &vec![]));
    let mut went_on = entries(0..200, 0);
    went_on.extend(entries(200..230, 101));
    let report = verified(&[(0, went_on), (100, entries(0..30, 100))]);
    assert_eq!((places(&report), &report.gaps), (vec![], &vec![]));
}

#[test]
fn a_clock_that_was_set_back_is_no_damage() {
    // The second start is at an earlier time than the entries of the first, but not before its own name.
    whole(&verified(&[(0, entries(0..50, 3_600)), (1_800, entries(0..50, 1_801))]));
    // Entries are older than the name of their file, but no others are newer.
    whole(&verified(&[(1_800, entries(0..50, 0))]));
}

#[test]
fn a_missing_middle_file_is_damage_with_the_place_where_the_log_goes_on() {
    let [first, _, third] = split();
    let report = verified(&[first, third]);
    assert_eq!((places(&report), report.entries), (vec![(7_200, 0)], 70));
    let words = &report.damage[0].reason;
    assert!(words.contains("expected a file to begin with #40, or at #0; found #70"), "{words}");
}

#[test]
fn a_middle_file_that_is_empty_or_all_zeros_is_damage() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = split();
    for (second, entries) in &files {
        write_segment(directory.path(), SECOND + second, entries);
    }
    let middle = directory.path().join(segment(SECOND + 3_600));
    let size = std::fs::read(&middle).expect("read").len();
    for bytes in [vec![], vec![0; size]] {
        std::fs::write(&middle, bytes).expect("written");
        assert_eq!(places(&verify(&StdDisk, directory.path()).expect("readable")), [(7_200, 0)]);
    }
}

#[test]
fn a_missing_beginning_is_damage() {
    let [_, second, third] = split();
    let report = verified(&[second, third]);
    assert_eq!(places(&report), [(3_600, 0)]);
    assert!(report.damage[0].reason.contains("found #40"), "{report:?}");
}

/// A file that ends at an entry's end, but early: nothing in it tells, the next one does.
#[test]
fn a_file_cut_between_two_entries_is_damage_where_the_next_begins() {
    let [mut first, second, third] = split();
    first.1.truncate(35);
    assert_eq!(places(&verified(&[first, second, third])), [(3_600, 0)]);
}

#[test]
fn swapped_files_of_a_split_log_are_damage() {
    let [first, second, third] = split();
    let report = verified(&[(0, second.1.clone()), (3_600, first.1.clone()), (7_200, third.1.clone())]);
    assert!(places(&report).contains(&(0, 0)) && report.entries == 100, "{report:?}");
    let report = verified(&[(0, first.1), (3_600, third.1), (7_200, second.1)]);
    assert!(places(&report).contains(&(3_600, 0)) && report.entries == 100, "{report:?}");
}

/// Each begins at 0: only the clock tells.
#[test]
fn swapped_files_of_two_starts_are_damage() {
    let report = verified(&[(0, entries(0..50, 3_600)), (3_600, entries(0..80, 0))]);
    assert_eq!((places(&report), report.entries), (vec![(3_600, 0)], 130));
    assert!(report.damage[0].reason.contains("not in their order"), "{report:?}");
}

/// What a break costs is reported once.
#[test]
fn a_break_that_explains_what_is_missing_is_the_only_damage() {
    let directory = tempfile::tempdir().expect("a directory");
    for (second, entries) in split() {
        write_segment(directory.path(), SECOND + second, &entries);
    }
    let flip = |second: u64, entry: usize| {
        let path = directory.path().join(segment(SECOND + second));
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[entry * 84 + 5] ^= 1;
        std::fs::write(&path, bytes).expect("written");
    };
    for (second, entry) in [(0, 0), (0, 20), (0, 39), (3_600, 0), (3_600, 29), (7_200, 0)] {
        flip(second, entry);
        let report = verify(&StdDisk, directory.path()).expect("readable");
        assert_eq!((places(&report), report.entries), (vec![(second, entry as u64 * 84)], 99), "{second} {entry}");
        assert_eq!(report.gaps, [], "{second} {entry}");
        flip(second, entry);
    }
}

/// Engram itself leaves a number out where a write fails, so this alone is no damage.
#[test]
fn numbers_left_out_within_a_file_are_told_as_gaps() {
    let numbers = (0..10).chain(15..20).chain([30]);
    let report = verified(&[(0, entries(numbers, 0)), (50, entries([0, 1, 5], 50))]);
    let gap = |second: u64, offset, expected, found| Gap { file: segment(SECOND + second), offset, expected, found };
    assert_eq!(report.gaps, [gap(0, 840, 10, 15), gap(0, 1_260, 20, 30), gap(50, 168, 2, 5)]);
    assert_eq!(report.damage, []);
}

#[test]
fn an_entry_of_ours_among_engrams_is_damage() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(segment(SECOND));
    let mut bytes: Vec<u8> = entries(0..3, 0).iter().flat_map(EngramEntry::bytes).collect();
    let ours = super::support::entries_after(super::support::beginning(), 1, 1, |_| 8);
    bytes.extend([ours[0].header.as_bytes().as_slice(), &ours[0].payload].concat());
    std::fs::write(&path, bytes).expect("written");
    let report = verify(&StdDisk, directory.path()).expect("readable");
    assert_eq!((places(&report), report.entries), (vec![(0, 3 * 84 + 36)], 4));
}

#[test]
fn every_fixture_without_a_defect_stays_whole() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engram");
    for name in ["duplicate-seq", "torn-header", "two-segments-contiguous"] {
        let report = verify(&StdDisk, &fixtures.join(name)).expect("readable");
        assert_eq!((report.damage.as_slice(), report.gaps.as_slice()), ([].as_slice(), [].as_slice()), "{name}");
        let breaks = inspect(StdDisk, &fixtures.join(name))
            .expect("readable")
            .filter(|item| matches!(item, Ok(Inspected::Break { .. })));
        assert_eq!(breaks.count(), usize::from(name == "torn-header"), "{name}");
    }
}

//! Engram's own directories: read exactly, written again byte for byte, and read further than Engram's reader does.

use alloc::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use engraft::core::{Event, StorageErrorKind};
use engraft::types::entry::HeaderFields;
use engraft::types::{Control, Entry, Epoch, FsyncMode, HEADER_SIZE, Sequence, WalEntryHeader, WalEntryType};
use engraft::wal::{Damage, Inspected, Origin, StdDisk, TornPlace, inspect, verify};
use serde_json::Value;

use super::support::{append, beginning, entries_after, open, options, same};

const FIRST: &str = "wal-000000006920bab9.log";
const SECOND: &str = "wal-000000006920c8c9.log";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engram")
}

fn manifest() -> Value {
    let text = fs::read_to_string(fixtures().join("MANIFEST.json")).expect("the manifest");
    serde_json::from_str(&text).expect("JSON")
}

/// One entry as the manifest has it.
struct Written {
    offset: usize,
    sequence: u64,
    timestamp: u64,
    kind: u32,
    size: usize,
    payload_crc: String,
    header_crc: String,
}

impl Written {
    fn of(row: &Value) -> Self {
        let number = |at: usize| row[at].as_u64().expect("a number");
        let small = |at: usize| usize::try_from(number(at)).expect("small");
        let text = |at: usize| row[at].as_str().expect("text").to_owned();
        Self {
            offset: small(0),
            sequence: number(1),
            timestamp: number(2),
            kind: u32::try_from(number(3)).expect("a type"),
            size: small(4),
            payload_crc: text(5),
            header_crc: text(6),
        }
    }

    /// What our encoder makes of it.
    fn header(&self, payload: &[u8]) -> WalEntryHeader {
        WalEntryHeader::new(&HeaderFields {
            sequence: Sequence(self.sequence),
            timestamp: self.timestamp,
            entry_type: WalEntryType::from_number(self.kind),
            payload_size: u32::try_from(payload.len()).expect("small"),
            payload_crc: crc32c::crc32c(payload),
            epoch: Epoch::ZERO,
            chain: 0,
            control: Control::user(),
        })
    }
}

/// The fixture's files: name, bytes, entries.
fn files(fixture: &Value) -> Vec<(String, Vec<u8>, Vec<Written>)> {
    let directory = fixtures().join(fixture["dir"].as_str().expect("a name"));
    let files = fixture["files"].as_array().expect("files").iter();
    files
        .map(|file| {
            let name = file["file"].as_str().expect("a name").to_owned();
            let bytes = fs::read(directory.join(&name)).expect("the fixture");
            assert_eq!(bytes.len() as u64, file["bytes"].as_u64().expect("a size"));
            (name, bytes, file["entries"].as_array().expect("entries").iter().map(Written::of).collect())
        })
        .collect()
}

#[test]
fn our_encoder_writes_the_fixtures_byte_for_byte() {
    let manifest = manifest();
    let mut entries = 0;
    for fixture in manifest["fixtures"].as_array().expect("fixtures") {
        for (name, bytes, written) in files(fixture) {
            let mut made = Vec::new();
            // The one bit that was flipped in the fixture is flipped back in what we take the payload from.
            let mut source = bytes.clone();
            let flipped = fixture["defect"]["kind"] == "payload_bit_flip";
            let place = usize::try_from(fixture["defect"]["byte_offset"].as_u64().unwrap_or_default()).expect("small");
            if flipped {
                source[place] ^= 8;
            }
            for entry in &written {
                assert_eq!(made.len(), entry.offset);
                let from = entry.offset + HEADER_SIZE;
                // The one entry whose payload is not there any more: its size and checksum are known.
                let Some(payload) = source.get(from..from + entry.size) else {
                    assert_eq!(fixture["defect"]["kind"], "torn_tail_header");
                    continue;
                };
                let header = entry.header(payload);
                assert_eq!(format!("{:08x}", header.header_crc()), entry.header_crc);
                assert_eq!(format!("{:08x}", header.payload_crc()), entry.payload_crc);
                made.extend_from_slice(header.as_bytes());
                made.extend_from_slice(payload);
                entries += 1;
            }
            if flipped {
                made[place] ^= 8;
            }
            assert!(bytes.starts_with(&made), "{name}");
            assert!(bytes.len() - made.len() <= 30, "{name}: all but the torn header");
        }
    }
    assert_eq!(entries, 96 + 100 + 50 + 100);
}

/// Engram's reader, by its rules: header by header from byte 0, stop at the first bad header, pass over an entry whose
/// payload does not check out.
fn engram_reads(bytes: &[u8]) -> Vec<(u64, u32, usize, String)> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while let Some((header, behind)) = rest.split_first_chunk::<HEADER_SIZE>() {
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four"));
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..32]), &header[36..56]);
        let size = word(24) as usize;
        if word(0) != 0xDEAD_BEEF || word(32) != crc || behind.len() < size {
            break;
        }
        let (payload, next) = behind.split_at(size);
        if crc32c::crc32c(payload) == word(28) {
            let sequence = u64::from_le_bytes(header[4..12].try_into().expect("eight"));
            entries.push((sequence, word(20), size, format!("{:08x}", word(28))));
        }
        rest = next;
    }
    entries
}

#[test]
fn we_read_of_the_fixtures_what_engram_reads() {
    for fixture in manifest()["fixtures"].as_array().expect("fixtures") {
        let directory = fixtures().join(fixture["dir"].as_str().expect("a name"));
        let mut found: Vec<_> = inspect(StdDisk, &directory)
            .expect("readable")
            .filter_map(|item| match item.expect("readable") {
                Inspected::Entry(entry) => Some(entry.header),
                Inspected::Break { .. } => None,
            })
            .map(|header| {
                let crc = format!("{:08x}", header.payload_crc());
                (header.sequence().0, header.entry_type().number(), u64::from(header.payload_size()), crc)
            })
            .collect();
        // Engram's reader gives them by sequence, equal ones in the order of the file.
        found.sort_by_key(|entry| entry.0);
        let expected: Vec<_> = fixture["engram_reader"].as_array().expect("rows").to_vec();
        let found: Vec<Value> = found.iter().map(|entry| serde_json::to_value(entry).expect("JSON")).collect();
        assert_eq!(found, expected, "{}", fixture["dir"]);
    }
}

#[test]
fn the_fixtures_verify_as_what_they_are() {
    let verified = |name: &str| verify(&StdDisk, &fixtures().join(name)).expect("readable");
    let torn = verified("torn-header");
    assert_eq!((torn.segments, torn.entries, torn.bytes), (1, 96, 35_940));
    assert_eq!((torn.first_sequence, torn.last_sequence), (Some(0), Some(95)));
    assert_eq!(torn.torn_tail, Some(TornPlace { file: FIRST.into(), offset: 35_940 }));
    assert_eq!((&torn.damage, torn.duplicates, torn.origin), (&vec![], 0, Origin::Engram));

    let flipped = verified("payload-bitflip");
    assert_eq!((flipped.entries, &flipped.torn_tail), (99, &None));
    let [Damage { file, offset: 18_161, reason }] = flipped.damage.as_slice() else { panic!("{flipped:?}") };
    assert_eq!(file, FIRST);
    assert!(reason.contains("payload's checksum"), "{reason}");

    let repeated = verified("duplicate-seq");
    assert_eq!((repeated.entries, repeated.duplicates, repeated.last_sequence), (50, 20, Some(29)));
    assert_eq!((&repeated.damage, &repeated.torn_tail), (&vec![], &None));

    let two = verified("two-segments-contiguous");
    assert_eq!((two.segments, two.entries, two.bytes), (2, 100, 23_152 + 16_659));
    assert_eq!((&two.damage, &two.torn_tail, two.duplicates), (&vec![], &None, 0));
    let files: Vec<String> = inspect(StdDisk, &fixtures().join("two-segments-contiguous"))
        .expect("readable")
        .map(|item| match item.expect("readable") {
            Inspected::Entry(entry) => entry.file,
            Inspected::Break { .. } => panic!("no break"),
        })
        .collect();
    assert_eq!((files[59].as_str(), files[60].as_str()), (FIRST, SECOND));
}

/// A fixture's file, changed, in a directory of its own.
fn changed(fixture: &str, change: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut bytes = fs::read(fixtures().join(fixture).join(FIRST)).expect("the fixture");
    change(&mut bytes);
    let path = directory.path().join(FIRST);
    fs::write(&path, bytes).expect("written");
    (directory, path)
}

#[test]
fn the_prefix_before_a_tear_is_kept_wherever_it_is() {
    let (directory, path) = changed("torn-header", |_| {});
    let whole = fs::read(&path).expect("read");
    for size in (35_000..whole.len()).rev() {
        fs::write(&path, &whole[..size]).expect("written");
        let report = verify(&StdDisk, directory.path()).expect("readable");
        let kept = engram_reads(&whole[..size]).len() as u64;
        assert_eq!(report.entries, kept, "cut at {size}");
        let torn = report.torn_tail.map(|torn| torn.offset);
        assert_eq!(torn, (report.bytes < size as u64).then_some(report.bytes), "cut at {size}");
        assert_eq!(report.damage, []);
    }
}

#[test]
fn entries_behind_a_bad_header_are_found_by_magic_and_checksum() {
    // The size of entry 48 is broken too, so only the search finds entry 49.
    let (directory, _) = changed("payload-bitflip", |bytes| {
        bytes[18_242] ^= 8;
        bytes[18_161 + 24] ^= 0x40;
    });
    let report = verify(&StdDisk, directory.path()).expect("readable");
    assert_eq!((report.entries, report.torn_tail), (99, None));
    assert_eq!(report.damage.iter().map(|one| one.offset).collect::<Vec<_>>(), [18_161]);
}

#[test]
fn bytes_56_to_64_of_engrams_entries_are_looked_at() {
    let (directory, _) = changed("duplicate-seq", |bytes| bytes[60] = 1);
    let report = verify(&StdDisk, directory.path()).expect("readable");
    assert_eq!(report.entries, 50);
    let [Damage { offset: 56, reason, .. }] = report.damage.as_slice() else { panic!("{report:?}") };
    assert!(reason.contains("not zero"), "{reason}");
}

#[test]
fn a_break_with_entries_behind_it_is_damage_also_across_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let from = fixtures().join("two-segments-contiguous");
    let first = fs::read(from.join(FIRST)).expect("read");
    fs::write(directory.path().join(FIRST), &first[..first.len() - 1]).expect("written");
    let alone = verify(&StdDisk, directory.path()).expect("readable");
    assert_eq!((alone.damage, alone.torn_tail.map(|torn| torn.offset)), (vec![], Some(23_152 - 121)));
    fs::copy(from.join(SECOND), directory.path().join(SECOND)).expect("copied");
    let report = verify(&StdDisk, directory.path()).expect("readable");
    assert_eq!((report.entries, report.torn_tail), (99, None));
    assert_eq!(report.damage.len(), 1);
}

#[test]
fn a_log_of_engrams_is_never_opened_as_ours() {
    for fixture in ["torn-header", "duplicate-seq", "payload-bitflip"] {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options(directory.path(), FsyncMode::PerBatch);
        drop(open(StdDisk, &options));
        let path = directory.path().join("spaces/orders").join(FIRST);
        let bytes = fs::read(fixtures().join(fixture).join(FIRST)).expect("the fixture");
        fs::write(&path, &bytes).expect("written");
        let (_, opened) = open(StdDisk, &options);
        let Some(Event::SpaceOpenFailed { error, .. }) = opened.events.first() else { panic!("{opened:?}") };
        assert_eq!(error.kind, StorageErrorKind::Corrupt);
        assert!(error.detail.contains("written by Engram"), "{error}");
        assert_eq!(fs::read(&path).expect("still there"), bytes);
    }
}

#[test]
fn engrams_reader_reads_our_segments() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut entries = entries_after(beginning(), 1, 999, |sequence| match sequence {
        500 => 1 << 20,
        501 => 0,
        other => usize::try_from(other * 53 % 3_300).expect("small"),
    });
    // A type that nobody knows is carried as it is.
    let last = entries.last().expect("some").position();
    let unknown = WalEntryType::Other(77);
    entries.push(Entry::following(&last, last.epoch, unknown, Control::user(), 1, Bytes::from_static(b"?")));
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    append(&mut worker, 1, &entries);
    assert!(same(&super::support::read_all(&mut worker), &entries));
    worker.close().expect("a clean stop");
    let space = directory.path().join("spaces/orders");
    let segments: BTreeMap<_, _> = fs::read_dir(&space)
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path, ()))
        .collect();
    let read: Vec<_> = segments.keys().flat_map(|path| engram_reads(&fs::read(path).expect("read"))).collect();
    let expected: Vec<_> = entries
        .iter()
        .map(|entry| {
            let crc = format!("{:08x}", entry.header.payload_crc());
            (entry.header.sequence().0, entry.header.entry_type().number(), entry.payload.len(), crc)
        })
        .collect();
    assert_eq!(read, expected);
    let report = verify(&StdDisk, &space).expect("readable");
    assert_eq!((report.entries, report.origin, report.last_sequence), (1_000, Origin::Engraft, Some(1_000)));
    assert_eq!((report.damage, report.torn_tail, report.duplicates), (vec![], None, 0));
}

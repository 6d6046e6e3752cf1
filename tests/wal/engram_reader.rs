//! What we write, read by the rules of Engram's reader: header by header from byte 0 of each file, checksums over bytes
//! 0..32 and 36..56, the end at the first header that does not hold.
//!
//! The reader here knows nothing of ours: not of epochs, of the chain, of control bytes, nor of node-local bytes.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use engraft::types::entry::control_payload;
use engraft::types::{Control, Entry, FsyncMode, Sequence, WalEntryType};
use engraft::wal::StdDisk;

use super::engram_files::two_counters;
use super::support::{append, beginning, end_of, entries_after, epoch, open, options, truncate};

/// An entry as Engram's reader gives it.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    number: u64,
    timestamp: u64,
    kind: u32,
    payload: Vec<u8>,
}

/// CRC-32C bit by bit, so that not even the checksum is that of the library.
fn crc(pieces: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in pieces.iter().flat_map(|piece| piece.iter()) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

/// Every file in the order of its name; the bytes behind each file's last header.
fn engram_reads(directory: &Path) -> (Vec<Read>, Vec<Vec<u8>>) {
    let mut files: Vec<_> =
        fs::read_dir(directory).expect("listed").map(|entry| entry.expect("listed").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    files.sort();
    let (mut entries, mut tails) = (Vec::new(), Vec::new());
    for file in files {
        let bytes = fs::read(file).expect("read");
        let mut rest = bytes.as_slice();
        while let Some((header, behind)) = rest.split_at_checked(64) {
            let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four"));
            let long = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight"));
            let (size, holds) = (word(24) as usize, crc(&[&header[..32], &header[36..56]]) == word(32));
            if word(0) != 0xDEAD_BEEF || !holds || behind.len() < size {
                break;
            }
            let (payload, next) = behind.split_at(size);
            if crc(&[payload]) == word(28) {
                entries.push(Read { number: long(4), timestamp: long(12), kind: word(20), payload: payload.to_vec() });
            }
            rest = next;
        }
        tails.push(rest.to_vec());
    }
    (entries, tails)
}

fn as_read(entries: &[Entry]) -> Vec<Read> {
    let read = |entry: &Entry| Read {
        number: entry.header.sequence().0,
        timestamp: entry.header.timestamp(),
        kind: entry.header.entry_type().number(),
        payload: entry.payload.to_vec(),
    };
    entries.iter().map(read).collect()
}

/// Two epochs with their start entries, as a primary writes them, users' entries of every size between.
fn log() -> Vec<Entry> {
    let mut log: Vec<Entry> = Vec::new();
    for term in 1..=2 {
        let before = log.last().map_or(beginning(), Entry::position);
        let body = control_payload(before.sequence.next(), &[1, 2, 3, 0, 0, 0, 0, 0]);
        let (kind, control) = (WalEntryType::Checkpoint, Control::epoch_start());
        let start = Entry::following(&before, epoch(term), kind, control, 5, body);
        let after = start.position();
        log.push(start);
        log.extend(entries_after(after, term, 80, |sequence| usize::try_from(sequence * 191 % 4_000).expect("small")));
    }
    let last = log.last().expect("some").position();
    let other = WalEntryType::Other(4_000_000_000);
    log.push(Entry::following(&last, last.epoch, other, Control::user(), 6, Bytes::from_static(b"?")));
    log
}

#[test]
fn our_log_reads_the_same_and_its_control_entries_are_checkpoints() {
    let directory = tempfile::tempdir().expect("made");
    let log = log();
    let (mut worker, _) = open(StdDisk, &options(directory.path(), FsyncMode::PerBatch));
    append(&mut worker, 1, &log);
    worker.close().expect("a clean stop");
    let (read, tails) = engram_reads(&directory.path().join("spaces/orders"));
    assert_eq!(read, as_read(&log));
    assert!(tails.len() > 1, "more than one segment");
    assert!(tails.iter().flatten().all(|byte| *byte == 0), "zeros end each file");
    for at in [0, 81] {
        assert_eq!(read[at].kind, 5, "a checkpoint");
        let number = read[at].payload.first_chunk().copied().map(u64::from_le_bytes);
        assert_eq!(number, Some(read[at].number), "with Engram's eight bytes first");
    }
}

#[test]
fn what_was_cut_is_not_read_back() {
    let directory = tempfile::tempdir().expect("made");
    let (log, options) = (log(), options(directory.path(), FsyncMode::PerBatch));
    let (mut worker, _) = open(StdDisk, &options);
    append(&mut worker, 1, &log);
    truncate(&mut worker, Sequence(50));
    drop(worker);
    let place = directory.path().join("spaces/orders");
    assert_eq!(engram_reads(&place).0, as_read(&log[..50]));
    // Nor after a kill and a recovery, with other entries in their place.
    let (mut worker, opened) = open(StdDisk, &options);
    assert_eq!(end_of(&opened), log[49].position());
    let others = entries_after(log[49].position(), 3, 4, |_| 1_000);
    append(&mut worker, 2, &others);
    drop(worker);
    let (read, tails) = engram_reads(&place);
    assert_eq!(read, as_read(&[&log[..50], &others].concat()));
    assert!(tails.iter().flatten().all(|byte| *byte == 0));
}

#[test]
fn a_directory_that_our_encoder_wrote_as_engram_reads_the_same() {
    let directory = tempfile::tempdir().expect("made");
    let written = two_counters(directory.path());
    let (read, tails) = engram_reads(directory.path());
    let written: Vec<_> = written
        .into_iter()
        .map(|entry| Read {
            number: entry.number,
            timestamp: entry.timestamp,
            kind: entry.kind,
            payload: entry.payload,
        })
        .collect();
    assert_eq!(read, written);
    assert!(tails.iter().all(Vec::is_empty));
}

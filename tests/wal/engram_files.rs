//! Directories in Engram's format, written by the production encoder.

use std::fs;
use std::path::Path;

use engraft::types::entry::HeaderFields;
use engraft::types::{Control, Epoch, Sequence, WalEntryHeader, WalEntryType};

/// An entry as Engram would write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngramEntry {
    pub(crate) number: u64,
    pub(crate) timestamp: u64,
    pub(crate) kind: u32,
    pub(crate) payload: Vec<u8>,
}

impl EngramEntry {
    pub(crate) fn new(number: u64, kind: u32, payload: impl Into<Vec<u8>>) -> Self {
        let payload = payload.into();
        Self { number, timestamp: 1_763_752_633_000_000_000 + number % 1_000, kind, payload }
    }

    /// Header and payload.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let header = WalEntryHeader::new(&HeaderFields {
            sequence: Sequence(self.number),
            timestamp: self.timestamp,
            entry_type: WalEntryType::from_number(self.kind),
            payload_size: u32::try_from(self.payload.len()).expect("small"),
            payload_crc: crc32c::crc32c(&self.payload),
            epoch: Epoch::ZERO,
            chain: 0,
            control: Control::user(),
        });
        [header.as_bytes().as_slice(), &self.payload].concat()
    }
}

/// Writes a segment of that number.
pub(crate) fn write_segment(directory: &Path, number: u64, entries: &[EngramEntry]) {
    let bytes: Vec<u8> = entries.iter().flat_map(EngramEntry::bytes).collect();
    fs::write(directory.join(segment(number)), bytes).expect("written");
}

/// The segment's name.
pub(crate) fn segment(number: u64) -> String {
    format!("wal-{number:016x}.log")
}

/// Two segments with two counters between them: numbers restart in the second, and repeat in the first; types that
/// nobody knows, empty payloads, equal entries, one of 1 MiB.
pub(crate) fn two_counters(directory: &Path) -> Vec<EngramEntry> {
    let first = vec![
        EngramEntry::new(7, 1, "seven"),
        EngramEntry::new(8, 2, "eight"),
        EngramEntry::new(0, 1, "another counter begins"),
        EngramEntry::new(8, 3, "eight again"),
        EngramEntry::new(1, 77, "a type that nobody knows"),
        EngramEntry::new(9, 5, 9_u64.to_le_bytes()),
        EngramEntry::new(10, 6, ""),
    ];
    let mut second = vec![
        EngramEntry::new(0, 1, vec![0xa5; 1 << 20]),
        EngramEntry::new(1, u32::MAX, "the highest type"),
        EngramEntry::new(1, u32::MAX, "the highest type"),
        EngramEntry::new(u64::MAX, 0, "the highest number"),
    ];
    second.extend((3..40).map(|number| EngramEntry::new(number, 4, vec![7; usize::try_from(number).expect("small")])));
    write_segment(directory, 0x6920_bab9, &first);
    write_segment(directory, 0x6920_c8c9, &second);
    [first, second].concat()
}

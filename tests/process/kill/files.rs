//! Reads the files of nodes that do not run.

use core::hash::Hasher;
use std::path::{Path, PathBuf};

use engraft::types::{Control, WalEntryHeader};
use engraft::wal::salvage::SalvageFile;
use engraft::wal::{self, Inspected, StdDisk};
use siphasher::sip::SipHasher13;

use super::history::Place;
use super::judge::{LogEntry, Written};
use super::payload::PayloadId;

/// A log up to its first break: what a start would keep of it.
///
/// Entries behind a break are left out: those of a group that was torn were not acknowledged, and where they were, they
/// are missing.
pub(super) fn read_log(data: &Path, space: &str, seed: u64) -> Vec<LogEntry> {
    let directory = data.join("spaces").join(space);
    let mut log = Vec::new();
    if !directory.is_dir() {
        return log;
    }
    let mut inspect = wal::inspect(StdDisk, &directory).expect("the directory can be listed");
    while let Some(item) = inspect.next() {
        let entry = match item.expect("the files can be read") {
            Inspected::Entry(entry) => entry,
            Inspected::Break { .. } => break,
        };
        let payload = inspect.payload(&entry).expect("it was read before");
        log.push(log_entry(&entry.header, &payload, seed));
    }
    log
}

/// What the node truncated, by its salvage files.
pub(super) fn read_salvage(data: &Path, space: &str, seed: u64) -> Vec<LogEntry> {
    let mut salvaged = Vec::new();
    for path in salvage_files(data).filter(|path| path.parent().is_some_and(|parent| parent.ends_with(space))) {
        // Those that do not hold are told as damage.
        let Ok(file) = SalvageFile::open(&StdDisk, &path) else { continue };
        salvaged.extend(file.entries().flatten().map(|entry| log_entry(&entry.header, &entry.payload, seed)));
    }
    salvaged
}

fn salvage_files(data: &Path) -> impl Iterator<Item = PathBuf> {
    let listed = |directory: PathBuf| std::fs::read_dir(directory).into_iter().flatten().flatten();
    let files = listed(data.join("salvage")).flat_map(move |space| listed(space.path()).map(|file| file.path()));
    files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("salvage-")))
}

fn log_entry(header: &WalEntryHeader, payload: &[u8], seed: u64) -> LogEntry {
    let mut hasher = SipHasher13::new();
    // The last eight bytes belong to each node alone.
    hasher.write(&header.as_bytes()[..56]);
    hasher.write(payload);
    let written = if header.control().kind == Control::EPOCH_START {
        Written::Start
    } else {
        PayloadId::of(seed, payload).map_or(Written::Nobody, Written::Client)
    };
    LogEntry {
        place: Place { epoch: header.epoch(), sequence: header.sequence().0 },
        written,
        payload_crc: header.payload_crc(),
        digest: hasher.finish(),
    }
}

/// What of a node's directory is not as it was written. After a kill the last group may be torn.
pub(super) fn damage(data: &Path, killed: bool) -> Vec<String> {
    if !data.join("superblock").is_file() {
        // It was killed before it had made its directory.
        return Vec::new();
    }
    let report = wal::verify(&StdDisk, data).expect("the directory can be read");
    let damaged = report.damage.iter().map(|damage| format!("{} at {}: {}", damage.file, damage.offset, damage.reason));
    let torn = report.torn_tail.iter().filter(|_| !killed);
    let salvage = salvage_files(data).filter_map(|path| SalvageFile::open(&StdDisk, &path).err());
    let damaged = damaged.chain(salvage.map(|error| error.to_string()));
    damaged.chain(torn.map(|torn| format!("{} at {}: torn after a clean stop", torn.file, torn.offset))).collect()
}

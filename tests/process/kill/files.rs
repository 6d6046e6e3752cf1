//! Reads the files of nodes that do not run.

use core::hash::Hasher;
use std::path::Path;

use engraft::types::Control;
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
        let header = entry.header;
        let mut hasher = SipHasher13::new();
        // The last eight bytes belong to each node alone.
        hasher.write(&header.as_bytes()[..56]);
        hasher.write(&payload);
        let written = if header.control().kind == Control::EPOCH_START {
            Written::Start
        } else {
            PayloadId::of(seed, &payload).map_or(Written::Nobody, Written::Client)
        };
        log.push(LogEntry {
            place: Place { epoch: header.epoch(), sequence: header.sequence().0 },
            written,
            payload_crc: header.payload_crc(),
            digest: hasher.finish(),
        });
    }
    log
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
    damaged.chain(torn.map(|torn| format!("{} at {}: torn after a clean stop", torn.file, torn.offset))).collect()
}

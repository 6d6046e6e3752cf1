//! What an import did, entry by entry: JSON lines beside the log.
//!
//! ```text
//! {"import": {"version": 1, "source": …, "space": …, "epoch": …}}
//! {"sequence": 1, "file": …, "offset": …, "engram_sequence": …, "type": …, "timestamp": …, "size": …, "payload_crc": …}
//! …
//! {"damage": {"file": …, "offset": …, "reason": …}}
//! {"torn_tail": {"file": …, "offset": …}}
//! {"summary": …}
//! ```
//!
//! An entry whose number was seen before has `"repeated": true`. The summary is the last line: a report without one is
//! not whole.

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::types::{Epoch, Sequence, SpaceName};
use crate::wal::disk::DiskFile;
use crate::wal::error::WalError;
use crate::wal::inspect::InspectedEntry;
use crate::wal::sequence_set::SequenceSet;
use crate::wal::verify::{Damage, TornPlace, VerifyReport};

use super::EngramCopy;

/// The report's file name, in the directory of the space.
pub const IMPORT_REPORT: &str = "import-report.jsonl";
/// The version of the report's lines.
const VERSION: u32 = 1;
/// What is held of the report before it is written.
const BUFFER: usize = 64 * 1024;

/// What was imported, and what could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Engram's directory.
    pub source: PathBuf,
    /// The new space.
    pub space: SpaceName,
    /// The epoch of its entries, in its printed form.
    pub epoch: String,
    /// Engram's segment files.
    pub segments: u64,
    /// The entries, all that check out.
    pub entries: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// Their first sequence in the new space: 1.
    pub first_sequence: u64,
    /// The last one.
    pub last_sequence: u64,
    /// The lowest of Engram's numbers.
    pub engram_first_sequence: Option<u64>,
    /// The highest.
    pub engram_last_sequence: Option<u64>,
    /// Entries whose number was seen before; they are imported as well.
    pub duplicates: u64,
    /// Where Engram's last write was torn; it is not imported.
    pub torn_tail: Option<TornPlace>,
    /// What of Engram's files is not as it was written; what stands there is not imported, but for entries of which
    /// only bytes 56 to 64 are wrong.
    pub damage: Vec<Damage>,
}

impl ImportReport {
    pub(super) fn new(copy: &EngramCopy, last: Sequence, verified: VerifyReport) -> Self {
        Self {
            source: copy.source.clone(),
            space: copy.space.clone(),
            epoch: copy.epoch.to_string(),
            segments: verified.segments,
            entries: verified.entries,
            bytes: verified.bytes,
            first_sequence: 1,
            last_sequence: last.0,
            engram_first_sequence: verified.first_sequence,
            engram_last_sequence: verified.last_sequence,
            duplicates: verified.duplicates,
            torn_tail: verified.torn_tail,
            damage: verified.damage,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Import { version: u32, source: &'a Path, space: &'a str, epoch: String },
    Damage(&'a Damage),
    TornTail(&'a TornPlace),
    Summary(&'a ImportReport),
}

#[derive(Serialize)]
struct EntryLine<'a> {
    sequence: u64,
    file: &'a str,
    offset: u64,
    engram_sequence: u64,
    #[serde(rename = "type")]
    entry_type: u32,
    timestamp: u64,
    size: u32,
    payload_crc: u32,
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    repeated: bool,
}

/// The report's file in the making.
pub(super) struct ReportFile<F> {
    file: F,
    path: PathBuf,
    buffer: Vec<u8>,
    written: u64,
    seen: SequenceSet,
}

impl<F: DiskFile> ReportFile<F> {
    pub(super) fn new(file: F, path: PathBuf) -> Self {
        Self { file, path, buffer: Vec::new(), written: 0, seen: SequenceSet::default() }
    }

    pub(super) fn begin(&mut self, source: &Path, space: &SpaceName, epoch: Epoch) -> Result<(), WalError> {
        self.line(&Line::Import { version: VERSION, source, space: space.as_str(), epoch: epoch.to_string() })
    }

    pub(super) fn entry(&mut self, sequence: Sequence, entry: &InspectedEntry) -> Result<(), WalError> {
        let header = &entry.header;
        let repeated = !self.seen.insert(header.sequence().0);
        self.line(&EntryLine {
            sequence: sequence.0,
            file: &entry.file,
            offset: entry.offset,
            engram_sequence: header.sequence().0,
            entry_type: header.entry_type().number(),
            timestamp: header.timestamp(),
            size: header.payload_size(),
            payload_crc: header.payload_crc(),
            repeated,
        })
    }

    /// Writes what is left and makes all of it durable; its name is the caller's.
    pub(super) fn finish(mut self, report: &ImportReport) -> Result<(), WalError> {
        for damage in &report.damage {
            self.line(&Line::Damage(damage))?;
        }
        if let Some(torn) = &report.torn_tail {
            self.line(&Line::TornTail(torn))?;
        }
        self.line(&Line::Summary(report))?;
        self.write()?;
        self.file.sync().map_err(WalError::io("sync", &self.path))
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), WalError> {
        let written = serde_json::to_writer(&mut self.buffer, line).map_err(std::io::Error::from);
        written.map_err(WalError::io("write", &self.path))?;
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), WalError> {
        let written = self.file.write_at(&[IoSlice::new(&self.buffer)], self.written);
        written.map_err(WalError::io("write", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

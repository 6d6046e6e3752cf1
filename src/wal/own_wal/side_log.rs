//! The side index: our log, with places of the engine's in it instead of payloads.
//!
//! ```text
//! payload of an index entry = header 64 | body                              for a control entry
//!                           | header 64 | number u64 | inode u64 | offset u64 | end u64 | file name   for any other
//! ```
//!
//! The header is that of the entry in the space, with zeros for the node-local bytes. The index entry itself has the
//! same sequence, epoch and control bytes, and a chain of its own.

use alloc::sync::Arc;
use std::io;

use bytes::Bytes;

use crate::types::{Control, Entry, EpochHistory, HEADER_SIZE, Position, Sequence, WalEntryHeader, WalEntryType};
use crate::wal::disk::Disk;
use crate::wal::error::{BreakReason, WalError};
use crate::wal::handles::Handles;
use crate::wal::ledger::{Ledger, SpaceMemory};
use crate::wal::log::Wal;
use crate::wal::options::WalOptions;
use crate::wal::recovery::{RecoveryReport, WalPlace, follows};

use super::{EngineLink, EnginePlace, Look};

/// The type of an index entry: "INDX".
const INDEX: WalEntryType = WalEntryType::Other(0x5844_4e49);

/// The log of a space whose entries an engine keeps: used as [`Wal`] is.
pub struct SideLog<D: Disk> {
    index: Wal<D>,
    place: WalPlace,
    link: Arc<EngineLink>,
    /// The last entry as the space knows it; its chain is not that of the index.
    end: Position,
    /// Entries behind it are not in the engine's log any more.
    keep: Sequence,
}

impl<D: Disk> SideLog<D> {
    /// Recovers the index and holds its end against the engine's log. The caller saves the mark, as for [`Wal::open`],
    /// and then calls [`SideLog::settle`].
    ///
    /// Where the engine has rewritten its log, the index stays, and the engine's log is to be appended anew from its
    /// beginning.
    ///
    /// # Errors
    /// As [`Wal::open`], and those of the engine's log.
    pub fn open(
        handles: Handles<D>,
        place: WalPlace,
        options: WalOptions,
        memory: &SpaceMemory,
        link: Arc<EngineLink>,
    ) -> Result<(Self, EpochHistory, RecoveryReport), WalError> {
        let start = place.start(memory);
        let (index, history, report) = Wal::open(handles, place.clone(), options, memory)?;
        let keep = index.end().sequence;
        let mut log = Self { index, place, link, end: start, keep };
        let mut last = None;
        let mut at = log.keep;
        while at > start.sequence {
            let kept = log.index_entry(at)?;
            if at == log.index.end().sequence {
                log.end = kept.header.position();
            }
            let Some(place) = kept.place else {
                at = at.previous();
                continue;
            };
            match log.look(&place)? {
                Look::Held(found) if crc32c::crc32c(&found.payload) == kept.header.payload_crc() => {
                    last = Some(place);
                    break;
                }
                Look::Replaced => break,
                Look::Held(_) | Look::Missing => {
                    at = at.previous();
                    log.keep = at;
                }
            }
        }
        log.link.set_last(last);
        Ok((log, history, report))
    }

    /// Cuts what the engine's log does not have any more; the new end, where anything was cut.
    ///
    /// # Errors
    /// As [`Wal::truncate`].
    pub fn settle(&mut self, ledger: &mut Ledger<D>) -> Result<Option<Position>, WalError> {
        if self.keep >= self.index.end().sequence {
            return Ok(None);
        }
        self.truncate(ledger, self.keep)?;
        Ok(Some(self.end))
    }

    /// The last entry.
    #[must_use]
    pub const fn end(&self) -> Position {
        self.end
    }

    /// As [`Wal::synced`].
    #[must_use]
    pub const fn synced(&self) -> Sequence {
        self.index.synced()
    }

    /// As [`Wal::take_rolled`].
    pub const fn take_rolled(&mut self) -> bool {
        self.index.take_rolled()
    }

    /// As [`Wal::append`]. Each entry but control entries was reported by the engine.
    ///
    /// # Errors
    /// As [`Wal::append`], and where the engine did not report the entry.
    pub fn append<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), WalError> {
        let (mut wrapped, mut end) = (Vec::new(), self.end);
        let mut before = self.index.end();
        for entry in entries {
            let header = &entry.header;
            follows(&end, header).map_err(|reason| WalError::NotContiguous { reason })?;
            let payload = if header.control().kind == Control::USER {
                let place = self.link.take(header).ok_or_else(|| self.unreported())?;
                encode(header, &place)
            } else {
                [header.with_node_local([0; 8]).as_bytes().as_slice(), &entry.payload].concat()
            };
            let (control, timestamp) = (header.control(), header.timestamp());
            let index = Entry::following(&before, header.epoch(), INDEX, control, timestamp, Bytes::from(payload));
            (before, end) = (index.position(), entry.position());
            wrapped.push(index);
        }
        self.index.append(&wrapped)?;
        self.end = end;
        Ok(())
    }

    /// As [`Wal::sync`]; the engine has synced its own log before it reported.
    ///
    /// # Errors
    /// As [`Wal::sync`].
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.index.sync()
    }

    /// As [`Wal::read`]; payloads come from the engine's log.
    ///
    /// # Errors
    /// As [`Wal::read`], and where the engine's log does not have an entry any more.
    pub fn read(&mut self, from: Sequence, entries_max: u32, bytes_max: u64) -> Result<Vec<Entry>, WalError> {
        let (mut entries, mut bytes): (Vec<Entry>, u64) = (Vec::new(), 0);
        for index in self.index.read(from, entries_max, bytes_max)? {
            let entry = self.restore(&index)?;
            bytes += entry.size() as u64;
            if !entries.is_empty() && bytes > bytes_max {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// As [`Wal::truncate`]; the engine's log is not touched.
    ///
    /// # Errors
    /// As [`Wal::truncate`].
    pub fn truncate(&mut self, ledger: &mut Ledger<D>, last: Sequence) -> Result<(), WalError> {
        self.index.truncate(ledger, last)?;
        self.end = if last == self.index.start().sequence {
            self.place.start(&SpaceMemory::default())
        } else {
            self.index_entry(last)?.header.position()
        };
        Ok(())
    }

    fn restore(&self, index: &Entry) -> Result<Entry, WalError> {
        let kept = self.decode(index)?;
        let Some(place) = kept.place else {
            let body = index.payload.slice(HEADER_SIZE..);
            return Entry::join(kept.header, body).map_err(|error| self.corrupt(index, error.into()));
        };
        let missing = |what: &str| self.engine(io::Error::other(format!("{} at {}: {what}", place.file, place.offset)));
        match self.look(&place)? {
            Look::Held(found) => {
                Entry::join(kept.header, found.payload).map_err(|_| missing("another entry stands there"))
            }
            Look::Missing => Err(missing("the entry is not there any more")),
            Look::Replaced => Err(missing("the file was replaced, and the entry went with the old one")),
        }
    }

    fn index_entry(&mut self, sequence: Sequence) -> Result<Kept, WalError> {
        let read = self.index.read(sequence, 1, 0)?;
        let ends = BreakReason::EndsEarly { expected: sequence, found: self.index.end().sequence };
        let directory = self.place.directory.clone();
        let entry = read.first().ok_or(WalError::Corrupt { path: directory, offset: 0, reason: ends })?;
        self.decode(entry)
    }

    fn decode(&self, index: &Entry) -> Result<Kept, WalError> {
        let expected = (HEADER_SIZE + 32) as u64;
        let short = BreakReason::CutShort { expected, found: index.payload.len() as u64 };
        let bytes = index.payload.first_chunk().ok_or_else(|| self.corrupt(index, short))?;
        let header = WalEntryHeader::parse(bytes).map_err(|error| self.corrupt(index, error.into()))?;
        if header.control().kind != Control::USER {
            return Ok(Kept { header, place: None });
        }
        let place = decode_place(&index.payload).ok_or_else(|| self.corrupt(index, short))?;
        Ok(Kept { header, place: Some(place) })
    }

    fn look(&self, place: &EnginePlace) -> Result<Look, WalError> {
        self.link.wal().look(place).map_err(|error| self.engine(error))
    }

    fn engine(&self, source: io::Error) -> WalError {
        WalError::Io { operation: "read the engine's log for", path: self.place.directory.clone(), source }
    }

    fn unreported(&self) -> WalError {
        let what = "the engine did not report this entry; the node whose engine owns its log has to be the primary";
        WalError::Io { operation: "index", path: self.place.directory.clone(), source: io::Error::other(what) }
    }

    fn corrupt(&self, index: &Entry, reason: BreakReason) -> WalError {
        WalError::Corrupt { path: self.place.directory.clone(), offset: index.header.sequence().0, reason }
    }
}

/// What an index entry says.
struct Kept {
    header: WalEntryHeader,
    /// Where the engine keeps it; `None` for a control entry.
    place: Option<EnginePlace>,
}

fn encode(header: &WalEntryHeader, place: &EnginePlace) -> Vec<u8> {
    let mut payload = header.with_node_local([0; 8]).as_bytes().to_vec();
    for number in [place.number, place.inode, place.offset, place.end] {
        payload.extend_from_slice(&number.to_le_bytes());
    }
    payload.extend_from_slice(place.file.as_bytes());
    payload
}

fn decode_place(payload: &[u8]) -> Option<EnginePlace> {
    let long = |at: usize| Some(u64::from_le_bytes(*payload.get(at..)?.first_chunk()?));
    Some(EnginePlace {
        number: long(HEADER_SIZE)?,
        inode: long(HEADER_SIZE + 8)?,
        offset: long(HEADER_SIZE + 16)?,
        end: long(HEADER_SIZE + 24)?,
        file: core::str::from_utf8(payload.get(HEADER_SIZE + 32..)?).ok()?.to_owned(),
    })
}

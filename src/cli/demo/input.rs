//! What the demo writes: generated entries, the lines of a file, or the entries of a directory of Engram's.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use siphasher::sip::SipHasher24;

use ::core::hash::Hasher;

use crate::types::WalEntryType;

use super::super::exit::Failure;
use super::engram::{EngramEntries, EngramSource};

/// The largest line that is read: the largest entry that a node takes unless it is told otherwise.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Where entries come from, and how many there are.
#[derive(Debug, Clone)]
pub(super) enum Input {
    /// So many entries of so many bytes, the same in each run.
    Generated { entries: u64, size: usize },
    /// The lines of a file that can be read twice. The line ends are not part of the entries; everything else is,
    /// so an empty line is an entry of no bytes. A last line without an end is an entry too.
    Lines { file: PathBuf, entries: u64 },
    /// The entries of a directory of Engram's, with their types.
    Engram(EngramSource),
}

impl Input {
    /// Counts the lines of a file. What cannot be read twice (stdin as `-`, a pipe) is first copied to `spool`.
    pub(super) fn lines(file: &Path, spool: &Path) -> Result<Self, Failure> {
        let refuse = |what: &str, path: &Path, error: &io::Error| {
            let path = path.display();
            Failure::usage(format!("--input {path}: cannot {what}: {error}; give a file of lines, or `-` for stdin"))
        };
        let from_stdin = file == Path::new("-");
        let metadata =
            if from_stdin { None } else { Some(std::fs::metadata(file).map_err(|e| refuse("read", file, &e))?) };
        let file = match metadata {
            Some(metadata) if metadata.is_file() => file.to_owned(),
            Some(metadata) if metadata.is_dir() => {
                return Err(refuse("read", file, &io::Error::from(io::ErrorKind::IsADirectory)));
            }
            Some(_) | None => {
                let mut copy = File::create_new(spool).map_err(|e| refuse("copy it", spool, &e))?;
                let copied = if from_stdin {
                    io::copy(&mut io::stdin().lock(), &mut copy)
                } else {
                    File::open(file).and_then(|mut pipe| io::copy(&mut pipe, &mut copy))
                };
                copied.map_err(|e| refuse("read", file, &e))?;
                spool.to_owned()
            }
        };
        let entries = count_lines(&file).map_err(|e| refuse("read", &file, &e))?;
        if entries == 0 {
            return Err(Failure::usage(format!(
                "--input: expected one line or more, found none in {}",
                file.display()
            )));
        }
        Ok(Self::Lines { file, entries })
    }

    /// How many entries there are.
    pub(super) fn entries(&self) -> u64 {
        match self {
            Self::Generated { entries, .. } | Self::Lines { entries, .. } => *entries,
            Self::Engram(source) => source.entries,
        }
    }

    /// The directory of Engram's, where it is one.
    pub(super) fn engram(&self) -> Option<&EngramSource> {
        match self {
            Self::Engram(source) => Some(source),
            Self::Generated { .. } | Self::Lines { .. } => None,
        }
    }

    /// The entries, from the first.
    pub(super) fn open(&self) -> Result<Payloads, Failure> {
        Ok(match self {
            Self::Generated { entries, size } => Payloads::Generated { next: 0, entries: *entries, size: *size },
            Self::Lines { file, .. } => {
                let opened = File::open(file);
                let opened = opened.map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
                Payloads::Lines { reader: BufReader::with_capacity(1 << 20, opened), line: 0, file: file.clone() }
            }
            Self::Engram(source) => {
                Payloads::Engram(source.read().map_err(|error| Failure::failed(error.to_string()))?)
            }
        })
    }
}

fn count_lines(file: &Path) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(file)?);
    let (mut lines, mut ended) = (0_u64, true);
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(lines + u64::from(!ended));
        }
        lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        ended = piece.ends_with(b"\n");
        let size = piece.len();
        reader.consume(size);
    }
}

/// A stream of payloads.
#[derive(Debug)]
pub(super) enum Payloads {
    Generated { next: u64, entries: u64, size: usize },
    Lines { reader: BufReader<File>, line: u64, file: PathBuf },
    Engram(EngramEntries),
}

impl Payloads {
    /// Puts the next payload into `payload` and says of which type it is; `None` where there is none.
    fn next(&mut self, payload: &mut Vec<u8>) -> Result<Option<WalEntryType>, Failure> {
        payload.clear();
        let usual = WalEntryType::EpisodeStore;
        match self {
            Self::Generated { next, entries, size } => {
                if next == entries {
                    return Ok(None);
                }
                generate(*next, *size, payload);
                *next += 1;
                Ok(Some(usual))
            }
            Self::Lines { reader, line, file } => {
                *line += 1;
                let failed = |what: String| Failure::failed(format!("{}, line {line}: {what}", file.display()));
                let mut limited = reader.take(LINE_BYTES_MAX + 2);
                if limited.read_until(b'\n', payload).map_err(|error| failed(error.to_string()))? == 0 {
                    return Ok(None);
                }
                if payload.ends_with(b"\n") {
                    payload.pop();
                }
                if payload.len() as u64 > LINE_BYTES_MAX {
                    return Err(failed(format!("expected at most {LINE_BYTES_MAX} bytes, found more")));
                }
                Ok(Some(usual))
            }
            Self::Engram(entries) => {
                let found = entries.next().map_err(|error| Failure::failed(error.to_string()))?;
                payload.extend_from_slice(entries.payload());
                Ok(found)
            }
        }
    }
}

/// Bytes that look random and are the same for the same index: SplitMix64 from the index.
fn generate(index: u64, size: usize, payload: &mut Vec<u8>) {
    let mut state = index.wrapping_mul(0x2545_f491_4f6c_dd1d);
    while payload.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        payload.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    payload.truncate(size);
}

/// The digest by which an entry is known again: SipHash-2-4 of its payload, another function than the log's own.
#[must_use]
pub fn digest(payload: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0x656e_6772_6166_7420, 0x6465_6d6f_2064_6967);
    hasher.write(payload);
    hasher.finish()
}

/// The entries of one request.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// NDJSON, a line per entry.
    pub(super) lines: Vec<u8>,
    /// The digest of each payload.
    pub(super) digests: Vec<u64>,
    /// The bytes of the payloads.
    pub(super) payload_bytes: u64,
    /// The index of the first entry.
    pub(super) first: u64,
}

/// How large a request may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    pub(super) entries: usize,
    pub(super) bytes: u64,
}

/// Puts payloads into batches.
#[derive(Debug)]
pub(super) struct Batcher {
    payloads: Payloads,
    limits: BatchLimits,
    payload: Vec<u8>,
    base64: String,
    next: u64,
}

impl Batcher {
    pub(super) fn new(payloads: Payloads, limits: BatchLimits) -> Self {
        Self { payloads, limits, payload: Vec::new(), base64: String::new(), next: 0 }
    }

    /// The next batch; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Batch>, Failure> {
        let mut batch = Batch { first: self.next, ..Batch::default() };
        while batch.digests.len() < self.limits.entries && batch.payload_bytes < self.limits.bytes {
            let Some(entry_type) = self.payloads.next(&mut self.payload)? else { break };
            self.base64.clear();
            STANDARD.encode_string(&self.payload, &mut self.base64);
            batch.lines.extend_from_slice(b"{\"payload\":\"");
            batch.lines.extend_from_slice(self.base64.as_bytes());
            batch.lines.push(b'"');
            if entry_type != WalEntryType::EpisodeStore {
                batch.lines.extend_from_slice(format!(",\"type\":{}", entry_type.number()).as_bytes());
            }
            batch.lines.extend_from_slice(b"}\n");
            batch.digests.push(digest(&self.payload));
            batch.payload_bytes += self.payload.len() as u64;
        }
        self.next += batch.digests.len() as u64;
        Ok(if batch.digests.is_empty() { None } else { Some(batch) })
    }
}

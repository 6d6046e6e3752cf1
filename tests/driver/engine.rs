//! A small engine with a log of its own in Engram's format, in real files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use engraft::types::entry::HeaderFields;
use engraft::types::{Control, Epoch, Sequence, WalEntryHeader, WalEntryType};
use engraft::wal::own_wal::{EngineEntry, EnginePlace};

/// The engine. It writes as Engram does: header and payload behind the last ones, then a sync.
pub(crate) struct Engine {
    directory: PathBuf,
    name: String,
    file: File,
    end: u64,
    next: u64,
}

impl Engine {
    /// Opens the engine's log, or begins it; it goes on in the last file.
    pub(crate) fn open(directory: &Path) -> Self {
        fs::create_dir_all(directory).expect("made");
        let mut names: Vec<_> =
            fs::read_dir(directory).expect("listed").map(|entry| entry.expect("listed").file_name()).collect();
        names.sort();
        let name = names.pop().map_or_else(|| segment(1), |name| name.into_string().expect("text"));
        let file = OpenOptions::new().create(true).append(true).open(directory.join(&name)).expect("opened");
        let end = file.metadata().expect("known").len();
        Self { directory: directory.to_owned(), name, file, end, next: 0 }
    }

    /// Goes on in another file; the numbers begin anew, as Engram's do.
    pub(crate) fn roll(&mut self, number: u64) {
        self.name = segment(number);
        self.file = File::create_new(self.path()).expect("made");
        (self.end, self.next) = (0, 0);
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// Writes an entry and syncs it: from here on it is durable.
    pub(crate) fn append(&mut self, kind: u32, payload: &str) -> EngineEntry {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let (entry_type, timestamp) = (WalEntryType::from_number(kind), 1_000_000 + self.next);
        let header = WalEntryHeader::new(&HeaderFields {
            sequence: Sequence(self.next),
            timestamp,
            entry_type,
            payload_size: u32::try_from(payload.len()).expect("small"),
            payload_crc: crc32c::crc32c(&payload),
            epoch: Epoch::ZERO,
            chain: 0,
            control: Control::user(),
        });
        self.file.write_all(&[header.as_bytes().as_slice(), &payload].concat()).expect("written");
        self.file.sync_data().expect("synced");
        let (offset, end) = (self.end, self.end + 64 + payload.len() as u64);
        let inode = self.file.metadata().expect("known").ino();
        let place = EnginePlace { file: self.name.clone(), offset, end, inode, number: self.next };
        (self.end, self.next) = (end, self.next + 1);
        EngineEntry { place, entry_type, timestamp, payload }
    }

    /// Engram's compaction: another file takes the name, and the writer goes on in the one that has lost it.
    pub(crate) fn compact(&self, kept: &[(u32, &str)]) {
        let place = tempfile::tempdir_in(self.directory.parent().expect("a parent")).expect("made");
        let mut other = Self::open(place.path());
        for (kind, payload) in kept {
            other.append(*kind, payload);
        }
        fs::rename(other.path(), self.path()).expect("renamed");
    }
}

fn segment(number: u64) -> String {
    format!("wal-{number:016x}.log")
}

//! A directory in Engram's format as the log that an engine owns.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::types::{HEADER_SIZE, WalEntryHeader};
use crate::wal::disk::{Access, Disk, DiskFile};
use crate::wal::scan::{Scanner, Step, entry_size};
use crate::wal::segment_name::SegmentName;
use crate::wal::std_disk::{StdDisk, StdFile};

use super::{EngineEntry, EnginePlace, Look, OwnWal};

/// A directory in Engram's format, read by path. It is the engine that writes to it.
#[derive(Debug, Clone)]
pub struct EngramWal {
    directory: PathBuf,
}

impl EngramWal {
    /// The directory of the engine's log.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The file of that name and its inode; `None` where there is none.
    fn open(&self, name: &str) -> io::Result<Option<(StdFile, u64)>> {
        let path = self.directory.join(name);
        let opened = StdDisk.open(&path, Access::Read).and_then(|file| Ok((file, fs::metadata(&path)?.ino())));
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names: Vec<SegmentName> =
            StdDisk.list(&self.directory)?.iter().filter_map(|entry| SegmentName::parse(&entry.name)).collect();
        names.sort_unstable();
        Ok(names.iter().map(ToString::to_string).collect())
    }
}

fn entry(file: &StdFile, name: &str, inode: u64, offset: u64, header: &WalEntryHeader) -> io::Result<EngineEntry> {
    let mut payload = vec![0; header.payload_size() as usize];
    let read = file.read_at(&mut payload, offset + HEADER_SIZE as u64)?;
    payload.truncate(read);
    let (end, number) = (offset + entry_size(header), header.sequence().0);
    Ok(EngineEntry {
        place: EnginePlace { file: name.to_owned(), offset, end, inode, number },
        entry_type: header.entry_type(),
        timestamp: header.timestamp(),
        payload: Bytes::from(payload),
    })
}

impl OwnWal for EngramWal {
    fn look(&self, place: &EnginePlace) -> io::Result<Look> {
        let Some((file, inode)) = self.open(&place.file)? else { return Ok(Look::Replaced) };
        if inode != place.inode {
            return Ok(Look::Replaced);
        }
        let mut bytes = [0; HEADER_SIZE];
        if file.read_at(&mut bytes, place.offset)? < HEADER_SIZE {
            return Ok(Look::Missing);
        }
        let Ok(header) = WalEntryHeader::parse(&bytes) else { return Ok(Look::Missing) };
        if header.sequence().0 != place.number || place.offset + entry_size(&header) != place.end {
            return Ok(Look::Missing);
        }
        let found = entry(&file, &place.file, inode, place.offset, &header)?;
        let whole = crc32c::crc32c(&found.payload) == header.payload_crc();
        Ok(if whole { Look::Held(Box::new(found)) } else { Look::Missing })
    }

    fn entries_after(
        &self,
        after: Option<&EnginePlace>,
        entries_max: usize,
        bytes_max: usize,
    ) -> io::Result<Vec<EngineEntry>> {
        let mut entries: Vec<EngineEntry> = Vec::new();
        let mut bytes = 0;
        for name in self.names()? {
            let mut offset = match after {
                Some(after) if name < after.file => continue,
                Some(after) if name == after.file => after.end,
                Some(_) | None => 0,
            };
            let Some((file, inode)) = self.open(&name)? else { continue };
            let mut scanner = Scanner::new(file)?;
            // What does not check out is being written, or is damage, which is not streamed.
            while let Step::Entry(header) = scanner.step(offset)? {
                let size = header.payload_size() as usize;
                if entries.len() >= entries_max || (!entries.is_empty() && bytes + size > bytes_max) {
                    return Ok(entries);
                }
                bytes += size;
                entries.push(entry(scanner.file(), &name, inode, offset, &header)?);
                offset += entry_size(&header);
            }
        }
        Ok(entries)
    }
}

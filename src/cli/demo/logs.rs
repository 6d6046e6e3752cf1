//! The nodes' logs, read from their files for the verdict.

use std::path::{Path, PathBuf};

use crate::types::{Control, HEADER_SIZE, NodeId};
use crate::wal::{Access, Disk, DiskFile, Inspect, Inspected, InspectedEntry, StdDisk, StdFile, WalError};
use crate::wal::{inspect, verify};

use super::input::digest;
use super::verdict::{Acknowledged, Tally, Verdict};

/// The verdict over the logs of a space in these data directories, one per node. No process may have them open.
///
/// Every entry that checks out counts as being there, behind damage too; the damage is told beside. What cannot be
/// read at all is damage, and its entries are not there.
#[must_use]
pub fn verdict_of(acknowledged: Vec<Acknowledged>, data_dirs: &[(NodeId, PathBuf)], space: &str) -> Verdict {
    let mut tally = Tally::new(acknowledged);
    for (node, data_dir) in data_dirs {
        let directory = data_dir.join("spaces").join(space);
        let mut failure = None;
        match UserEntries::open(&directory) {
            Ok(entries) => {
                let readable = entries.map_while(|entry| entry.map_err(|error| failure = Some(error)).ok());
                tally.add_node(*node, readable);
            }
            Err(error) => {
                failure = Some(error);
                tally.add_node(*node, []);
            }
        }
        if let Some(error) = failure {
            tally.add_damage(*node, &error);
        }
        match verify(&StdDisk, data_dir) {
            Ok(report) => {
                for damage in report.damage {
                    tally.add_damage(*node, &format_args!("{} at {}: {}", damage.file, damage.offset, damage.reason));
                }
            }
            Err(error) => tally.add_damage(*node, &error),
        }
    }
    tally.verdict()
}

/// The users' entries of a space's directory, with the digests of their payloads. Reads only.
pub struct UserEntries {
    directory: PathBuf,
    entries: Inspect<StdDisk>,
    /// The file that the last payload came from.
    file: Option<(String, StdFile)>,
}

impl UserEntries {
    /// Begins to read.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open(directory: &Path) -> Result<Self, WalError> {
        Ok(Self { directory: directory.to_owned(), entries: inspect(StdDisk, directory)?, file: None })
    }

    fn read(&mut self, entry: &InspectedEntry) -> Result<Acknowledged, WalError> {
        let path = self.directory.join(&entry.file);
        let held = self.file.take().filter(|(name, _)| *name == entry.file);
        let file = match held {
            Some((_, file)) => file,
            None => StdDisk.open(&path, Access::Read).map_err(|error| failed("open", &path, error))?,
        };
        let mut payload = vec![0; entry.header.payload_size() as usize];
        let offset = entry.offset + HEADER_SIZE as u64;
        let read = file.read_at(&mut payload, offset).map_err(|error| failed("read", &path, error))?;
        payload.truncate(read);
        self.file = Some((entry.file.clone(), file));
        let position = entry.header.position();
        Ok(Acknowledged { sequence: position.sequence, epoch: position.epoch, digest: digest(&payload) })
    }
}

impl Iterator for UserEntries {
    type Item = Result<Acknowledged, WalError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.entries.next()? {
                Ok(Inspected::Entry(entry)) if entry.header.control().kind == Control::USER => {
                    return Some(self.read(&entry));
                }
                // Entries of engraft's own were acknowledged to nobody; damage is told by the verification.
                Ok(Inspected::Entry(_) | Inspected::Break { .. }) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn failed(operation: &'static str, path: &Path, source: std::io::Error) -> WalError {
    WalError::Io { operation, path: path.to_owned(), source }
}

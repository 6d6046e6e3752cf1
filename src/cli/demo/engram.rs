//! A directory of Engram's as the demo's input, and whether every node has it byte for byte.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::types::{Control, NodeId, WalEntryType};
use crate::wal::{Damage, Inspect, Inspected, Origin, StdDisk, TornPlace, WalError, inspect, verify};

use super::super::exit::Failure;
use super::input::digest;

/// A directory of Engram's, as it was found.
#[derive(Debug, Clone)]
pub(super) struct EngramSource {
    directory: PathBuf,
    /// The entries that check out.
    pub(super) entries: u64,
    segments: u64,
    duplicates: u64,
    torn_tail: Option<TornPlace>,
    damage: Vec<Damage>,
}

impl EngramSource {
    /// Looks through a directory. Damage is no reason not to stream the rest: it is told in the report.
    pub(super) fn open(directory: &Path) -> Result<Self, Failure> {
        let refuse = |what: &str| {
            Failure::usage(format!("--engram {}: {what}; give a directory of Engram's", directory.display()))
        };
        let found = verify(&StdDisk, directory).map_err(|error| refuse(&error.to_string()))?;
        if found.entries == 0 {
            return Err(refuse("expected an entry or more, found none that checks out"));
        }
        if found.origin != Origin::Engram {
            return Err(refuse("these files were written by engraft"));
        }
        Ok(Self {
            directory: directory.to_owned(),
            entries: found.entries,
            segments: found.segments,
            duplicates: found.duplicates,
            torn_tail: found.torn_tail,
            damage: found.damage,
        })
    }

    /// Its entries, in the order of files and offsets.
    pub(super) fn read(&self) -> Result<EngramEntries, WalError> {
        EngramEntries::open(&self.directory)
    }
}

/// The users' entries of a directory with their payloads, Engram's or ours.
pub(super) struct EngramEntries {
    entries: Inspect<StdDisk>,
    payload: Vec<u8>,
}

impl ::core::fmt::Debug for EngramEntries {
    fn fmt(&self, formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        formatter.debug_struct("EngramEntries").finish_non_exhaustive()
    }
}

impl EngramEntries {
    fn open(directory: &Path) -> Result<Self, WalError> {
        Ok(Self { entries: inspect(StdDisk, directory)?, payload: Vec::new() })
    }

    /// The next entry's type; its payload is [`EngramEntries::payload`] then. Damage is passed over.
    pub(super) fn next(&mut self) -> Result<Option<WalEntryType>, WalError> {
        while let Some(found) = self.entries.next() {
            match found? {
                Inspected::Entry(entry) if entry.header.control().kind == Control::USER => {
                    self.payload = self.entries.payload(&entry)?;
                    return Ok(Some(entry.header.entry_type()));
                }
                Inspected::Entry(_) | Inspected::Break { .. } => {}
            }
        }
        Ok(None)
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// What came of streaming the directory.
#[derive(Debug, Serialize)]
pub(super) struct EngramVerdict {
    pub(super) directory: PathBuf,
    pub(super) segments: u64,
    pub(super) entries: u64,
    pub(super) duplicates: u64,
    pub(super) torn_tail: Option<TornPlace>,
    pub(super) damage: Vec<Damage>,
    /// Whether each node has exactly these entries: payload, type, order, nothing between them.
    pub(super) identical: bool,
    pub(super) nodes: Vec<NodeComparison>,
}

/// How a node's log compares with the directory.
#[derive(Debug, Serialize)]
pub(super) struct NodeComparison {
    pub(super) node: u16,
    /// Entries that are the same, from the first one on.
    pub(super) identical: u64,
    /// The first difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) difference: Option<String>,
}

/// Compares the logs of a space in these data directories with Engram's, entry by entry. No process may have them open.
pub(super) fn compare(source: &EngramSource, data_dirs: &[(NodeId, PathBuf)], space: &str) -> EngramVerdict {
    let log = |data_dir: &Path| data_dir.join("spaces").join(space);
    let compared = data_dirs.iter().map(|(node, data_dir)| compare_one(source, *node, &log(data_dir)));
    let nodes: Vec<NodeComparison> = compared.collect();
    EngramVerdict {
        directory: source.directory.clone(),
        segments: source.segments,
        entries: source.entries,
        duplicates: source.duplicates,
        torn_tail: source.torn_tail.clone(),
        damage: source.damage.clone(),
        identical: nodes.iter().all(|node| node.difference.is_none() && node.identical == source.entries),
        nodes,
    }
}

fn compare_one(source: &EngramSource, node: NodeId, directory: &Path) -> NodeComparison {
    let mut identical = 0;
    let difference = match first_difference(source, directory, &mut identical) {
        Ok(difference) => difference,
        Err(error) => Some(error.to_string()),
    };
    NodeComparison { node: node.0, identical, difference }
}

/// The first difference in words; `identical` counts the entries before it.
fn first_difference(source: &EngramSource, directory: &Path, identical: &mut u64) -> Result<Option<String>, WalError> {
    let (mut theirs, mut ours) = (source.read()?, EngramEntries::open(directory)?);
    loop {
        let expected = theirs.next()?;
        let found = ours.next()?;
        let place = *identical + 1;
        let (expected, found) = match (expected, found) {
            (None, None) => return Ok(None),
            (Some(_), None) => return Ok(Some(format!("entry {place} is not there"))),
            (None, Some(_)) => return Ok(Some(format!("there is an entry {place}, and the directory has none"))),
            (Some(expected), Some(found)) => (expected.number(), found.number()),
        };
        if expected != found {
            return Ok(Some(format!("entry {place}: expected type {expected}, found {found}")));
        }
        if theirs.payload() != ours.payload() {
            let digests = (digest(theirs.payload()), digest(ours.payload()));
            let sizes = (theirs.payload().len(), ours.payload().len());
            return Ok(Some(format!(
                "entry {place}: expected {} bytes of digest {:016x}, found {} of {:016x}",
                sizes.0, digests.0, sizes.1, digests.1
            )));
        }
        *identical += 1;
    }
}

//! Whether a directory holds what was written to it: reading only, through damage, ours or Engram's.

mod engram_check;
mod space_check;

use alloc::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::types::{SpaceId, SpaceName};

use super::disk::{Access, Disk};
use super::error::{BreakReason, StorageOpenError, WalError};
use super::ledger::{Ledger, SpaceMemory};
use super::recovery::WalPlace;
use super::scan::Scanner;
use super::superblock::Superblock;
use super::walk::Origin;

use space_check::{Known, verify_space};

/// Damaged places that are listed one by one; one more item counts the rest.
const DAMAGE_MAX: usize = 10_000;

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// The segment files.
    pub segments: u64,
    /// The entries whose header and payload check out, those behind damage included.
    pub entries: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// The lowest sequence among them.
    pub first_sequence: Option<u64>,
    /// The highest.
    pub last_sequence: Option<u64>,
    /// Where the last group was torn: what stands there was never acknowledged, and the next start cuts it.
    pub torn_tail: Option<TornPlace>,
    /// What is not as it was written.
    pub damage: Vec<Damage>,
    /// In a directory of Engram's, entries whose sequence was seen before; in ours such an entry is damage.
    pub duplicates: u64,
    /// Who wrote the directory.
    pub origin: Origin,
    /// In a directory of Engram's, numbers that are left out within a file. Engram leaves some out itself where a write
    /// fails, so a gap is no damage; where nothing failed, entries are missing. Left out of the JSON where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
}

/// Numbers that are left out within a file of Engram's.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Gap {
    /// The file, relative to the directory that was verified.
    pub file: String,
    /// Where the entry behind the gap stands.
    pub offset: u64,
    /// The first number that is left out.
    pub expected: u64,
    /// The number of the entry behind.
    pub found: u64,
}

/// Where the last group was torn.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TornPlace {
    /// The file, relative to the directory that was verified.
    pub file: String,
    /// Where in it.
    pub offset: u64,
}

/// A damaged place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The file, relative to the directory that was verified.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// What was expected and what stands there.
    pub reason: String,
}

/// Verifies a space's directory, ours or Engram's, or a node's whole data directory.
///
/// A data directory is verified file by file: superblock, promises, reserve, and every space under `spaces/`, every
/// index of an engine's log under `indexes/`;
/// counts are sums, and the names of files are relative to it. A space's directory that still stands in its data
/// directory is judged with what the file of promises and the superblock know of it.
/// Damage is no error: it is in the report.
///
/// # Errors
/// Those of the operating system.
pub fn verify<D: Disk>(disk: &D, directory: &Path) -> Result<VerifyReport, WalError> {
    let listed = disk.list(directory).map_err(WalError::io("list", directory))?;
    let is_node = listed.iter().any(|entry| matches!(entry.name.as_str(), "superblock" | "promises.log" | "spaces"));
    let mut report = Report::default();
    if is_node {
        let not_files = listed.iter().filter(|entry| !entry.is_file).map(|entry| entry.name.as_str()).collect();
        verify_node(disk, directory, &not_files, &mut report)?;
    } else {
        let known = known_from_outside(disk, directory);
        verify_space(disk, directory, "", known, &mut report)?;
    }
    Ok(report.finish())
}

/// Collects a report.
#[derive(Default)]
struct Report {
    segments: u64,
    entries: u64,
    bytes: u64,
    bounds: Option<(u64, u64)>,
    torn_tail: Option<TornPlace>,
    damage: Vec<Damage>,
    damage_left_out: u64,
    duplicates: u64,
    origin: Option<Origin>,
    gaps: Vec<Gap>,
}

impl Report {
    fn damage(&mut self, file: String, offset: u64, reason: &dyn core::fmt::Display) {
        if self.damage.len() < DAMAGE_MAX {
            self.damage.push(Damage { file, offset, reason: reason.to_string() });
        } else {
            self.damage_left_out += 1;
        }
    }

    fn gap(&mut self, gap: Gap) {
        if self.gaps.len() < DAMAGE_MAX {
            self.gaps.push(gap);
        }
    }

    fn torn(&mut self, file: String, offset: u64) {
        if self.torn_tail.is_none() {
            self.torn_tail = Some(TornPlace { file, offset });
        }
    }

    fn finish(mut self) -> VerifyReport {
        self.damage.sort_by(|left, right| (&left.file, left.offset).cmp(&(&right.file, right.offset)));
        if self.damage_left_out > 0 {
            let reason = format!("{} more damaged places are not listed", self.damage_left_out);
            self.damage.push(Damage { file: String::new(), offset: 0, reason });
        }
        VerifyReport {
            segments: self.segments,
            entries: self.entries,
            bytes: self.bytes,
            first_sequence: self.bounds.map(|bounds| bounds.0),
            last_sequence: self.bounds.map(|bounds| bounds.1),
            torn_tail: self.torn_tail,
            damage: self.damage,
            duplicates: self.duplicates,
            origin: self.origin.unwrap_or(Origin::Engraft),
            gaps: self.gaps,
        }
    }
}

fn verify_node<D: Disk>(
    disk: &D,
    directory: &Path,
    not_files: &BTreeSet<&str>,
    report: &mut Report,
) -> Result<(), WalError> {
    for file in ["superblock", "promises.log", "reserve"].into_iter().filter(|file| not_files.contains(file)) {
        report.damage(file.into(), 0, &BreakReason::NotAFile);
    }
    let found = match Superblock::load(disk, directory) {
        _ if not_files.contains("superblock") => None,
        Ok(Some(found)) => Some(found),
        Ok(None) => {
            report.damage("superblock".into(), 0, &"it is not there");
            None
        }
        Err(error) => {
            report.damage("superblock".into(), 0, &passed(error)?);
            None
        }
    };
    let clean = found.is_some_and(|found| found.block.clean);
    if let Some(offset) = found.and_then(|found| found.broken_slot) {
        if clean {
            report.damage("superblock".into(), offset, &"one of its two copies does not hold");
        } else {
            report.torn("superblock".into(), offset);
        }
    }
    let memory = match not_files.contains("promises.log") {
        true => BTreeMap::new(),
        false => verify_ledger(disk, directory, clean, report)?,
    };
    if !not_files.contains("reserve") {
        verify_reserve(disk, directory, report)?;
    }
    verify_spaces(disk, directory, found.map(|found| found.block), &memory, report)
}

fn verify_spaces<D: Disk>(
    disk: &D,
    directory: &Path,
    block: Option<Superblock>,
    memory: &BTreeMap<SpaceId, SpaceMemory>,
    report: &mut Report,
) -> Result<(), WalError> {
    let mut met = BTreeSet::new();
    // The index of an engine's log is a log as well.
    for folder in ["spaces", "indexes"] {
        let spaces = directory.join(folder);
        let listed = match disk.list(&spaces) {
            // What is remembered of the spaces tells whether something is missing.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                report.damage(folder.into(), 0, &"expected a directory, found something else of that name");
                Vec::new()
            }
            other => other.map_err(WalError::io("list", &spaces))?,
        };
        for entry in listed.iter().filter(|entry| !entry.is_file) {
            let known = known_of(&entry.name, memory, block);
            met.extend(SpaceName::new(&entry.name).map(|name| name.id()));
            let (path, prefix) = (spaces.join(&entry.name), format!("{folder}/{}/", entry.name));
            match verify_space(disk, &path, &prefix, known, report) {
                Err(WalError::Io { operation: "list", source, .. })
                    if !matches!(source.kind(), std::io::ErrorKind::PermissionDenied) =>
                {
                    report.damage(format!("{folder}/{}", entry.name), 0, &source);
                }
                other => other?,
            }
        }
    }
    for (space, known) in memory {
        if known.mark > known.start.sequence && !met.contains(space) {
            let reason =
                format!("the log of the space {space} is missing, though {} was known to be on disk", known.mark);
            report.damage("spaces".into(), 0, &reason);
        }
    }
    Ok(())
}

/// An error that is a finding, as its words; the operating system's are passed on.
fn passed(error: StorageOpenError) -> Result<String, WalError> {
    match error {
        StorageOpenError::Wal(error) => Err(error),
        StorageOpenError::Locked { .. }
        | StorageOpenError::OtherCluster { .. }
        | StorageOpenError::OtherNode { .. }
        | StorageOpenError::Superblock { .. }
        | StorageOpenError::MemoryLost { .. }
        | StorageOpenError::Version { .. }
        | StorageOpenError::Option { .. } => Ok(error.to_string()),
    }
}

fn verify_ledger<D: Disk>(
    disk: &D,
    directory: &Path,
    clean: bool,
    report: &mut Report,
) -> Result<BTreeMap<SpaceId, SpaceMemory>, WalError> {
    let file = "promises.log";
    match Ledger::load(disk, directory) {
        Ok(loaded) => {
            match loaded.torn_at {
                Some(offset) if clean => report.damage(file.into(), offset, &"the last frame does not hold"),
                Some(offset) => report.torn(file.into(), offset),
                None => {}
            }
            Ok(loaded.memory.spaces)
        }
        Err(StorageOpenError::MemoryLost { offset, reason, .. }) => {
            report.damage(file.into(), offset, &reason);
            Ok(BTreeMap::new())
        }
        Err(error) => {
            report.damage(file.into(), 0, &passed(error)?);
            Ok(BTreeMap::new())
        }
    }
}

fn verify_reserve<D: Disk>(disk: &D, directory: &Path, report: &mut Report) -> Result<(), WalError> {
    let path = directory.join("reserve");
    let file = match disk.open(&path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(WalError::io("open", &path)(error)),
    };
    let found = Scanner::new(file).and_then(|mut scanner| scanner.first_non_zero(0));
    if let Some(offset) = found.map_err(WalError::io("read", &path))? {
        report.damage("reserve".into(), offset, &BreakReason::NotZero);
    }
    Ok(())
}

/// What the data directory around a space's directory knows of it, where there is one that holds.
fn known_from_outside<D: Disk>(disk: &D, directory: &Path) -> Known {
    let Ok(directory) = std::path::absolute(directory) else { return Known::default() };
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let Some(spaces) = directory.parent().filter(|parent| parent.ends_with("spaces") || parent.ends_with("indexes"))
    else {
        return Known::default();
    };
    let Some(node) = spaces.parent() else { return Known::default() };
    let memory = Ledger::load(disk, node).map(|loaded| loaded.memory.spaces).unwrap_or_default();
    let block = Superblock::load(disk, node).ok().flatten().map(|found| found.block);
    known_of(&name, &memory, block)
}

fn known_of(name: &str, memory: &BTreeMap<SpaceId, SpaceMemory>, block: Option<Superblock>) -> Known {
    let (Ok(name), Some(block)) = (SpaceName::new(name), block) else { return Known::default() };
    let space = name.id();
    let memory = memory.get(&space).copied().unwrap_or_default();
    let place = WalPlace { directory: name.as_str().into(), cluster: block.cluster, space };
    Known { mark: memory.mark, start: Some(place.start(&memory)), cut: memory.cut, clean: block.clean }
}

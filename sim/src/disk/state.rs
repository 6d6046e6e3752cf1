//! All that a simulated disk holds, and what is wrong with it.

use std::io;

use alloc::collections::BTreeMap;

use super::inode::Inode;
use super::names::Names;
use super::{CrashPoint, DiskChange, FileNumber};

#[derive(Debug, Clone)]
pub(super) struct DiskState {
    pub(super) seed: u64,
    pub(super) node: u64,
    /// Raised by each crash: handles of earlier ones are dead.
    pub(super) generation: u64,
    pub(super) files: BTreeMap<FileNumber, Inode>,
    pub(super) files_made: u64,
    /// The writes and changes of size so far, over all files.
    pub(super) changes_made: u64,
    pub(super) names: Names,
    pub(super) faults: Faults,
    pub(super) syncs_failed: u64,
    pub(super) journal: Option<Vec<DiskChange>>,
    pub(super) crash_points: Option<Vec<(DiskChange, CrashPoint)>>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    pub(super) syncs_to_fail: u32,
    pub(super) lying: bool,
    pub(super) read_only: bool,
    pub(super) misdirect_next: bool,
    pub(super) bytes_max: Option<u64>,
    pub(super) operations_left: Option<u64>,
}

impl Faults {
    pub(super) fn end_with_the_power(&mut self) {
        (self.syncs_to_fail, self.misdirect_next, self.operations_left) = (0, false, None);
    }
}

impl DiskState {
    /// A copy that keeps no crash points.
    pub(super) fn fork(&mut self) -> Self {
        let kept = self.crash_points.take();
        let fork = self.clone();
        self.crash_points = kept;
        fork
    }

    pub(super) fn forget_nameless(&mut self) {
        let names = &self.names;
        self.files.retain(|number, _| names.holds(*number));
    }

    pub(super) fn number_change(&mut self) -> u64 {
        self.changes_made += 1;
        self.changes_made
    }

    pub(super) fn writable(&self) -> io::Result<()> {
        if self.faults.read_only { Err(io::ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    pub(super) fn bytes_used(&self) -> u64 {
        self.files.values().map(|file| file.bytes().len() as u64).sum()
    }

    pub(super) fn note(&mut self, change: impl FnOnce() -> DiskChange) {
        if self.journal.is_none() && self.crash_points.is_none() {
            return;
        }
        let change = change();
        if self.crash_points.is_some() {
            let point = CrashPoint::of(self);
            self.crash_points.get_or_insert_default().push((change.clone(), point));
        }
        if let Some(journal) = &mut self.journal {
            journal.push(change);
        }
    }

    /// Counts an operation; an error once the process is dead.
    pub(super) fn step(&mut self) -> io::Result<()> {
        match &mut self.faults.operations_left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the simulated process has died")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// How many of `wanted` more bytes there is room for.
    pub(super) fn room(&self, wanted: u64) -> u64 {
        let Some(bytes_max) = self.faults.bytes_max else { return wanted };
        if wanted == 0 { 0 } else { bytes_max.saturating_sub(self.bytes_used()).min(wanted) }
    }
}

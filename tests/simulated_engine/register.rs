//! A small engine with a choice of flaws: a register to which the numbers of the payloads are added.

use std::collections::HashMap;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;

use engraft::wal::{Access, Disk, DiskFile};
use engraft::{ApplyError, Entry, Sequence, StateMachine};
use engraft_sim::disk::SimDisk;
use engraft_sim::embed::Place;
use engraft_sim::scenario::{FaultKind, Load, LoadAck};
use engraft_sim::{Engine, Simulation};

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Nothing is kept over a restart; that is allowed.
    MemoryOnly,
    /// State and position are two files, saved one after the other in a flush.
    TwoFiles,
    /// The file is renamed before it is synced.
    RenamesUnsynced,
    /// The position is one ahead of the state after a restart.
    SkipsOne,
    /// The state takes the first entry of a map without an order.
    MapOrder,
    /// The state takes how often the process began.
    CountsStarts,
    /// An apply fails that has no reason to.
    Fails,
    /// An apply panics.
    Panics,
}

pub(super) struct Register {
    place: Place,
    flaw: Flaw,
    pub(super) sum: u64,
    words: HashMap<u64, u64>,
    applied: Sequence,
}

impl Register {
    pub(super) fn open(place: &Place, flaw: Flaw) -> Result<Self, ApplyError> {
        let mut opened = Self { place: place.clone(), flaw, sum: 0, words: HashMap::new(), applied: Sequence::ZERO };
        if flaw != Flaw::MemoryOnly {
            opened.sum = load(&place.disk, &place.directory.join("sum"))?;
            let applied = if flaw == Flaw::TwoFiles { "applied" } else { "sum" };
            opened.applied = Sequence(load(&place.disk, &place.directory.join(applied))? >> 32);
            opened.sum &= 0xffff_ffff;
        }
        if flaw == Flaw::SkipsOne && opened.applied > Sequence::ZERO {
            opened.applied = opened.applied.next();
        }
        if flaw == Flaw::CountsStarts {
            opened.sum += load(&place.disk, &place.directory.join("starts"))?;
            save(&place.disk, &place.directory, "starts", 1, true)?;
        }
        Ok(opened)
    }
}

impl StateMachine for Register {
    fn applied(&self) -> Sequence {
        self.applied
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        let added: u64 = str::from_utf8(&entry.payload)?.parse()?;
        self.sum = (self.sum + added) & 0xffff_ffff;
        if self.flaw == Flaw::MapOrder {
            self.words.insert(added, added);
            self.sum = self.words.values().next().copied().unwrap_or(0);
        }
        self.applied = entry.header.sequence();
        let late = self.applied.0 > 20;
        assert!(self.flaw != Flaw::Panics || !late, "without a reason");
        if self.flaw == Flaw::Fails && late { Err("it has no reason".into()) } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ApplyError> {
        let Place { disk, directory, .. } = &self.place;
        let both = self.applied.0 << 32 | self.sum;
        if self.flaw == Flaw::TwoFiles {
            save(disk, directory, "applied", both, true)?;
        }
        if self.flaw != Flaw::MemoryOnly {
            save(disk, directory, "sum", both, self.flaw != Flaw::RenamesUnsynced)?;
        }
        Ok(())
    }
}

impl Engine for Register {
    fn digest(&self) -> u64 {
        self.sum
    }
}

fn load(disk: &SimDisk, path: &Path) -> Result<u64, ApplyError> {
    let file = match disk.open(path, Access::Read) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let mut bytes = [0; 8];
    match file.read_at(&mut bytes, 0)? {
        8 => Ok(u64::from_le_bytes(bytes)),
        other => Err(format!("{} has {other} bytes", path.display()).into()),
    }
}

fn save(disk: &SimDisk, directory: &Path, name: &str, value: u64, syncs: bool) -> Result<(), ApplyError> {
    let new = directory.join("new");
    let _ = disk.remove_file(&new);
    let file = disk.open(&new, Access::CreateNew)?;
    file.write_at(&[IoSlice::new(&value.to_le_bytes())], 0)?;
    if syncs {
        file.sync()?;
    }
    disk.rename(&new, &directory.join(name))?;
    Ok(disk.sync_directory(directory)?)
}

/// Registers with this flaw on three nodes, under crashes only: what finds them is quick then.
pub(super) fn simulation(flaw: Flaw) -> Simulation<Register> {
    Simulation::new(move |place: &Place| Register::open(place, flaw))
        .nodes(3)
        .faults(|kind| matches!(kind, FaultKind::Crash | FaultKind::Power))
        .topology(|scenario| {
            scenario.spaces.truncate(1);
            scenario.phases.chaos_us = 1_000_000;
            scenario.phases.quorum_us = 0;
            scenario.knobs = engraft_sim::scenario::Knobs::default();
            let space = scenario.spaces[0].name.clone();
            scenario.loads.push(Load {
                at_us: 1_000,
                space,
                to: None,
                entries: 300,
                burst: 1,
                every_us: 3_000,
                in_flight: 64,
                bytes_min: 8,
                bytes_max: 8,
                ack: LoadAck::Mixed,
                timeout_us: None,
                reads_permille: 0,
                waits_permille: 0,
                follows: false,
            });
        })
        .workload(|ask| (1 + ask.draw(0, 100)).to_string())
}

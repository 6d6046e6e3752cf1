//! How fast the log alone writes and syncs.

use ::core::time::Duration;
use std::path::Path;
use std::time::Instant;

use crate::core::{Ack, Event, SpaceConfig};
use crate::driver::wal_worker::{StorageOptions, WalRequest, WalWorker};
use crate::types::Epoch;
use crate::types::entry::chain_start;
use crate::types::{
    ClusterId, Control, Entry, Incarnation, NodeId, Position, Sequence, SpaceName, WalEntryType, WriteId,
};
use crate::wal::StdDisk;

use super::super::exit::Failure;
use super::figure::{Figure, Round, Unit, per_second};
use super::load::Load;
use super::settings::{ROUNDS, Settings};
use super::{entry_bytes, failed, floor};

const NODE: NodeId = NodeId(1);

/// Measures entries per second through the steps that the log's thread runs, in the largest groups that share an fsync.
pub(super) fn measure(settings: &Settings, size: usize) -> Result<Figure, Failure> {
    let directory = settings.temporary()?;
    let mut log = Log::open(directory.path(), size)?;
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        settings.progress.now(format!("the log alone, round {round} of {ROUNDS}: a plain file"));
        let raw = floor::append_and_sync(directory.path(), log.group * entry_bytes(size), settings.floor_round());
        let floor = raw.map_err(|error| failed("append to a file", error))? / entry_bytes(size) as f64;
        settings.progress.now(format!("the log alone, round {round} of {ROUNDS}"));
        rounds.push(Round { floor, value: log.run(settings.round())? });
    }
    let title = format!("log alone, {size} B, groups of {}", log.group);
    let floor_is = "append the same bytes to a plain file, fdatasync per group";
    Ok(Figure::of_rounds(format!("wal_{size}b"), title, Unit::EntriesPerSecond, &rounds, floor_is))
}

/// A node's storage with one space.
struct Log {
    worker: WalWorker<StdDisk>,
    load: Load,
    name: SpaceName,
    epoch: Epoch,
    end: Position,
    write: WriteId,
    group: usize,
}

impl Log {
    fn open(directory: &Path, size: usize) -> Result<Self, Failure> {
        let cluster = ClusterId::from_name("bench").map_err(|error| failed("name the cluster", error))?;
        let name = SpaceName::new("bench").map_err(|error| failed("name the space", error))?;
        let mut options = StorageOptions::new(directory.join("log"), cluster, NODE, Incarnation([1; 16]), [1; 16]);
        let config = SpaceConfig::new(NODE, vec![NODE]);
        options.spaces.push((name.clone(), config));
        let (worker, _) = WalWorker::open(StdDisk, &options).map_err(|error| failed("open a log", error))?;
        let end = Position { chain: chain_start(cluster, name.id()), ..Position::default() };
        let epoch = Epoch::ZERO.next_for(NODE).unwrap_or(Epoch::ZERO);
        let load = Load::new(name.id(), Ack::Local, size);
        Ok(Self { worker, load, name, epoch, end, write: WriteId(0), group: options.wal.group_entries })
    }

    /// Entries per second. Making the entries is the core's work and not counted.
    fn run(&mut self, duration: Duration) -> Result<f64, Failure> {
        let (mut busy, mut entries) = (Duration::ZERO, 0);
        let mut events = Vec::new();
        while busy < duration {
            let group = self.next_group();
            let last = self.end.sequence;
            entries += group.len() as u64;
            let request = WalRequest::Append { space: self.name.id(), write: self.write, entries: group };
            let began = Instant::now();
            self.worker.submit(request);
            while self.worker.has_work() {
                self.worker.write();
                self.worker.sync();
                self.worker.complete(&mut events);
            }
            busy += began.elapsed();
            self.check(&events, last)?;
            events.clear();
        }
        Ok(per_second(entries, busy))
    }

    fn check(&self, events: &[Event], last: Sequence) -> Result<(), Failure> {
        match events {
            [Event::WalAppended { write, sequence, .. }] if *write == self.write && *sequence == last => Ok(()),
            _ => Err(Failure::failed(format!("the log told {events:?} of the write up to {last}"))),
        }
    }

    fn next_group(&mut self) -> Vec<Entry> {
        self.write = WriteId(self.write.0 + 1);
        let mut group = Vec::with_capacity(self.group);
        for payload in self.load.payloads(self.group) {
            let (entry_type, control) = (WalEntryType::EpisodeStore, Control::user());
            let entry = Entry::following(&self.end, self.epoch, entry_type, control, 0, payload);
            self.end = entry.position();
            group.push(entry);
        }
        group
    }
}

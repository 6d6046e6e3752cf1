//! What the files of a run say when it is over: the production code reads what the checks have followed.

use engraft::core::Event;
use engraft::driver::wal_worker::WalRequest;
use engraft::types::{ReadId, Sequence};

use super::World;
use crate::check::{Invariant, SpaceIndex};
use crate::disk::SimDisk;
use crate::queue::NodeIndex;
use crate::storage::{self, DiskPlace};

impl World<'_> {
    /// The production code recovers each disk, and reads the very log that was seen to be written.
    pub(super) fn files_tell_the_same(&mut self) {
        for node in 0..self.nodes.len() {
            let lost = (0..self.checks.spaces.len()).any(|space| self.is_lost(node, space));
            if lost || self.nodes[node].process.is_none() {
                continue;
            }
            let disk = &self.nodes[node].disk;
            // Nothing happens after this, so the disk itself is as good as a copy; an engine may still look at its files.
            let disk = if self.own.engine.is_some() { disk.fork() } else { disk.clone() };
            disk.kill();
            if let Err((space, words)) = self.read_back(node, &disk) {
                self.checks.violated(Invariant::S5, Some(node), space, || words);
                return;
            }
        }
    }

    fn read_back(&self, node: NodeIndex, disk: &SimDisk) -> Result<(), (Option<SpaceIndex>, String)> {
        let at = &self.nodes[node];
        let place = DiskPlace { node: at.id, disks: at.disks, boot: at.boot };
        let (mut wal, opened) = storage::open(self.scenario, self.own, place, disk)
            .map_err(|error| (None, format!("cannot be opened: {error}")))?;
        let spaces = opened.events.iter().filter(|event| !matches!(event, Event::PeersKnown { .. }));
        for (space, event) in spaces.enumerate() {
            let log = &self.checks.spaces[space].logs[node];
            let Event::SpaceOpened(found) = event else {
                return Err((Some(space), format!("cannot be opened: {event}")));
            };
            if found.end.sequence != log.end() || found.end.chain != log.end_chain() {
                return Err((Some(space), format!("is recovered up to {}, and {} was written", found.end, log.end())));
            }
            let mut next = Sequence(1);
            while next <= log.end() {
                let id = self.checks.spaces[space].id;
                wal.submit(WalRequest::Read {
                    space: id,
                    read: ReadId(1),
                    from: next,
                    entries_max: 10_000,
                    bytes_max: 8 << 20,
                });
                let mut events = Vec::new();
                wal.complete(&mut events);
                let Some(Event::WalRead { entries, .. }) = events.first().filter(|event| has_entries(event)) else {
                    return Err((Some(space), format!("{next} cannot be read: {events:?}")));
                };
                for entry in entries {
                    let position = entry.position();
                    let same = log
                        .record(next)
                        .is_some_and(|record| record.epoch == position.epoch && record.chain == position.chain);
                    if position.sequence != next || !same {
                        return Err((Some(space), format!("reads {position} where another {next} was written")));
                    }
                    next = next.next();
                }
            }
        }
        Ok(())
    }
}

fn has_entries(event: &Event) -> bool {
    matches!(event, Event::WalRead { entries, .. } if !entries.is_empty())
}

//! Peers that are to be known durably, on their way through the steps.

use crate::core::Event;
use crate::types::{Incarnation, NodeId};
use crate::wal::{Disk, Ledger};

type Known = (NodeId, Incarnation);

/// Peers whose incarnations are being saved.
#[derive(Default)]
pub(super) struct SavedPeers {
    queued: Vec<Known>,
    written: Vec<Known>,
    /// Those that may be told.
    synced: Vec<Known>,
}

impl SavedPeers {
    pub(super) fn queue(&mut self, peer: NodeId, incarnation: Incarnation) {
        self.queued.push((peer, incarnation));
    }

    pub(super) fn has_work(&self) -> bool {
        !(self.queued.is_empty() && self.written.is_empty() && self.synced.is_empty())
    }

    /// Step 1: hands them to the file of promises, which is to be written then; says whether there were any.
    pub(super) fn write<D: Disk>(&mut self, ledger: &mut Ledger<D>) -> bool {
        for &(peer, incarnation) in &self.queued {
            ledger.know(peer, incarnation);
        }
        let any = !self.queued.is_empty();
        self.written.append(&mut self.queued);
        any
    }

    /// Step 2: the file is synced.
    pub(super) fn synced(&mut self) {
        self.synced.append(&mut self.written);
    }

    /// Step 3: tells them.
    pub(super) fn complete(&mut self, events: &mut Vec<Event>) {
        events.extend(self.synced.drain(..).map(|(peer, incarnation)| Event::PeerSaved { peer, incarnation }));
    }
}

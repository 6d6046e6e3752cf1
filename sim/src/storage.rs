//! A node's storage: the production worker on the modelled disk, or an embedder's own.

use std::path::PathBuf;

use engraft::core::{Event, StorageError};
use engraft::driver::wal_worker::{StorageOpened, StorageOptions, WalRequest, WalWorker};
use engraft::types::{Incarnation, NodeId};
use engraft::wal::{Disk, StorageOpenError};

use crate::disk::SimDisk;
use crate::embed::Own;
use crate::scenario::Scenario;

/// A node's storage in the steps of [`WalWorker`], which is one: a crash can come between any two of them.
///
/// The checks read the logs from the bytes on the node's [`SimDisk`], so it has to keep them there, in engraft's form.
pub trait Storage {
    /// As [`WalWorker::submit`].
    fn submit(&mut self, request: WalRequest);
    /// As [`WalWorker::has_work`].
    fn has_work(&self) -> bool;
    /// As [`WalWorker::write`].
    fn write(&mut self);
    /// As [`WalWorker::sync`].
    fn sync(&mut self);
    /// As [`WalWorker::complete`].
    fn complete(&mut self, events: &mut Vec<Event>);
    /// As [`WalWorker::idle`].
    fn idle(&mut self);
    /// As [`WalWorker::close`].
    ///
    /// # Errors
    /// What of it failed.
    fn close(self: Box<Self>) -> Result<(), StorageError>;
}

impl<D: Disk> Storage for WalWorker<D> {
    fn submit(&mut self, request: WalRequest) {
        Self::submit(self, request);
    }

    fn has_work(&self) -> bool {
        Self::has_work(self)
    }

    fn write(&mut self) {
        Self::write(self);
    }

    fn sync(&mut self) {
        Self::sync(self);
    }

    fn complete(&mut self, events: &mut Vec<Event>) {
        Self::complete(self, events);
    }

    fn idle(&mut self) {
        Self::idle(self);
    }

    fn close(self: Box<Self>) -> Result<(), StorageError> {
        Self::close(*self)
    }
}

/// A storage, and what opening it found.
pub type OpenedStorage = (Box<dyn Storage>, StorageOpened);

/// Which of its disks a node has, and in which boot of its machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DiskPlace {
    pub(crate) node: NodeId,
    pub(crate) disks: u32,
    pub(crate) boot: u32,
}

/// Opens a node's data directory.
pub(crate) fn open(
    scenario: &Scenario,
    own: &Own,
    place: DiskPlace,
    disk: &SimDisk,
) -> Result<OpenedStorage, StorageOpenError> {
    let DiskPlace { node, disks, boot } = place;
    let mut boot_id = [0; 16];
    boot_id[..4].copy_from_slice(&boot.to_le_bytes());
    let mut fresh = [0; 16];
    fresh[..4].copy_from_slice(&disks.to_le_bytes());
    fresh[4..6].copy_from_slice(&node.0.to_le_bytes());
    fresh[8..].copy_from_slice(&scenario.seed.to_le_bytes());
    let mut options =
        StorageOptions::new(PathBuf::from("/data"), scenario.cluster(), node, Incarnation(fresh), boot_id);
    options.spaces = scenario.spaces.iter().map(|space| (space.name.clone(), space.config())).collect();
    // A reserve for a full disk costs time to write and says the same at any size.
    options.wal.reserve_bytes = 4096;
    if let Some(open) = &own.storage {
        return open(disk.clone(), &options);
    }
    let (worker, opened) = WalWorker::open(disk.clone(), &options)?;
    Ok((Box::new(worker), opened))
}

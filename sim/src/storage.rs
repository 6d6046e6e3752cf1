//! A node's storage: the production worker on the modelled disk.

use std::path::PathBuf;

use engraft::driver::wal_worker::{StorageOpened, StorageOptions, WalWorker};
use engraft::types::{Incarnation, NodeId};
use engraft::wal::StorageOpenError;

use crate::disk::SimDisk;
use crate::scenario::Scenario;

/// Opens a node's data directory. `lives` counts the node's disks, `boot` its machine's starts.
pub(crate) fn open(
    scenario: &Scenario,
    node: NodeId,
    disk: &SimDisk,
    disks: u32,
    boot: u32,
) -> Result<(WalWorker<SimDisk>, StorageOpened), StorageOpenError> {
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
    WalWorker::open(disk.clone(), &options)
}

//! A new space in a data directory, made from a directory of Engram's.

use std::io;
use std::path::{Path, PathBuf};

use crate::types::{Epoch, SpaceName};
use crate::wal::{
    Disk, EngramCopy, ImportError, ImportReport, Ledger, NodeMemory, Reserve, SpaceMemory, Superblock, WalError,
    WalPlace, copy_engram,
};

use super::storage::{StorageOptions, check_identity, lock, refuse_orphans};

/// Where logs are made before they are put in place, inside the data directory.
const STAGING: &str = "importing";

/// What is imported.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Engram's directory. It is read only, and nobody may write to it meanwhile.
    pub source: PathBuf,
    /// The new space.
    pub space: SpaceName,
    /// The largest payload that the cluster ships, in bytes (`replication.entry_bytes_max`).
    pub entry_bytes_max: u64,
}

/// Makes a new space of a directory of Engram's, in the data directory of a node that does not run; the directory is
/// made where it is new. The spaces of the options are passed over.
///
/// The entries get the epoch of term 1 that this node owns, as if it had been the space's first primary: so it has to
/// be the space's primary, which opens above that epoch, and the other nodes get the entries by replication.
///
/// The log is made aside and put in place whole: until then there is no such space, and what an interrupted import
/// left is deleted by the next one.
///
/// # Errors
/// Why there is no new space.
pub fn import_engram<D: Disk>(
    disk: &D,
    storage: &StorageOptions,
    import: &ImportOptions,
) -> Result<ImportReport, ImportError> {
    storage.wal.validate()?;
    let directory = storage.directory.as_path();
    // Before anything is made: a mistaken path should leave nothing behind.
    disk.list(&import.source).map_err(WalError::io("list", &import.source))?;
    disk.create_dir_all(directory).map_err(WalError::io("create", directory))?;
    let _lock = lock(disk, directory)?;
    let mut memory = claim(disk, storage)?;
    let (name, space) = (&import.space, import.space.id());
    let spaces = directory.join("spaces");
    let place = spaces.join(name.as_str());
    let staging = directory.join(STAGING).join(name.as_str());
    if !is_empty(disk, &place)? {
        return Err(ImportError::SpaceExists { space: name.clone(), path: place });
    }
    if let Some(known) = memory.spaces.get(&space).filter(|known| **known != SpaceMemory::default()) {
        return Err(ImportError::SpaceRemembered { space: name.clone(), promise: known.promise });
    }
    for directory in [&spaces, &staging] {
        disk.create_dir_all(directory).map_err(WalError::io("create", directory))?;
    }
    clear(disk, &staging)?;
    let epoch = Epoch::new(0, 1, storage.node);
    let copy = EngramCopy {
        source: import.source.clone(),
        space: name.clone(),
        place: WalPlace { directory: staging.clone(), cluster: storage.cluster, space },
        epoch,
        wal: storage.wal.clone(),
        entry_bytes_max: import.entry_bytes_max,
    };
    let (report, end) = copy_engram(disk, &copy).inspect_err(|_| {
        // Gives back the room. Where that fails, the next import does it.
        let _ = clear(disk, &staging);
    })?;
    // From here on the space is there, whole; everything in it is durable.
    disk.rename(&staging, &place).map_err(WalError::io("rename", &staging))?;
    for directory in [&directory.join(STAGING), &spaces] {
        disk.sync_directory(directory).map_err(WalError::io("sync", directory))?;
    }
    // Only now: a mark of entries that are not there would be taken for lost ones.
    memory.spaces.insert(space, SpaceMemory { promise: epoch, mark: end.sequence, ..SpaceMemory::default() });
    Ledger::replace(disk.clone(), directory, memory, Reserve::find(disk, directory)?)?;
    Ok(report)
}

/// What the node remembers; a new directory becomes this node's.
///
/// How the node stopped is left as it stands: an import neither tears a log nor mends one.
fn claim<D: Disk>(disk: &D, storage: &StorageOptions) -> Result<NodeMemory, ImportError> {
    let directory = storage.directory.as_path();
    if let Some(found) = Superblock::load(disk, directory)? {
        check_identity(&found.block, storage, directory)?;
        return Ok(Ledger::load(disk, directory)?.memory);
    }
    refuse_orphans(disk, directory)?;
    Ledger::replace(disk.clone(), directory, NodeMemory::default(), Reserve::find(disk, directory)?)?;
    let (cluster, node, boot_id) = (storage.cluster, storage.node, storage.boot_id);
    let incarnation = storage.fresh_incarnation;
    Superblock { cluster, node, incarnation, boot_id, clean: true, number: 0 }.create(disk, directory)?;
    Ok(NodeMemory::default())
}

fn is_empty<D: Disk>(disk: &D, directory: &Path) -> Result<bool, WalError> {
    match disk.list(directory) {
        Ok(found) => Ok(found.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(WalError::io("list", directory)(error)),
    }
}

fn clear<D: Disk>(disk: &D, directory: &Path) -> Result<(), WalError> {
    for entry in disk.list(directory).map_err(WalError::io("list", directory))? {
        let path = directory.join(entry.name);
        disk.remove_file(&path).map_err(WalError::io("remove", &path))?;
    }
    disk.sync_directory(directory).map_err(WalError::io("sync", directory))
}

//! A data directory: made, claimed, recovered, and left.

use alloc::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::core::{Event, SpaceConfig, SpaceOpened};
use crate::types::entry::StartFound;
use crate::types::{ClusterId, Epoch, EpochHistory, Incarnation, NodeId, SpaceId, SpaceName};
use crate::wal::{
    Access, Disk, DiskFile, Handles, Ledger, NodeMemory, RecoveryReport, Reserve, SpaceMemory, StorageOpenError,
    Superblock, Wal, WalError, WalOptions, WalPlace,
};

use crate::wal::own_wal::{Engines, SideLog};
use crate::wal::salvage::{self, SALVAGE, SalvagePlace};

use super::space_log::SpaceLog;
use super::space_queue::SpaceQueue;
use super::starts::read_starts;
use super::storage_error;

/// What a node's storage is opened with.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// The data directory.
    pub directory: PathBuf,
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The incarnation that a directory gets that is new; random.
    pub fresh_incarnation: Incarnation,
    /// The machine's boot id: the same one means that the page cache survived.
    pub boot_id: [u8; 16],
    /// The spaces and what is configured for them, their fsync modes included.
    pub spaces: Vec<(SpaceName, SpaceConfig)>,
    /// The numbers of the logs.
    pub wal: WalOptions,
    /// The spaces whose entries an engine keeps in a log of its own.
    pub engines: Engines,
}

impl StorageOptions {
    /// Options without spaces and with the default numbers.
    #[must_use]
    pub fn new(
        directory: PathBuf,
        cluster: ClusterId,
        node: NodeId,
        fresh_incarnation: Incarnation,
        boot_id: [u8; 16],
    ) -> Self {
        let (wal, engines) = (WalOptions::default(), Engines::default());
        Self { directory, cluster, node, fresh_incarnation, boot_id, spaces: Vec::new(), wal, engines }
    }
}

/// What opening found.
#[derive(Debug)]
pub struct StorageOpened {
    /// The directory's incarnation.
    pub incarnation: Incarnation,
    /// `PeersKnown` where peers are known, then `SpaceOpened` or `SpaceOpenFailed` for each space, in the order of the
    /// options.
    pub events: Vec<Event>,
    /// What recovery found and did, for each space that opened.
    pub reports: Vec<(SpaceName, RecoveryReport)>,
    /// Whether the directory is new.
    pub fresh: bool,
    /// Whether the last stop was a clean one. True where the directory is new.
    pub clean: bool,
    /// Whether the machine is still in the boot of the last start. True where the directory is new.
    pub same_boot: bool,
}

/// What is held of a data directory.
pub(super) struct Storage<D: Disk> {
    disk: D,
    directory: PathBuf,
    superblock: Superblock,
    all_spaces_open: bool,
    /// Held until the storage is dropped.
    _lock: D::File,
}

pub(super) struct Opening<D: Disk> {
    pub(super) storage: Storage<D>,
    pub(super) ledger: Ledger<D>,
    pub(super) spaces: BTreeMap<SpaceId, SpaceQueue<D>>,
    pub(super) opened: StorageOpened,
}

impl<D: Disk> Storage<D> {
    pub(super) const fn disk(&self) -> &D {
        &self.disk
    }

    pub(super) fn stop_cleanly(&mut self) -> Result<(), WalError> {
        self.superblock.clean = self.all_spaces_open;
        self.superblock.save(&self.disk, &self.directory)
    }
}

pub(super) fn open<D: Disk>(disk: D, options: &StorageOptions) -> Result<Opening<D>, StorageOpenError> {
    options.wal.validate()?;
    let directory = options.directory.as_path();
    disk.create_dir_all(directory).map_err(WalError::io("create", directory))?;
    let lock = lock(&disk, directory)?;
    let found = match Superblock::load(&disk, directory)? {
        Some(found) => Some(found.block),
        None => {
            refuse_orphans(&disk, directory)?;
            None
        }
    };
    if let Some(block) = &found {
        check_identity(block, options, directory)?;
    }
    let memory = match &found {
        Some(_) => Ledger::load(&disk, directory)?.memory,
        None => NodeMemory::default(),
    };
    let reserve = Reserve::find(&disk, directory)?;
    let handles = Handles::new(disk.clone(), options.wal.files_open_max);
    let mut recovery = SpaceRecovery { handles, options, memory, spaces: BTreeMap::new(), all_open: true };
    let mut opened = StorageOpened {
        incarnation: found.as_ref().map_or(options.fresh_incarnation, |block| block.incarnation),
        events: Vec::new(),
        reports: Vec::new(),
        fresh: found.is_none(),
        clean: found.as_ref().is_none_or(|block| block.clean),
        same_boot: found.as_ref().is_none_or(|block| block.boot_id == options.boot_id),
    };
    if !recovery.memory.peers.is_empty() {
        let peers = recovery.memory.peers.iter().map(|(peer, incarnation)| (*peer, *incarnation)).collect();
        opened.events.push(Event::PeersKnown { peers });
    }
    for (name, config) in &options.spaces {
        recovery.open_space(name, config, &mut opened);
    }
    // From here on nothing is trusted that was not durable: promises, marks and the end of every cut in one file.
    let mut ledger = Ledger::replace(disk.clone(), directory, recovery.memory, reserve)?;
    ledger.keep_reserve(options.wal.reserve_bytes)?;
    settle(&mut recovery.spaces, &mut ledger, &mut opened)?;
    let mut superblock = found.unwrap_or(Superblock {
        cluster: options.cluster,
        node: options.node,
        incarnation: options.fresh_incarnation,
        boot_id: options.boot_id,
        clean: false,
        number: 0,
    });
    superblock.clean = false;
    superblock.boot_id = options.boot_id;
    if opened.fresh {
        superblock.create(&disk, directory)?;
    } else {
        superblock.save(&disk, directory)?;
    }
    let (spaces, all_spaces_open) = (recovery.spaces, recovery.all_open);
    let directory = directory.to_owned();
    let storage = Storage { disk, directory, superblock, all_spaces_open, _lock: lock };
    Ok(Opening { storage, ledger, spaces, opened })
}

struct SpaceRecovery<'o, D: Disk> {
    handles: Handles<D>,
    options: &'o StorageOptions,
    memory: NodeMemory,
    spaces: BTreeMap<SpaceId, SpaceQueue<D>>,
    all_open: bool,
}

impl<D: Disk> SpaceRecovery<'_, D> {
    fn open_space(&mut self, name: &SpaceName, config: &SpaceConfig, opened: &mut StorageOpened) {
        let space = name.id();
        let memory = self.memory.spaces.get(&space).copied().unwrap_or_default();
        // A page cache that is gone takes what was written and not synced, of which others were told.
        let power_failed = !opened.clean && !opened.same_boot;
        let forgot = memory.recovering || (power_failed && (memory.weak || config.fsync.is_weak()));
        // Who never promised anything acknowledged nothing.
        let recovering = forgot && memory.promise != Epoch::ZERO;
        if recovering || config.fsync.is_weak() || memory.weak {
            let kept = self.memory.spaces.entry(space).or_default();
            (kept.weak, kept.recovering) = (config.fsync.is_weak(), recovering);
        }
        match self.open_log(name, &memory) {
            Ok((wal, history, starts, report)) => {
                let kept = self.memory.spaces.entry(space).or_default();
                kept.mark = wal.synced();
                kept.cut = None;
                opened.events.push(Event::SpaceOpened(Box::new(SpaceOpened {
                    name: name.clone(),
                    config: config.clone(),
                    end: wal.end(),
                    history,
                    starts,
                    promise: memory.promise,
                    recovering,
                })));
                opened.reports.push((name.clone(), report));
                let salvage = self.salvage(name);
                self.spaces.insert(space, SpaceQueue::new(wal, salvage, config.fsync, &self.options.wal));
            }
            Err(error) => {
                self.all_open = false;
                opened.events.push(Event::SpaceOpenFailed {
                    name: name.clone(),
                    config: config.clone(),
                    error: storage_error(&error),
                });
            }
        }
    }
}

impl<D: Disk> SpaceRecovery<'_, D> {
    fn salvage(&self, name: &SpaceName) -> SalvagePlace {
        let StorageOptions { directory, cluster, node, .. } = &self.options;
        let directory = directory.join(SALVAGE).join(name.as_str());
        SalvagePlace { directory, cluster: *cluster, node: *node, space: name.clone() }
    }

    /// Our log, or the index of an engine's: those stand apart, so that neither is ever taken for the other.
    fn open_log(
        &self,
        name: &SpaceName,
        memory: &SpaceMemory,
    ) -> Result<(SpaceLog<D>, EpochHistory, Vec<StartFound>, RecoveryReport), WalError> {
        let (space, cluster) = (name.id(), self.options.cluster);
        let (handles, options) = (self.handles.clone(), self.options.wal.clone());
        salvage::remove_new(handles.disk(), &self.salvage(name).directory)?;
        let place = |folder| {
            let directory = self.options.directory.join(folder).join(name.as_str());
            WalPlace { directory, cluster, space }
        };
        let engine = self.options.engines.get(space);
        let other = place(if engine.is_some() { "spaces" } else { "indexes" }).directory;
        refuse_other(handles.disk(), &other)?;
        let (mut log, history, report) = match engine {
            None => {
                let (log, history, report) = Wal::open(handles, place("spaces"), options, memory)?;
                (SpaceLog::Ours(Box::new(log)), history, report)
            }
            Some(link) => {
                let (log, history, report) = SideLog::open(handles, place("indexes"), options, memory, link.clone())?;
                (SpaceLog::Engine(Box::new(log)), history, report)
            }
        };
        let starts = read_starts(&mut log, &history, &place("spaces").directory)?;
        Ok((log, history, starts, report))
    }
}

/// A space that has a log of ours has no engine, and the other way round: opened as what it is not, it would begin anew.
fn refuse_other<D: Disk>(disk: &D, directory: &Path) -> Result<(), WalError> {
    match disk.list(directory) {
        Ok(found) if found.is_empty() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(WalError::io("list", directory)(error)),
        Ok(_) => {
            let what =
                "the space is there already, with an engine's log where it is opened without one, or the other way";
            Err(WalError::io("pass over", directory)(io::Error::other(what)))
        }
    }
}

/// Cuts from the engines' indexes what the engines do not have any more, and corrects what is told of them.
fn settle<D: Disk>(
    spaces: &mut BTreeMap<SpaceId, SpaceQueue<D>>,
    ledger: &mut Ledger<D>,
    opened: &mut StorageOpened,
) -> Result<(), WalError> {
    for (space, queue) in spaces {
        let Some(end) = queue.settle(ledger)? else { continue };
        for event in &mut opened.events {
            if let Event::SpaceOpened(found) = event
                && found.name.id() == *space
            {
                found.end = end;
                found.history.truncate(end.sequence);
                found.starts.retain(|start| start.first <= end.sequence);
            }
        }
    }
    Ok(())
}

/// Takes the directory for this process.
pub(super) fn lock<D: Disk>(disk: &D, directory: &Path) -> Result<D::File, StorageOpenError> {
    let path = directory.join("lock");
    let file = match disk.open(&path, Access::ReadWrite) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match disk.open(&path, Access::CreateNew) {
            // Another process made it in between.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&path, Access::ReadWrite),
            other => other,
        },
        other => other,
    };
    let file = file.map_err(WalError::io("open", &path))?;
    if file.try_lock().map_err(WalError::io("lock", &path))? {
        Ok(file)
    } else {
        Err(StorageOpenError::Locked { path })
    }
}

/// Without a superblock the directory is new only where there are no logs: it is written last when one is made.
pub(super) fn refuse_orphans<D: Disk>(disk: &D, directory: &Path) -> Result<(), StorageOpenError> {
    for spaces in ["spaces", "indexes"].map(|folder| directory.join(folder)) {
        let named = match disk.list(&spaces) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(WalError::io("list", &spaces)(error).into()),
        };
        for entry in named {
            let inside = spaces.join(&entry.name);
            let orphans = entry.is_file || !disk.list(&inside).map_err(WalError::io("list", &inside))?.is_empty();
            if orphans {
                let path = directory.join("superblock");
                return Err(StorageOpenError::Superblock { path, reason: "it is not there, though logs are" });
            }
        }
    }
    Ok(())
}

pub(super) fn check_identity(
    block: &Superblock,
    options: &StorageOptions,
    directory: &Path,
) -> Result<(), StorageOpenError> {
    let path = || directory.join("superblock");
    if block.cluster != options.cluster {
        let (expected, found) = (options.cluster, block.cluster);
        return Err(StorageOpenError::OtherCluster { path: path(), expected, found });
    }
    if block.node != options.node {
        let (expected, found) = (options.node, block.node);
        return Err(StorageOpenError::OtherNode { path: path(), expected, found });
    }
    Ok(())
}

//! The log on disk.
//!
//! A node's data directory:
//!
//! ```text
//! superblock      whose directory it is, and how it was left
//! promises.log    promises, synced marks, cuts and starts of all spaces
//! reserve         space that is given up when the disk is full
//! lock            held by the process that has the directory
//! spaces/<name>/wal-<16 hex digits>.log
//! spaces/<name>/import-report.jsonl       where the space was imported
//! indexes/<name>/wal-<16 hex digits>.log   in the place of the former, where an engine owns the log
//! importing/<name>/                        an import that is not done
//! salvage/<name>/salvage-*.log             what was truncated: see [`salvage`]
//! ```
//!
//! [`Wal`] is one space's log, [`Ledger`] the file of promises, [`Superblock`] the superblock.
//! All of them reach files through a [`Disk`].

pub mod disk;
pub mod error;
mod handles;
mod import;
mod inspect;
mod ledger;
mod log;
mod options;
pub mod own_wal;
mod recovery;
mod reserve;
pub mod salvage;
mod scan;
mod segment;
mod segment_name;
mod sequence_set;
mod std_disk;
mod superblock;
mod verify;
mod walk;
mod witness;

pub use disk::{Access, Disk, DiskEntry, DiskFile};
pub use error::{BreakReason, StorageOpenError, WalError};
pub use handles::Handles;
pub use import::{EngramCopy, IMPORT_REPORT, ImportError, ImportReport, copy_engram};
pub use inspect::{Inspect, Inspected, InspectedEntry, inspect};
pub use ledger::{Cut, Ledger, Loaded, NodeMemory, SpaceMemory};
pub use log::Wal;
pub use options::WalOptions;
pub use recovery::{RecoveryReport, TornTail, WalPlace};
pub use reserve::Reserve;
pub use segment_name::SegmentName;
pub use std_disk::{StdDisk, StdFile};
pub use superblock::{Found, Superblock};
pub use verify::{Damage, Gap, TornPlace, VerifyReport, verify};
pub use walk::Origin;
pub use witness::{node_local, synced_when_written};

//! The log on disk.

pub mod disk;

pub use disk::{Access, Disk, DiskEntry, DiskFile};

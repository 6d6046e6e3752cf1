//! What a disk was asked to do.

use std::path::PathBuf;

use super::FileNumber;

/// What a disk was asked to do, for those who check it from the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskChange {
    /// A file was made.
    Created {
        /// Its number.
        file: FileNumber,
        /// Its path.
        path: PathBuf,
    },
    /// Bytes were written; they are not durable.
    Written {
        /// The file.
        file: FileNumber,
        /// Where they begin.
        offset: u64,
        /// How many there are.
        bytes: u64,
        /// Whether they are all zeros.
        zeros: bool,
    },
    /// The file was cut or extended.
    Resized {
        /// The file.
        file: FileNumber,
        /// Its size now.
        size: u64,
    },
    /// A sync was answered well.
    Synced {
        /// The file.
        file: FileNumber,
        /// Whether the bytes are durable: false where the disk lied.
        honest: bool,
    },
    /// A file has another path.
    Renamed {
        /// The file.
        file: FileNumber,
        /// Its path now.
        path: PathBuf,
    },
    /// A file was removed.
    Removed {
        /// The file.
        file: FileNumber,
    },
    /// The names in a directory are durable.
    DirectorySynced {
        /// The directory.
        directory: PathBuf,
    },
}

//! What goes wrong with files: where, what was expected, what stands there, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::types::entry::StartError;
use crate::types::{ClusterId, EntryError, Epoch, NodeId, Sequence};

/// Why the log cannot go on at some offset of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BreakReason {
    /// Header or payload do not check out.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// An entry that opens an epoch says what cannot be read.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The file ends within the entry.
    #[error("the file ends within an entry: it needs {expected} bytes from here, there are {found}")]
    CutShort {
        /// How many bytes the entry has, or a header has.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// Another sequence stands here.
    #[error("expected sequence {expected}, found {found}")]
    Sequence {
        /// The one that continues the log.
        expected: Sequence,
        /// The one that stands here.
        found: Sequence,
    },
    /// The epoch went back.
    #[error("the epoch goes back from {expected} to {found}")]
    Epoch {
        /// The epoch of the entry before.
        expected: Epoch,
        /// The epoch that stands here.
        found: Epoch,
    },
    /// The chain does not continue.
    #[error("the chain does not continue: expected {expected:#010x}, found {found:#010x}")]
    Chain {
        /// What follows from the entry before.
        expected: u32,
        /// What stands here.
        found: u32,
    },
    /// The node-local bytes were not written for this place.
    #[error(
        "the node-local bytes (56 to 64) do not hold for this place: expected {expected:#010x}, found {found:#010x}"
    )]
    Witness {
        /// What follows from header, file name and offset.
        expected: u32,
        /// What stands here.
        found: u32,
    },
    /// Engram leaves these bytes zero.
    #[error("bytes 56 to 64 of an entry of Engram's are not zero")]
    NodeLocalNotZero,
    /// Engram leaves these bytes zero, and the header's checksum covers them.
    #[error("bytes 36 to 56 of an entry are not zero: Engram did not write it")]
    NotEngrams,
    /// The log ends here, though more of it was known to be on disk.
    #[error("the log ends at {found}, though {expected} was known to be on disk")]
    EndsEarly {
        /// The synced mark.
        expected: Sequence,
        /// The last entry.
        found: Sequence,
    },
    /// A file that continues the log is not there.
    #[error("the file that begins with {expected} is missing; the next one begins with {found}")]
    MissingSegment {
        /// The sequence that continues the log.
        expected: Sequence,
        /// The first sequence of the next file.
        found: Sequence,
    },
    /// Numbers before a file of Engram's are not there, though its writer begins each file at 0.
    #[error(
        "the file before this one is missing or was cut: expected a file to begin with {expected}, or at #0; found {found}"
    )]
    MissingEngramFile {
        /// What goes on from the file before.
        expected: Sequence,
        /// The lowest number in the file.
        found: Sequence,
    },
    /// All entries of a file of Engram's were made before all of the file before it, and before its name.
    #[error(
        "the files are not in their order: the newest entry of this one is of {found} ns, older than its name and than the oldest of the file before, {expected} ns"
    )]
    OlderThanFileBefore {
        /// The oldest timestamp of the file before, in nanoseconds since the Unix epoch.
        expected: u64,
        /// The newest timestamp of the file.
        found: u64,
    },
    /// Something that no write of this log leaves behind.
    #[error("this is no file of a log: it begins with {found:#010x}, expected the magic 0xdeadbeef or zeros")]
    Foreign {
        /// Its first four bytes.
        found: u32,
    },
    /// A directory, or something else that is no regular file, has a segment's name.
    #[error("expected a regular file, found something else of that name")]
    NotAFile,
    /// A segment that holds entries is made of whole pages before the first is written.
    #[error("the file was cut short: {found} bytes are no whole pages of 4096")]
    NotWholePages {
        /// The file's size.
        found: u64,
    },
    /// Bytes that are not zero where nothing was written.
    #[error("expected zeros up to the file's end, found other bytes")]
    NotZero,
    /// The sequence stands in the log already.
    #[error("the sequence {found} stands in the log already")]
    Repeated {
        /// The sequence.
        found: Sequence,
    },
}

/// Why a log cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The operating system said no.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// Bytes that were once durable are not what they were.
    #[error(
        "{} at offset {offset}: {reason}; nothing was changed: keep the directory, and let this node be repaired from its peers",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: BreakReason,
    },
    /// The directory was written by Engram.
    #[error("{} was written by Engram; import it with `engraft wal import-engram`", path.display())]
    Engram {
        /// The directory.
        path: PathBuf,
    },
    /// Entries that do not continue the log.
    #[error("the entries do not continue the log: {reason}")]
    NotContiguous {
        /// What was expected and found.
        reason: BreakReason,
    },
    /// An entry that no segment can hold.
    #[error("an entry of {found} bytes is too large for a segment, expected at most {expected}")]
    TooLarge {
        /// The largest.
        expected: u64,
        /// Its size.
        found: u64,
    },
    /// An earlier write or sync failed; nothing more is taken until the node starts again.
    #[error("{} stopped after an earlier failure; start the node again", path.display())]
    Stopped {
        /// The log's directory, or the file.
        path: PathBuf,
    },
    /// A cut outside the log.
    #[error("cannot cut the log behind {found}: it holds {first} to {last}")]
    NoSuchCut {
        /// The first sequence in the log.
        first: Sequence,
        /// The last one.
        last: Sequence,
        /// Where it was to be cut.
        found: Sequence,
    },
}

impl WalError {
    /// Wraps an error of the operating system.
    pub fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }

    /// Whether the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            Self::Corrupt { .. }
            | Self::Engram { .. }
            | Self::NotContiguous { .. }
            | Self::TooLarge { .. }
            | Self::Stopped { .. }
            | Self::NoSuchCut { .. } => false,
        }
    }
}

/// Why a node's storage cannot be opened at all.
#[derive(Debug, thiserror::Error)]
pub enum StorageOpenError {
    /// The operating system said no, or a log's own files are at fault.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// Another process has the directory.
    #[error("{} is in use by another process; stop that one, or give this node a directory of its own", path.display())]
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
    /// The directory belongs to another cluster.
    #[error("{} belongs to cluster {found}, expected {expected}; check `cluster` and `data_dir`", path.display())]
    OtherCluster {
        /// The superblock.
        path: PathBuf,
        /// The configured cluster.
        expected: ClusterId,
        /// The directory's.
        found: ClusterId,
    },
    /// The directory belongs to another node.
    #[error("{} belongs to node {found}, expected {expected}; check `node` and `data_dir`", path.display())]
    OtherNode {
        /// The superblock.
        path: PathBuf,
        /// The configured node.
        expected: NodeId,
        /// The directory's.
        found: NodeId,
    },
    /// Neither copy of the superblock holds, or it is not there though logs are.
    #[error(
        "{}: {reason}; this node has lost its memory: restore the file, or admit the node anew under another id",
        path.display()
    )]
    Superblock {
        /// The superblock.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The promises are not what they were: the node could break its word.
    #[error(
        "{} at offset {offset}: {reason}; this node has lost its memory: restore the file, or admit the node anew under another id",
        path.display()
    )]
    MemoryLost {
        /// The file of promises.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A format of a later version.
    #[error("{} has format version {found}, expected {expected}; use the version of engraft that wrote it", path.display())]
    Version {
        /// The superblock.
        path: PathBuf,
        /// The version that this program writes.
        expected: u32,
        /// What stands there.
        found: u32,
    },
    /// An option that cannot be.
    #[error("`{key}`: expected {expected}, found {found}")]
    Option {
        /// Which.
        key: &'static str,
        /// What was expected.
        expected: &'static str,
        /// What stood there.
        found: String,
    },
}

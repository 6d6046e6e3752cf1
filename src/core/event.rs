//! What has happened: the one way in.

use ::core::fmt;
use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::types::entry::StartFound;
use crate::types::message::{CloseReason, SpaceEpoch};
use crate::types::{
    Control, Entry, Epoch, EpochHistory, Incarnation, LinkId, NodeId, Position, ReadId, RequestId, Sequence, SpaceId,
    SpaceName, Token, WalEntryType, WriteId,
};

use super::config::{Ack, SpaceConfig};
use super::lineage::PromoteBy;

/// A fact, in the past tense.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A space's log was recovered; the space begins. Once per space and start, before its links.
    SpaceOpened(Box<SpaceOpened>),
    /// A space's log cannot be opened. It is shown as stopped; nothing of it is served, nothing deleted.
    SpaceOpenFailed {
        /// The space's name.
        name: SpaceName,
        /// What is configured for it.
        config: SpaceConfig,
        /// Why not.
        error: StorageError,
    },
    /// All entries of this write are durable (in the sense of the space's fsync mode), and all before it.
    WalAppended {
        /// The space.
        space: SpaceId,
        /// The write, as its [`WalAppend`](super::Action::WalAppend) named it.
        write: WriteId,
        /// The epoch of its last entry.
        epoch: Epoch,
        /// The sequence of its last entry.
        sequence: Sequence,
    },
    /// Entries were read, contiguous from the asked sequence; fewer than asked where a limit was met, and none
    /// only where the sequence lies behind the log's end.
    WalRead {
        /// The space.
        space: SpaceId,
        /// The read, as its [`WalRead`](super::Action::WalRead) named it.
        read: ReadId,
        /// The entries; every checksum holds.
        entries: Vec<Entry>,
    },
    /// Promises are durable: all that one sync covered, so that what follows from them leaves together.
    VotesSaved {
        /// The promises, each as its [`SaveVote`](super::Action::SaveVote) named it.
        votes: Vec<SpaceEpoch>,
    },
    /// The entries are durable in a salvage file.
    SalvageSaved {
        /// The space.
        space: SpaceId,
        /// The write, as its [`SalvageSave`](super::Action::SalvageSave) named it.
        write: WriteId,
    },
    /// Everything behind the cut is gone for good, whatever crash comes when.
    WalTruncated {
        /// The space.
        space: SpaceId,
        /// The write, as its [`WalTruncate`](super::Action::WalTruncate) named it.
        write: WriteId,
    },
    /// The incarnations under which peers were known when the node stopped. Before all other events of a start.
    PeersKnown {
        /// Each peer and its incarnation.
        peers: Vec<(NodeId, Incarnation)>,
    },
    /// It is durable under which incarnation a peer is known.
    PeerSaved {
        /// The peer, as its [`SavePeer`](super::Action::SavePeer) named it.
        peer: NodeId,
        /// The incarnation.
        incarnation: Incarnation,
    },
    /// A write, a sync, a read or a promise failed. It is final for the space until the node starts again.
    StorageFailed {
        /// The space.
        space: SpaceId,
        /// What failed.
        operation: StorageOperation,
        /// How.
        error: StorageError,
    },
    /// A piece of a link's byte stream, split anywhere.
    BytesReceived {
        /// The link.
        link: LinkId,
        /// The bytes.
        bytes: Bytes,
    },
    /// A dialled link is connected (its number was given by [`Connect`](super::Action::Connect)), or a peer connected.
    LinkUp {
        /// The link.
        link: LinkId,
    },
    /// Bytes of the link's outgoing queue have left.
    LinkDrained {
        /// The link.
        link: LinkId,
        /// How many, frames' headers included.
        bytes: u64,
    },
    /// The link is gone, or was never made. Nothing of it comes afterwards.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// The engine has applied everything up to `sequence`. A space of which this is never told counts as applied what is
    /// committed and durable here.
    Applied {
        /// The space.
        space: SpaceId,
        /// The last entry that the engine applied.
        sequence: Sequence,
    },
    /// The deadline of [`next_wake`](super::ReplicationCoordinator::next_wake) has come.
    TimerFired,
    /// A client appends.
    Append(Append),
    /// A client or an operator wants something else.
    Command(Command),
}

/// A space as recovery found it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpaceOpened {
    /// The space's name.
    pub name: SpaceName,
    /// What is configured for it.
    pub config: SpaceConfig,
    /// Its last durable entry; sequence 0 and the chain's start where it is empty.
    pub end: Position,
    /// Its epoch history.
    pub history: EpochHistory,
    /// What the entries say that begin its epochs, in the order of the log.
    pub starts: Vec<StartFound>,
    /// The highest epoch that this node has promised in it.
    pub promise: Epoch,
    /// Whether entries may be gone that this node acknowledged under a weak fsync mode: the machine booted since an unclean
    /// stop, and [`EndRecovering`](super::Action::EndRecovering) has not come since.
    pub recovering: bool,
}

/// An entry to append.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Append {
    /// The space.
    pub space: SpaceId,
    /// Named by the reply.
    pub request: RequestId,
    /// The payload.
    pub payload: Bytes,
    /// The type of the entry; what [`Control::USER`] entries may carry.
    pub entry_type: WalEntryType,
    /// The control bytes; [`Control::user`] for all but engines with sessions of their own.
    pub control: Control,
    /// Nanoseconds since the Unix epoch: serves people, decides nothing.
    pub timestamp: u64,
    /// When to answer; the space's own level where it is `None`.
    pub ack: Option<Ack>,
    /// How long to wait before the answer is "unknown"; the configured time-out where it is `None`.
    pub timeout: Option<Duration>,
}

/// Something that a client or an operator wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Read committed entries.
    Read {
        /// The space.
        space: SpaceId,
        /// Named by the reply.
        request: RequestId,
        /// The first sequence; 0 is taken as 1.
        from: Sequence,
        /// How many entries at most.
        entries_max: u32,
        /// How many bytes at most (one entry comes however large it is).
        bytes_max: u64,
    },
    /// Read entries that are durable here, committed or not: for engines that apply on append.
    ReadDurable {
        /// The space.
        space: SpaceId,
        /// Named by the reply.
        request: RequestId,
        /// The first sequence; 0 is taken as 1.
        from: Sequence,
        /// How many entries at most.
        entries_max: u32,
        /// How many bytes at most (one entry comes however large it is).
        bytes_max: u64,
    },
    /// Say what became of an append, once it is committed or lost, or when the time is over.
    WaitFor {
        /// The space.
        space: SpaceId,
        /// Named by the reply.
        request: RequestId,
        /// What the append is known by.
        token: Token,
        /// How long to wait; zero answers at once.
        timeout: Duration,
    },
    /// Ship nothing more to a replica.
    PauseReplica {
        /// The space.
        space: SpaceId,
        /// The replica.
        replica: NodeId,
    },
    /// Ship to a paused replica again.
    ResumeReplica {
        /// The space.
        space: SpaceId,
        /// The replica.
        replica: NodeId,
    },
    /// Open another epoch above the one in force, on the primary; elsewhere it means nothing. Appends that wait are
    /// answered as unknown, the voters are asked for the new epoch, and every replica where it stands. For a log whose
    /// source began anew.
    OpenEpoch {
        /// The space.
        space: SpaceId,
    },
    /// The engine has opened itself in this epoch: appends may be taken. Only where the space has a
    /// [`readiness gate`](super::SpaceConfig::readiness_gate).
    Ready {
        /// The space.
        space: SpaceId,
        /// The epoch that [`BecamePrimary`](super::Notice::BecamePrimary) told.
        epoch: Epoch,
    },
    /// Become the primary: by an election now, whoever decides otherwise, in which voters that hear a leased primary refuse;
    /// or by force, where a majority is gone for good.
    Promote {
        /// The space.
        space: SpaceId,
        /// Named by the reply.
        request: RequestId,
        /// By what right.
        by: PromoteBy,
    },
    /// Close all links and take no more appends. What waits is answered as unknown.
    Shutdown,
}

/// What of the storage failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageOperation {
    /// Writing entries.
    Append,
    /// Making them durable.
    Sync,
    /// Reading them.
    Read,
    /// Saving a promise.
    SaveVote,
    /// Saving entries that are about to be truncated.
    Salvage,
    /// Truncating the log.
    Truncate,
    /// Opening the log.
    Open,
}

impl StorageOperation {
    /// The operation's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Sync => "sync",
            Self::Read => "read",
            Self::SaveVote => "save-vote",
            Self::Salvage => "salvage",
            Self::Truncate => "truncate",
            Self::Open => "open",
        }
    }
}

/// How the storage failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StorageError {
    /// What kind of failure.
    pub kind: StorageErrorKind,
    /// File, offset and the system's own words.
    pub detail: String,
}

/// The kinds of failure that differ in what an operator does about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageErrorKind {
    /// The disk is full.
    Full,
    /// The bytes on disk are not those that were written.
    Corrupt,
    /// Everything else that the operating system says.
    Io,
}

impl fmt::Display for StorageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            StorageErrorKind::Full => "disk full",
            StorageErrorKind::Corrupt => "corrupt",
            StorageErrorKind::Io => "i/o error",
        };
        write!(formatter, "{kind}: {}", self.detail)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpaceOpened(opened) => {
                let (space, recovering) = (opened.name.id(), if opened.recovering { ", recovering" } else { "" });
                write!(formatter, "{space} SpaceOpened ends {} promised {}{recovering}", opened.end, opened.promise)
            }
            Self::SpaceOpenFailed { name, error, .. } => write!(formatter, "{} SpaceOpenFailed {error}", name.id()),
            Self::WalAppended { space, write, epoch, sequence } => {
                write!(formatter, "{space} WalAppended {write} {epoch}{sequence}")
            }
            Self::WalRead { space, read, entries } => {
                write!(formatter, "{space} WalRead {read} {} entries", entries.len())
            }
            Self::VotesSaved { votes } => {
                write!(formatter, "VotesSaved")?;
                votes.iter().try_for_each(|vote| write!(formatter, " {vote}"))
            }
            Self::PeersKnown { peers } => {
                write!(formatter, "PeersKnown")?;
                peers.iter().try_for_each(|(peer, incarnation)| write!(formatter, " {peer} {incarnation}"))
            }
            Self::PeerSaved { peer, incarnation } => write!(formatter, "PeerSaved {peer} {incarnation}"),
            Self::SalvageSaved { space, write } => write!(formatter, "{space} SalvageSaved {write}"),
            Self::WalTruncated { space, write } => write!(formatter, "{space} WalTruncated {write}"),
            Self::StorageFailed { space, operation, error } => {
                write!(formatter, "{space} StorageFailed {} {error}", operation.name())
            }
            Self::BytesReceived { link, bytes } => write!(formatter, "{link} BytesReceived {} bytes", bytes.len()),
            Self::LinkUp { link } => write!(formatter, "{link} LinkUp"),
            Self::LinkDrained { link, bytes } => write!(formatter, "{link} LinkDrained {bytes} bytes"),
            Self::LinkDown { link, reason } => write!(formatter, "{link} LinkDown {reason}"),
            Self::Applied { space, sequence } => write!(formatter, "{space} Applied {sequence}"),
            Self::TimerFired => write!(formatter, "TimerFired"),
            Self::Append(append) => {
                write!(formatter, "{} Append {} {} bytes", append.space, append.request, append.payload.len())
            }
            Self::Command(command) => command.fmt(formatter),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { space, request, from, .. } => write!(formatter, "{space} Read {request} from {from}"),
            Self::ReadDurable { space, request, from, .. } => {
                write!(formatter, "{space} ReadDurable {request} from {from}")
            }
            Self::WaitFor { request, token, .. } => write!(formatter, "{token} WaitFor {request}"),
            Self::PauseReplica { space, replica } => write!(formatter, "{space} PauseReplica {replica}"),
            Self::ResumeReplica { space, replica } => write!(formatter, "{space} ResumeReplica {replica}"),
            Self::OpenEpoch { space } => write!(formatter, "{space} OpenEpoch"),
            Self::Ready { space, epoch } => write!(formatter, "{space} Ready {epoch}"),
            Self::Promote { space, request, by } => write!(formatter, "{space} Promote {request}{}", by.words()),
            Self::Shutdown => write!(formatter, "Shutdown"),
        }
    }
}

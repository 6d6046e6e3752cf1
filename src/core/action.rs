//! What is to be done: the one way out.

use ::core::fmt;
use alloc::vec::Vec;

use crate::types::message::{CloseReason, Message};
use crate::types::{
    Entry, EntryLists, Epoch, Incarnation, LinkId, NodeId, ReadId, RequestId, Sequence, SpaceId, Token, WriteId,
};

use super::config::Ack;
use super::notice::{Notice, StopReason};

/// An order to the driver. No action waits for another: order matters only per WAL and per link.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Write these entries behind all earlier ones of the space and make them durable;
    /// then [`WalAppended`](super::Event::WalAppended).
    WalAppend {
        /// The space.
        space: SpaceId,
        /// Comes back with the completion.
        write: WriteId,
        /// The entries, contiguous.
        entries: Vec<Entry>,
    },
    /// Read entries; then [`WalRead`](super::Event::WalRead).
    WalRead {
        /// The space.
        space: SpaceId,
        /// Comes back with the entries.
        read: ReadId,
        /// The first sequence.
        from: Sequence,
        /// How many entries at most.
        entries_max: u32,
        /// How many bytes at most (one entry comes however large it is).
        bytes_max: u64,
    },
    /// Make a promise durable, in every fsync mode; then [`VotesSaved`](super::Event::VotesSaved). Several that come
    /// together share one fsync, and their completion names them together.
    SaveVote {
        /// The space.
        space: SpaceId,
        /// The promise.
        promise: Epoch,
    },
    /// Make durable under which incarnation a peer is known; then [`PeerSaved`](super::Event::PeerSaved). It shares the
    /// file and the fsync of promises, and is durable no later than a promise that is ordered after it.
    SavePeer {
        /// The peer.
        peer: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// Note that the space is recovering no longer. Nothing waits for it: it becomes durable with what is saved next, and
    /// where it does not, the space recovers once more.
    EndRecovering {
        /// The space.
        space: SpaceId,
    },
    /// Read these entries of the space's log and make them durable in a salvage file, once everything ordered before
    /// is done; then [`SalvageSaved`](super::Event::SalvageSaved). They are about to be truncated.
    SalvageSave {
        /// The space.
        space: SpaceId,
        /// Comes back with the completion.
        write: WriteId,
        /// The first entry.
        first: Sequence,
        /// The last entry, which is the last of the log.
        last: Sequence,
        /// The epoch whose primary has another log.
        by: Epoch,
    },
    /// Forget every entry of the space behind `last`, for good; then [`WalTruncated`](super::Event::WalTruncated).
    WalTruncate {
        /// The space.
        space: SpaceId,
        /// Comes back with the completion.
        write: WriteId,
        /// The last entry that stays.
        last: Sequence,
    },
    /// Send a message behind all earlier ones of the link.
    Send {
        /// The link.
        link: LinkId,
        /// The message.
        message: Message,
    },
    /// Dial a peer; then [`LinkUp`](super::Event::LinkUp) or [`LinkDown`](super::Event::LinkDown).
    Connect {
        /// The number of the link to be.
        link: LinkId,
        /// The peer.
        peer: NodeId,
    },
    /// Close a link once what was sent on it before has left (or cannot leave). No `LinkDown` follows.
    Close {
        /// The link.
        link: LinkId,
        /// Why.
        reason: CloseReason,
    },
    /// Answer a client.
    Reply {
        /// Whom.
        request: RequestId,
        /// What.
        outcome: Outcome,
    },
    /// Tell whoever listens.
    Notify(Notice),
    /// Stop the node: it shut down, or nothing can go on.
    Halt,
}

/// The list that `handle` appends to, and the lists of entries that are used again.
#[derive(Debug, Clone, Default)]
pub struct Actions {
    list: Vec<Action>,
    pub(super) spare: EntryLists,
}

impl Actions {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an action behind the others.
    pub fn push(&mut self, action: Action) {
        self.list.push(action);
    }

    /// The actions in order, taken out; the list's memory is kept.
    pub fn drain(&mut self) -> alloc::vec::Drain<'_, Action> {
        self.list.drain(..)
    }

    /// The same, with the spare lists beside: what a carried-out action had its entries in may be given back to them.
    pub fn drain_beside_spare(&mut self) -> (alloc::vec::Drain<'_, Action>, &mut EntryLists) {
        (self.list.drain(..), &mut self.spare)
    }

    /// Where lists of entries are given back that are done with, those of written [`Action::WalAppend`]s and of sent
    /// batches. Whoever gives none back makes `handle` allocate each list; nothing else depends on it.
    pub fn spare(&mut self) -> &mut EntryLists {
        &mut self.spare
    }

    /// The actions in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Action] {
        &self.list
    }
}

/// The answer to a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The entry is as durable as its level demands.
    Appended {
        /// What the append is known by.
        token: Token,
    },
    /// The time-out came first: the entry is in the log, and may or may not reach its level.
    Unknown {
        /// What the append is known by.
        token: Token,
        /// Who had it durable by then.
        acked_by: Vec<NodeId>,
    },
    /// What is known of an append.
    Resolved {
        /// What it is known by.
        token: Token,
        /// What became of it.
        state: TokenState,
    },
    /// Nothing was appended.
    Failed(AppendError),
    /// This node stands for election, as it was told.
    Standing {
        /// The epoch that it asks for first.
        epoch: Epoch,
    },
    /// Committed entries, contiguous.
    Entries {
        /// The entries.
        entries: Vec<Entry>,
        /// The last sequence that may be read: the commit, or what is durable here where that was asked for.
        commit: Sequence,
    },
}

/// What is known of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenState {
    /// It is committed, and in every later log.
    Committed,
    /// It is above the commit that this node knows: nothing is certain yet.
    Pending,
    /// Another entry is committed in its place.
    Lost,
}

impl fmt::Display for TokenState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Committed => "committed",
            Self::Pending => "pending",
            Self::Lost => "lost",
        })
    }
}

/// Why nothing was appended or read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AppendError {
    /// Another node is the primary.
    #[error("not the primary of this space; ask {primary}")]
    NotPrimary {
        /// Who is, as far as this node knows.
        primary: NodeId,
    },
    /// This node is not the primary, and hears none.
    #[error("not the primary of this space, and none is heard; an election may be under way, try again")]
    NoPrimary,
    /// This node stands for election, or has not opened its epoch yet.
    #[error("the primary is still opening its epoch; try again")]
    NotReady,
    /// The space is not open here.
    #[error("unknown space {space}; it is not under `spaces` here")]
    UnknownSpace {
        /// The space.
        space: SpaceId,
    },
    /// The payload is larger than an entry may be.
    #[error("the payload has {found} bytes, expected at most {expected} (`entry_bytes_max`)")]
    TooLarge {
        /// How large it may be.
        expected: u64,
        /// How large it is.
        found: u64,
    },
    /// The control bytes are the library's own.
    #[error("control kind {found} is not for users, expected 0")]
    ReservedControl {
        /// The kind that was given.
        found: u8,
    },
    /// Too many bytes or appends wait for their answers.
    #[error(
        "{waiting} appends of {bytes} bytes wait already (`append_entries_max`, `append_bytes_max`); try again later"
    )]
    Overloaded {
        /// How many wait.
        waiting: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// What was answered and is not committed has reached its limit, and the time-out came before it shrank.
    #[error(
        "{bytes} bytes since {age_ms} ms are answered and not committed (`exposure_bytes_max`, `exposure_age_max`); \
         bring replicas back, or try again later"
    )]
    ExposureReached {
        /// Bytes that are exposed.
        bytes: u64,
        /// How long the oldest of them has been, in milliseconds.
        age_ms: u64,
    },
    /// The primary is cut off from the majority, and `isolation` is `stop`.
    #[error("the primary has no lease, and `isolation` is `stop`; try again")]
    Isolated,
    /// The primary is the only voter in force: no other node can have what is asked for.
    #[error("too few replicas for {ack}: the primary is alone in {epoch}; bring a replica back, or ask for `local`")]
    NotEnoughReplicas {
        /// The level that was asked for.
        ack: Ack,
        /// The epoch in which the primary is alone.
        epoch: Epoch,
    },
    /// This node does not become the primary.
    #[error(transparent)]
    Promotion(#[from] PromotionError),
    /// The space has stopped on this node.
    #[error("the space has stopped: {0}")]
    Stopped(StopReason),
    /// The node shuts down.
    #[error("the node shuts down")]
    Shutdown,
}

/// Why a node does not become the primary, although it was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PromotionError {
    /// This node is a learner: its log may lack what was committed while it was none.
    #[error(
        "this node does not vote in the space since {epoch}: its log may lack what {} committed since; bring that node back",
        epoch.owner()
    )]
    NotVoter {
        /// The epoch that it knows of.
        epoch: Epoch,
    },
    /// A primary is heard: promoting another node would only disturb it.
    #[error("{primary} is the primary and is heard; stop it, or wait until it is gone")]
    PrimaryAlive {
        /// The primary.
        primary: NodeId,
    },
    /// This node is the primary, and holds its lease.
    #[error("this node is the primary already, in {epoch}")]
    AlreadyPrimary {
        /// The epoch.
        epoch: Epoch,
    },
    /// This node has nothing of the space that it could go on with.
    #[error("this node holds no entry of the space; promote a node that does")]
    HoldsNothing,
    /// This node follows a forced primary whose log it has not got yet.
    #[error("this node goes by {promise}, and has nothing of its lineage yet; bring {} back", promise.owner())]
    OtherLineage {
        /// What it promised.
        promise: Epoch,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appended { token } => write!(formatter, "{token} appended"),
            Self::Unknown { token, acked_by } => {
                write!(formatter, "{token} unknown, durable on")?;
                for node in acked_by {
                    write!(formatter, " {node}")?;
                }
                Ok(())
            }
            Self::Resolved { token, state } => write!(formatter, "{token} is {state}"),
            Self::Failed(error) => write!(formatter, "failed: {error}"),
            Self::Standing { epoch } => write!(formatter, "stands for {epoch}"),
            Self::Entries { entries, commit } => write!(formatter, "{} entries, commit {commit}", entries.len()),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WalAppend { space, write, entries } => {
                write!(formatter, "{space} WalAppend {write}")?;
                if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
                    write!(formatter, " {}", first.position())?;
                    if entries.len() > 1 {
                        write!(formatter, "..{}", last.header.sequence())?;
                    }
                }
                Ok(())
            }
            Self::WalRead { space, read, from, .. } => write!(formatter, "{space} WalRead {read} from {from}"),
            Self::SaveVote { space, promise } => write!(formatter, "{space} SaveVote {promise}"),
            Self::EndRecovering { space } => write!(formatter, "{space} EndRecovering"),
            Self::SavePeer { peer, incarnation } => write!(formatter, "SavePeer {peer} {incarnation}"),
            Self::SalvageSave { space, write, first, last, by } => {
                write!(formatter, "{space} SalvageSave {write} {first}..{last} for {by}")
            }
            Self::WalTruncate { space, write, last } => write!(formatter, "{space} WalTruncate {write} behind {last}"),
            Self::Send { link, message } => write!(formatter, "{link} Send {message}"),
            Self::Connect { link, peer } => write!(formatter, "{link} Connect {peer}"),
            Self::Close { link, reason } => write!(formatter, "{link} Close {reason}"),
            Self::Reply { request, outcome } => write!(formatter, "{request} Reply {outcome}"),
            Self::Notify(notice) => notice.fmt(formatter),
            Self::Halt => write!(formatter, "Halt"),
        }
    }
}

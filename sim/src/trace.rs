//! The trace: what happened, one line each, structured enough to be folded and filtered.

use alloc::collections::BTreeMap;
use core::fmt;

use engraft::types::{Epoch, NodeId, SpaceId, SpaceName, Time};

/// Whose line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The world's: faults, phases.
    World,
    /// A node's.
    Node(NodeId),
    /// A client's, by the place of its load.
    Client(usize),
    /// The simulator's own client, which looks whether a healed space commits.
    Probe,
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World => formatter.write_str("--"),
            Self::Node(node) => node.fmt(formatter),
            Self::Client(load) => write!(formatter, "c{}", load + 1),
            Self::Probe => formatter.write_str("pr"),
        }
    }
}

/// What kind of line it is: a reader chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineKind {
    /// A fault, its end, or a phase. Nothing is folded over it.
    Turn,
    /// A notice that says that something changed for good: a role, a status, a breaker, a stop.
    Milestone,
    /// A link opened or closed.
    Link,
    /// The commit moved on.
    Commit,
    /// What an embedder's engine did.
    Engine,
    /// A client's operation.
    Client,
    /// What the network did to frames.
    Network,
    /// A message left.
    Message,
    /// Acks as the primary noticed them.
    Acked,
    /// An event of a core.
    Event,
    /// Any other action of a core.
    Action,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When, in the world's time.
    pub at: Time,
    /// Whose.
    pub subject: Subject,
    /// What kind.
    pub kind: LineKind,
    /// The words, spaces by name.
    pub text: String,
}

/// The kinds of a core's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the event of that name")]
pub enum EventKind {
    SpaceOpened = 1,
    SpaceOpenFailed,
    WalAppended,
    WalRead,
    VotesSaved,
    StorageFailed,
    BytesReceived,
    LinkUp,
    LinkDrained,
    LinkDown,
    TimerFired,
    Append,
    Command,
    Applied,
    SalvageSaved,
    WalTruncated,
    PeersKnown,
    PeerSaved,
}

/// One of the last events of a run whose trace was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recent {
    /// When, in the world's time.
    pub at: Time,
    /// The node.
    pub node: NodeId,
    /// Which kind of event its core was told.
    pub kind: EventKind,
    /// The number that says most about it: a sequence, entries, bytes or a request; 0 where there is none.
    pub number: u64,
}

impl fmt::Display for Recent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, node, kind, number } = self;
        write!(formatter, "{:>12} {node} {kind:?}", at.to_string())?;
        match kind {
            EventKind::SpaceOpened | EventKind::WalAppended | EventKind::Applied => write!(formatter, " #{number}"),
            EventKind::WalRead => write!(formatter, " {number} entries"),
            EventKind::BytesReceived | EventKind::LinkDrained => write!(formatter, " {number} bytes"),
            EventKind::VotesSaved => write!(formatter, " {}", Epoch(*number)),
            EventKind::Append => write!(formatter, " request {number}"),
            EventKind::SalvageSaved | EventKind::WalTruncated => write!(formatter, " write {number}"),
            EventKind::PeersKnown => write!(formatter, " {number} peers"),
            EventKind::PeerSaved => write!(formatter, " n{number}"),
            EventKind::SpaceOpenFailed
            | EventKind::StorageFailed
            | EventKind::LinkUp
            | EventKind::LinkDown
            | EventKind::TimerFired
            | EventKind::Command => Ok(()),
        }
    }
}

/// How many of the last events are kept.
pub const RECENT_MAX: usize = 32;

/// Where lines go, the digest of everything that happened, and the last of it.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: Option<Vec<Line>>,
    names: BTreeMap<String, SpaceName>,
    digest: u64,
    /// A ring; the oldest is at `next` once it is full.
    recent: Vec<Recent>,
    next: usize,
}

impl Trace {
    pub(crate) fn new(full: bool, spaces: impl Iterator<Item = (SpaceId, SpaceName)>) -> Self {
        Self {
            lines: full.then(Vec::new),
            names: spaces.map(|(id, name)| (id.to_string(), name)).collect(),
            digest: 0,
            recent: Vec::with_capacity(RECENT_MAX),
            next: 0,
        }
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn push(&mut self, at: Time, subject: Subject, kind: LineKind, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(Line { at, subject, kind, text: name_spaces(text(), &self.names) });
        }
    }

    /// A core is told an event: it goes into the digest and into the ring.
    pub(crate) fn happened(&mut self, recent: Recent) {
        let Recent { at, node, kind, number } = recent;
        self.mix(at.0 ^ u64::from(node.0) << 56 ^ (kind as u64) << 40 ^ number);
        match self.recent.get_mut(self.next) {
            Some(oldest) => *oldest = recent,
            None => self.recent.push(recent),
        }
        self.next = (self.next + 1) % RECENT_MAX;
    }

    /// The last events, the oldest first.
    pub(crate) fn recent(&self) -> Vec<Recent> {
        let (newer, older) = self.recent.split_at(self.next.min(self.recent.len()));
        [older, newer].concat()
    }

    /// Mixes what happened into the digest.
    pub(crate) const fn mix(&mut self, value: u64) {
        self.digest = (self.digest.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn into_lines(self) -> Vec<Line> {
        self.lines.unwrap_or_default()
    }
}

/// Puts names in the place of space ids (`~` and eight hex digits).
fn name_spaces(text: String, names: &BTreeMap<String, SpaceName>) -> String {
    if !text.contains('~') {
        return text;
    }
    let mut named = text;
    for (id, name) in names {
        if named.contains(id.as_str()) {
            named = named.replace(id.as_str(), name.as_str());
        }
    }
    named
}

//! What a primary knows of one replica of one space.

use alloc::collections::VecDeque;
use alloc::string::String;

use crate::types::{Entry, LinkId, NodeId, Position, ReadId, Sequence, Time};

use super::breaker::Breaker;
use super::lag_monitor::LagMonitor;
use super::link::Links;

/// What a primary knows of one replica of one space: what it has, what is under way to it, and how it does.
#[derive(Debug, Clone, Hash)]
pub struct ReplicaProgress {
    pub(crate) node: NodeId,
    /// The open link to it, while there is one.
    pub(crate) link: Option<LinkId>,
    /// The link on which it accepted a batch of the epoch: its echoes of heartbeats there hold for the space.
    pub(crate) attached: Option<LinkId>,
    /// When the newest of the grants, probes and batches was sent that it answered without a higher promise.
    pub(crate) echo: Option<Time>,
    /// The same of batches alone: since then it refuses every other candidate for an election time-out.
    pub(crate) sticky: Option<Time>,
    /// Whether the space's name was sent on the link.
    pub(crate) named: bool,
    /// What the hello said that the log has.
    pub(crate) named_end: Sequence,
    pub(crate) mode: Mode,
    /// The next sequence to send.
    pub(crate) next: Sequence,
    /// The entry before `next`, where its position is known.
    pub(crate) before: Option<Position>,
    /// The last entry that it acknowledged as durable.
    pub(crate) durable: Sequence,
    pub(crate) applied: Sequence,
    /// Whether it may have forgotten some of that: it counts in no majority then.
    pub(crate) recovering: bool,
    /// The commit that it confirmed.
    pub(crate) commit: Sequence,
    /// Whether the peer's list of unconfirmed commits names the space.
    pub(crate) unconfirmed: bool,
    /// Whether the peer's list of those that wait for room on the link names the space.
    pub(crate) waits_for_room: bool,
    pub(crate) in_flight: VecDeque<InFlight>,
    pub(crate) in_flight_bytes: u64,
    /// When an answer is overdue; `None` while none is awaited.
    pub(crate) answer_due: Option<Time>,
    /// Refusals of what was sent before this are stale.
    pub(crate) rewound_at: Time,
    /// Since when something has waited for its batch to fill.
    pub(crate) unsent_since: Option<Time>,
    /// When a batch leaves though it is not full.
    pub(crate) batch_due: Option<Time>,
    /// The read under way for it; there is one at most, whatever the replica says meanwhile.
    pub(crate) read: Option<ReadId>,
    /// Whether that read was ordered for another place than `next`.
    pub(crate) read_stale: bool,
    /// Entries that were read for it and wait for room; the first is `next`.
    pub(crate) held: VecDeque<Entry>,
    pub(crate) paused: bool,
    /// What went wrong last, in words.
    pub(crate) failure: String,
    pub(crate) breaker: Breaker,
    pub(crate) monitor: LagMonitor,
    pub(crate) batches_sent: u64,
    pub(crate) batches_failed: u64,
}

/// How the next batch is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// An empty batch asks where the replica stands; `sent` once it is under way.
    Probe { sent: bool },
    /// Batches follow each other.
    Stream,
}

/// A batch that was sent and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct InFlight {
    pub(crate) last: Sequence,
    pub(crate) bytes: u64,
}

impl ReplicaProgress {
    /// A replica of which nothing is known yet.
    pub(crate) fn new(node: NodeId, end: Position) -> Self {
        Self {
            node,
            link: None,
            attached: None,
            echo: None,
            sticky: None,
            named: false,
            named_end: Sequence::ZERO,
            mode: Mode::Probe { sent: false },
            next: end.sequence.next(),
            before: Some(end),
            durable: Sequence::ZERO,
            applied: Sequence::ZERO,
            recovering: false,
            commit: Sequence::ZERO,
            unconfirmed: false,
            waits_for_room: false,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            answer_due: None,
            rewound_at: Time::ZERO,
            unsent_since: None,
            batch_due: None,
            read: None,
            read_stale: false,
            held: VecDeque::new(),
            paused: false,
            failure: String::new(),
            breaker: Breaker::default(),
            monitor: LagMonitor::default(),
            batches_sent: 0,
            batches_failed: 0,
        }
    }

    /// Begins anew on a link: first it is asked where it stands.
    pub(crate) fn attach(&mut self, link: Option<LinkId>, end: Position) {
        self.link = link;
        self.attached = None;
        self.named = false;
        self.waits_for_room = false;
        self.ask_anew(end);
    }

    /// It is asked where it stands before anything else is sent.
    pub(crate) fn ask_anew(&mut self, end: Position) {
        self.rewind(end.sequence.next(), Some(end));
        self.mode = Mode::Probe { sent: false };
    }

    /// It answered a batch of the epoch on its link: it hears this primary. What was sent before `floor` says nothing: it
    /// was released since.
    pub(crate) fn heard(&mut self, sent: Time, floor: Time) {
        if sent >= floor {
            self.attached = self.link;
            self.sticky = self.sticky.max(Some(sent));
        }
    }

    /// Whether its echoes of heartbeats hold for the space.
    pub(crate) fn is_attached(&self, links: &Links) -> bool {
        self.attached.is_some() && self.attached == links.open_to(self.node)
    }

    /// Sends again from `next`; what was under way is forgotten.
    pub(crate) fn rewind(&mut self, next: Sequence, before: Option<Position>) {
        self.next = next;
        self.before = before;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        self.answer_due = None;
        self.unsent_since = None;
        self.batch_due = None;
        self.read_stale = self.read.is_some();
        self.held.clear();
    }

    /// Notes an ack; says whether the replica has more than before.
    pub(crate) fn acked(&mut self, durable: Sequence) -> bool {
        while let Some(batch) = self.in_flight.front()
            && batch.last <= durable
        {
            self.in_flight_bytes -= batch.bytes;
            self.in_flight.pop_front();
        }
        let moved = durable > self.durable;
        self.durable = self.durable.max(durable);
        moved
    }

    /// When time alone makes a difference.
    pub(crate) fn wake(&self) -> Option<Time> {
        [self.answer_due, self.batch_due, self.breaker.wake(), self.monitor.wake()].into_iter().flatten().min()
    }
}

//! The links of a node: which there are, what waits to leave on them, and how they end.

use ::core::mem;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tokio::sync::{mpsc, oneshot};

use crate::core::Event;
use crate::types::message::{CloseReason, Message};
use crate::types::{LinkId, NodeId, Time};
use crate::wire::{self, WriteBuffer};

use super::figures::Traffic;
use super::host::{Halves, Host, LinkOptions};
use super::limits::LINGER;
use super::link::{self, LinkEvent};

/// The links of a node.
///
/// A link is dialling, open or closing. Only an open one tells the core anything; one that is closing sends what it has,
/// and is gone once both of its tasks have ended, or [`LINGER`] later.
pub(super) struct LinkTable<H: Host> {
    host: H,
    addresses: BTreeMap<NodeId, String>,
    options: LinkOptions,
    bytes_max: u64,
    events: mpsc::Sender<LinkEvent<H>>,
    traffic: Arc<Traffic>,
    links: BTreeMap<LinkId, Link<H>>,
    /// When links end that have not ended by themselves.
    deadlines: BTreeSet<(Time, LinkId)>,
    /// Links whose buffers are to be handed to their writers.
    unflushed: Vec<LinkId>,
    accepted: u64,
    accepted_now: usize,
}

enum Link<H: Host> {
    Dialling { _task: H::Task },
    Open(OpenLink<H>),
    Closing(ClosingLink<H>),
}

struct OpenLink<H: Host> {
    /// Encoded in this turn.
    buffer: WriteBuffer,
    /// Bytes that have not left, those in the buffer included.
    waiting: u64,
    queue: mpsc::UnboundedSender<WriteBuffer>,
    closing: oneshot::Sender<()>,
    tasks: [H::Task; 2],
    /// What the writer failed with. The reader may still have the peer's last words, so the link is not gone yet.
    failure: Option<String>,
}

struct ClosingLink<H: Host> {
    _tasks: [H::Task; 2],
    read_ended: bool,
    write_ended: bool,
}

impl<H: Host> LinkTable<H> {
    /// No links yet. `events` is what the links' tasks report to, and `traffic` counts what they carry.
    pub(super) fn new(
        host: H,
        addresses: BTreeMap<NodeId, String>,
        options: LinkOptions,
        bytes_max: u64,
        events: mpsc::Sender<LinkEvent<H>>,
        traffic: Arc<Traffic>,
    ) -> Self {
        Self {
            host,
            addresses,
            options,
            bytes_max,
            events,
            traffic,
            links: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            unflushed: Vec::new(),
            accepted: 0,
            accepted_now: 0,
        }
    }

    /// How many accepted links there are, closing ones included.
    pub(super) fn accepted_now(&self) -> usize {
        self.accepted_now
    }

    /// Whether no link is left, closing ones included.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// When [`LinkTable::expire`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Dials. A peer without an address is a link that is down at once.
    pub(super) fn connect(&mut self, link: LinkId, peer: NodeId) -> Option<Event> {
        let Some(address) = self.addresses.get(&peer) else {
            return Some(lost(link, format!("no address for {peer}; add it under `peers`")));
        };
        let dialling = link::dial(self.host.clone(), link, address.clone(), self.options, self.events.clone());
        let task = self.host.spawn(dialling);
        self.links.insert(link, Link::Dialling { _task: task });
        None
    }

    /// Takes a connection that a peer made.
    pub(super) fn accept(&mut self, halves: Halves<H>) -> Event {
        self.accepted += 1;
        self.accepted_now += 1;
        let link = LinkId::accepted(self.accepted);
        self.open(link, halves);
        Event::LinkUp { link }
    }

    fn open(&mut self, link: LinkId, (reader, writer): Halves<H>) {
        let (queue, queued) = mpsc::unbounded_channel();
        let (closing, closes) = oneshot::channel();
        let tasks = [
            self.host.spawn(link::read::<H>(link, reader, self.events.clone(), closes)),
            self.host.spawn(link::write::<H>(link, writer, queued, self.events.clone())),
        ];
        let buffer = WriteBuffer::default();
        self.links.insert(link, Link::Open(OpenLink { buffer, waiting: 0, queue, closing, tasks, failure: None }));
    }

    /// Encodes a message behind all earlier ones of the link. A link whose queue is full is down.
    pub(super) fn send(&mut self, link: LinkId, message: &Message) -> Option<Event> {
        let Some(Link::Open(open)) = self.links.get_mut(&link) else {
            return None;
        };
        if open.failure.is_some() {
            return None;
        }
        if open.buffer.is_empty() {
            self.unflushed.push(link);
        }
        open.waiting += wire::encode(message, &mut open.buffer);
        if open.waiting <= self.bytes_max {
            return None;
        }
        let reason = format!("{} bytes wait to leave, expected at most {}", open.waiting, self.bytes_max);
        self.remove(link);
        Some(lost(link, reason))
    }

    /// Hands what was encoded to the writers, once per turn.
    pub(super) fn flush(&mut self) {
        for link in mem::take(&mut self.unflushed) {
            if let Some(Link::Open(open)) = self.links.get_mut(&link) {
                open.flush();
            }
        }
    }

    /// Closes a link once what was sent on it has left.
    pub(super) fn close(&mut self, link: LinkId, now: Time) {
        let closing = match self.links.remove(&link) {
            Some(Link::Open(mut open)) if open.failure.is_none() => {
                open.flush();
                let OpenLink { buffer: _, waiting: _, queue: _, closing, tasks, failure: _ } = open;
                // The reader is gone where this fails.
                let _ = closing.send(());
                ClosingLink { _tasks: tasks, read_ended: false, write_ended: false }
            }
            Some(Link::Closing(closing)) => closing,
            Some(Link::Open(_) | Link::Dialling { .. }) => {
                self.forget(link);
                return;
            }
            None => return,
        };
        self.links.insert(link, Link::Closing(closing));
        self.deadlines.insert((now + LINGER, link));
    }

    /// What the core is to know of what a link's task told.
    pub(super) fn on_event(&mut self, event: LinkEvent<H>, now: Time) -> Option<Event> {
        match event {
            LinkEvent::Connected { link, halves } => {
                let Some(Link::Dialling { .. }) = self.links.get(&link) else {
                    return None;
                };
                self.open(link, halves);
                Some(Event::LinkUp { link })
            }
            LinkEvent::DialFailed { link, reason } => self.remove(link).then(|| lost(link, reason)),
            LinkEvent::Received { link, bytes } => {
                self.traffic.received(bytes.len());
                self.open_link(link)?;
                Some(Event::BytesReceived { link, bytes })
            }
            LinkEvent::Drained { link, bytes } => {
                self.traffic.sent(bytes);
                let open = self.open_link(link)?;
                open.waiting = open.waiting.saturating_sub(bytes);
                Some(Event::LinkDrained { link, bytes })
            }
            LinkEvent::ReadEnded { link, reason } => self.on_read_ended(link, reason),
            LinkEvent::WriteEnded { link, failure } => {
                self.on_write_ended(link, failure, now);
                None
            }
        }
    }

    fn on_read_ended(&mut self, link: LinkId, reason: String) -> Option<Event> {
        match self.links.get_mut(&link)? {
            Link::Open(open) => {
                let reason = open.failure.take().unwrap_or(reason);
                self.remove(link);
                Some(lost(link, reason))
            }
            Link::Closing(closing) => {
                closing.read_ended = true;
                if closing.write_ended {
                    self.remove(link);
                }
                None
            }
            Link::Dialling { .. } => None,
        }
    }

    fn on_write_ended(&mut self, link: LinkId, failure: Option<String>, now: Time) {
        match self.links.get_mut(&link) {
            Some(Link::Open(open)) => {
                open.failure = failure;
                self.deadlines.insert((now + LINGER, link));
            }
            Some(Link::Closing(closing)) => {
                closing.write_ended = true;
                if closing.read_ended || failure.is_some() {
                    self.remove(link);
                }
            }
            Some(Link::Dialling { .. }) | None => {}
        }
    }

    /// Ends a link whose deadline has come; what the core is to know of it. `None` once there is no further one.
    pub(super) fn expire(&mut self, now: Time) -> Option<Event> {
        while let Some(&(deadline, link)) = self.deadlines.first() {
            if deadline > now {
                return None;
            }
            self.deadlines.pop_first();
            let reason = match self.links.get_mut(&link) {
                Some(Link::Open(open)) => open.failure.take(),
                Some(Link::Closing(_) | Link::Dialling { .. }) | None => None,
            };
            self.remove(link);
            if let Some(reason) = reason {
                return Some(lost(link, reason));
            }
        }
        None
    }

    fn open_link(&mut self, link: LinkId) -> Option<&mut OpenLink<H>> {
        match self.links.get_mut(&link)? {
            Link::Open(open) => Some(open),
            Link::Dialling { .. } | Link::Closing(_) => None,
        }
    }

    /// Ends a link's tasks; whether there was one.
    fn remove(&mut self, link: LinkId) -> bool {
        let removed = self.links.remove(&link).is_some();
        if removed {
            self.forget(link);
        }
        removed
    }

    fn forget(&mut self, link: LinkId) {
        if link.is_accepted() {
            self.accepted_now -= 1;
        }
    }
}

impl<H: Host> OpenLink<H> {
    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            // The writer is gone where this fails; it has told why.
            let _ = self.queue.send(mem::take(&mut self.buffer));
        }
    }
}

fn lost(link: LinkId, reason: String) -> Event {
    Event::LinkDown { link, reason: CloseReason::Lost(reason) }
}

#[cfg(all(test, feature = "tokio"))]
mod tests;

//! Bytes on their way: dialled, sent, delivered, reset.

use bytes::{Buf, Bytes};
use engraft::core::Event;
use engraft::types::message::CloseReason;
use engraft::types::{LinkId, Time};

use super::World;
use crate::check::{Invariant, node_id};
use crate::mark::Mark;
use crate::net::{Chunk, End, Link, Piece, Stream};
use crate::queue::{NodeIndex, Occurrence, Way};
use crate::trace::{LineKind, Subject};

impl World<'_> {
    pub(super) fn dial(&mut self, node: NodeIndex, link: LinkId, peer: NodeIndex) {
        let index = u32::try_from(self.net.links.len()).unwrap_or(u32::MAX);
        let end = |node, life, disks, link| End { node, life, disks, link, up: false, silent: false };
        self.net.links.push(Link {
            ends: [
                end(node, self.nodes[node].life, self.nodes[node].disks, link),
                end(peer, 0, 0, LinkId::accepted(0)),
            ],
            ways: [Stream::default(), Stream::default()],
        });
        if let Some(process) = &mut self.nodes[node].process {
            process.links.insert(link, index);
        }
        let travel = self.net.dial_latency(node, peer);
        self.queue.push(self.later(travel), Occurrence::DialArrives { link: index });
    }

    fn later(&self, travel: u64) -> Time {
        Time(self.now.0 + travel)
    }

    pub(super) fn dial_arrives(&mut self, link: u32) {
        let (from, to) = self.net.route(link, Way::Out);
        if self.net.blocked(from, to) {
            self.marks.hit(Mark::DialHeardNothing);
            return;
        }
        let (life, disks) = (self.nodes[to].life, self.nodes[to].disks);
        let silent = self.nodes[to].silent;
        let back = self.net.dial_latency(to, from);
        let at = self.later(back);
        let Some(process) = &mut self.nodes[to].process else {
            if silent {
                self.marks.hit(Mark::DialHeardNothing);
            } else {
                self.marks.hit(Mark::DialRefused);
                self.queue.push(at, Occurrence::DialAnswered { link, accepted: false });
            }
            return;
        };
        process.accepted += 1;
        let accepted = LinkId::accepted(process.accepted);
        process.links.insert(accepted, link);
        let there = &mut self.net.links[link as usize];
        there.ends[1] = End { node: to, life, disks, link: accepted, up: true, silent: false };
        // What the acceptor says arrives behind the answer to the dial.
        there.ways[Way::Back.index()].not_before = at;
        self.queue.push(at, Occurrence::DialAnswered { link, accepted: true });
        self.handle(to, Event::LinkUp { link: accepted });
    }

    pub(super) fn dial_answered(&mut self, link: u32, accepted: bool) {
        let (from, to) = self.net.route(link, Way::Out);
        if self.net.blocked(to, from) {
            self.marks.hit(Mark::DialHeardNothing);
            return;
        }
        let end = self.net.links[link as usize].ends[0];
        let life = self.nodes[from].life;
        let wanted = end.life == life
            && self.nodes[from].process.as_ref().is_some_and(|process| process.links.get(&end.link) == Some(&link));
        match (wanted, accepted) {
            (true, true) => {
                self.net.links[link as usize].ends[0].up = true;
                self.handle(from, Event::LinkUp { link: end.link });
            }
            (true, false) => self.lose(from, link, Way::Out, "connection refused"),
            (false, true) => self.send_reset(link, Way::Back),
            (false, false) => {}
        }
    }

    /// Lets what was sent on a link leave.
    pub(super) fn flush(&mut self, node: NodeIndex, link: Option<LinkId>) {
        let count = self.outgoing.remaining();
        if count == 0 {
            return;
        }
        let bytes = self.outgoing.copy_to_bytes(count);
        let frames = core::mem::take(&mut self.frames);
        if let Some((index, way)) = link.and_then(|link| self.find(node, link)) {
            self.transmit(index, way, bytes, &frames);
        }
        self.frames = frames;
        self.frames.clear();
    }

    /// The link of that number, and the direction in which the node sends on it.
    pub(super) fn find(&self, node: NodeIndex, link: LinkId) -> Option<(u32, Way)> {
        let index = *self.nodes[node].process.as_ref()?.links.get(&link)?;
        let way = if link.is_accepted() { Way::Back } else { Way::Out };
        Some((index, way))
    }

    fn transmit(&mut self, link: u32, way: Way, bytes: Bytes, frames: &[u32]) {
        let (from, to) = self.net.route(link, way);
        let total = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if !self.net.meddles(from, to) && !self.bugs.meddles() {
            self.queue_bytes(link, way, Some((bytes, Piece::Frames)), total);
            return;
        }
        let sent = self.net.meddle(from, to, &bytes, frames);
        self.marks.add(Mark::FrameLost, sent.lost);
        self.marks.add(Mark::FrameDuplicated, sent.duplicated);
        self.marks.add(Mark::FrameReordered, sent.reordered);
        self.marks.add(Mark::FrameCorrupted, sent.corrupted);
        self.note_meddling(
            from,
            to,
            &[
                (sent.lost, "lost"),
                (sent.duplicated, "doubled"),
                (sent.reordered, "overtaken"),
                (sent.corrupted, "corrupted"),
            ],
        );
        if sent.pieces.len() > frames.len() {
            self.marks.hit(Mark::BytesSplit);
        }
        let count = sent.pieces.len();
        if count == 0 {
            self.queue.push(self.now, Occurrence::Drained { link, way, bytes: total });
        }
        for (index, (piece, what)) in sent.pieces.into_iter().enumerate() {
            let piece = self.bugs.on_the_way(piece, what);
            self.queue_bytes(link, way, Some((piece, what)), if index + 1 == count { total } else { 0 });
        }
    }

    fn note_meddling(&mut self, from: NodeIndex, to: NodeIndex, what: &[(u64, &str)]) {
        if !self.trace.is_on() {
            return;
        }
        for (count, words) in what.iter().filter(|(count, _)| *count > 0) {
            let (subject, peer) = (Subject::Node(node_id(from)), node_id(to));
            self.note(subject, LineKind::Network, || format!("{count} frames to {peer} {words}"));
        }
    }

    /// Puts bytes (or the end of the stream) on their way, or behind those that wait. `drained` is told when they leave.
    fn queue_bytes(&mut self, link: u32, way: Way, bytes: Option<(Bytes, Piece)>, drained: u32) {
        let (bytes, what) = bytes.map_or((None, Piece::Frames), |(bytes, what)| (Some(bytes), what));
        if self.net.has_room(link, way) {
            self.move_bytes(link, way, bytes, drained, what);
            return;
        }
        self.marks.hit(Mark::BackPressure);
        let sender = self.net.route(link, way).0;
        let drained = if self.bugs.drains_too_early(sender) {
            self.queue.push(self.now, Occurrence::Drained { link, way, bytes: drained });
            0
        } else {
            drained
        };
        let stream = &mut self.net.links[link as usize].ways[way.index()];
        stream.waiting_bytes += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        stream.waiting.push_back((bytes, drained, what));
        let waiting = stream.waiting_bytes;
        let (from, _) = self.net.route(link, way);
        if waiting > self.waiting_bytes_max {
            self.checks.violated(Invariant::S23, Some(from), None, || format!("{waiting} bytes wait on one link"));
        }
    }

    fn move_bytes(&mut self, link: u32, way: Way, bytes: Option<Bytes>, drained: u32, what: Piece) {
        let count = bytes.as_ref().map_or(0, Bytes::len);
        let arrives = self.net.arrival(self.now, link, way, count);
        let stream = &mut self.net.links[link as usize].ways[way.index()];
        stream.moving_bytes += count as u64;
        stream.moving.push_back(Chunk { bytes, arrives, what });
        if !stream.planned && !stream.stalled {
            stream.planned = true;
            self.queue.push(arrives, Occurrence::Deliver { link, way });
        }
        if drained > 0 {
            self.queue.push(self.now, Occurrence::Drained { link, way, bytes: drained });
        }
    }

    pub(super) fn drained(&mut self, link: u32, way: Way, bytes: u32) {
        let end = self.net.links[link as usize].ends[way.index()];
        if end.up && self.nodes[end.node].life == end.life {
            self.handle(end.node, Event::LinkDrained { link: end.link, bytes: u64::from(bytes) });
        }
    }

    /// Delivers what has arrived of one direction.
    pub(super) fn deliver(&mut self, link: u32, way: Way) {
        self.net.links[link as usize].ways[way.index()].planned = false;
        let (from, to) = self.net.route(link, way);
        if self.net.blocked(from, to) {
            self.marks.hit(Mark::PartitionHeldBytes);
            self.net.links[link as usize].ways[way.index()].stalled = true;
            return;
        }
        while let Some(chunk) = self.next_arrived(link, way) {
            let end = self.net.links[link as usize].ends[way.other().index()];
            if !end.up || self.nodes[end.node].life != end.life || self.nodes[end.node].process.is_none() {
                self.dead_end(link, way, &end);
                break;
            }
            match chunk.bytes {
                Some(bytes) => self.deliver_bytes(link, way, &end, bytes, chunk.what),
                None => self.lose(end.node, link, way.other(), "closed by the peer"),
            }
        }
        self.refill(link, way);
        let stream = &mut self.net.links[link as usize].ways[way.index()];
        if let Some(next) = stream.moving.front()
            && !stream.planned
        {
            stream.planned = true;
            let at = next.arrives.max(self.now);
            self.queue.push(at, Occurrence::Deliver { link, way });
        }
    }

    fn next_arrived(&mut self, link: u32, way: Way) -> Option<Chunk> {
        let now = self.now;
        let stream = &mut self.net.links[link as usize].ways[way.index()];
        if stream.moving.front()?.arrives > now {
            return None;
        }
        let chunk = stream.moving.pop_front()?;
        stream.moving_bytes -= chunk.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Some(chunk)
    }

    /// Lets bytes that waited with the sender leave.
    fn refill(&mut self, link: u32, way: Way) {
        while self.net.room_again(link, way) {
            let stream = &mut self.net.links[link as usize].ways[way.index()];
            let Some((bytes, drained, what)) = stream.waiting.pop_front() else { return };
            stream.waiting_bytes -= bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
            self.move_bytes(link, way, bytes, drained, what);
        }
    }

    /// Bytes reach a side that is gone: the machine answers with a reset where it lives.
    fn dead_end(&mut self, link: u32, way: Way, end: &End) {
        let stream = &mut self.net.links[link as usize].ways[way.index()];
        stream.moving.clear();
        stream.moving_bytes = 0;
        stream.waiting.clear();
        stream.waiting_bytes = 0;
        let machine_is_off = self.nodes[end.node].process.is_none() && self.nodes[end.node].silent;
        if machine_is_off {
            self.net.links[link as usize].ways[way.index()].unanswered = true;
        } else if !end.silent {
            self.send_reset(link, way);
        }
    }

    /// A machine is back: what was sent to it meanwhile is sent again, and is answered by a reset.
    pub(super) fn answer_with_resets(&mut self, node: NodeIndex) {
        for index in 0..self.net.links.len() {
            let link = u32::try_from(index).unwrap_or(u32::MAX);
            for way in [Way::Out, Way::Back] {
                let to_node = self.net.route(link, way).1 == node;
                let stream = &mut self.net.links[index].ways[way.index()];
                if to_node && core::mem::take(&mut stream.unanswered) {
                    self.send_reset(link, way);
                }
            }
        }
    }

    /// Tells one side, after a while, that the other is gone; a partition swallows it.
    pub(super) fn send_reset(&mut self, link: u32, side: Way) {
        let (to, from) = self.net.route(link, side);
        if self.net.blocked(from, to) {
            return;
        }
        let travel = self.net.dial_latency(from, to);
        self.queue.push(self.later(travel), Occurrence::Reset { link, side });
    }

    pub(super) fn reset(&mut self, link: u32, side: Way) {
        let end = self.net.links[link as usize].ends[side.index()];
        if end.up && self.nodes[end.node].life == end.life {
            self.marks.hit(Mark::LinkReset);
            self.lose(end.node, link, side, "reset by the peer");
        }
    }

    /// A node learns that a link is gone.
    pub(super) fn lose(&mut self, node: NodeIndex, link: u32, side: Way, words: &str) {
        let end = &mut self.net.links[link as usize].ends[side.index()];
        end.up = false;
        let number = end.link;
        if let Some(process) = &mut self.nodes[node].process
            && process.links.remove(&number).is_some()
        {
            self.handle(node, Event::LinkDown { link: number, reason: CloseReason::Lost(words.to_owned()) });
        }
    }

    /// A core closes a link: what it sent leaves first, then the end of the stream.
    pub(super) fn close(&mut self, node: NodeIndex, link: LinkId, _reason: &CloseReason) {
        let Some((index, way)) = self.find(node, link) else { return };
        if let Some(process) = &mut self.nodes[node].process {
            process.links.remove(&link);
        }
        let end = &mut self.net.links[index as usize].ends[way.index()];
        let was_up = end.up;
        end.up = false;
        if was_up {
            self.queue_bytes(index, way, None, 0);
        }
    }

    /// All links of a node whose process is gone. A living machine says so to the peers.
    pub(super) fn drop_links(&mut self, links: impl Iterator<Item = (LinkId, u32)>, tell: bool) {
        for (number, link) in links {
            let side = if number.is_accepted() { Way::Back } else { Way::Out };
            self.net.links[link as usize].ends[side.index()].up = false;
            if tell {
                self.send_reset(link, side.other());
            }
        }
    }

    /// Streams that a partition held up go on.
    pub(super) fn unstall(&mut self) {
        for (link, way) in self.net.take_stalled() {
            let stream = &mut self.net.links[link as usize].ways[way.index()];
            if !stream.planned && !stream.moving.is_empty() {
                stream.planned = true;
                let travel = {
                    let (from, to) = self.net.route(link, way);
                    self.net.dial_latency(from, to)
                };
                let at = self.later(travel);
                self.queue.push(at, Occurrence::Deliver { link, way });
            }
        }
    }
}

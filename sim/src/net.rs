//! The network: links as byte streams with latency and in-order delivery, and everything that can be wrong with them.

use alloc::collections::VecDeque;

use bytes::Bytes;
use engraft::types::{LinkId, Time};

use crate::draws::{draw, draw_below, purpose};
use crate::queue::{NodeIndex, Way};
use crate::scenario::{FaultKind, NetworkPlan};
use crate::world::tampered::Orders;

/// So many deliveries after an epoch began a frame of the one before comes again: by then its batches have arrived.
const RECALL_AFTER: u64 = 12;

/// All links, and how each direction between two nodes behaves.
#[derive(Debug)]
pub(crate) struct Net {
    seed: u64,
    plan: NetworkPlan,
    nodes: usize,
    pub(crate) links: Vec<Link>,
    directions: Vec<Direction>,
}

/// One connection between two nodes.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) ends: [End; 2],
    pub(crate) ways: [Stream; 2],
}

/// One side of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) node: NodeIndex,
    pub(crate) life: u32,
    /// The node's disks up to this life: another number is another memory.
    pub(crate) disks: u32,
    pub(crate) link: LinkId,
    /// Whether the node's core counts on it.
    pub(crate) up: bool,
    /// Whether nothing answers here, not even a reset.
    pub(crate) silent: bool,
}

/// The bytes of one direction.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Under way, in order.
    pub(crate) moving: VecDeque<Chunk>,
    /// With the sender, for want of room.
    pub(crate) waiting: VecDeque<(Option<Bytes>, u32, Piece)>,
    pub(crate) waiting_bytes: u64,
    pub(crate) moving_bytes: u64,
    /// No chunk arrives before this.
    pub(crate) not_before: Time,
    /// Whether a delivery is planned.
    pub(crate) planned: bool,
    /// Whether a delivery met a partition and waits for its end.
    pub(crate) stalled: bool,
    /// Whether bytes went to a machine that is off: they are sent again until it answers.
    pub(crate) unanswered: bool,
}

/// Bytes that arrive together; none for the end of the stream.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Option<Bytes>,
    pub(crate) arrives: Time,
    pub(crate) what: Piece,
}

/// What a piece of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Whole frames, as they were sent.
    Frames,
    /// A frame that came once already, just before.
    Copy,
    /// A frame of which this bit was turned.
    Corrupt(u64),
    /// A part of a frame, or of several.
    Part,
}

/// How one direction between two nodes behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Direction {
    blocked: u32,
    delay_us: u64,
    loss: u64,
    duplicate: u64,
    reorder: u64,
    corrupt: u64,
    pub(crate) stale: Stale,
    split_max: Option<u64>,
    bytes_per_second: Option<u64>,
    sent: u64,
    frames: u64,
    dials: u64,
}

/// What a direction remembers of deliveries, to bring it once more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stale {
    pub(crate) share: u64,
    pub(crate) deliveries: u64,
    pub(crate) kept: Option<Kept>,
}

/// A delivery that comes once more.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) bytes: Bytes,
    /// The life of the receiver that got it first.
    pub(crate) life: u32,
    /// The delivery behind which it comes again.
    pub(crate) due: u64,
    /// Up to where its first time made the receiver write.
    pub(crate) ordered: Orders,
}

/// What became of the frames that were sent together.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The pieces that travel.
    pub(crate) pieces: Vec<(Bytes, Piece)>,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) corrupted: u64,
}

impl Net {
    pub(crate) fn new(seed: u64, plan: NetworkPlan, nodes: usize) -> Self {
        Self { seed, plan, nodes, links: Vec::new(), directions: vec![Direction::default(); nodes * nodes] }
    }

    fn place(&self, from: NodeIndex, to: NodeIndex) -> usize {
        from * self.nodes + to
    }

    pub(crate) fn blocked(&self, from: NodeIndex, to: NodeIndex) -> bool {
        self.directions.get(self.place(from, to)).is_some_and(|direction| direction.blocked > 0)
    }

    /// The nodes between which a link goes, in the direction of `way`.
    pub(crate) fn route(&self, link: u32, way: Way) -> (NodeIndex, NodeIndex) {
        let ends = &self.links[link as usize].ends;
        (ends[way.index()].node, ends[way.other().index()].node)
    }

    /// How one direction behaves.
    pub(crate) fn direction_mut(&mut self, from: NodeIndex, to: NodeIndex) -> &mut Direction {
        let place = self.place(from, to);
        &mut self.directions[place]
    }

    /// What a node sent and is remembered comes again soon, on all its ways: its next epoch is about to begin.
    pub(crate) fn recall(&mut self, from: NodeIndex) {
        for to in 0..self.nodes {
            let stale = &mut self.direction_mut(from, to).stale;
            if let Some(kept) = &mut stale.kept {
                kept.due = stale.deliveries + RECALL_AFTER;
            }
        }
    }

    /// Draws how long a message without bytes takes.
    pub(crate) fn dial_latency(&mut self, from: NodeIndex, to: NodeIndex) -> u64 {
        let subject = self.place(from, to);
        let direction = &mut self.directions[subject];
        direction.dials += 1;
        let n = direction.dials;
        let delay = direction.delay_us;
        delay + latency(self.seed, purpose::DIAL, subject as u64, n, &self.plan)
    }

    /// When bytes that leave now arrive, behind all earlier ones of their stream.
    pub(crate) fn arrival(&mut self, now: Time, link: u32, way: Way, bytes: usize) -> Time {
        let (from, to) = self.route(link, way);
        let subject = self.place(from, to);
        let direction = &mut self.directions[subject];
        direction.sent += 1;
        let mut travel =
            direction.delay_us + latency(self.seed, purpose::LATENCY, subject as u64, direction.sent, &self.plan);
        let mut occupied = 0;
        if let Some(per_second) = direction.bytes_per_second {
            occupied = (bytes as u64).saturating_mul(1_000_000) / per_second.max(1);
            travel += occupied;
        }
        let stream = &mut self.links[link as usize].ways[way.index()];
        let at = Time(now.0 + travel).max(Time(stream.not_before.0 + occupied));
        stream.not_before = at;
        at
    }

    /// Whether more bytes may leave the sender now.
    pub(crate) fn has_room(&self, link: u32, way: Way) -> bool {
        let stream = &self.links[link as usize].ways[way.index()];
        stream.waiting.is_empty() && stream.moving_bytes < self.plan.socket_bytes
    }

    pub(crate) fn room_again(&self, link: u32, way: Way) -> bool {
        self.links[link as usize].ways[way.index()].moving_bytes < self.plan.socket_bytes
    }

    /// Whether frames of this direction must be looked at one by one.
    pub(crate) fn meddles(&self, from: NodeIndex, to: NodeIndex) -> bool {
        let direction = &self.directions[self.place(from, to)];
        direction.loss + direction.duplicate + direction.reorder + direction.corrupt > 0
            || direction.split_max.is_some()
    }

    /// Loses, doubles, swaps and corrupts whole frames, and cuts what is left into pieces.
    pub(crate) fn meddle(&mut self, from: NodeIndex, to: NodeIndex, bytes: &Bytes, frames: &[u32]) -> Sent {
        let subject = self.place(from, to);
        let seed = self.seed;
        let direction = &mut self.directions[subject];
        let mut sent = Sent::default();
        let mut kept: Vec<(Bytes, Piece)> = Vec::with_capacity(frames.len());
        let mut held_back: Option<(Bytes, Piece)> = None;
        let mut at = 0;
        for size in frames {
            let end = (at + *size as usize).min(bytes.len());
            let mut frame = (bytes.slice(at..end), Piece::Frames);
            at = end;
            direction.frames += 1;
            let n = direction.frames;
            let hit = |purpose, share| draw_below(seed, purpose, subject as u64, n, 1000) < share;
            if hit(purpose::FRAME_LOSS, direction.loss) {
                sent.lost += 1;
                continue;
            }
            if hit(purpose::FRAME_CORRUPT, direction.corrupt) {
                sent.corrupted += 1;
                let bit = draw(seed, purpose::CORRUPT_BIT, subject as u64, n) % (frame.0.len() as u64 * 8).max(1);
                frame = (with_turned_bit(&frame.0, bit), Piece::Corrupt(bit));
            }
            if hit(purpose::FRAME_DUPLICATE, direction.duplicate) {
                sent.duplicated += 1;
                kept.push(frame.clone());
                if frame.1 == Piece::Frames {
                    frame.1 = Piece::Copy;
                }
            }
            if held_back.is_none() && hit(purpose::FRAME_REORDER, direction.reorder) {
                sent.reordered += 1;
                held_back = Some(frame);
                continue;
            }
            kept.push(frame);
            kept.extend(held_back.take());
        }
        kept.extend(held_back);
        if let Some(split_max) = direction.split_max {
            let mut rest = Bytes::from(joined(&kept));
            kept.clear();
            let mut part = 0;
            while !rest.is_empty() {
                part += 1;
                let drawn =
                    1 + draw_below(seed, purpose::SPLIT, subject as u64, direction.frames << 16 | part, split_max);
                let count = usize::try_from(drawn).unwrap_or(1).min(rest.len());
                // Many tiny pieces of a large chunk say no more than a few do.
                let count = if part < 64 { count } else { rest.len() };
                kept.push((rest.split_to(count), Piece::Part));
            }
        }
        sent.pieces = kept;
        sent
    }

    /// Begins (`sign` 1) or ends (-1) a fault of the network in one direction.
    pub(crate) fn set(&mut self, kind: FaultKind, from: NodeIndex, to: NodeIndex, amount: u64, begins: bool) {
        let place = self.place(from, to);
        let direction = &mut self.directions[place];
        let change = |value: &mut u64| *value = if begins { *value + amount } else { value.saturating_sub(amount) };
        match kind {
            FaultKind::Partition | FaultKind::PartitionOneWay => {
                direction.blocked = if begins { direction.blocked + 1 } else { direction.blocked.saturating_sub(1) };
            }
            FaultKind::Delay => change(&mut direction.delay_us),
            FaultKind::FrameLoss => change(&mut direction.loss),
            FaultKind::FrameDuplicate => change(&mut direction.duplicate),
            FaultKind::FrameReorder => change(&mut direction.reorder),
            FaultKind::FrameCorrupt => change(&mut direction.corrupt),
            FaultKind::FrameStale => change(&mut direction.stale.share),
            FaultKind::Split => direction.split_max = begins.then_some(amount),
            FaultKind::SlowLink => direction.bytes_per_second = begins.then_some(amount),
            FaultKind::Reset
            | FaultKind::HalfOpen
            | FaultKind::Crash
            | FaultKind::Power
            | FaultKind::Shutdown
            | FaultKind::Wipe
            | FaultKind::Pause
            | FaultKind::ClockJump
            | FaultKind::ClockDrift
            | FaultKind::SyncFails
            | FaultKind::DiskFull
            | FaultKind::SlowDisk
            | FaultKind::LyingSync
            | FaultKind::Rot
            | FaultKind::Misdirect
            | FaultKind::StaleCompletion
            | FaultKind::PauseReplica
            | FaultKind::OpenEpoch
            | FaultKind::Force => {}
        }
    }

    /// The links between two nodes, in either direction.
    pub(crate) fn between(&self, one: NodeIndex, other: NodeIndex) -> Vec<u32> {
        let of_both = |link: &Link| {
            let nodes = (link.ends[0].node, link.ends[1].node);
            nodes == (one, other) || nodes == (other, one)
        };
        (0_u32..).zip(&self.links).filter(|(_, link)| of_both(link)).map(|(index, _)| index).collect()
    }

    /// The streams that a partition holds up and nothing holds up now.
    pub(crate) fn take_stalled(&mut self) -> Vec<(u32, Way)> {
        let mut free = Vec::new();
        for index in 0..self.links.len() {
            for way in [Way::Out, Way::Back] {
                let link = u32::try_from(index).unwrap_or(u32::MAX);
                let (from, to) = self.route(link, way);
                if self.links[index].ways[way.index()].stalled && !self.blocked(from, to) {
                    self.links[index].ways[way.index()].stalled = false;
                    free.push((link, way));
                }
            }
        }
        free
    }
}

fn latency(seed: u64, purpose: u64, subject: u64, n: u64, plan: &NetworkPlan) -> u64 {
    let spread = plan.latency_max_us - plan.latency_min_us + 1;
    plan.latency_min_us + draw_below(seed, purpose, subject, n, spread)
}

fn joined(pieces: &[(Bytes, Piece)]) -> Vec<u8> {
    pieces.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect()
}

/// The frame with one bit turned.
pub(crate) fn with_turned_bit(frame: &Bytes, bit: u64) -> Bytes {
    let mut bytes = frame.to_vec();
    if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| bytes.get_mut(at)) {
        *byte ^= 1 << (bit % 8);
    }
    Bytes::from(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net() -> Net {
        Net::new(1, NetworkPlan::default(), 2)
    }

    fn frames() -> (Bytes, Vec<u32>) {
        (Bytes::from((0..200_u8).collect::<Vec<_>>()), vec![50; 4])
    }

    #[test]
    fn without_faults_every_byte_comes_once_in_order() {
        let (bytes, sizes) = frames();
        let sent = net().meddle(0, 1, &bytes, &sizes);
        assert_eq!(joined(&sent.pieces), bytes);
    }

    #[test]
    fn each_fault_does_what_its_name_says() {
        let (bytes, sizes) = frames();
        let with = |kind, amount| {
            let mut net = net();
            net.set(kind, 0, 1, amount, true);
            let sent = net.meddle(0, 1, &bytes, &sizes);
            net.set(kind, 0, 1, amount, false);
            assert!(!net.meddles(0, 1), "it ends");
            sent
        };
        assert_eq!(with(FaultKind::FrameLoss, 1000).pieces.len(), 0);
        assert_eq!(with(FaultKind::FrameDuplicate, 1000).pieces.len(), 8);
        let swapped = joined(&with(FaultKind::FrameReorder, 1000).pieces);
        assert_ne!(swapped, bytes);
        assert_eq!(swapped.len(), bytes.len());
        assert_eq!(&swapped[..50], &bytes[50..100]);
        let differ = |other: &[u8]| bytes.iter().zip(other).filter(|(a, b)| a != b).count();
        assert_eq!(differ(&joined(&with(FaultKind::FrameCorrupt, 1000).pieces)), 4);
        let split = with(FaultKind::Split, 7);
        assert!(split.pieces.len() > 20 && split.pieces.iter().all(|(piece, _)| piece.len() <= 7));
        assert_eq!(joined(&split.pieces), bytes);
    }
}

//! What a frame of the file of promises holds: records of spaces and of peers, of one size.

use alloc::collections::BTreeMap;

use crate::types::{Epoch, Incarnation, NodeId, Position, Sequence, SpaceId};

use super::{Cut, SpaceMemory};

/// Bytes of a record.
pub(super) const RECORD_SIZE: usize = 80;

/// The record holds a cut.
const HAS_CUT: u32 = 1;
/// The record is of a peer, not of a space.
const IS_PEER: u32 = 1 << 1;
/// The space acknowledges what is not synced.
const IS_WEAK: u32 = 1 << 2;
/// The space is recovering.
const IS_RECOVERING: u32 = 1 << 3;

/// What a node must not forget.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeMemory {
    /// What is remembered of each space.
    pub spaces: BTreeMap<SpaceId, SpaceMemory>,
    /// The incarnation under which each peer is known.
    pub peers: BTreeMap<NodeId, Incarnation>,
}

impl NodeMemory {
    /// How many records it takes.
    pub(super) fn records(&self) -> usize {
        self.spaces.len() + self.peers.len()
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.records() == 0
    }

    /// Takes over what `later` says, which is empty then.
    pub(super) fn append(&mut self, later: &mut Self) {
        self.spaces.append(&mut later.spaces);
        self.peers.append(&mut later.peers);
    }

    /// Its records, one behind another.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.records() * RECORD_SIZE);
        for (space, memory) in &self.spaces {
            encode_space(&mut body, *space, memory);
        }
        for (node, incarnation) in &self.peers {
            encode_peer(&mut body, *node, *incarnation);
        }
        body
    }

    /// Takes over the records of a frame.
    pub(super) fn decode(&mut self, body: &[u8]) {
        for record in body.chunks_exact(RECORD_SIZE) {
            let flags = short(record, 52).unwrap_or_default();
            if flags & IS_PEER != 0 {
                self.peers.extend(decode_peer(record));
            } else {
                self.spaces.extend(decode_space(record, flags));
            }
        }
    }
}

fn encode_space(body: &mut Vec<u8>, space: SpaceId, memory: &SpaceMemory) {
    body.extend_from_slice(&space.0);
    body.extend_from_slice(&memory.promise.0.to_le_bytes());
    body.extend_from_slice(&memory.mark.0.to_le_bytes());
    body.extend_from_slice(&memory.start.sequence.0.to_le_bytes());
    body.extend_from_slice(&memory.start.epoch.0.to_le_bytes());
    body.extend_from_slice(&memory.start.chain.to_le_bytes());
    let set = [(memory.cut.is_some(), HAS_CUT), (memory.weak, IS_WEAK), (memory.recovering, IS_RECOVERING)];
    let flags: u32 = set.iter().filter(|(holds, _)| *holds).map(|(_, flag)| flag).sum();
    body.extend_from_slice(&flags.to_le_bytes());
    let cut = memory.cut.unwrap_or(Cut { segment: Sequence::ZERO, offset: 0, last: Sequence::ZERO });
    for number in [cut.segment.0, cut.offset, cut.last.0] {
        body.extend_from_slice(&number.to_le_bytes());
    }
}

fn decode_space(record: &[u8], flags: u32) -> Option<(SpaceId, SpaceMemory)> {
    let cut =
        Cut { segment: Sequence(long(record, 56)?), offset: long(record, 64)?, last: Sequence(long(record, 72)?) };
    let start =
        Position { sequence: Sequence(long(record, 32)?), epoch: Epoch(long(record, 40)?), chain: short(record, 48)? };
    let memory = SpaceMemory {
        promise: Epoch(long(record, 16)?),
        mark: Sequence(long(record, 24)?),
        start,
        cut: (flags & HAS_CUT != 0).then_some(cut),
        weak: flags & IS_WEAK != 0,
        recovering: flags & IS_RECOVERING != 0,
    };
    Some((SpaceId(*record.first_chunk()?), memory))
}

fn encode_peer(body: &mut Vec<u8>, node: NodeId, incarnation: Incarnation) {
    let mut record = [0; RECORD_SIZE];
    let (number, flags) = (node.0.to_le_bytes(), IS_PEER.to_le_bytes());
    for (at, bytes) in [(0, number.as_slice()), (16, &incarnation.0), (52, &flags)] {
        if let Some(place) = record.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
    body.extend_from_slice(&record);
}

fn decode_peer(record: &[u8]) -> Option<(NodeId, Incarnation)> {
    let node = u16::from_le_bytes(*record.first_chunk()?);
    Some((NodeId(node), Incarnation(*record.get(16..)?.first_chunk()?)))
}

fn long(record: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*record.get(at..)?.first_chunk()?))
}

fn short(record: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*record.get(at..)?.first_chunk()?))
}

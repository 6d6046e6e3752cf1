//! A file's bytes, and what a crash would make of them.

mod unsynced;

use std::io::IoSlice;

use alloc::collections::BTreeMap;
use core::ops::Range;

use crate::draws::{draw, draw_below, purpose};

/// The bytes that reach the medium together, where they are not torn.
pub const BLOCK_SIZE: usize = 512;

type Block = [u8; BLOCK_SIZE];

const ZEROS: Block = [0; BLOCK_SIZE];

/// A file: the bytes that a reader sees, and for each unsynced write what the blocks under it held before.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    bytes: Vec<u8>,
    durable_size: usize,
    /// In the order of the writes. The first of a block is what is durable of it.
    before: Vec<Before>,
    kept: Vec<Block>,
    /// The unsynced changes of the size alone.
    sizes: Vec<Resized>,
    /// Blocks that the page cache calls clean and that were never written: what the medium holds of them.
    phantoms: BTreeMap<usize, Block>,
}

/// What a block held before a write.
#[derive(Debug, Clone, Copy)]
struct Before {
    block: usize,
    /// Where it is kept; `None` for zeros.
    kept: Option<u32>,
    /// The change that wrote to it.
    change: u64,
    /// The bytes of the block that were written, from and up to before.
    written: (u16, u16),
}

/// A change of the size alone.
#[derive(Debug, Clone, Copy)]
struct Resized {
    change: u64,
    size: usize,
}

/// The unsynced writes that are remembered one by one; past it only the first of each block is.
const BEFORE_MAX: usize = 16_384;

impl Inode {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn has_unsynced(&self) -> bool {
        !self.before.is_empty() || self.durable_size != self.bytes.len() || !self.phantoms.is_empty()
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let rest = self.bytes.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(source)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(source);
        }
        count
    }

    /// Writes the first `limit` bytes of the pieces, as the change of that number.
    pub(super) fn write(&mut self, change: u64, pieces: &[IoSlice<'_>], offset: u64, limit: u64) {
        let (Ok(from), Ok(limit)) = (usize::try_from(offset), usize::try_from(limit)) else { return };
        let total: usize = pieces.iter().map(|piece| piece.len()).sum::<usize>().min(limit);
        if total == 0 {
            return;
        }
        let end = from + total;
        self.remember(change, from / BLOCK_SIZE..end.div_ceil(BLOCK_SIZE), &(from..end));
        if self.bytes.len() < from {
            self.bytes.resize(from, 0);
        }
        let mut at = from;
        for piece in pieces {
            let piece = piece.get(..piece.len().min(end - at)).unwrap_or_default();
            let inside = piece.len().min(self.bytes.len().saturating_sub(at));
            let (over, behind) = piece.split_at(inside);
            if let Some(place) = self.bytes.get_mut(at..at + inside) {
                place.copy_from_slice(over);
            }
            self.bytes.extend_from_slice(behind);
            at += piece.len();
        }
    }

    pub(super) fn set_size(&mut self, change: u64, size: usize) {
        if size < self.bytes.len() {
            self.remember(change, size / BLOCK_SIZE..self.bytes.len().div_ceil(BLOCK_SIZE), &(size..size));
        }
        self.sizes.push(Resized { change, size });
        self.bytes.resize(size, 0);
    }

    pub(super) fn sync(&mut self) {
        self.before.clear();
        self.kept.clear();
        self.sizes.clear();
        self.durable_size = self.bytes.len();
    }

    /// The kernel could not write: some dirty pages are called clean from here on, and the medium lacks them.
    pub(super) fn sync_failed(&mut self, key: u64, subject: u64, n: u64) {
        let before = core::mem::take(&mut self.before);
        let mut chosen = BTreeMap::new();
        for entry in before {
            let clean = *chosen.entry(entry.block).or_insert_with(|| {
                draw(key ^ n, purpose::SYNC_FAILED_PAGE, subject, entry.block as u64).is_multiple_of(2)
            });
            if clean {
                let block = self.kept_block(entry);
                self.phantoms.entry(entry.block).or_insert(block);
            } else {
                self.before.push(entry);
            }
        }
    }

    /// At the coming sync one dirty block goes to the place of another. False where there is none to take.
    pub(super) fn misdirect(&mut self, key: u64, subject: u64) -> bool {
        let blocks = self.bytes.len() / BLOCK_SIZE;
        let Some(first) = self.before.first().copied() else { return false };
        if blocks < 2 {
            return false;
        }
        let step = 1 + draw_below(key, purpose::MISDIRECT, subject, first.block as u64, blocks as u64 - 1);
        let victim = (first.block + usize::try_from(step).unwrap_or(1)) % blocks;
        let moved = self.block(first.block);
        let stale = self.kept_block(first);
        self.phantoms.insert(first.block, stale);
        self.phantoms.insert(victim, moved);
        true
    }

    pub(super) fn rot(&mut self, offset: u64, bit: u8) -> bool {
        let Ok(at) = usize::try_from(offset) else { return false };
        let Some(byte) = self.bytes.get_mut(at) else { return false };
        let (sound, block) = (*byte, at / BLOCK_SIZE);
        *byte ^= 1 << (bit % 8);
        if let Some(byte) = self.phantoms.get_mut(&block).and_then(|block| block.get_mut(at % BLOCK_SIZE)) {
            *byte ^= 1 << (bit % 8);
        }
        // What the block held before an unsynced write of other bytes of it is rotten, too: a crash heals nothing.
        for kept in self.before.iter().filter(|entry| entry.block == block).filter_map(|entry| entry.kept) {
            if let Some(byte) = self.kept.get_mut(kept as usize).and_then(|block| block.get_mut(at % BLOCK_SIZE))
                && *byte == sound
            {
                *byte ^= 1 << (bit % 8);
            }
        }
        true
    }

    /// The power fails.
    pub(super) fn crash(&mut self, key: u64, subject: u64) {
        let size = self.size_after_crash(key, subject);
        let mut versions: BTreeMap<usize, Vec<Before>> = BTreeMap::new();
        for entry in core::mem::take(&mut self.before) {
            versions.entry(entry.block).or_default().push(entry);
        }
        let blocks_max = versions.keys().next_back().map_or(0, |block| (block + 1) * BLOCK_SIZE);
        if blocks_max > self.bytes.len() {
            self.bytes.resize(blocks_max, 0);
        }
        // A file as a whole: all lost, all kept, only a beginning kept, or each block for itself.
        let manner = draw_below(key, purpose::CRASH_FILE, subject, 0, 6);
        let cut = draw_below(key, purpose::CRASH_FILE, subject, 1, versions.len() as u64 + 1);
        for (index, (block, list)) in (0_u64..).zip(&versions) {
            let fate = match manner {
                0 => Fate::Lost,
                1 => Fate::Kept,
                2 => {
                    if index < cut {
                        Fate::Kept
                    } else {
                        Fate::Lost
                    }
                }
                _ => Fate::drawn(key, subject, *block as u64),
            };
            self.apply(*block, list, fate, key, subject);
        }
        self.kept.clear();
        self.sizes.clear();
        for (block, bytes) in core::mem::take(&mut self.phantoms) {
            self.put(block, &bytes);
        }
        self.bytes.resize(size, 0);
        self.durable_size = size;
    }

    fn size_after_crash(&self, key: u64, subject: u64) -> usize {
        if draw(key, purpose::CRASH_SIZE, subject, 0).is_multiple_of(2) { self.durable_size } else { self.bytes.len() }
    }

    fn apply(&mut self, block: usize, versions: &[Before], fate: Fate, key: u64, subject: u64) {
        let Some(durable) = versions.first().map(|entry| self.kept_block(*entry)) else { return };
        match fate {
            Fate::Kept => {}
            Fate::Lost => self.put(block, &durable),
            Fate::Earlier => {
                let index = draw_below(key, purpose::CRASH_TEAR, subject, block as u64, versions.len() as u64);
                let index = usize::try_from(index).unwrap_or(0);
                let earlier = versions.get(index).map_or(durable, |entry| self.kept_block(*entry));
                self.put(block, &earlier);
            }
            Fate::Torn { new_first } => {
                let cut = draw_below(key, purpose::CRASH_TEAR, subject, block as u64, BLOCK_SIZE as u64);
                let cut = usize::try_from(cut).unwrap_or(0);
                let mut torn = self.block(block);
                let stale = if new_first { cut..BLOCK_SIZE } else { 0..cut };
                if let (Some(to), Some(from)) = (torn.get_mut(stale.clone()), durable.get(stale)) {
                    to.copy_from_slice(from);
                }
                self.put(block, &torn);
            }
        }
    }

    /// Keeps what the blocks hold now, before a change writes to some of their bytes.
    fn remember(&mut self, change: u64, blocks: Range<usize>, bytes: &Range<usize>) {
        if self.before.len() > BEFORE_MAX {
            self.forget_between();
        }
        for block in blocks {
            if let Some(phantom) = self.phantoms.remove(&block) {
                // The page is dirty again as a whole, with what the medium never got of it.
                let written = Self::part_of(block, &(0..self.bytes.len()));
                self.keep(Before { block, kept: None, change, written }, phantom);
            }
            let before = Before { block, kept: None, change, written: Self::part_of(block, bytes) };
            if block * BLOCK_SIZE >= self.bytes.len() {
                self.before.push(before);
            } else {
                let bytes = self.block(block);
                self.keep(before, bytes);
            }
        }
    }

    /// The part of a block that lies in a range of the file's bytes.
    fn part_of(block: usize, bytes: &Range<usize>) -> (u16, u16) {
        let within = |at: usize| u16::try_from(at.saturating_sub(block * BLOCK_SIZE).min(BLOCK_SIZE)).unwrap_or(0);
        (within(bytes.start), within(bytes.end))
    }

    fn keep(&mut self, before: Before, bytes: Block) {
        let kept = u32::try_from(self.kept.len()).ok();
        self.kept.push(bytes);
        self.before.push(Before { kept, ..before });
    }

    /// Keeps only the durable version of each block, as if the block had been written once.
    fn forget_between(&mut self) {
        let mut seen = BTreeMap::new();
        for entry in core::mem::take(&mut self.before) {
            seen.entry(entry.block).or_insert(entry);
        }
        let kept = core::mem::take(&mut self.kept);
        for (block, entry) in seen {
            let bytes = entry.kept.and_then(|index| kept.get(index as usize)).copied();
            let entry = Before { written: Self::part_of(block, &(0..self.bytes.len())), ..entry };
            match bytes {
                Some(bytes) => self.keep(entry, bytes),
                None => self.before.push(entry),
            }
        }
    }

    fn kept_block(&self, entry: Before) -> Block {
        entry.kept.and_then(|index| self.kept.get(index as usize)).copied().unwrap_or(ZEROS)
    }

    fn block(&self, block: usize) -> Block {
        let mut bytes = ZEROS;
        let from = (block * BLOCK_SIZE).min(self.bytes.len());
        let to = (from + BLOCK_SIZE).min(self.bytes.len());
        if let (Some(target), Some(source)) = (bytes.get_mut(..to - from), self.bytes.get(from..to)) {
            target.copy_from_slice(source);
        }
        bytes
    }

    fn put(&mut self, block: usize, bytes: &Block) {
        let from = block * BLOCK_SIZE;
        let end = from + BLOCK_SIZE;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(from..end) {
            place.copy_from_slice(bytes);
        }
    }
}

/// What becomes of an unsynced block.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Kept,
    Lost,
    /// A version between the durable one and the last.
    Earlier,
    Torn {
        new_first: bool,
    },
}

impl Fate {
    fn drawn(key: u64, subject: u64, block: u64) -> Self {
        match draw_below(key, purpose::CRASH_BLOCK, subject, block, 8) {
            0..=2 => Self::Kept,
            3..=5 => Self::Lost,
            6 => Self::Earlier,
            _ => Self::Torn { new_first: draw(key, purpose::CRASH_BLOCK, subject, block).is_multiple_of(3) },
        }
    }
}

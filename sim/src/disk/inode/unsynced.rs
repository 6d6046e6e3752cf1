//! One file as a crash finds it: what is durable of it, and what may be.

use alloc::collections::BTreeMap;

use super::{BLOCK_SIZE, Inode};
use crate::disk::UnsyncedKind;

impl Inode {
    /// The file as it would be had nothing unsynced reached the medium.
    pub(in crate::disk) fn durable(&self) -> Self {
        let mut durable = Self { bytes: self.bytes.clone(), ..Self::default() };
        let mut seen = BTreeMap::new();
        for entry in &self.before {
            seen.entry(entry.block).or_insert_with(|| self.kept_block(*entry));
        }
        for (block, bytes) in seen.iter().chain(&self.phantoms) {
            durable.put(*block, bytes);
        }
        durable.bytes.resize(self.durable_size, 0);
        durable.durable_size = self.durable_size;
        durable
    }

    /// What is not durable, block by block, in the order in which it was written: the number of the change, and what
    /// it did.
    pub(in crate::disk) fn unsynced(&self) -> Vec<(u64, UnsyncedKind)> {
        let mut after = BTreeMap::new();
        let mut changes = Vec::new();
        // Backwards: what a block holds after a write is what it held before the next one.
        for entry in self.before.iter().rev() {
            let before = self.kept_block(*entry);
            let now = after.insert(entry.block, before).unwrap_or_else(|| self.block(entry.block));
            let written = usize::from(entry.written.0)..usize::from(entry.written.1);
            if let (Some(bytes), Some(over)) = (now.get(written.clone()), before.get(written.clone()))
                && !bytes.is_empty()
            {
                let offset = (entry.block * BLOCK_SIZE + written.start) as u64;
                changes.push((entry.change, UnsyncedKind::Bytes { offset, bytes: bytes.into(), over: over.into() }));
            }
        }
        changes.reverse();
        changes.extend(self.sizes.iter().map(|resized| (resized.change, UnsyncedKind::Size(resized.size as u64))));
        changes.sort_by_key(|(change, _)| *change);
        changes
    }

    /// Some bytes that were not synced have reached the medium.
    pub(in crate::disk) fn survived(&mut self, offset: u64, bytes: &[u8]) {
        let Ok(from) = usize::try_from(offset) else { return };
        let end = from + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(from..end) {
            place.copy_from_slice(bytes);
        }
        self.durable_size = self.bytes.len();
    }

    /// A size that was not synced has reached the medium.
    pub(in crate::disk) fn resized(&mut self, size: u64) {
        self.bytes.resize(usize::try_from(size).unwrap_or(self.bytes.len()), 0);
        self.durable_size = self.bytes.len();
    }
}

//! A replica behind the entries in memory is served from the log on disk.

use alloc::format;
use alloc::vec::Vec;

use crate::types::{Entry, LinkId, NodeId, ReadId, Sequence};

use super::action::Action;
use super::context::Context;
use super::log::Log;
use super::wal_shipper::{Shipped, WalShipper, find};

/// Batches that one read fetches. More would hold more memory per replica, fewer would wait for the disk more often.
const READ_BATCHES: u32 = 8;

impl WalShipper {
    /// Ships a batch of what was read for the replica, or reads more; says whether a batch was shipped.
    pub(super) fn ship_read(
        &mut self,
        node: NodeId,
        link: LinkId,
        shipped: Shipped<'_>,
        context: &mut Context<'_>,
    ) -> bool {
        // Reads for replicas have odd numbers, those of clients even ones.
        let read = ReadId(self.read_counter * 2 + 1);
        let Some(progress) = find(&mut self.replicas, node) else { return false };
        let next = progress.next;
        let holds = progress.held.front().is_some_and(|entry| entry.header.sequence() == next);
        if holds && let Some(before) = progress.before {
            let entries = fill(progress.held.iter(), context);
            progress.held.drain(..entries.len());
            self.send(node, link, before, entries, shipped.commit, context);
            return true;
        }
        progress.held.clear();
        if progress.read.is_some() {
            return false;
        }
        progress.read = Some(read);
        // A batch names the entry before it: that one is read as well where it is not known.
        let known = progress.before.is_some();
        let from = if known { next } else { next.previous().max(Sequence(1)) };
        self.read_counter += 1;
        context.push(Action::WalRead {
            space: self.space,
            read,
            from,
            entries_max: context.config.batch_entries.saturating_mul(READ_BATCHES).saturating_add(1),
            bytes_max: context.config.batch_bytes.saturating_mul(u64::from(READ_BATCHES)),
        });
        false
    }

    /// Entries were read for a replica; says for which, and that it may be shipped to. `None` where the read was none of
    /// these.
    pub(super) fn read(
        &mut self,
        read: ReadId,
        entries: Vec<Entry>,
        log: &Log,
        context: &mut Context<'_>,
    ) -> Option<NodeId> {
        let origin = self.before(Sequence(1));
        let progress = self.replicas.iter_mut().find(|progress| progress.read == Some(read))?;
        let node = progress.node;
        progress.read = None;
        if core::mem::take(&mut progress.read_stale) {
            return Some(node);
        }
        let (next, known) = (progress.next, progress.before.is_some());
        // Entries that are written and not durable yet are read as well, and must not be shipped yet.
        let durable = log.durable();
        let mut entries = entries.into_iter().filter(|entry| entry.header.sequence() <= durable).peekable();
        if entries.peek().is_some_and(|first| first.header.sequence() < next) {
            progress.before = entries.next().map(|entry| entry.position());
        } else if next == Sequence(1) {
            progress.before = origin;
        }
        progress.before = progress.before.filter(|before| before.sequence == next.previous());
        progress.held = entries.collect();
        if progress.before.is_none() || (known && progress.held.is_empty()) {
            // Reading again at once could go on for ever; the breaker sets the pace.
            self.failed(node, format!("the log here has no entry {}", next.previous()), log, context);
        }
        Some(node)
    }
}

/// As many entries as a batch holds; one however large it is.
pub(super) fn fill<'a>(entries: impl Iterator<Item = &'a Entry>, context: &mut Context<'_>) -> Vec<Entry> {
    let entries = entries.take(usize::try_from(context.config.batch_entries).unwrap_or(usize::MAX));
    // What is there and what a batch may hold bound this: the list does not grow.
    let mut batch = context.actions.spare.take(entries.size_hint().1.unwrap_or_default());
    let mut bytes = 0;
    for entry in entries {
        bytes += entry.size() as u64;
        if !batch.is_empty() && bytes > context.config.batch_bytes {
            break;
        }
        batch.push(entry.clone());
    }
    batch
}

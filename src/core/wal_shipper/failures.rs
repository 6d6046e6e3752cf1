//! What did not reach a replica, or was refused there.

use alloc::format;
use alloc::string::String;

use crate::types::message::{Refusal, RefusalReason};
use crate::types::{NodeId, SpaceId};

use super::super::breaker::Opened;
use super::super::context::Context;
use super::super::log::Log;
use super::super::notice::Notice;
use super::super::progress::Mode;
use super::{WalShipper, contact, find};

impl WalShipper {
    /// A replica's refusal. `Stale` and the end of the primary's role are the caller's.
    pub(in crate::core) fn refused(&mut self, node: NodeId, refusal: &Refusal, log: &Log, context: &mut Context<'_>) {
        let Some(progress) = find(&mut self.replicas, node) else { return };
        if refusal.epoch != self.epoch || refusal.echo < progress.rewound_at {
            return;
        }
        progress.batches_failed += (progress.in_flight.len() as u64).max(1);
        progress.rewound_at = context.now;
        match &refusal.reason {
            RefusalReason::Gap | RefusalReason::Diverged { .. } => {
                let mut common = log.history().common_point(log.durable(), &refusal.history, refusal.end.sequence);
                if let RefusalReason::Diverged { at } = refusal.reason {
                    common = common.min(at.previous());
                    context.notify(Notice::ReplicaDiverged { space: self.space, replica: node, at });
                }
                progress.durable = progress.durable.min(common);
                progress.rewind(common.next(), None);
                progress.mode = Mode::Stream;
                progress.heard(refusal.echo.min(context.now), self.floor);
                contact(self.space, progress, context);
            }
            RefusalReason::Stopped { reason } => {
                progress.attached = None;
                let words = format!("stopped there: {reason}");
                self.failed(node, words, log, context);
            }
            RefusalReason::NotVoter => {
                let words = format!("its configuration has no voter {}", self.epoch.owner());
                self.failed(node, words, log, context);
            }
            RefusalReason::Lineage { ours } => {
                let words = format!("it goes by {ours}, another forced start of this generation");
                self.failed(node, words, log, context);
            }
            RefusalReason::Stale { .. } => {}
        }
    }

    /// Counts a failure of a replica, and asks it again where it stands once the breaker allows.
    pub(in crate::core) fn failed(&mut self, node: NodeId, words: String, log: &Log, context: &mut Context<'_>) {
        let end = self.durable_end(log);
        let Some(progress) = find(&mut self.replicas, node) else { return };
        progress.failure = words;
        progress.answer_due = None;
        progress.mode = Mode::Probe { sent: false };
        if progress.in_flight.is_empty() {
            progress.rewind(end.sequence.next(), Some(end));
        }
        if let Some(opened) = progress.breaker.fail(context.now, &context.config.pool) {
            tell_opened(self.space, node, opened, context);
        }
    }

    /// The replica does not know the space. Each further try would end the link for all other spaces, so the next one
    /// comes after the longest wait.
    pub(in crate::core) fn unknown_there(&mut self, node: NodeId, context: &mut Context<'_>) {
        let space = self.space;
        let Some(progress) = self.replica_mut(node) else { return };
        let opened = progress.breaker.trip(context.now, &context.config.pool);
        tell_opened(space, node, opened, context);
    }
}

fn tell_opened(space: SpaceId, peer: NodeId, opened: Opened, context: &mut Context<'_>) {
    let retry_ms = crate::types::time::millis_up(opened.until.since(context.now));
    context.notify(Notice::BreakerOpened { space: Some(space), peer, failures: opened.failures, retry_ms });
}

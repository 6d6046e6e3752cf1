//! What the disk says is done, or failed.

use crate::types::{Epoch, Sequence, WriteId};

use super::context::Context;
use super::event::{StorageError, StorageOperation};
use super::notice::StopReason;
use super::state::{Part, ReadUntil, ReplicationState};

impl ReplicationState {
    /// A promise is durable.
    pub(super) fn vote_saved(&mut self, promise: Epoch, context: &mut Context<'_>) {
        if let Part::Stopped(_) = self.part {
            return;
        }
        let saved = promise.min(self.promise);
        if saved <= self.promise_saved {
            return;
        }
        self.promise_saved = saved;
        self.election_saved(context);
        self.mend(context);
        if let Part::Primary(_) = self.part {
            self.durable_further(self.log.durable(), context);
        }
        self.answer(context);
    }

    /// A write is durable.
    pub(super) fn wal_appended(&mut self, write: WriteId, epoch: Epoch, sequence: Sequence, context: &mut Context<'_>) {
        let before = self.log.durable();
        if !self.log.appended(write, epoch, sequence) {
            return;
        }
        match &mut self.part {
            Part::Primary(_) => {
                self.save_lineage(before, context);
                self.durable_further(before, context);
            }
            Part::Replica(receiver) => {
                receiver.durable(self.log.durable());
                self.mend(context);
                self.answer(context);
                self.waits.answer(&self.log, self.readable(ReadUntil::Commit), context);
            }
            Part::Stopped(_) => return,
        }
        self.log.write(context.now, context.actions);
    }

    /// What is durable at the primary moved on from `before`, or its promise did.
    fn durable_further(&mut self, before: Sequence, context: &mut Context<'_>) {
        let Part::Primary(primary) = &mut self.part else { return };
        let opens = primary.durable(before, self.promise_saved, &self.log, &mut self.commit, context);
        primary.admit_held(&mut self.log, context);
        self.waits.answer(&self.log, self.readable(ReadUntil::Commit), context);
        if opens {
            self.tell_role(context);
        }
        self.tell_losses(context);
    }

    /// The storage failed: nothing more is acknowledged.
    pub(super) fn storage_failed(
        &mut self,
        operation: StorageOperation,
        error: StorageError,
        context: &mut Context<'_>,
    ) {
        if operation == StorageOperation::Salvage {
            self.salvage_failed(error, context);
        } else {
            self.stop(StopReason::Storage { operation, error }, context);
        }
    }
}

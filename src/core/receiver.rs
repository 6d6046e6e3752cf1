//! The replica's side of a space: batches are placed, written, and acknowledged once they are durable.

use alloc::collections::VecDeque;
use alloc::format;

use crate::types::entry::StartBody;
use crate::types::message::{
    CloseReason, Message, Refusal, RefusalReason, ReplicationAck, ReplicationBatch, ReplicationBatchHeader, SpaceCommit,
};
use crate::types::{Entry, Epoch, EpochHistory, LinkId, Position, Sequence, SpaceId, Time};
use crate::wire::HISTORY_STARTS_MAX;

use super::action::Action;
use super::context::Context;
use super::link::Links;
use super::log::Log;

/// Bytes that may wait for the disk, in windows of the primary's: one is under way, one may follow each new link.
const UNDURABLE_WINDOWS: u64 = 4;

/// What a replica knows of the primary that it follows.
#[derive(Debug, Clone, Hash, Default)]
pub(crate) struct Receiver {
    /// The epoch whose batches are accepted.
    epoch: Epoch,
    /// The lineage of that primary.
    lineage: Epoch,
    /// The last entry that is known to agree with the log of that epoch's primary.
    agreed: Sequence,
    /// The link on which answers go.
    link: Option<LinkId>,
    /// Whether heartbeats on that link hold for the space.
    attached: bool,
    /// Whether the primary was told that echoes do not hold for the space.
    muted: bool,
    /// When the primary was last heard, its heartbeats on the link not counted; `None` where it gave its lease up.
    heard: Option<Time>,
    /// Batches whose entries are not durable yet: their last entry, and when the primary sent them.
    unanswered: VecDeque<(Sequence, Time)>,
    /// The send time of the newest batch that is answered by the next ack.
    echo: Time,
    /// Whether an ack is owed that waits for the promise to be durable.
    owes: bool,
    /// A batch that is to be refused once the promise is durable: no answer leaves before.
    question: Option<(LinkId, ReplicationBatchHeader)>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It was accepted.
    Done,
    /// It cannot be placed; a batch behind the common point can.
    Refused(RefusalReason),
    /// The logs agree up to `common`, and the next entry is of another epoch.
    Differs {
        /// The last entry that both have.
        common: Position,
    },
    /// Two entries of the same epoch and sequence are not the same.
    Broken {
        /// Their sequence.
        at: Sequence,
    },
}

impl Receiver {
    /// The epoch whose batches are accepted.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Follows the primary of a newer epoch; nothing is known to agree with its log yet.
    pub(crate) fn follow(&mut self, epoch: Epoch, lineage: Epoch) {
        *self = Self { epoch, lineage, ..Self::default() };
    }

    /// The lineage of the primary that is followed; `None` where none is.
    pub(crate) fn lineage(&self) -> Option<Epoch> {
        (self.epoch != Epoch::ZERO).then_some(self.lineage)
    }

    /// The primary sent something for this space, whatever is answered.
    pub(crate) fn hear(&mut self, link: LinkId, now: Time) {
        (self.link, self.attached, self.heard) = (Some(link), true, Some(now));
    }

    /// When the primary was last heard.
    pub(crate) fn heard(&self, links: &Links) -> Option<Time> {
        let beat = self.link.filter(|_| self.attached).and_then(|link| links.beat(link));
        // Heartbeats count from when the space is attached; what came before them was heard by itself.
        self.heard.max(beat.filter(|_| self.heard.is_some()))
    }

    /// Whether heartbeats renew patience, so that no deadline is needed.
    pub(crate) fn is_renewed(&self, links: &Links) -> bool {
        self.attached && self.link.is_some_and(|link| links.beats(link))
    }

    /// The link is gone; `beat` is when its last heartbeat came.
    pub(crate) fn lost(&mut self, link: LinkId, beat: Option<Time>) {
        if self.link == Some(link) {
            if self.attached && self.heard.is_some() {
                self.heard = self.heard.max(beat);
            }
            (self.link, self.attached, self.question) = (None, false, None);
        }
    }

    /// The primary gave its lease up; says whether it is the one that is followed.
    pub(crate) fn released(&mut self, epoch: Epoch, link: LinkId) -> bool {
        let ours = self.epoch == epoch && self.link == Some(link);
        if ours {
            (self.attached, self.heard) = (false, None);
        }
        ours
    }

    /// A higher epoch is promised: the primary's heartbeats renew nothing here from now on. Says whom to tell.
    pub(crate) fn leave(&mut self, promised: Epoch, links: &Links) -> Option<(LinkId, Epoch)> {
        if self.epoch >= promised || !self.attached {
            return None;
        }
        self.heard = self.heard(links);
        self.attached = false;
        self.link.map(|link| (link, self.epoch))
    }

    /// Notes whether the disk stalls; says whom to tell where it begins to.
    pub(crate) fn stall(&mut self, stalls: bool) -> Option<(LinkId, Epoch)> {
        let begins = stalls && self.attached && !self.muted;
        self.muted = stalls && (self.muted || begins);
        self.link.filter(|_| begins).map(|link| (link, self.epoch))
    }

    /// On which link, and in which epoch, heartbeats hold for the space.
    pub(crate) fn attachment(&self) -> Option<(LinkId, Epoch)> {
        self.link.filter(|_| self.attached).map(|link| (link, self.epoch))
    }

    /// Whether a stall of the disk has to be told when it begins.
    pub(crate) fn tells_stalls(&self) -> bool {
        self.attached && !self.muted
    }

    /// The log was truncated: nothing that was owed before holds.
    pub(crate) fn truncated(&mut self, end: Sequence) {
        self.agreed = self.agreed.min(end);
        self.unanswered.clear();
        self.owes = false;
    }

    /// Keeps a batch that cannot be answered before the promise is durable.
    pub(crate) fn keep(&mut self, link: LinkId, header: ReplicationBatchHeader) {
        self.question = Some((link, header));
    }

    /// Takes it out.
    pub(crate) fn take_question(&mut self) -> Option<(LinkId, ReplicationBatchHeader)> {
        self.question.take()
    }

    /// How much of a primary's commit holds here.
    pub(crate) fn commit(&self, commit: SpaceCommit) -> Sequence {
        if commit.epoch == self.epoch { commit.commit.min(self.agreed) } else { Sequence::ZERO }
    }

    /// Places a batch of the accepted epoch behind the log.
    ///
    /// # Errors
    /// Why the link is closed: the batch breaks a rule that no primary breaks.
    pub(crate) fn place(
        &mut self,
        mut batch: ReplicationBatch,
        log: &mut Log,
        context: &mut Context<'_>,
    ) -> Result<Placed, CloseReason> {
        let header = batch.header;
        let (end, previous) = (log.end(), header.previous);
        if previous.sequence > end.sequence {
            return Ok(Placed::Refused(RefusalReason::Gap));
        }
        match compare(log, previous) {
            Compared::Same => {}
            Compared::OtherEpoch => return Ok(Placed::Refused(RefusalReason::Diverged { at: previous.sequence })),
            Compared::OtherChain => return Ok(Placed::Broken { at: previous.sequence }),
        }
        // A window has room for the entry that fills it, however large that is.
        let window = context.config.window_bytes.max(context.config.entry_bytes_max);
        let limit = window.saturating_mul(UNDURABLE_WINDOWS);
        if log.undurable_bytes() > limit {
            return Err(CloseReason::Unexpected {
                expected: format!("at most {limit} bytes that are not durable"),
                found: format!("more behind {} bytes", log.undurable_bytes()),
            });
        }
        let last = chained(previous, &batch)?;
        let mut common = previous;
        for entry in batch.entries.drain(..) {
            let position = entry.position();
            if position.sequence > log.end().sequence {
                log.push(entry);
            } else {
                match compare(log, position) {
                    Compared::Same => {}
                    Compared::OtherEpoch => return Ok(Placed::Differs { common }),
                    Compared::OtherChain => return Ok(Placed::Broken { at: position.sequence }),
                }
            }
            common = position;
        }
        context.actions.spare.give_back(batch.entries);
        self.agreed = self.agreed.max(last);
        if last <= log.durable() || last == previous.sequence {
            self.echo = self.echo.max(header.sent);
            self.owes = true;
        } else if let Some((newest, sent)) = self.unanswered.back_mut()
            && *newest >= last
        {
            // A repeated batch is answered with what is there already, so that the list is no longer than the log.
            *sent = header.sent.max(*sent);
        } else {
            self.unanswered.push_back((last, header.sent));
        }
        log.write(context.now, context.actions);
        Ok(Placed::Done)
    }

    /// More of the log is durable: the batches that are so far are answered.
    pub(crate) fn durable(&mut self, durable: Sequence) {
        while let Some(&(last, sent)) = self.unanswered.front()
            && last <= durable
        {
            self.unanswered.pop_front();
            self.echo = self.echo.max(sent);
            self.owes = true;
        }
    }

    /// How far the log is durable and known to agree with the primary's.
    pub(crate) fn holds(&self, log: &Log) -> Sequence {
        log.durable().min(self.agreed)
    }

    /// Owes the primary of this epoch an ack, where it is the one that is followed.
    pub(crate) fn owe(&mut self, epoch: Epoch) {
        self.owes |= self.epoch == epoch;
    }

    /// Sends the ack that is owed. The promise of the epoch is the newest, and durable.
    pub(crate) fn answer(
        &mut self,
        space: SpaceId,
        commit: Sequence,
        engine: Option<Sequence>,
        recovering: bool,
        log: &Log,
        context: &mut Context<'_>,
    ) {
        let Some(link) = self.link else { return };
        if !self.owes {
            return;
        }
        self.owes = false;
        let durable = self.holds(log);
        let ack = ReplicationAck {
            space,
            epoch: self.epoch,
            durable,
            applied: engine.unwrap_or(commit).min(durable),
            commit: commit.min(durable),
            echo: self.echo,
            recovering,
        };
        context.push(Action::Send { link, message: Message::Ack(ack) });
    }
}

/// What stands in the log where another has this entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    Same,
    OtherEpoch,
    OtherChain,
}

/// Compares an entry with the one at its place. The chain is compared where it is kept: epoch and sequence decide, the
/// chain only detects.
fn compare(log: &Log, Position { epoch, sequence, chain }: Position) -> Compared {
    let ours = if sequence == Sequence::ZERO { Epoch::ZERO } else { log.history().epoch_at(sequence) };
    if ours != epoch {
        Compared::OtherEpoch
    } else if log.chain_at(sequence).is_some_and(|kept| kept != chain) {
        Compared::OtherChain
    } else {
        Compared::Same
    }
}

/// The last sequence of a batch whose entries continue the chain. It is checked as a whole before any of it is believed.
fn chained(previous: Position, batch: &ReplicationBatch) -> Result<Sequence, CloseReason> {
    let mut before = previous;
    for entry in &batch.entries {
        let position = entry.position();
        if entry.header.chain_after(before.chain) != position.chain
            || position.epoch < before.epoch
            || position.epoch > batch.header.epoch
        {
            return Err(unchained(entry, before.epoch, batch.header.epoch));
        }
        if let Err(error) = StartBody::of(entry) {
            return Err(CloseReason::Unexpected {
                expected: format!("a start of {} that can be read", position.epoch),
                found: format!("{position}: {error}"),
            });
        }
        before = position;
    }
    Ok(before.sequence)
}

fn unchained(entry: &Entry, lowest: Epoch, highest: Epoch) -> CloseReason {
    CloseReason::Unexpected {
        expected: format!("entries that continue the chain, of epochs {lowest} to {highest}"),
        found: format!("{} with chain {:#010x}", entry.position(), entry.header.chain()),
    }
}

/// Answers a batch that is not accepted with where the log stands, so that the common point follows at once.
pub(crate) fn refuse(
    link: LinkId,
    header: &ReplicationBatchHeader,
    reason: RefusalReason,
    log: &Log,
    context: &mut Context<'_>,
) {
    // Only the reasons that a common point mends need the history.
    let newest = match reason {
        RefusalReason::Gap | RefusalReason::Diverged { .. } => {
            let starts = log.history().starts();
            starts.get(starts.len().saturating_sub(HISTORY_STARTS_MAX)..).unwrap_or_default()
        }
        RefusalReason::Stale { .. }
        | RefusalReason::NotVoter
        | RefusalReason::Lineage { .. }
        | RefusalReason::Stopped { .. } => &[],
    };
    let refusal = Refusal {
        space: header.space,
        epoch: header.epoch,
        reason,
        end: log.end(),
        history: EpochHistory::from_starts(newest.to_vec()).unwrap_or_default(),
        echo: header.sent,
    };
    context.push(Action::Send { link, message: Message::Refusal(refusal) });
}

//! What a core orders, carried out.

use engraft::core::{Action, Actions, Event, Notice, ReplicaStatus, StorageOperation};
use engraft::driver::wal_worker::WalRequest;
use engraft::types::message::{CloseReason, Message, RefusalReason};
use engraft::types::{LinkId, NodeId};

use super::World;
use crate::check::{Invariant, node_id, node_index};
use crate::mark::Mark;
use crate::queue::{NodeIndex, Way};
use crate::trace::{LineKind, Subject};

impl World<'_> {
    /// Carries the actions out in order; bytes leave when the next action is for another link.
    pub(super) fn carry_out(&mut self, node: NodeIndex, actions: &mut Actions) {
        let mut sending: Option<LinkId> = None;
        for action in actions.drain() {
            let target = if let Action::Send { link, .. } = &action { Some(*link) } else { None };
            if sending.is_some() && sending != target {
                self.flush(node, sending.take());
            }
            sending = target;
            self.carry_out_one(node, action);
        }
        self.flush(node, sending);
    }

    fn carry_out_one(&mut self, node: NodeIndex, action: Action) {
        self.judge_tampered(node, &action);
        match action {
            Action::Send { link, message } => self.send(node, link, message),
            Action::WalAppend { .. }
            | Action::WalRead { .. }
            | Action::SaveVote { .. }
            | Action::SavePeer { .. }
            | Action::EndRecovering { .. }
            | Action::SalvageSave { .. }
            | Action::WalTruncate { .. } => self.order_storage(node, action),
            Action::Connect { link, peer } => {
                self.note_action(node, LineKind::Action, || format!("{link} Connect {peer}"));
                self.connect(node, link, peer);
            }
            Action::Close { link, reason } => {
                self.note_action(node, LineKind::Action, || format!("{link} Close {reason}"));
                self.close(node, link, &reason);
            }
            Action::Reply { request, outcome } => self.reply(node, request, &outcome),
            Action::Notify(notice) => self.notice(node, &notice),
            Action::Halt => {
                let told = self.nodes[node].process.as_ref().is_some_and(|process| process.told_to_stop);
                if !told {
                    self.checks.violated(Invariant::Halt, Some(node), None, || "the core halted".to_owned());
                }
                self.stop_in_order(node);
            }
        }
    }

    fn note_action(&mut self, node: NodeIndex, kind: LineKind, text: impl FnOnce() -> String) {
        self.note(Subject::Node(node_id(node)), kind, text);
    }

    fn send(&mut self, node: NodeIndex, link: LinkId, mut message: Message) {
        self.bugs.before_sending(node, &mut message);
        self.checks.message_sent(node, &message);
        if let Some((index, way)) = self.find(node, link) {
            let (_, peer) = self.net.route(index, way);
            self.speaks_to(node, index, way, &message);
            if let Message::Batch(batch) = &message {
                self.checks.batch_leaves(node, peer, index, batch);
            }
        }
        if let Message::Refusal(refusal) = &message {
            match &refusal.reason {
                RefusalReason::Gap => self.marks.hit(Mark::RefusedGap),
                RefusalReason::Stale { .. } => self.marks.hit(Mark::RefusedStale),
                RefusalReason::Diverged { .. } => self.marks.hit(Mark::RefusedDiverged),
                RefusalReason::NotVoter | RefusalReason::Lineage { .. } | RefusalReason::Stopped { .. } => {}
            }
        }
        if self.trace.is_on() {
            self.note_action(node, LineKind::Message, || message.to_string());
        }
        let size = engraft::wire::encode(&message, &mut self.outgoing);
        self.frames.push(u32::try_from(size).unwrap_or(u32::MAX));
    }

    /// A node goes on talking only to whom it has known first, restarts or not: not to one that lost its memory since
    /// (S19).
    fn speaks_to(&mut self, node: NodeIndex, link: u32, way: Way, message: &Message) {
        match message {
            // What is said before it is known who is there, and the last word.
            Message::Hello(_) | Message::Goodbye(_) => return,
            Message::Welcome(_)
            | Message::SpaceHello(_)
            | Message::Batch(_)
            | Message::Ack(_)
            | Message::Refusal(_)
            | Message::Heartbeat(_)
            | Message::Echo(_)
            | Message::VoteRequest(_)
            | Message::VoteAnswer(_)
            | Message::Probe(_)
            | Message::ProbeEcho(_)
            | Message::Detach(_) => {}
        }
        let end = self.net.links[link as usize].ends[way.other().index()];
        let known = *self.nodes[node].known.entry(end.node).or_insert(end.disks);
        // Whose disk lied, or wrote elsewhere, may have lost what it knew.
        if known != end.disks && !self.checks.is_damaged(node) {
            self.checks.violated(Invariant::S19, Some(node), None, || {
                format!("says {} to {}, which lost its memory since", message.name(), node_id(end.node))
            });
        }
    }

    fn order_storage(&mut self, node: NodeIndex, mut action: Action) {
        if self.trace.is_on() {
            self.note_action(node, LineKind::Action, || action.to_string());
        }
        if matches!(action, Action::WalRead { .. }) {
            self.marks.hit(Mark::ReadFromWal);
        }
        let early = self.bugs.before_writing(node, &mut action);
        if let (Some(request), Some(process)) = (WalRequest::from_action(action), &mut self.nodes[node].process) {
            process.wal.submit(request);
        }
        self.plan_storage(node);
        if let Some(event) = early {
            self.nodes[node].completions.push_back(event);
        }
    }

    fn notice(&mut self, node: NodeIndex, notice: &Notice) {
        if let Some(local) = self.local_time(node) {
            if !self.bugs.any() {
                self.checks.noticed(node, notice, local);
            } else if let Some(told) = self.bugs.before_telling(node, notice) {
                self.checks.noticed(node, &told, local);
            }
        }
        let kind = match notice {
            Notice::RoleChanged { space, role, epoch } => {
                self.checks.role_changed(node, *space, *role, *epoch);
                LineKind::Milestone
            }
            Notice::Committed { space, commit } => {
                self.checks.claims(node, *space, None, *commit);
                self.engine_hears(node, *space, *commit);
                LineKind::Commit
            }
            Notice::ReplicaAcked { .. } => LineKind::Acked,
            Notice::ReplicaStatusChanged { to, .. } => self.status_told(*to),
            Notice::LagAlert { critical: true, .. } => self.milestone(Mark::LagCritical),
            Notice::LinkOpened { .. } => LineKind::Link,
            Notice::LinkClosed { reason, .. } => {
                if matches!(reason, CloseReason::OtherIncarnation { .. }) {
                    self.marks.hit(Mark::WipedNodeRefused);
                }
                LineKind::Link
            }
            Notice::BreakerOpened { .. } => {
                self.nodes[node].timer_is_dead |= self.bugs.timer_dies_with_breaker(node);
                self.milestone(Mark::BreakerOpened)
            }
            Notice::BreakerHalfOpened { .. } => self.milestone(Mark::BreakerHalfOpened),
            Notice::BreakerClosed { .. } => self.milestone(Mark::BreakerClosed),
            Notice::SpaceStopped { .. } => self.milestone(Mark::SpaceStopped),
            Notice::BecamePrimary { space, .. } => {
                let space = self.checks.space(*space);
                if space.is_some_and(|space| self.checks.spaces[space].is_taken_over_by(node)) {
                    self.marks.hit(Mark::Elected);
                }
                LineKind::Milestone
            }
            Notice::Deposed { .. } => self.milestone(Mark::Deposed),
            Notice::LeaseHeld { .. } => self.milestone(Mark::LeaseRegained),
            Notice::LeaseLost { .. } => self.milestone(Mark::LeaseLost),
            Notice::ExposureReached { .. } => self.milestone(Mark::ExposureReached),
            Notice::LineageBegan { .. } | Notice::LineageConflict { .. } | Notice::CommittedTruncated { .. } => {
                self.forced_told(node, notice)
            }
            Notice::WentAlone { .. } => self.milestone(Mark::WentAlone),
            Notice::VoterBack { .. } => self.milestone(Mark::VoterBack),
            Notice::Salvaged { .. } => self.milestone(Mark::Salvaged),
            Notice::SalvageFailed { .. } => self.milestone(Mark::SalvageFailed),
            Notice::Truncated { .. } => self.milestone(Mark::Truncated),
            Notice::LossExact { .. } => self.milestone(Mark::LossTold),
            Notice::Recovering { .. } | Notice::Recovered { .. } | Notice::CommittedMayBeLost { .. } => {
                self.recovering_told(node, notice)
            }
            Notice::LagAlert { critical: false, .. }
            | Notice::ReplicaDiverged { .. }
            | Notice::ApplyFailed { .. }
            | Notice::ElectionStarted { .. }
            | Notice::LossBounded { .. } => LineKind::Milestone,
        };
        if self.trace.is_on() {
            self.note_action(node, kind, || notice.to_string());
        }
    }

    fn status_told(&mut self, to: ReplicaStatus) -> LineKind {
        match to {
            ReplicaStatus::Failed => self.marks.hit(Mark::ReplicaFailed),
            ReplicaStatus::Degraded => self.marks.hit(Mark::ReplicaDegraded),
            ReplicaStatus::Lagging => self.marks.hit(Mark::ReplicaLagging),
            ReplicaStatus::Healthy => {}
        }
        LineKind::Milestone
    }

    /// What a node says of a forced start.
    fn forced_told(&mut self, node: NodeIndex, notice: &Notice) -> LineKind {
        if let Notice::CommittedTruncated { space, first, last, by } = notice {
            self.checks.retracted(node, *space, (*first, *last), *by);
            self.milestone(Mark::CommittedTruncated)
        } else if let Notice::LineageConflict { .. } = notice {
            self.milestone(Mark::LineageConflict)
        } else {
            self.milestone(Mark::LineageBegan)
        }
    }

    /// What a node says of what a power failure took.
    fn recovering_told(&mut self, node: NodeIndex, notice: &Notice) -> LineKind {
        if let Notice::Recovered { space, .. } = notice {
            self.checks.recovered(node, *space);
            self.milestone(Mark::Recovered)
        } else if let Notice::CommittedMayBeLost { space, .. } = notice {
            if self.checks.committed_may_be_lost(node, *space) {
                self.marks.hit(Mark::CommittedLost);
            }
            self.milestone(Mark::ElectedByAll)
        } else {
            self.milestone(Mark::Recovering)
        }
    }

    fn milestone(&mut self, mark: Mark) -> LineKind {
        self.marks.hit(mark);
        LineKind::Milestone
    }

    /// Dials a peer.
    fn connect(&mut self, node: NodeIndex, link: LinkId, peer: NodeId) {
        let peer = node_index(peer);
        if peer >= self.nodes.len() {
            return;
        }
        self.dial(node, link, peer);
    }

    /// What follows at once from an order: completions that a planted bug made up.
    pub(super) fn follow_ups(&mut self, node: NodeIndex) {
        if self.bugs.any() {
            while let Some(event) = self.nodes[node].completions.pop_front() {
                self.deliver_completion(node, event);
            }
        }
    }

    /// Gives a completion to the core, and keeps it for a fault that repeats old ones.
    pub(super) fn deliver_completion(&mut self, node: NodeIndex, event: Event) {
        if let Event::StorageFailed { space, operation, error } = &event {
            self.storage_failure_marks(*operation, error);
            // A salvage file that could not be written stops nothing: nothing is truncated, and it is tried again.
            if *operation != StorageOperation::Salvage {
                if let Some(process) = &mut self.nodes[node].process {
                    process.storage_failed = true;
                }
                self.checks.storage_failed(node, *space);
            }
        }
        let repeatable =
            matches!(event, Event::WalAppended { .. } | Event::VotesSaved { .. } | Event::PeerSaved { .. });
        if repeatable && self.keeps_completions() {
            self.nodes[node].old_completion = Some(event.clone());
        }
        if let Event::VotesSaved { votes } = &event {
            for vote in votes {
                self.checks.promise_saved(node, vote.space, vote.epoch);
            }
        }
        if let (Event::WalAppended { space, sequence, .. }, Some(local)) = (&event, self.local_time(node)) {
            self.checks.primary_durable(node, *space, *sequence, local);
        }
        self.handle(node, event);
    }
}

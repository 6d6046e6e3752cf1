//! Answers to clients, and what is told of a run at its end.

use engraft::core::{Ack, AppendError, Outcome};
use engraft::types::{Epoch, RequestId, Sequence};

use super::World;
use super::clients::Then;
use crate::check::{Invariant, node_id, node_index};
use crate::history::{OperationState, Wants};
use crate::mark::Mark;
use crate::queue::NodeIndex;
use crate::run::{NodeRow, Report};
use crate::trace::{LineKind, Subject};

impl World<'_> {
    /// A core answers a client.
    pub(super) fn reply(&mut self, node: NodeIndex, request: RequestId, outcome: &Outcome) {
        if self.engine_reply(node, request, outcome) {
            return;
        }
        let Some(operation) = usize::try_from(request.0.wrapping_sub(1)).ok().filter(|at| *at < self.operations.len())
        else {
            return;
        };
        if self.bugs.reply_is_forgotten(node) && operation.is_multiple_of(5) {
            return;
        }
        let asked = &self.operations[operation];
        if asked.state != OperationState::Waiting || asked.node != node {
            let space = asked.space;
            self.checks.violated(Invariant::S15, Some(node), Some(space), || format!("{request} is answered twice"));
            return;
        }
        let mut changed = None;
        if let Outcome::Entries { entries, commit } = outcome
            && self.bugs.reads_uncommitted(node)
        {
            changed = Some(Outcome::Entries { entries: entries.clone(), commit: commit.next() });
        }
        let outcome = changed.as_ref().unwrap_or(outcome);
        let asked = &self.operations[operation];
        let local = self.local_time(node).unwrap_or_default();
        self.checks.replied(node, local, asked, outcome);
        let probes = asked.load >= self.scenario.loads.len();
        let client = if probes { Subject::Probe } else { Subject::Client(asked.load) };
        if self.trace.is_on() {
            let level = asked.level;
            let wants = asked.wants;
            let words = || match wants {
                Wants::Append => format!("is told at {level}: {outcome}"),
                Wants::Read { .. } => format!("reads {outcome}"),
                Wants::WaitFor { .. } => format!("waited for {outcome}"),
            };
            self.note(client, LineKind::Client, words);
        }
        self.came_in_time(node, operation);
        let (state, then) = self.judge(operation, outcome);
        self.look_after(operation, outcome);
        self.resolve(operation, state, then);
    }

    /// A slow replica delays no append that does not wait for it.
    fn came_in_time(&mut self, node: NodeIndex, operation: usize) {
        let within = self.scenario.phases.answer_within_us;
        let asked = &self.operations[operation];
        let waits_for_all = asked.level == Ack::All || asked.wants != Wants::Append;
        let took = self.now.0 - asked.asked.0;
        if within > 0 && took > within && !waits_for_all {
            let (level, space) = (asked.level, asked.space);
            self.checks.violated(Invariant::L5, Some(node), Some(space), || {
                format!("an append at {level} was answered after {took} us, and {within} us are enough without the slow ones")
            });
        }
    }

    fn judge(&mut self, operation: usize, outcome: &Outcome) -> (OperationState, Then) {
        match outcome {
            Outcome::Appended { .. } | Outcome::Resolved { .. } | Outcome::Standing { .. } => {
                (OperationState::Done, Then::GoOn)
            }
            Outcome::Entries { .. } => {
                self.marks.hit(Mark::ReadAnswered);
                (OperationState::Done, Then::GoOn)
            }
            Outcome::Unknown { .. } => {
                self.marks.hit(Mark::AnsweredUnknown);
                (OperationState::Unknown, Then::GoOn)
            }
            Outcome::Failed(error) => (OperationState::Failed, self.after_failure(operation, error)),
        }
    }

    fn after_failure(&mut self, operation: usize, error: &AppendError) -> Then {
        match error {
            AppendError::NotReady | AppendError::NoPrimary | AppendError::Isolated => {
                let isolated = *error == AppendError::Isolated;
                self.marks.hit(if isolated { Mark::AnsweredIsolated } else { Mark::AnsweredNotReady });
                // Who reaches nobody is not ready for ever.
                self.look_elsewhere(operation, None);
                Then::AskAgain
            }
            AppendError::Overloaded { .. } => {
                self.marks.hit(Mark::AnsweredOverloaded);
                Then::AskAgain
            }
            AppendError::Shutdown => {
                self.look_elsewhere(operation, None);
                Then::AskAgain
            }
            AppendError::NotPrimary { primary } => {
                self.marks.hit(Mark::AnsweredNotPrimary);
                if self.look_elsewhere(operation, Some(node_index(*primary))) { Then::AskAgain } else { Then::GoOn }
            }
            AppendError::Stopped(_) => {
                self.marks.hit(Mark::AnsweredStopped);
                self.look_elsewhere(operation, None);
                Then::AskAgain
            }
            AppendError::ExposureReached { .. } => {
                self.marks.hit(Mark::AnsweredExposureReached);
                Then::AskAgain
            }
            AppendError::NotEnoughReplicas { .. } => {
                self.marks.hit(Mark::AnsweredNotEnough);
                Then::AskAgain
            }
            AppendError::TooLarge { .. } => {
                self.marks.hit(Mark::AnsweredTooLarge);
                Then::GoOn
            }
            AppendError::UnknownSpace { .. } | AppendError::ReservedControl { .. } | AppendError::Promotion(_) => {
                Then::GoOn
            }
        }
    }

    /// Everything that is told of the run.
    pub(super) fn report(mut self) -> Report {
        let nodes = self.rows();
        let engines = self.engine_rows();
        for row in &nodes {
            self.trace.mix(row.end.0 ^ u64::from(row.chain) << 32);
        }
        for node in 0..self.nodes.len() {
            if let Some(process) = &self.nodes[node].process {
                self.trace.mix(process.core.state_digest());
            }
        }
        for operation in &self.operations {
            if operation.state == OperationState::Waiting {
                self.clients[operation.load].row.waiting += 1;
            }
        }
        let loads = self.scenario.loads.len();
        let violation = self.checks.violation.take();
        Report {
            recent: if violation.is_some() { self.trace.recent() } else { Vec::new() },
            violation,
            events: self.events,
            wakes: self.wakes,
            ended: self.now,
            digest: self.trace.digest(),
            marks: self.marks,
            recovery: self.recovery,
            nodes,
            clients: self.clients.iter().take(loads).map(|client| client.row).collect(),
            engines,
            lines: self.trace.into_lines(),
        }
    }

    fn rows(&self) -> Vec<NodeRow> {
        let mut rows = Vec::new();
        for (node, at) in self.nodes.iter().enumerate() {
            let status = at.process.as_ref().map(|process| process.core.status(at.clock.local(self.now)));
            for space in &self.checks.spaces {
                let log = &space.logs[node];
                let own = status.as_ref().and_then(|status| status.spaces.iter().find(|own| own.space == space.id));
                rows.push(NodeRow {
                    node: node_id(node),
                    space: space.name.clone(),
                    role: own.map_or_else(|| "down".to_owned(), |own| own.role.to_string()),
                    epoch: own.map_or(Epoch::ZERO, |own| own.epoch),
                    end: log.end(),
                    durable: log.durable_end(),
                    commit: own.map_or(Sequence::ZERO, |own| own.commit),
                    chain: log.end_chain(),
                });
            }
        }
        rows
    }
}

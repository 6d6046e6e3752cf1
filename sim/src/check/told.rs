//! What clients are told, judged against the bytes on the disks and what voters have promised.

use engraft::core::{Ack, Outcome, TokenState};
use engraft::types::{Entry, Epoch, Sequence, Time, Token};

use super::{Checks, Damage, Invariant, SpaceIndex, node_id, node_index};
use crate::history::{Operation, OperationState, Wants};
use crate::queue::NodeIndex;

impl Checks {
    /// A client is answered, at `local` on the node's clock.
    pub(crate) fn replied(&mut self, node: NodeIndex, local: Time, operation: &Operation, outcome: &Outcome) {
        let space = operation.space;
        match outcome {
            Outcome::Appended { token } => {
                let level = operation.level;
                self.token_tells_the_truth(node, operation, *token, level != Ack::Local);
                self.level_holds(node, space, level, *token);
                if level == Ack::Local {
                    self.exposes_little(node, space, *token, local);
                }
                let at = &mut self.spaces[space];
                if !at.elects || level != Ack::Local {
                    let answered = at.answered.entry(at.universe.lineage_of(token.epoch)).or_default();
                    *answered = token.sequence.max(*answered);
                }
            }
            Outcome::Unknown { token, acked_by } => {
                self.token_tells_the_truth(node, operation, *token, false);
                for holder in acked_by {
                    let at = &self.spaces[space];
                    let holder = node_index(*holder);
                    // What it had it may have truncated since.
                    let acknowledged = at.views[holder].acknowledged(token.epoch, token.sequence);
                    let had = acknowledged || at.durable(holder) >= token.sequence;
                    let holds = had || at.logs[holder].damage != Damage::default();
                    self.require(holds, Invariant::S15, node, space, || {
                        format!("says that {} has {} durable", node_id(holder), token.sequence)
                    });
                }
            }
            Outcome::Failed(_) => {
                let written = self.operations.failed(operation.stamp);
                self.require(written.is_none(), Invariant::S15, node, space, || {
                    format!("answers as failed what stands at {:?}", written.map(|token| token.sequence))
                });
            }
            Outcome::Resolved { token, state } => self.resolved(node, operation, *token, *state),
            Outcome::Standing { .. } => {}
            Outcome::Entries { entries, commit } => self.read_is_committed(node, operation, entries, *commit),
        }
    }

    fn token_tells_the_truth(&mut self, node: NodeIndex, operation: &Operation, token: Token, by_majority: bool) {
        let space = operation.space;
        let written = self.operations.find(operation.stamp);
        let truth = written.is_none_or(|written| written == token);
        self.require(truth, Invariant::S15, node, space, || {
            format!("answers {} for what stands at {:?}", token.sequence, written.map(|token| token.sequence))
        });
        // A primary that does not know that it was replaced goes on below what the next one answered: it says of nothing
        // there that a majority has it.
        let at = &self.spaces[space];
        let replaced = at.elects && !by_majority;
        // A forced start goes on below what was answered in the lineage before.
        let (lineage, floor) = operation.floor;
        let other = lineage != at.universe.lineage_of(token.epoch);
        self.require(token.sequence > floor || replaced || other, Invariant::S15, node, space, || {
            format!("answers {} for an append that was asked for after {floor} was answered", token.sequence)
        });
    }

    fn level_holds(&mut self, node: NodeIndex, space: SpaceIndex, level: Ack, token: Token) {
        let at = &self.spaces[space];
        let sequence = token.sequence;
        let record = at.logs[node].record(sequence);
        let own = record.is_some_and(|record| record.epoch == token.epoch) && at.durable(node) >= sequence;
        let lying = at.logs[node].damage.anything;
        let failed = at.views[node].storage_failed;
        let voters = at.voters_in(token.epoch);
        let holders = at.holders(node, sequence, voters);
        let needed = match level {
            Ack::Local => 1,
            Ack::Quorum => voters.majority(),
            Ack::All => voters.len(),
        };
        self.require((own && !failed) || lying, Invariant::S5, node, space, || {
            format!("answers {} without having it durable", token.sequence)
        });
        self.require(holders >= needed || level == Ack::Local, Invariant::S6, node, space, || {
            format!("answers {sequence} at {level}, and {holders} of {} voters have it durable", voters.len())
        });
        self.answers_in_time(node, space, level, token);
    }

    /// Nobody answers for an epoch that is over.
    fn answers_in_time(&mut self, node: NodeIndex, space: SpaceIndex, level: Ack, token: Token) {
        let at = &self.spaces[space];
        // A promise binds before anybody is told of it.
        let promised_by = |voter: &&NodeIndex| {
            let view = &at.views[**voter];
            view.exposed.max(view.saved)
        };
        let voters = at.voters_in(token.epoch);
        // An operator who forces a node on asks nobody whose lease holds.
        let elected = |promise: Epoch| promise > token.epoch && promise.generation() == token.epoch.generation();
        let counts = |voter: &&NodeIndex| voters.contains(**voter) && elected(promised_by(voter));
        let (own, promised) = (promised_by(&&node) > token.epoch, at.voters.iter().filter(counts).count());
        let over = self.clocks_hold && level != Ack::Local && promised >= voters.majority();
        self.require(!own, Invariant::S9, node, space, || format!("answers {} and promised above it", token.sequence));
        self.require(!over, Invariant::S9, node, space, || {
            format!("answers {} at {level}, and {promised} voters promised above {}", token.sequence, token.epoch)
        });
    }

    /// What a node says of a token is what the bytes say: committed is durable on a majority and in this node's log, lost
    /// is where another entry was committed, or where the log ends in a later epoch before it: epochs never go back.
    fn resolved(&mut self, node: NodeIndex, operation: &Operation, token: Token, state: TokenState) {
        let space = operation.space;
        let Wants::WaitFor { token: asked, .. } = operation.wants else { return };
        let at = &self.spaces[space];
        let lineage = at.lineage_with(node, token.sequence).unwrap_or_else(|| at.lineage(node));
        let committed = at.universe.committed(lineage);
        let own = at.logs[node].record(token.sequence).map(|record| record.epoch);
        let (holds, words) = match state {
            TokenState::Committed => (token.sequence <= committed && own == Some(token.epoch), "committed"),
            TokenState::Lost if token.sequence <= committed => (own != Some(token.epoch), "lost"),
            TokenState::Lost => {
                let end = at.universe.committed_end(lineage);
                (end.is_some_and(|(_, epoch, _)| epoch > token.epoch), "lost")
            }
            TokenState::Pending => (true, "pending"),
        };
        self.require(holds && token == asked, Invariant::S15, node, space, || {
            format!(
                "says that {}{} is {words}, and has {own:?} there with {committed} committed",
                token.epoch, token.sequence
            )
        });
    }

    fn read_is_committed(&mut self, node: NodeIndex, operation: &Operation, entries: &[Entry], commit: Sequence) {
        let space = operation.space;
        let Wants::Read { from } = operation.wants else { return };
        let mut expected = from.max(Sequence(1));
        for entry in entries {
            let position = entry.position();
            let at = &self.spaces[space];
            let known = at.universe.known(position.epoch, position.sequence);
            let right = known
                .is_some_and(|known| known.chain == position.chain && known.header_crc == entry.header.header_crc());
            let committed = at.committed_at_least(node, position.sequence);
            self.require(position.sequence == expected && right, Invariant::S15, node, space, || {
                format!("reads {position} where {expected} was asked for")
            });
            self.require(position.sequence <= committed.max(commit), Invariant::S7, node, space, || {
                format!("gives out {position}, and {committed} is committed")
            });
            expected = expected.next();
        }
        let at = &self.spaces[space];
        let committed = at.committed_at_least(node, commit);
        self.require(commit <= committed, Invariant::S7, node, space, || {
            format!("reads with commit {commit}, and {committed} is committed")
        });
    }

    /// Every operation must be answered by now.
    pub(crate) fn all_resolved(&mut self, operations: &[Operation]) {
        let open = operations.iter().filter(|operation| operation.state == OperationState::Waiting).count();
        if let Some(first) = operations.iter().find(|operation| operation.state == OperationState::Waiting) {
            self.violated(Invariant::L8, Some(first.node), Some(first.space), || {
                format!("{open} operations were never answered, the first asked at {}", first.asked)
            });
        }
    }
}

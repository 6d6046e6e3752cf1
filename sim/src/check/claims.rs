//! What nodes say to each other and to clients, judged against the bytes on the disks.

use alloc::collections::BTreeMap;

use engraft::core::Role;
use engraft::types::message::{Message, RefusalReason, ReplicationAck, ReplicationBatch, VoteRound};
use engraft::types::{Entry, Epoch, Sequence, SpaceId, Token};

use super::log::Parsed;
use super::universe::Known;
use super::{Checks, Invariant, SpaceIndex, node_index};
use crate::disk::{FileNumber, SimDisk};
use crate::queue::NodeIndex;

/// What one node has said about one space.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The highest epoch that it has accepted before others; it holds over restarts.
    pub(super) exposed: Epoch,
    /// The highest promise that its storage said is durable.
    pub(super) saved: Epoch,
    /// The highest commit that it has named in this life.
    pub(super) claimed: Sequence,
    /// The epoch in which it is primary in this life.
    pub(super) primary: Option<Epoch>,
    /// The same from its election on, while the epoch is opening.
    elected: Option<Epoch>,
    /// The highest sequence that it acknowledged in each epoch, in any life.
    acked: BTreeMap<Epoch, Sequence>,
    /// Whether it was told that its storage failed, in this life.
    pub(super) storage_failed: bool,
    /// Whether its power failed under a weak fsync mode, and it does not say since that it counts again.
    pub(super) recovering: bool,
    /// Whether it lost everything and goes by the same id.
    pub(super) wiped: bool,
    /// The epochs in which it was primary before.
    pub(super) earlier: Vec<Epoch>,
    /// How far its log was truncated since its process began before this one.
    pub(super) cut: Option<Sequence>,
}

impl View {
    /// Whether it acknowledged the entry of this epoch and sequence: who acknowledges in an epoch has everything up to there
    /// as the primary of it has.
    pub(super) fn acknowledged(&self, epoch: Epoch, sequence: Sequence) -> bool {
        self.acked.range(epoch..).any(|(_, acked)| *acked >= sequence)
    }

    /// It is the primary no longer.
    pub(super) fn leaves(&mut self) {
        let left = self.primary.take();
        self.earlier.extend(left);
        self.elected = None;
    }
}

impl Checks {
    /// Reads what a write made of a log file.
    pub(super) fn parse(
        &mut self,
        node: NodeIndex,
        space: SpaceIndex,
        disk: &SimDisk,
        file: FileNumber,
        at: u64,
        limit: u64,
    ) {
        let mut parsed = Parsed::default();
        let log = &mut self.spaces[space].logs[node];
        disk.with_bytes(file, |bytes| log.parse(file, at, limit, bytes, &mut parsed));
        let excused = log.damage.anything || log.damage.rotten.is_some();
        if let Some((expected, found)) = parsed.misplaced
            && !excused
        {
            self.violated(Invariant::S3, Some(node), Some(space), || {
                format!("{found} was written where {expected} belongs")
            });
        }
        if let Some(sequence) = parsed.broken_chain {
            self.violated(Invariant::S3, Some(node), Some(space), || format!("{sequence} does not continue the chain"));
        }
        self.dropped(node, space, disk, parsed.dropped);
        if let Some((first, count)) = parsed.new {
            for sequence in first.0..first.0 + count as u64 {
                self.entry_written(node, space, Sequence(sequence));
            }
        }
    }

    fn entry_written(&mut self, node: NodeIndex, space: SpaceIndex, sequence: Sequence) {
        let at = &self.spaces[space];
        let Some(record) = at.logs[node].record(sequence).copied() else { return };
        let known = Known::from(&record);
        match at.universe.known(record.epoch, sequence) {
            Some(other) if other == known => {}
            Some(_) => self.violated(Invariant::S4, Some(node), Some(space), || {
                format!("{}{sequence} was written with other bytes than elsewhere", record.epoch)
            }),
            None => {
                self.require(node_index(record.epoch.owner()) == node, Invariant::S3, node, space, || {
                    format!("{}{sequence} was made by another node than its epoch's", record.epoch)
                });
                self.spaces[space].universe.learn(sequence, known);
                self.start_written(node, space, sequence, &record);
                self.operation_written(
                    node,
                    space,
                    record.stamp,
                    Token { space: self.spaces[space].id, epoch: record.epoch, sequence },
                );
            }
        }
    }

    fn operation_written(&mut self, node: NodeIndex, space: SpaceIndex, stamp: u64, token: Token) {
        match self.operations.written(stamp, token) {
            Ok(()) => {}
            Err(Some(earlier)) => self.violated(Invariant::S28, Some(node), Some(space), || {
                format!("one operation stands at {} and at {}", earlier.sequence, token.sequence)
            }),
            Err(None) => self.violated(Invariant::S15, Some(node), Some(space), || {
                format!("{} holds an operation that was answered as failed", token.sequence)
            }),
        }
    }

    /// A node sends a message.
    pub(crate) fn message_sent(&mut self, node: NodeIndex, message: &Message) {
        match message {
            Message::Batch(batch) => self.batch_sent(node, batch),
            Message::Ack(ack) => self.ack_sent(node, ack),
            Message::Refusal(refusal) => {
                if let Some(space) = self.space(refusal.space) {
                    self.refusal_leaves(node, space);
                }
                if let (RefusalReason::Stale { promised }, Some(space)) = (&refusal.reason, self.space(refusal.space)) {
                    self.exposes(node, space, *promised);
                }
            }
            Message::Heartbeat(heartbeat) => {
                for commit in &heartbeat.commits {
                    self.claims(node, commit.space, Some(commit.epoch), commit.commit);
                }
            }
            Message::Echo(echo) => {
                for commit in &echo.commits {
                    self.claims(node, commit.space, None, commit.commit);
                }
            }
            Message::VoteRequest(request) => {
                for ask in request.asks.iter().filter(|ask| ask.round == VoteRound::Vote) {
                    self.votes(node, ask.space, ask.epoch, "asks for votes");
                }
            }
            Message::VoteAnswer(answer) => {
                for reply in answer.replies.iter().filter(|reply| reply.verdict.is_yes()) {
                    if reply.round == VoteRound::Vote {
                        self.votes(node, reply.space, reply.epoch, "gives its vote");
                    } else if let Some(space) = self.space(reply.space) {
                        self.exposes(node, space, reply.promised);
                    }
                }
            }
            Message::Hello(_)
            | Message::Welcome(_)
            | Message::Goodbye(_)
            | Message::SpaceHello(_)
            | Message::Probe(_)
            | Message::ProbeEcho(_)
            | Message::Detach(_) => {}
        }
    }

    fn batch_sent(&mut self, node: NodeIndex, batch: &ReplicationBatch) {
        let header = &batch.header;
        let Some(space) = self.space(header.space) else { return };
        self.require(node_index(header.epoch.owner()) == node, Invariant::S1, node, space, || {
            format!("ships in {}", header.epoch)
        });
        self.exposes(node, space, header.epoch);
        if let Some(last) = batch.entries.last() {
            self.ships_own(node, space, last);
        }
        self.claims(node, header.space, Some(header.epoch), header.commit);
    }

    /// What is shipped is what stands in the sender's log.
    fn ships_own(&mut self, node: NodeIndex, space: SpaceIndex, last: &Entry) {
        let position = last.position();
        let own = self.spaces[space].logs[node].record(position.sequence);
        let agrees = own.is_none_or(|own| own.epoch == position.epoch && own.chain == position.chain);
        self.require(agrees, Invariant::S4, node, space, || format!("ships another {position} than it has"));
    }

    fn ack_sent(&mut self, node: NodeIndex, ack: &ReplicationAck) {
        let Some(space) = self.space(ack.space) else { return };
        self.ack_leaves(node, space, ack);
        self.exposes(node, space, ack.epoch);
        let at = &mut self.spaces[space];
        let durable = at.durable(node);
        let acked = at.views[node].acked.entry(ack.epoch).or_default();
        *acked = ack.durable.max(*acked);
        let failed = at.views[node].storage_failed;
        let saved = at.views[node].saved;
        let lying = at.logs[node].damage.anything;
        self.require(saved >= ack.epoch, Invariant::S2, node, space, || {
            format!("acknowledges in {} and has saved the promise of {saved} only", ack.epoch)
        });
        self.require(durable >= ack.durable || lying, Invariant::S5, node, space, || {
            format!("acknowledges {} and has {durable} durable", ack.durable)
        });
        self.require(!failed, Invariant::S5, node, space, || {
            format!("acknowledges {} after its storage failed", ack.durable)
        });
        let at = &self.spaces[space];
        let primary = node_index(ack.epoch.owner());
        // Once it is deposed its log is not that epoch's any more.
        let leads = at.views.get(primary).is_some_and(|view| view.primary == Some(ack.epoch));
        let theirs = at.logs.get(primary).filter(|_| leads).and_then(|log| log.record(ack.durable));
        let ours = at.logs[node].record(ack.durable);
        let agree = match (ours, theirs) {
            (Some(ours), Some(theirs)) => ours.epoch == theirs.epoch && ours.chain == theirs.chain,
            _ => true,
        };
        self.require(agree, Invariant::S4, node, space, || {
            format!("acknowledges another {} than the primary's", ack.durable)
        });
        // An ack names no commit above what it acknowledges, so it may name less than the one before.
        if self.spaces[space].views[node].claimed < ack.commit {
            self.claims(node, ack.space, None, ack.commit);
        }
    }

    /// A node asks for votes, its own among them, or gives its vote: the promise is durable before.
    fn votes(&mut self, node: NodeIndex, id: SpaceId, epoch: Epoch, does: &str) {
        let Some(space) = self.space(id) else { return };
        let saved = self.spaces[space].views[node].saved;
        self.require(saved >= epoch, Invariant::S2, node, space, || {
            format!("{does} for {epoch} and has saved the promise of {saved} only")
        });
        self.exposes(node, space, epoch);
    }

    /// A node shows that it goes by an epoch.
    fn exposes(&mut self, node: NodeIndex, space: SpaceIndex, epoch: Epoch) {
        let view = &mut self.spaces[space].views[node];
        let before = view.exposed;
        view.exposed = before.max(epoch);
        self.require(epoch >= before, Invariant::S2, node, space, || format!("goes by {epoch} after {before}"));
    }

    /// A node names a commit. `epoch` is its own where it is the primary.
    pub(crate) fn claims(&mut self, node: NodeIndex, id: SpaceId, epoch: Option<Epoch>, commit: Sequence) {
        let Some(space) = self.space(id) else { return };
        let view = &mut self.spaces[space].views[node];
        if commit == view.claimed {
            return;
        }
        // A primary tells its own part of the program of a commit before it tells its replicas.
        let epoch = epoch.or(view.elected);
        let before = view.claimed;
        view.claimed = before.max(commit);
        self.require(commit > before, Invariant::S7, node, space, || format!("names commit {commit} after {before}"));
        match self.spaces[space].lineage_with(node, commit) {
            Some(lineage) => self.commit_agrees(node, space, lineage, commit),
            None => self.commit_advances(node, space, epoch, commit),
        }
    }

    fn commit_advances(&mut self, node: NodeIndex, space: SpaceIndex, epoch: Option<Epoch>, commit: Sequence) {
        let at = &self.spaces[space];
        let record = at.logs[node].record(commit).copied();
        let voters = at.voters_in(record.map_or(Epoch::ZERO, |record| record.epoch));
        let holders = at.holders(node, commit, voters);
        self.require(holders >= voters.majority(), Invariant::S7, node, space, || {
            format!("names commit {commit}, which {holders} of {} voters have durable", voters.len())
        });
        let Some(record) = record else { return };
        if let Some(epoch) = epoch {
            self.require(record.epoch == epoch, Invariant::S10, node, space, || {
                format!("in {epoch} commits {}{commit}", record.epoch)
            });
        }
        let at = &self.spaces[space];
        let lineage = at.lineage(node);
        let agrees = at.universe.committed_end(lineage).is_none_or(|(sequence, epoch, chain)| {
            at.logs[node].record(sequence).is_some_and(|own| own.epoch == epoch && own.chain == chain)
        });
        self.require(agrees, Invariant::S7, node, space, || {
            format!("commits {commit} past a prefix that is not the committed one")
        });
        let by = record.epoch;
        let at = &mut self.spaces[space];
        for sequence in at.universe.committed(lineage).0 + 1..=commit.0 {
            let Some(record) = at.logs[node].record(Sequence(sequence)) else { break };
            at.universe.commit(lineage, record.epoch, record.chain, by);
        }
    }

    fn commit_agrees(&mut self, node: NodeIndex, space: SpaceIndex, lineage: Epoch, commit: Sequence) {
        let at = &self.spaces[space];
        let own = at.logs[node].record(commit).map(|own| (own.epoch, own.chain));
        let agrees = own.is_none() || own == at.universe.committed_at(lineage, commit);
        self.require(agrees, Invariant::S7, node, space, || format!("has another {commit} than the committed one"));
    }

    /// A node says that it has a role.
    pub(crate) fn role_changed(&mut self, node: NodeIndex, id: SpaceId, role: Role, epoch: Epoch) {
        let Some(space) = self.space(id) else { return };
        let at = &mut self.spaces[space];
        match role {
            Role::Opening => at.views[node].elected = Some(epoch),
            Role::Primary => {
                let view = &mut at.views[node];
                (view.elected, view.primary) = (Some(epoch), Some(epoch));
            }
            Role::Candidate | Role::Recovering | Role::Replica | Role::Stopped => {
                at.views[node].leaves();
                return;
            }
        }
        let before = at.views[node].earlier.contains(&epoch);
        // Who is elected may have entries on the way to its disk: they are there before its epoch opens.
        let writes = role == Role::Opening;
        let lineage = at.lineage(node);
        // Who is forced on need not have what the lineage before committed.
        let forced = role == Role::Opening && epoch.generation() > lineage.generation();
        let complete = forced
            || at.universe.committed_before(lineage, epoch).is_none_or(|(sequence, epoch, chain)| {
                at.logs[node].record(sequence).map_or(writes, |own| own.epoch == epoch && own.chain == chain)
            });
        let lying = at.logs[node].damage.anything;
        self.require(node_index(epoch.owner()) == node, Invariant::S1, node, space, || {
            format!("is primary of {epoch}")
        });
        self.require(!before, Invariant::S1, node, space, || format!("is primary of {epoch} again"));
        self.require(complete || lying, Invariant::S6, node, space, || {
            format!("is primary of {epoch} without every committed entry")
        });
    }

    /// A node says that what was committed is truncated: only a forced start takes that back, and nothing in silence.
    pub(crate) fn retracted(&mut self, node: NodeIndex, id: SpaceId, (first, last): (Sequence, Sequence), by: Epoch) {
        let Some(space) = self.space(id) else { return };
        let view = &mut self.spaces[space].views[node];
        let (claimed, saved) = (view.claimed, view.saved);
        view.claimed = first.previous();
        self.require(claimed == last, Invariant::S13, node, space, || {
            format!("says that {first}..{last} is committed no more, and named {claimed}")
        });
        self.require(saved >= by, Invariant::S8, node, space, || {
            format!("takes {first}..{last} back for {by}, and has saved the promise of {saved} only")
        });
    }

    /// A node is told that a promise is durable.
    pub(crate) fn promise_saved(&mut self, node: NodeIndex, id: SpaceId, promise: Epoch) {
        if let Some(space) = self.space(id) {
            let view = &mut self.spaces[space].views[node];
            view.saved = view.saved.max(promise);
        }
    }

    /// A node is told that the storage of a space failed, and it has to stop.
    pub(crate) fn storage_failed(&mut self, node: NodeIndex, id: SpaceId) {
        if let Some(space) = self.space(id) {
            self.spaces[space].views[node].storage_failed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use engraft::types::NodeId;

    use super::*;

    #[test]
    fn an_entry_of_a_later_epoch_than_its_ack_was_not_acknowledged() {
        let epoch = |term| Epoch::new(0, term, NodeId(1));
        let view = View { acked: [(epoch(1), Sequence(29)), (epoch(3), Sequence(7))].into(), ..View::default() };
        for (term, sequence, expected) in [(1, 29, true), (1, 30, false), (2, 7, true), (2, 29, false), (4, 1, false)] {
            assert_eq!(view.acknowledged(epoch(term), Sequence(sequence)), expected, "e{term}#{sequence}");
        }
    }
}

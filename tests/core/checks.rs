//! What holds after every step of every test, whatever happened before.

use alloc::collections::BTreeMap;

use engraft::core::{Ack, Action, ENTRIES_AT_ONCE, Notice, Outcome, Role, WRITES_UNDER_WAY};
use engraft::types::entry::StartBody;
use engraft::types::message::{Message, VoteRound};
use engraft::types::{Control, Entry, Epoch, NodeId, Position, RequestId, Sequence, Token};

use super::rig::{N1, N2, N3, Rig, space};

impl Rig {
    /// What is synced on a node's disk, whether the node runs or not.
    fn synced(&self, node: NodeId) -> &[Entry] {
        match self.nodes.get(&node) {
            Some(state) => &state.log[..state.durable],
            None => self.away.get(&node).map_or(&[], |(log, _)| log.as_slice()),
        }
    }

    fn holders(&self, token: Token, voters: &[NodeId]) -> usize {
        voters.iter().filter(|node| holds(self.synced(**node), token)).count()
    }

    /// The voters of an epoch, as its first entry in its owner's log names them.
    fn voters_in(&self, node: NodeId, epoch: Epoch) -> Vec<NodeId> {
        let begins = |entry: &&Entry| entry.header.epoch() == epoch && entry.header.control().kind != Control::USER;
        let owner = epoch.owner();
        let log = self.nodes.get(&owner).map(|state| &state.log).or(self.away.get(&owner).map(|(log, _)| log));
        let entries = log.into_iter().flatten().rev();
        let first = entries.take_while(|entry| entry.header.epoch() >= epoch).find(begins);
        let named = first.map(|entry| StartBody::parse(&entry.payload).expect("it can be read").voters);
        named.filter(|named| !named.is_empty()).unwrap_or_else(|| self.spaces[&node].voters.clone())
    }

    /// How many nodes have promised above this epoch, durably.
    fn promised_above(&self, epoch: Epoch, voters: &[NodeId]) -> usize {
        let running = self.nodes.iter().map(|(node, state)| (node, state.promise));
        let promises = running.chain(self.away.iter().map(|(node, away)| (node, away.1)));
        promises.filter(|(node, promise)| voters.contains(node) && *promise > epoch).count()
    }

    /// What must hold at the moment at which a node orders something.
    pub(super) fn check_action(&mut self, node: NodeId, action: &Action) {
        let state = &self.nodes[&node];
        match action {
            Action::Send { message: Message::Ack(ack), .. } => {
                assert!(ack.durable.0 as usize <= state.durable, "S5: {node} acknowledges what is not synced: {ack:?}");
                assert!(ack.applied <= ack.durable, "{node} applied what is not durable: {ack:?}");
                assert!(state.promise >= ack.epoch, "S2: {node} acknowledges before its promise is saved: {ack:?}");
            }
            Action::Send { message: Message::Batch(batch), link } => {
                assert!(!self.closed.contains(&(node, *link)), "{node} ships on {link}, which it closed: {batch}");
                let last = batch.entries.last().map_or(batch.header.previous.sequence, |last| last.header.sequence());
                assert!(last.0 as usize <= state.durable, "{node} ships what is not synced: {batch}");
                assert!(state.promise >= batch.header.epoch, "S2: {node} ships before its promise is saved: {batch}");
                assert_eq!(batch.header.epoch.owner(), node, "S1: {batch}");
            }
            Action::WalTruncate { last, .. } => {
                let saved = self.salvage.get(&node).map_or(&[][..], Vec::as_slice);
                for entry in &state.log[last.0 as usize..] {
                    assert!(saved.contains(entry), "S13: {node} truncates {entry:?} before it is saved");
                    let known = self.truth.get(&entry.header.sequence());
                    assert_ne!(known, Some(&entry.position()), "S8: {node} truncates a committed entry");
                }
            }
            Action::Send { message: Message::VoteAnswer(answer), .. } => {
                for reply in &answer.replies {
                    let durable = reply.promised <= state.promise || reply.space != space();
                    assert!(durable, "S2: {node} tells a promise that is not saved: {reply}");
                    let granted = reply.verdict.is_yes() && reply.round == VoteRound::Vote;
                    assert!(
                        !granted || reply.promised == reply.epoch,
                        "S2: {node} grants what it did not promise: {reply}"
                    );
                }
            }
            Action::Notify(Notice::BecamePrimary { space: told, epoch }) if *told == space() => {
                assert_eq!(epoch.owner(), node, "S1: {epoch}");
                // Who is forced on writes the first entry of its lineage before the promise, and tells nobody until then.
                let forced = epoch.generation() > state.promise.generation();
                assert!(state.promise >= *epoch || forced, "S2: {node} opens {epoch} before its promise is saved");
                let known = self.known(node);
                for (sequence, position) in &self.truth {
                    let found = known.get(sequence.0 as usize - 1);
                    assert_eq!(found, Some(position), "S6: {node} is primary of {epoch} without a committed entry");
                }
                assert!(self.reigns.insert(*epoch), "S1: {epoch} is opened twice");
            }
            Action::Reply { request, outcome: Outcome::Appended { token } } => {
                self.check_answer(node, *request, *token)
            }
            Action::Reply { outcome: Outcome::Entries { entries, commit }, .. } => {
                let last = entries.last().map_or(Sequence::ZERO, |last| last.header.sequence());
                assert!(last <= *commit, "{node} gives entries behind its commit {commit}");
                assert_eq!(entries, &self.synced(node)[last.0 as usize - entries.len()..last.0 as usize]);
            }
            Action::Notify(Notice::CommittedTruncated { first, last, .. }) => {
                let state = self.nodes.get_mut(&node).expect("it runs");
                assert_eq!(state.committed, *last, "{node} takes back what it never told");
                state.committed = first.previous();
            }
            Action::Notify(Notice::Committed { space: told, commit }) if *told == space() => {
                self.check_commit(node, *commit);
            }
            _ => {}
        }
    }

    /// What must hold when a client is told that its append is as durable as it asked.
    fn check_answer(&mut self, node: NodeId, request: RequestId, token: Token) {
        let voters = self.voters_in(node, token.epoch);
        let majority = voters.len() / 2 + 1;
        let needed = match self.levels[&request] {
            Ack::Local => 1,
            Ack::Quorum => majority,
            Ack::All => voters.len(),
        };
        let promise = self.status(node).promise;
        assert!(promise <= token.epoch, "S9: {node} answers {token} and has promised {promise}");
        let above = self.promised_above(token.epoch, &voters);
        assert!(
            self.levels[&request] == Ack::Local || above < majority,
            "S9: {token} is answered, {above} nodes promised above"
        );
        let found = self.holders(token, &voters);
        assert!(found >= needed, "S6: {request} is answered, {found} of {needed} nodes have {token} synced");
        assert!(holds(self.synced(node), token), "{request} is answered before the primary's own fsync");
        self.answered.push((self.levels[&request], token));
    }

    /// What must hold when a node tells a commit.
    fn check_commit(&mut self, node: NodeId, commit: Sequence) {
        assert!(commit > self.nodes[&node].committed, "S7: the commit of {node} goes back to {commit}");
        let (known, status) = (self.known(node), self.status(node));
        // What a replica has not even ordered from its disk was told by the primary before.
        let position = known.get(commit.0 as usize - 1).or_else(|| self.truth.get(&commit));
        let position = *position.expect("S7: a commit of an entry that nobody has");
        let token = Token { space: space(), epoch: position.epoch, sequence: commit };
        let voters = self.voters_in(node, token.epoch);
        // Who forgot in a power failure what was committed before counts in no election until it has it again.
        let forgot = if self.truth.contains_key(&commit) { self.recovering.len() } else { 0 };
        let holders = self.holders(token, &voters) + forgot;
        assert!(holders > voters.len() / 2, "{node} tells {token} as committed, a majority lacks it");
        if matches!(status.role, Role::Primary | Role::Opening) {
            assert_eq!(position.epoch, status.epoch, "S10: {token} is committed in a later epoch");
        }
        for position in known.iter().take(commit.0 as usize) {
            let before = *self.truth.entry(position.sequence).or_insert(*position);
            assert_eq!(before, *position, "S7: {node} commits another entry");
        }
        self.nodes.get_mut(&node).expect("it runs").committed = commit;
    }

    /// The log of a node as its core knows it: what is written and what was ordered.
    fn known(&self, node: NodeId) -> Vec<Position> {
        let state = &self.nodes[&node];
        let ordered = state.disk.iter().flat_map(|action| match action {
            Action::WalAppend { space: told, entries, .. } if *told == space() => entries.as_slice(),
            _ => &[],
        });
        state.log.iter().chain(ordered).map(Entry::position).collect()
    }

    /// What must hold between two steps, whoever the primary is.
    pub(super) fn check_entries(&self) {
        let mut known: BTreeMap<(Epoch, Sequence), Entry> = BTreeMap::new();
        let logs = self.nodes.values().map(|state| &state.log).chain(self.away.values().map(|(log, _)| log));
        for entry in logs.flatten() {
            let before = known.entry((entry.header.epoch(), entry.header.sequence())).or_insert_with(|| entry.clone());
            assert_eq!(before, entry, "S4: one epoch and sequence, two entries");
        }
    }

    /// What must hold between two steps, where every disk keeps what it synced and one node alone is the primary.
    pub(super) fn check_logs(&self) {
        let primary = self.nodes.get(&N1).map_or_else(|| self.synced(N1), |state| state.log.as_slice());
        for node in [N2, N3] {
            let log = self.nodes.get(&node).map_or_else(|| self.synced(node), |state| state.log.as_slice());
            if let Some(last) = log.last() {
                let ours = primary.get(log.len() - 1).map(Entry::position);
                assert_eq!(ours, Some(last.position()), "S4: {node} has what the primary has not");
            }
        }
        for (node, state) in &self.nodes {
            let (mut writes, mut before_last, mut entries_in_all, mut reads) = (0, 0, 0, 0);
            for action in &state.disk {
                match action {
                    Action::WalAppend { entries, .. } => {
                        writes += 1;
                        (before_last, entries_in_all) = (entries_in_all, entries_in_all + entries.len() as u64);
                    }
                    // Reads of clients have even numbers.
                    Action::WalRead { read, .. } if read.0 % 2 == 1 => reads += 1,
                    _ => {}
                }
            }
            let allowed = writes <= WRITES_UNDER_WAY || before_last < ENTRIES_AT_ONCE;
            assert!(allowed, "S23: {node} has {writes} writes under way, {before_last} entries in all but the last");
            let peers = self.configs[node].peers.len();
            assert!(reads <= peers, "S23: {node} has {reads} reads under way for {peers} peers");
        }
    }
}

fn holds(log: &[Entry], token: Token) -> bool {
    let found = log.get(token.sequence.0 as usize - 1).map(Entry::position);
    found.is_some_and(|Position { epoch, sequence, .. }| (epoch, sequence) == (token.epoch, token.sequence))
}

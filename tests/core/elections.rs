//! Who becomes the primary, when, and who does not.

use ::core::time::Duration;

use engraft::core::{Ack, Event, Notice, Outcome, PromoteBy, Role, StorageError, StorageErrorKind, StorageOperation};
use engraft::types::message::{Message, Verdict, VoteAsk, VoteRequest, VoteRound};
use engraft::types::{Epoch, NodeId, Sequence, Time};

use super::rig::{N1, N2, N3, Rig, space};

const MS: Duration = Duration::from_millis(1);
const N4: NodeId = NodeId(4);
const N5: NodeId = NodeId(5);

/// So many nodes that elect their primary, settled.
pub(super) fn electing(count: u16) -> Rig {
    let mut rig = Rig::of(count, |_, _| {}, |_| {});
    rig.run(300 * MS);
    rig
}

impl Rig {
    /// The primary of the highest epoch.
    pub(super) fn primary(&self) -> Option<NodeId> {
        let primaries = self.nodes.keys().filter(|&&node| self.status(node).role == Role::Primary);
        primaries.copied().max_by_key(|&node| self.status(node).epoch)
    }

    /// Lets time pass until another than `before` is the primary; how long it took.
    pub(super) fn until_replaced(&mut self, before: NodeId) -> Duration {
        let began = self.now;
        while self.primary().is_none_or(|primary| primary == before) {
            self.run(10 * MS);
            assert!(self.now.since(began) < 5_000 * MS, "nobody took over within 5 s");
        }
        self.now.since(began)
    }

    pub(super) fn elections(&self, node: NodeId) -> usize {
        self.nodes[&node].notices.iter().filter(|notice| matches!(notice, Notice::ElectionStarted { .. })).count()
    }

    /// What a voter said last to this question of a candidate.
    pub(super) fn verdict(&mut self, voter: NodeId, candidate: NodeId, ask: VoteAsk) -> Option<String> {
        let before = self.sent.len();
        self.inject(voter, candidate, &Message::VoteRequest(VoteRequest { asks: vec![ask] }));
        self.settle();
        let answers =
            self.sent[before..].iter().filter(|(node, line)| *node == voter && line.starts_with("VoteAnswer"));
        answers.map(|(_, line)| line.clone()).next_back()
    }

    pub(super) fn ask(&self, epoch: Epoch, round: VoteRound, end_epoch: Epoch, end: u64) -> VoteAsk {
        VoteAsk {
            space: space(),
            epoch,
            round,
            end_epoch,
            end_sequence: Sequence(end),
            lineage: Epoch::ZERO,
            sent: self.now,
        }
    }
}

#[test]
fn dead_primary_is_replaced_within_the_longest_time_out_and_appends_go_on() {
    let mut rig = electing(3);
    for _ in 0..10 {
        rig.append(N1, Ack::Quorum, b"committed");
    }
    rig.settle();
    rig.kill(N1);
    let took = rig.until_replaced(N1);
    assert!(took >= 1_000 * MS, "voters refuse for the shortest time-out after they heard a primary: {took:?}");
    assert!(took <= 2_100 * MS, "{took:?}");
    let primary = rig.primary().expect("one is there");
    assert_eq!(rig.status(primary).epoch, Epoch::new(0, 2, primary));
    let request = rig.append(primary, Ack::Quorum, b"goes on");
    rig.run(100 * MS);
    assert!(matches!(rig.reply(primary, request), Some(Outcome::Appended { .. })));
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N3].log);
}

#[test]
fn nobody_stands_while_a_primary_is_healthy_however_quiet() {
    let mut rig = electing(5);
    rig.run(Duration::from_secs(30));
    rig.append(N1, Ack::All, b"x");
    rig.run(Duration::from_secs(30));
    assert_eq!(rig.primary(), Some(N1));
    assert_eq!(rig.all().iter().map(|&node| rig.elections(node)).sum::<usize>(), 1, "the one at the start");
    assert_eq!(rig.status(N5).promise, Epoch::new(0, 1, N1));
    assert_eq!(rig.sent.iter().filter(|(_, line)| line.starts_with("Probe")).count(), 0);
}

#[test]
fn quiet_space_wakes_nobody_between_heartbeats() {
    let mut rig = electing(3);
    rig.run(Duration::from_secs(5));
    for node in [N1, N2, N3] {
        let state = &rig.nodes[&node];
        let text = format!("{:?}", state.core);
        let wakes = text.split("by_time: {").nth(1).and_then(|rest| rest.split('}').next()).expect("the index");
        assert_eq!(wakes, "", "{node} has a deadline of a space's own");
    }
}

#[test]
fn partitioned_primary_answers_nothing_at_quorum_and_steps_down_on_contact() {
    let mut rig = electing(3);
    rig.cut.push(N1);
    let (quorum, local) = (rig.append(N1, Ack::Quorum, b"q"), rig.append(N1, Ack::Local, b"l"));
    rig.until_replaced(N1);
    rig.run(500 * MS);
    assert_eq!(rig.status(N1).role, Role::Primary, "it cannot know");
    assert!(!rig.status(N1).leased);
    assert_eq!(rig.reply(N1, quorum), None);
    assert!(matches!(rig.reply(N1, local), Some(Outcome::Appended { .. })));
    rig.cut.clear();
    rig.run(1_000 * MS);
    assert!(matches!(rig.reply(N1, quorum), Some(Outcome::Unknown { .. })), "{:?}", rig.reply(N1, quorum));
    assert_eq!(rig.status(N1).role, Role::Replica);
    assert!(rig.notices(N1).iter().any(|line| line.contains("deposed in e1n1 by e2n")), "{:?}", rig.notices(N1));
}

#[test]
fn candidates_that_stand_together_settle_on_one() {
    for seed in 0..50 {
        let mut rig = Rig::of(5, |_, _| {}, |config| (config.seed, config.election_timeout_max) = (seed, 1_100 * MS));
        rig.quiet = true;
        rig.run(300 * MS);
        rig.kill(N1);
        rig.until_replaced(N1);
        rig.run(2_000 * MS);
        let primaries: Vec<NodeId> =
            rig.nodes.keys().copied().filter(|&node| rig.status(node).role == Role::Primary).collect();
        let epochs: Vec<Epoch> = rig.nodes.keys().map(|&node| rig.status(node).epoch).collect();
        assert_eq!(primaries.len(), 1, "seed {seed}: {primaries:?}");
        assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "seed {seed}: {epochs:?}");
        assert!(epochs[0].term() <= 4, "seed {seed}: epochs churn: {epochs:?}");
    }
}

#[test]
fn restarted_voter_refuses_for_the_shortest_time_out_all_but_its_last_primary() {
    let mut rig = electing(3);
    rig.append(N1, Ack::All, b"x");
    rig.run(300 * MS);
    let (log, promise) = rig.kill(N3);
    rig.kill(N1);
    rig.start(N3, log, promise);
    rig.run(300 * MS);
    let end = rig.status(N3).end.0;
    let from_n2 = rig.ask(Epoch::new(0, 2, N2), VoteRound::Vote, promise, end);
    let verdict = rig.verdict(N3, N2, from_n2).expect("an answer");
    assert!(verdict.contains("started lately"), "{verdict}");
    assert_eq!(rig.status(N3).promise, promise);
    // From its start on, not from when it was asked.
    rig.run(750 * MS);
    let from_n2 = rig.ask(Epoch::new(0, 3, N2), VoteRound::PreVote, promise, end);
    let verdict = rig.verdict(N3, N2, from_n2).expect("an answer");
    assert!(verdict.contains("granted"), "{verdict}");
}

#[test]
fn restarted_primary_is_primary_again_at_once_where_nobody_took_over() {
    let mut rig = electing(3);
    rig.append(N1, Ack::All, b"x");
    rig.run(300 * MS);
    let (log, promise) = rig.kill(N1);
    rig.start(N1, log, promise);
    rig.run(100 * MS);
    assert_eq!((rig.primary(), rig.status(N1).epoch), (Some(N1), Epoch::new(0, 2, N1)));
}

#[test]
fn voter_that_hears_a_leased_primary_refuses_votes_and_pre_votes() {
    let mut rig = electing(3);
    rig.run(1_000 * MS);
    let (epoch, end) = (rig.status(N1).epoch, rig.status(N3).end.0);
    for round in [VoteRound::PreVote, VoteRound::Vote] {
        for voter in [N1, N3] {
            let ask = rig.ask(Epoch::new(0, 9, N2), round, epoch, end);
            let verdict = rig.verdict(voter, N2, ask).expect("an answer");
            assert!(verdict.contains("a primary is heard"), "{voter}: {verdict}");
            assert_eq!(rig.status(voter).promise, epoch, "a refusal promises nothing");
        }
    }
}

#[test]
fn log_that_is_behind_gets_no_vote_and_writes_in_flight_count() {
    let mut rig = electing(3);
    rig.append(N1, Ack::All, b"x");
    rig.run(300 * MS);
    rig.nodes.get_mut(&N3).expect("runs").disk_stalls = true;
    rig.append(N1, Ack::Local, b"in flight on n3");
    rig.settle();
    rig.kill(N1);
    rig.run(1_050 * MS);
    let epoch = Epoch::new(0, 1, N1);
    let mut asks = |end_epoch, end| {
        let ask = rig.ask(Epoch::new(0, 7, N2), VoteRound::PreVote, end_epoch, end);
        rig.verdict(N3, N2, ask).expect("an answer")
    };
    assert!(asks(epoch, 2).contains("behind"), "n3 has a third entry in flight");
    assert!(asks(Epoch::new(0, 0, N1), 9).contains("behind"), "the epoch counts before the sequence");
    assert!(asks(epoch, 3).contains("granted"));
    assert!(asks(Epoch::new(0, 2, N2), 1).contains("granted"));
}

#[test]
fn higher_promise_of_a_shorter_log_is_taken_from_its_refusal() {
    let mut rig = electing(3);
    rig.append(N1, Ack::All, b"x");
    rig.run(300 * MS);
    let (mut log, _) = rig.kill(N3);
    rig.kill(N1);
    // n3 has promised more and lacks an entry: only n2 can be elected, and only above n3's promise.
    log.pop();
    rig.start(N3, log, Epoch::new(0, 8, N3));
    rig.run(4_000 * MS);
    assert_eq!((rig.primary(), rig.status(N2).epoch), (Some(N2), Epoch::new(0, 9, N2)));
    assert_eq!(rig.nodes[&N3].log, rig.nodes[&N2].log);
}

#[test]
fn vote_for_another_nodes_epoch_closes_the_link() {
    let mut rig = electing(3);
    let ask = rig.ask(Epoch::new(0, 9, N3), VoteRound::Vote, Epoch::new(0, 9, N3), 99);
    rig.verdict(N1, N2, ask);
    let told = rig.notices(N1);
    assert!(told.iter().any(|line| line.contains("expected an epoch of n2")), "{told:?}");
    assert_eq!(rig.status(N1).promise, Epoch::new(0, 1, N1));
}

#[test]
fn request_of_no_voter_of_another_generation_or_of_no_space_here_is_refused() {
    let mut rig = Rig::of(4, |_, space| space.voters.truncate(3), |_| {});
    rig.run(300 * MS);
    rig.kill(N1);
    rig.run(1_050 * MS);
    let far = Epoch::new(0, 9, N3);
    let stranger = rig.ask(Epoch::new(0, 9, N4), VoteRound::Vote, far, 99);
    assert!(rig.verdict(N2, N4, stranger).expect("an answer").contains("no voter"));
    let mut lineage = rig.ask(Epoch::new(1, 1, N3), VoteRound::Vote, far, 99);
    lineage.lineage = Epoch::new(1, 1, N3);
    assert!(rig.verdict(N2, N3, lineage).expect("an answer").contains("another lineage"));
    let mut nowhere = rig.ask(Epoch::new(0, 9, N3), VoteRound::Vote, far, 99);
    nowhere.space = engraft::types::SpaceId([7; 16]);
    assert!(rig.verdict(N2, N3, nowhere).expect("an answer").contains("unknown space"));
    assert_eq!(rig.status(N2).promise.generation(), 0);
    assert!(rig.notices(N2).iter().all(|line| !line.contains("closed: unexpected")), "{:?}", rig.notices(N2));
}

#[test]
fn answers_that_nobody_asked_for_elect_nobody() {
    let mut rig = electing(3);
    rig.kill(N1);
    rig.run(500 * MS);
    let epoch = Epoch::new(0, 2, N2);
    for verdict in [Verdict::Granted, Verdict::Promised] {
        let reply = engraft::types::message::VoteReply {
            space: space(),
            epoch,
            round: VoteRound::Vote,
            verdict,
            promised: epoch,
            sent: Time(1),
        };
        let answer = engraft::types::message::VoteAnswer { replies: vec![reply; 5] };
        rig.inject(N2, N3, &Message::VoteAnswer(answer));
    }
    assert_eq!(rig.primary(), None);
    assert_eq!(rig.status(N2).role, Role::Replica);
    rig.until_replaced(N1);
}

#[test]
fn replica_that_cannot_be_reached_does_not_disturb_when_it_is_back() {
    let mut rig = electing(5);
    rig.cut.push(N5);
    rig.run(Duration::from_secs(20));
    rig.cut.clear();
    rig.run(Duration::from_secs(3));
    assert_eq!((rig.primary(), rig.status(N1).epoch), (Some(N1), Epoch::new(0, 1, N1)));
    assert_eq!(rig.elections(N5), 0, "pre-votes promise nothing");
    assert_eq!(rig.status(N5).promise, Epoch::new(0, 1, N1));
}

#[test]
fn minority_of_five_stays_without_a_primary_and_the_majority_gets_one() {
    let mut rig = electing(5);
    rig.kill(N1);
    rig.kill(N2);
    rig.until_replaced(N1);
    let primary = rig.primary().expect("three of five");
    let request = rig.append(primary, Ack::Quorum, b"three hold it");
    rig.run(200 * MS);
    assert!(matches!(rig.reply(primary, request), Some(Outcome::Appended { .. })));
    rig.kill(primary);
    rig.run(Duration::from_secs(10));
    assert_eq!(rig.primary(), None, "two of five elect nobody");
    let left = *rig.nodes.keys().next().expect("two are left");
    let request = rig.append(left, Ack::Local, b"x");
    let reply = rig.reply(left, request);
    assert!(
        matches!(
            reply,
            Some(Outcome::Failed(engraft::core::AppendError::NoPrimary | engraft::core::AppendError::NotReady))
        ),
        "{reply:?}"
    );
}

#[test]
fn manual_promotion_waits_for_an_operator() {
    let mut rig = Rig::of(3, |_, space| space.promotion = engraft::core::Promotion::Manual, |_| {});
    rig.run(300 * MS);
    rig.kill(N1);
    rig.run(Duration::from_secs(20));
    assert_eq!(rig.primary(), None);
    let promote = |rig: &mut Rig, node| {
        rig.requests += 1;
        let request = engraft::types::RequestId(rig.requests);
        let command = engraft::core::Command::Promote { space: space(), request, by: PromoteBy::Election };
        rig.event(node, engraft::core::Event::Command(command));
        rig.run(100 * MS);
        rig.reply(node, request).cloned()
    };
    assert_eq!(promote(&mut rig, N2), Some(Outcome::Standing { epoch: Epoch::new(0, 2, N2) }));
    assert_eq!(rig.primary(), Some(N2));
    let refused = promote(&mut rig, N3);
    assert_eq!(refused, Some(Outcome::Failed(engraft::core::PromotionError::PrimaryAlive { primary: N2 }.into())));
}

#[test]
fn gated_primary_takes_appends_once_its_engine_is_ready() {
    let mut rig = Rig::of(3, |_, space| space.readiness_gate = true, |_| {});
    rig.run(300 * MS);
    let epoch = rig.status(N1).epoch;
    assert_eq!(rig.status(N1).role, Role::Opening);
    let early = rig.append(N1, Ack::Local, b"x");
    assert!(matches!(rig.reply(N1, early), Some(Outcome::Failed(engraft::core::AppendError::NotReady))));
    for (ready, role) in [(Epoch::new(0, 0, N1), Role::Opening), (epoch, Role::Primary)] {
        let command = engraft::core::Command::Ready { space: space(), epoch: ready };
        rig.event(N1, engraft::core::Event::Command(command));
        assert_eq!(rig.status(N1).role, role);
    }
    assert_eq!(rig.status(N1).commit, Sequence(1), "the epoch's first entry does not wait for the engine");
}

#[test]
fn candidate_whose_disk_fails_is_elected_by_no_late_vote() {
    let mut rig = electing(3);
    rig.kill(N1);
    for voter in [N2, N3] {
        rig.nodes.get_mut(&voter).expect("runs").disk_stalls = true;
    }
    let stands = |rig: &Rig| [N2, N3].into_iter().find(|&node| rig.status(node).role == Role::Candidate);
    while stands(&rig).is_none() {
        rig.run(10 * MS);
    }
    let candidate = stands(&rig).expect("one stands");
    // Its own promise is saved, so it has asked; the vote waits for the other's disk.
    rig.nodes.get_mut(&candidate).expect("runs").disk_stalls = false;
    rig.settle();
    let error = StorageError { kind: StorageErrorKind::Io, detail: "promises.log: fsync".into() };
    rig.event(candidate, Event::StorageFailed { space: space(), operation: StorageOperation::SaveVote, error });
    assert_eq!(rig.status(candidate).role, Role::Stopped);
    [N2, N3].iter().for_each(|voter| rig.nodes.get_mut(voter).expect("runs").disk_stalls = false);
    rig.run(100 * MS);
    assert_eq!(rig.status(candidate).role, Role::Stopped, "{:?}", rig.notices(candidate));
}

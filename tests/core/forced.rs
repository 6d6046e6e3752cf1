//! An operator has one node go on by itself: a generation and a lineage begin, and who comes back follows.

use ::core::time::Duration;

use engraft::core::{Ack, AppendError, Command, Event, Notice, Outcome, PromoteBy, PromotionError, Role};
use engraft::types::message::{
    Message, ProbeEcho, Refusal, RefusalReason, ReplicationBatch, ReplicationBatchHeader, SpaceEpoch, Verdict,
    VoteRound,
};
use engraft::types::{Entry, Epoch, EpochHistory, NodeId, Position, RequestId, Sequence, Time};

use super::elections::electing;
use super::rig::{N1, N2, N3, Rig, space};

const MS: Duration = Duration::from_millis(1);
/// The first epoch that is forced on behind e1n1.
const FORCED: fn(NodeId) -> Epoch = |node| Epoch::new(1, 2, node);

impl Rig {
    /// Promotes a node, and lets nothing happen yet.
    fn promotes(&mut self, node: NodeId, by: PromoteBy) -> Outcome {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.event(node, Event::Command(Command::Promote { space: space(), request, by }));
        self.reply(node, request).expect("it is answered at once").clone()
    }

    /// The same, and what is committed from then on may be another log.
    fn force(&mut self, node: NodeId) -> Outcome {
        self.truth.clear();
        let outcome = self.promotes(node, PromoteBy::Force);
        self.settle();
        outcome
    }

    fn told(&self, node: NodeId, is: impl Fn(&Notice) -> bool) -> bool {
        self.nodes[&node].notices.iter().any(is)
    }
}

/// Two nodes; n1 has what n2 never got, and is gone.
fn widowed() -> (Rig, Vec<Entry>, Epoch) {
    let mut rig = electing(2);
    rig.append(N1, Ack::Quorum, b"both");
    rig.run(100 * MS);
    rig.cut.push(N2);
    rig.append(N1, Ack::Local, b"n1 alone");
    rig.run(20 * MS);
    let (log, promise) = rig.kill(N1);
    rig.cut.clear();
    rig.run(5_000 * MS);
    assert_eq!(rig.primary(), None, "one of two is no majority");
    (rig, log, promise)
}

#[test]
fn forced_node_goes_on_alone_and_says_what_may_be_lost() {
    let (mut rig, ..) = widowed();
    assert_eq!(rig.force(N2), Outcome::Standing { epoch: FORCED(N2) });
    let status = rig.status(N2);
    assert_eq!((status.role, status.epoch, status.voters), (Role::Primary, FORCED(N2), vec![N2]));
    let began = |notice: &Notice| matches!(notice, Notice::LineageBegan { epoch, from: Sequence(3), .. } if *epoch == FORCED(N2));
    assert!(rig.told(N2, began), "{:?}", rig.notices(N2));
    let request = rig.append(N2, Ack::Local, b"goes on");
    rig.run(100 * MS);
    assert!(matches!(rig.reply(N2, request), Some(Outcome::Appended { .. })));
}

#[test]
fn who_comes_back_with_more_saves_it_follows_and_votes_again() {
    let (mut rig, log, promise) = widowed();
    rig.force(N2);
    let own = log.last().expect("an entry").clone();
    rig.start(N1, log, promise);
    rig.run(2_000 * MS);
    assert_eq!(rig.nodes[&N1].log, rig.nodes[&N2].log);
    assert!(rig.salvage[&N1].contains(&own), "nothing goes in silence");
    assert_eq!(rig.status(N2).voters, vec![N1, N2]);
    let request = rig.append(N2, Ack::All, b"both again");
    rig.run(100 * MS);
    assert!(matches!(rig.reply(N2, request), Some(Outcome::Appended { .. })));
    // The lineage goes on with whoever is elected next.
    rig.kill(N2);
    rig.run(100 * MS);
    assert_eq!(rig.status(N1).promise.generation(), 1);
}

#[test]
fn committed_entries_are_taken_back_with_a_word_where_a_living_majority_is_overruled() {
    let mut rig = electing(3);
    rig.cut.push(N3);
    let request = rig.append(N1, Ack::Quorum, b"n1 and n2");
    rig.run(100 * MS);
    assert!(matches!(rig.reply(N1, request), Some(Outcome::Appended { .. })));
    rig.run(2_000 * MS);
    assert_eq!(rig.force(N3), Outcome::Standing { epoch: FORCED(N3) });
    rig.cut.clear();
    rig.run(3_000 * MS);
    for node in [N1, N2] {
        let taken = |notice: &Notice| {
            matches!(notice, Notice::CommittedTruncated { first: Sequence(2), last: Sequence(2), .. })
        };
        assert!(rig.told(node, taken), "{node}: {:?}", rig.notices(node));
        assert_eq!(rig.nodes[&node].log, rig.nodes[&N3].log);
        assert!(rig.salvage[&node].iter().any(|entry| entry.payload == b"n1 and n2".as_slice()));
    }
    assert_eq!(rig.primary(), Some(N3));
    assert_eq!(rig.status(N3).voters, vec![N1, N2, N3], "one after the other votes again");
}

#[test]
fn nobody_is_forced_who_leads_holds_nothing_or_hears_a_primary_unless_told_twice() {
    let refused = |error: PromotionError| Outcome::Failed(AppendError::Promotion(error));
    let mut rig = electing(3);
    let epoch = rig.status(N1).epoch;
    assert_eq!(rig.promotes(N1, PromoteBy::Force), refused(PromotionError::AlreadyPrimary { epoch }));
    assert_eq!(rig.promotes(N2, PromoteBy::Force), refused(PromotionError::PrimaryAlive { primary: N1 }));
    rig.truth.clear();
    assert_eq!(rig.promotes(N2, PromoteBy::ForceThoughAlive), Outcome::Standing { epoch: FORCED(N2) });
    rig.run(3_000 * MS);
    assert_eq!(rig.primary(), Some(N2));
    let mut rig = Rig::of(2, |_, _| {}, |_| {});
    assert_eq!(rig.promotes(N2, PromoteBy::Force), refused(PromotionError::HoldsNothing));
}

/// A promise of a generation that never began would keep the node out of the one that goes on, and every primary there
/// would be told of it.
#[test]
fn force_that_dies_before_its_first_entry_is_durable_leaves_nothing_behind() {
    let mut rig = electing(3);
    rig.cut.push(N3);
    rig.run(3_000 * MS);
    let before = rig.nodes[&N3].log.len();
    assert!(matches!(rig.promotes(N3, PromoteBy::ForceThoughAlive), Outcome::Standing { .. }));
    let (log, promise) = rig.crash(N3, before);
    assert_eq!((log.len(), promise.generation()), (before, 0));
    rig.cut.clear();
    rig.start(N3, log, promise);
    rig.run(3_000 * MS);
    assert_eq!(rig.status(N3).epoch, rig.status(N1).epoch);
    assert_eq!(rig.nodes[&N3].log, rig.nodes[&N1].log);
}

/// The entry is there and the promise is not: what was accepted says what was promised.
#[test]
fn force_that_dies_before_its_promise_is_durable_goes_on() {
    let (mut rig, ..) = widowed();
    let before = rig.nodes[&N2].promise;
    rig.truth.clear();
    rig.promotes(N2, PromoteBy::Force);
    let mut log = rig.nodes[&N2].log.clone();
    while log.len() == rig.nodes[&N2].log.len() || rig.nodes[&N2].durable < rig.nodes[&N2].log.len() {
        assert!(rig.disk_step(N2), "the first entry is written");
    }
    log.clone_from(&rig.nodes[&N2].log);
    rig.kill(N2);
    rig.start(N2, log, before);
    rig.run(3_000 * MS);
    let status = rig.status(N2);
    assert_eq!((status.role, status.promise.generation(), status.voters), (Role::Primary, 1, vec![N2]));
}

/// Nothing leaves before the start entry and the promise are durable.
#[test]
fn forced_primary_ships_nothing_before_it_is_sure_of_itself() {
    let mut rig = electing(3);
    rig.nodes.get_mut(&N3).expect("it runs").disk_stalls = true;
    let before = rig.sent.len();
    assert!(matches!(rig.promotes(N3, PromoteBy::ForceThoughAlive), Outcome::Standing { .. }));
    rig.run(50 * MS);
    let shipped = |(node, line): &(NodeId, String)| {
        *node == N3 && (line.starts_with("Batch") || line.starts_with("SpaceHello") || line.contains("g1"))
    };
    assert!(!rig.sent[before..].iter().any(shipped), "{:?}", &rig.sent[before..]);
    assert_eq!(rig.status(N3).role, Role::Opening);
}

#[test]
fn two_forced_starts_of_one_generation_refuse_each_other_until_one_is_forced_again() {
    let mut rig = electing(3);
    rig.append(N1, Ack::All, b"all");
    rig.run(100 * MS);
    rig.kill(N1);
    rig.cut.extend([N2, N3]);
    rig.run(100 * MS);
    rig.run(3_000 * MS);
    for node in [N2, N3] {
        assert_eq!(rig.force(node), Outcome::Standing { epoch: FORCED(node) });
        rig.run(100 * MS);
    }
    rig.truth.clear();
    rig.cut.clear();
    rig.run(10_000 * MS);
    for (node, other) in [(N2, N3), (N3, N2)] {
        let (epoch, role) = (rig.status(node).epoch, rig.status(node).role);
        assert_eq!((epoch, role), (FORCED(node), Role::Primary), "neither gives way");
        let met = |notice: &Notice| {
            matches!(notice, Notice::LineageConflict { peer, ours, theirs, .. }
                if (*peer, *ours, *theirs) == (other, FORCED(node), FORCED(other)))
        };
        assert!(rig.told(node, met), "{node}: {:?}", rig.notices(node));
    }
    rig.promotes(N3, PromoteBy::ForceThoughAlive);
    rig.run(3_000 * MS);
    assert_eq!((rig.primary(), rig.status(N2).epoch.generation()), (Some(N3), 2), "the operator chose");
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N3].log);
}

#[test]
fn votes_are_of_one_lineage_and_a_lineage_is_of_its_epochs_generation() {
    let (mut rig, log, promise) = widowed();
    rig.force(N2);
    rig.start(N1, log, promise);
    rig.run(3_000 * MS);
    let end = rig.nodes[&N2].log.last().expect("an entry").position();
    let epoch = Epoch::new(1, 90, N1);
    for round in [VoteRound::PreVote, VoteRound::Vote] {
        for lineage in [FORCED(N1), Epoch::new(1, 80, N1)] {
            let ask = engraft::types::message::VoteAsk { lineage, ..rig.ask(epoch, round, end.epoch, end.sequence.0) };
            let said = rig.verdict(N2, N1, ask).expect("an answer");
            assert!(said.contains(&Verdict::Lineage.to_string()), "{said}");
        }
    }
    let ask = engraft::types::message::VoteAsk {
        lineage: Epoch::ZERO,
        ..rig.ask(epoch, VoteRound::Vote, end.epoch, end.sequence.0)
    };
    assert_eq!(rig.verdict(N2, N1, ask), None, "no node asks so");
    assert!(rig.notices(N2).iter().any(|line| line.contains("a lineage of the generation of g1e90n1")));
    rig.run(1_000 * MS);
    let header = ReplicationBatchHeader {
        space: space(),
        epoch,
        lineage: Epoch::new(1, 91, N1),
        previous: end,
        commit: Sequence::ZERO,
        sent: rig.now,
    };
    rig.inject(N2, N1, &Message::Batch(ReplicationBatch { header, entries: Vec::new() }));
    rig.settle();
    let closed = rig.notices(N2).iter().filter(|line| line.contains("a lineage of the generation of g1e90n1")).count();
    assert_eq!(closed, 2, "a lineage is not above its epoch");
}

#[test]
fn generation_begins_where_the_terms_of_the_one_before_are_used_up() {
    let last = Epoch::new(0, u32::MAX, N1);
    assert_eq!((last.next_for(N2), last.next_generation(N2)), (None, Some(Epoch::new(1, 1, N2))));
    assert_eq!(Epoch::new(0, 7, N1).next_generation(N2), Some(Epoch::new(1, 8, N2)));
    assert_eq!(Epoch::new(u16::MAX, 7, N1).next_generation(N2), None);
}

/// Who was forced on and lost its primary again tells everybody of a generation that nobody leads: the others go on.
#[test]
fn promise_of_a_higher_generation_that_is_told_deposes_nobody() {
    let mut rig = electing(3);
    rig.append(N1, Ack::All, b"all");
    rig.run(100 * MS);
    let epoch = rig.status(N1).epoch;
    let refuses = |promised| {
        let end = Position { epoch, sequence: Sequence(2), chain: 0 };
        let (reason, history, echo) = (RefusalReason::Stale { promised }, EpochHistory::default(), Time(1));
        Message::Refusal(Refusal { space: space(), epoch, reason, end, history, echo })
    };
    rig.inject(N1, N2, &refuses(Epoch::new(1, 9, N2)));
    let promised = vec![SpaceEpoch { space: space(), epoch: Epoch::new(1, 9, N2) }];
    rig.inject(N1, N2, &Message::ProbeEcho(ProbeEcho { sent: rig.now, promised }));
    rig.run(3_000 * MS);
    assert_eq!((rig.primary(), rig.status(N1).epoch), (Some(N1), epoch));
    rig.inject(N1, N2, &refuses(Epoch::new(0, 9, N2)));
    assert_eq!(rig.status(N1).role, Role::Replica, "one of its own generation does");
}

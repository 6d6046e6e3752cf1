//! A voter that lost power under a weak fsync mode, and what it is good for until it has everything again.

use ::core::time::Duration;

use engraft::core::{Ack, Notice, Outcome, Role};
use engraft::types::{NodeId, Sequence};

use super::elections::electing;
use super::rig::{N1, N2, N3, Rig};

const MS: Duration = Duration::from_millis(1);

impl Rig {
    /// The power of a node fails: its log keeps so many entries. It is off until it is started again.
    fn power_fails(&mut self, node: NodeId, kept: usize) {
        let (mut log, promise) = self.kill(node);
        log.truncate(kept);
        self.recovering.insert(node);
        self.away.insert(node, (log, promise));
    }

    fn power_on(&mut self, node: NodeId) {
        let (log, promise) = self.away[&node].clone();
        self.start(node, log, promise);
    }
}

/// n1 and n2 commit what n3 never got; n2 forgets it, and n1 is gone. Counted as if it remembered, n2 and n3 would be a
/// majority without a committed entry.
#[test]
fn voter_that_forgot_decides_no_election() {
    let mut rig = electing(3);
    rig.cut.push(N3);
    let request = rig.append(N1, Ack::Quorum, b"committed");
    rig.run(100 * MS);
    assert!(matches!(rig.reply(N1, request), Some(Outcome::Appended { .. })));
    rig.power_fails(N2, 1);
    let (log, promise) = rig.kill(N1);
    rig.cut.clear();
    rig.power_on(N2);
    rig.run(Duration::from_secs(20));
    assert_eq!(rig.primary(), None, "n2 does not know what it acknowledged");
    assert_eq!(rig.status(N2).role, Role::Recovering);
    rig.start(N1, log, promise);
    rig.run(Duration::from_secs(5));
    assert!(rig.primary().is_some());
    assert_eq!(rig.status(N2).role, Role::Replica, "it has everything again");
    assert_eq!(rig.nodes[&N2].log, rig.nodes[&N1].log);
    assert!(!rig.recovering.contains(&N2), "and knows it after the next start");
}

/// The primary ships only with a lease, and has one by the echoes of the replica that recovers. If they did not count, a
/// cluster of three that lost one node would never get another back.
#[test]
fn echoes_of_a_recovering_replica_keep_the_lease_that_it_recovers_by() {
    let mut rig = electing(3);
    for _ in 0..10 {
        rig.append(N1, Ack::Local, b"x");
    }
    rig.run(100 * MS);
    rig.kill(N3);
    rig.power_fails(N2, 3);
    rig.run(3_000 * MS);
    assert!(!rig.status(N1).leased);
    rig.power_on(N2);
    rig.run(3_000 * MS);
    assert_eq!((rig.status(N1).role, rig.status(N2).role), (Role::Primary, Role::Replica));
    let request = rig.append(N1, Ack::Quorum, b"goes on");
    rig.run(100 * MS);
    assert!(matches!(rig.reply(N1, request), Some(Outcome::Appended { .. })));
}

/// n2 gets what it lost entry by entry, and its acks make no commit before it has all of that.
#[test]
fn acks_of_a_recovering_replica_commit_nothing() {
    let mut rig = electing(3);
    rig.kill(N3);
    rig.power_fails(N2, 1);
    let request = rig.append(N1, Ack::Quorum, b"new");
    rig.run(100 * MS);
    rig.power_on(N2);
    let recovering =
        |rig: &Rig| rig.nodes[&N2].notices.iter().all(|notice| !matches!(notice, Notice::Recovered { .. }));
    while recovering(&rig) {
        assert_eq!(rig.reply(N1, request), None, "n2 does not count yet");
        rig.run(MS);
    }
    rig.run(1_000 * MS);
    assert!(matches!(rig.reply(N1, request), Some(Outcome::Appended { .. })));
    let mut acks = rig.sent.iter().rev().filter(|(node, line)| *node == N2 && line.starts_with("Ack"));
    assert!(acks.next().is_some_and(|(_, line)| !line.contains("recovering")));
}

#[test]
fn where_nobody_remembers_every_vote_is_needed_and_the_loss_is_told() {
    let mut rig = electing(3);
    rig.append(N1, Ack::Quorum, b"x");
    rig.run(300 * MS);
    for node in [N1, N2, N3] {
        rig.power_fails(node, 2);
    }
    rig.power_on(N1);
    rig.power_on(N2);
    rig.run(Duration::from_secs(10));
    assert_eq!(rig.primary(), None, "n3 may have what the two of them have not");
    rig.power_on(N3);
    rig.run(Duration::from_secs(5));
    let primary = rig.primary().expect("all three voted");
    let told = |notice: &Notice| matches!(notice, Notice::CommittedMayBeLost { from: Sequence(3), .. });
    assert!(rig.nodes[&primary].notices.iter().any(told), "{:?}", rig.notices(primary));
    assert!(rig.recovering.is_empty(), "all of them count again");
}

/// One that remembers and two that do not are no majority that remembers; all three are all there is.
#[test]
fn where_too_few_remember_the_best_log_of_all_goes_on() {
    let mut rig = electing(3);
    for _ in 0..5 {
        rig.append(N1, Ack::Quorum, b"x");
    }
    rig.run(300 * MS);
    rig.power_fails(N1, 3);
    rig.power_fails(N2, 2);
    rig.power_on(N1);
    rig.power_on(N2);
    rig.run(Duration::from_secs(10));
    assert_eq!(rig.primary(), Some(N3));
    assert!(rig.recovering.is_empty());
    assert_eq!(rig.nodes[&N1].log, rig.nodes[&N3].log);
}

#[test]
fn two_that_remember_of_three_elect_without_the_third() {
    let mut rig = electing(3);
    rig.append(N1, Ack::Quorum, b"x");
    rig.run(300 * MS);
    rig.power_fails(N1, 1);
    rig.until_replaced(N1);
    let primary = rig.primary().expect("one is there");
    let told = |notice: &Notice| matches!(notice, Notice::CommittedMayBeLost { .. });
    assert!(!rig.nodes[&primary].notices.iter().any(told));
    rig.power_on(N1);
    rig.run(1_000 * MS);
    assert_eq!(rig.status(N1).role, Role::Replica);
    assert_eq!(rig.nodes[&N1].log, rig.nodes[&primary].log);
}

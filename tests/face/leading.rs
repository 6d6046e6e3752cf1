//! Who leads, how all do and why, pausing a replica.

use engraft::{Ack, Engraft, Epoch, NodeId, Notice, PauseError, Role, Sequence, Status};

use super::trio::{N1, N2, N3, Trio, alone, orders, run, space, until, within};

#[test]
fn roles_tell_the_latest_and_never_miss_it() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let mut slow = space(&node).roles();
        let state = within("the role", slow.next()).await.expect("the node runs");
        assert_eq!((state.role, state.epoch), (Role::Primary, Epoch::new(0, 1, N1)));
        let first = state.fencing_token().expect("a primary has one");
        // Far more notices than a stream of them holds.
        for _ in 0..3 {
            space(&node).append_all((0..2_000).map(|number| number.to_string())).await;
        }
        within("the shutdown", node.shutdown()).await;
        assert!(slow.next().await.is_none(), "nothing new came, and the node has ended");
        assert_eq!(slow.current().role, Role::Primary);
        let node = alone(&directory, orders()).await;
        let again = space(&node).roles().current();
        assert!(again.fencing_token().expect("a primary has one") > first, "each start has a higher token");
    });
}

#[test]
fn a_replica_has_no_fencing_token() {
    run(async {
        let trio = Trio::new();
        let [first, second, _third] = trio.start_all().await;
        space(&first).append("x").ack(Ack::All).await.expect("appended");
        let state = space(&second).roles().current();
        assert_eq!((state.role, state.epoch.owner(), state.fencing_token()), (Role::Replica, N1, None));
    });
}

async fn status(node: &Engraft) -> Status {
    node.status().await.expect("the node runs")
}

fn reason(status: &Status) -> &str {
    &status.spaces.first().expect("a space").reason
}

#[test]
fn each_status_has_its_reason() {
    run(async {
        let trio = Trio::new();
        let second = trio.start(2).await;
        until("a reason", async || reason(&status(&second).await).starts_with("waits for a link to n1")).await;
        let first = trio.start(1).await;
        space(&first).append("x").ack(Ack::Quorum).await.expect("appended");
        let told = status(&first).await;
        assert!(reason(&told).starts_with("takes appends in e1n1"), "{}", reason(&told));
        assert!(told.spaces[0].status.replicas.iter().all(|view| !view.reason.is_empty()), "{told:?}");
        until("a reason", async || reason(&status(&second).await).starts_with("follows n1 in e1n1")).await;
        let json = serde_json::to_value(&told).expect("a status is data");
        assert_eq!(json["spaces"][0]["role"], "primary");
        assert!(json["spaces"][0]["reason"].is_string());
    });
}

#[test]
fn a_paused_replica_gets_nothing_until_it_is_resumed() {
    run(async {
        let trio = Trio::new();
        let [first, second, third] = trio.start_all().await;
        let orders = space(&first);
        let before = orders.append("before").ack(Ack::All).await.expect("appended").sequence();
        orders.pause_replica(N3).await.expect("n3 is a replica");
        let after = orders.append("after").ack(Ack::Quorum).await.expect("n2 suffices").sequence();
        until("n2", async || status(&second).await.spaces[0].status.durable >= after).await;
        assert_eq!(status(&third).await.spaces[0].status.durable, before);
        let report = orders.status().await.expect("the node runs");
        let paused: Vec<NodeId> =
            report.status.replicas.iter().filter(|view| view.paused).map(|view| view.node).collect();
        assert_eq!(paused, [N3]);
        orders.resume_replica(N3).await.expect("n3 is a replica");
        until("n3", async || status(&third).await.spaces[0].status.durable >= after).await;
    });
}

#[test]
fn pausing_is_refused_on_a_replica_and_for_a_stranger() {
    run(async {
        let trio = Trio::new();
        let [first, second, _third] = trio.start_all().await;
        let refused = space(&second).pause_replica(N3).await;
        assert!(matches!(&refused, Err(PauseError::NotPrimary { hint }) if hint.node == N1), "{refused:?}");
        let stranger = space(&first).pause_replica(NodeId(9)).await;
        assert_eq!(stranger, Err(PauseError::NotAReplica { expected: vec![N2, N3], found: NodeId(9) }));
        assert!(matches!(space(&first).resume_replica(N1).await, Err(PauseError::NotAReplica { .. })));
        within("the shutdown", first.shutdown()).await;
        assert_eq!(space(&first).pause_replica(N3).await, Err(PauseError::Shutdown));
    });
}

#[test]
fn notices_come_and_end_with_the_node() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let mut notices = node.notices();
        space(&node).append("x").await.expect("appended");
        within("the commit", async {
            loop {
                let notice = notices.next().await.expect("the node runs").expect("none was missed");
                if matches!(notice, Notice::Committed { commit, .. } if commit == Sequence(2)) {
                    return;
                }
            }
        })
        .await;
        within("the shutdown", node.shutdown()).await;
        within("the end", async { while notices.next().await.is_some() {} }).await;
    });
}

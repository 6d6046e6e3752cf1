//! A disk that fails: the space stops with a typed error, acknowledges nothing more, and shows it.

use engraft::core::notice::StopReason;
use engraft::core::{Ack, AppendError, Notice, Outcome, Role, StorageErrorKind, StorageOperation};
use engraft::driver::NodeHandle;
use engraft::types::NodeId;
use engraft::wal::Disk;
use engraft_sim::disk::SimDisk;
use tokio::sync::broadcast::Receiver;

use super::cluster::{
    Cluster, N1, N2, N3, append, caught_up, connected, opened, payloads, request, run, start_with, status, within,
};
use crate::test_disk::TestDisk;

/// Starts the cluster with `node` on this disk.
async fn start_all(cluster: &Cluster, node: NodeId, disk: impl Disk) -> [NodeHandle; 3] {
    let mut nodes = Vec::new();
    for each in [N1, N2, N3] {
        if each == node {
            nodes.push(start_with(disk.clone(), cluster.options(node)).await);
        } else {
            nodes.push(cluster.start(each).await);
        }
    }
    let nodes = <[NodeHandle; 3]>::try_from(nodes).expect("three nodes");
    for each in &nodes {
        connected(each, true).await;
    }
    opened(&nodes[0]).await;
    nodes
}

async fn stopped(notices: &mut Receiver<Notice>) -> StopReason {
    within("a notice", async {
        loop {
            if let Notice::SpaceStopped { reason, .. } = notices.recv().await.expect("the node runs") {
                return reason;
            }
        }
    })
    .await
}

#[test]
fn a_failed_fsync_stops_the_space_and_nothing_more_is_acknowledged() {
    run(async {
        let cluster = Cluster::new();
        let disk = TestDisk::default();
        let [primary, second, _third] = start_all(&cluster, N1, disk.clone()).await;
        let last = append(&primary, "synced", Ack::All).await.sequence;
        caught_up(&second, last).await;
        let mut notices = primary.notices();
        disk.fail_next_sync();
        let outcomes = within("an answer", primary.append(vec![request("not synced", Ack::Local)])).await;
        assert!(!matches!(outcomes.as_slice(), [Outcome::Appended { .. }]), "{outcomes:?}");
        let reason = stopped(&mut notices).await;
        assert!(matches!(reason, StopReason::Storage { operation: StorageOperation::Sync, .. }), "{reason}");

        let outcomes = primary.append(vec![request("later", Ack::Local)]).await;
        assert_eq!(outcomes, [Outcome::Failed(AppendError::Stopped(reason.clone()))]);
        let shown = status(&primary).await;
        assert_eq!((shown.role, shown.stopped), (Role::Stopped, Some(reason.to_string())));
        assert_eq!(payloads(&second).await.first().map(String::as_str), Some("synced"));
        within("the shutdown", primary.shutdown()).await;
        assert_eq!(primary.failure(), None);
    });
}

#[test]
fn a_full_disk_stops_the_space_and_says_so() {
    run(async {
        let cluster = Cluster::new();
        let disk = SimDisk::new(1, N1.0);
        let [primary, _second, _third] = start_all(&cluster, N1, disk.clone()).await;
        append(&primary, "fits", Ack::All).await;
        let mut notices = primary.notices();
        disk.fill(Some(disk.bytes_used()));
        let large = "x".repeat(4 << 20);
        let outcomes = within("an answer", primary.append(vec![request(&large, Ack::Local)])).await;
        assert!(!matches!(outcomes.as_slice(), [Outcome::Appended { .. }]), "{outcomes:?}");
        let reason = stopped(&mut notices).await;
        let StopReason::Storage { error, .. } = &reason else { panic!("{reason}") };
        assert_eq!(error.kind, StorageErrorKind::Full, "{reason}");
        assert_eq!(status(&primary).await.stopped, Some(reason.to_string()));
    });
}

#[test]
fn a_replica_whose_fsync_failed_acknowledges_nothing_more() {
    run(async {
        let cluster = Cluster::new();
        let disk = TestDisk::default();
        let [primary, second, third] = start_all(&cluster, N3, disk.clone()).await;
        let before = append(&primary, "everywhere", Ack::All).await.sequence;
        let mut notices = third.notices();
        disk.fail_next_sync();
        let last = append(&primary, "without n3", Ack::Quorum).await.sequence;
        stopped(&mut notices).await;
        caught_up(&second, last).await;
        assert_eq!(status(&third).await.role, Role::Stopped);
        let seen = status(&primary).await.replicas.into_iter().find(|replica| replica.node == N3);
        assert_eq!(seen.map(|replica| replica.durable), Some(before));
    });
}

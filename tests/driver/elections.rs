//! A primary that dies is replaced, and its log mended when it comes back.

use core::time::Duration;
use std::time::Instant;

use engraft::core::{Ack, AppendError, Outcome, Role};
use engraft::driver::tokio_host::TokioHost;
use engraft::driver::{NodeHandle, NodeOptions, StartError, start};
use engraft::types::{Epoch, NodeId};
use engraft::wal::salvage::SalvageFile;
use engraft::wal::{Disk, StdDisk, StorageOpenError};
use engraft_sim::disk::SimDisk;
use tokio::runtime::Runtime;

use super::cluster::{
    Cluster, N1, N2, N3, append, caught_up, payloads, request, run, space, start_with, status, until, within,
};

/// The promise for the default time-outs.
const PROMOTED_WITHIN: Duration = Duration::from_secs(5);

/// Options with which an append that is not answered does not hold a test up.
fn options(cluster: &Cluster, node: NodeId) -> NodeOptions {
    let mut options = cluster.options(node);
    options.replication.append_timeout = Duration::from_secs(2);
    options
}

/// A node on threads of its own; dropping it kills it.
struct Killable {
    /// Taken by the kill.
    runtime: Option<Runtime>,
    node: NodeHandle,
}

/// Ends the node where it stands: nothing is drained, nobody is told.
impl Drop for Killable {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Killable {
    /// Starts a node. Its directory may still be held by a killed one for a moment.
    async fn start(cluster: &Cluster, node: NodeId) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let node = within("a start", async {
            loop {
                let started = runtime.spawn(start(TokioHost::with_disk(StdDisk), options(cluster, node))).await;
                match started.expect("it does not panic") {
                    Ok(node) => return node,
                    Err(StartError::Open(StorageOpenError::Locked { .. }) | StartError::Listen { .. }) => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        })
        .await;
        Self { runtime: Some(runtime), node }
    }
}

/// Which of these nodes takes an append at quorum, and how long that took.
async fn promoted(nodes: &[&NodeHandle], payload: &str) -> (usize, Duration) {
    let begun = Instant::now();
    loop {
        for (index, node) in nodes.iter().enumerate() {
            let outcomes = node.append(vec![request(payload, Ack::Quorum)]).await;
            match outcomes.as_slice() {
                [Outcome::Appended { .. }] => return (index, begun.elapsed()),
                [Outcome::Failed(_)] => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(begun.elapsed() < 4 * PROMOTED_WITHIN, "nobody was promoted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn what_a_dead_primary_had_alone_is_saved_and_cut_when_it_comes_back() {
    run(async {
        let cluster = Cluster::new();
        let disks = [N1, N2, N3].map(|node| SimDisk::new(7, node.0));
        let start =
            async |node: NodeId| start_with(disks[usize::from(node.0) - 1].clone(), options(&cluster, node)).await;
        let [first, second, third] = [start(N1).await, start(N2).await, start(N3).await];
        until("a primary", async || status(&first).await.role == Role::Primary).await;
        let token = append(&first, "kept", Ack::All).await;
        for node in [&second, &third] {
            caught_up(node, token.sequence).await;
            node.shutdown().await;
        }
        // Nobody hears of these.
        for number in 0..5 {
            append(&first, &format!("lost {number}"), Ack::Local).await;
        }
        let lost = status(&first).await.end;
        disks[0].kill();
        within("the end", first.shutdown()).await;
        let [second, third] = [start(N2).await, start(N3).await];
        let (at, _) = promoted(&[&second, &third], "after").await;
        let primary = [&second, &third][at];
        let first = start(N1).await;
        let token_after = append(primary, "together", Ack::All).await;
        for node in [&first, &second, &third] {
            caught_up(node, token_after.sequence).await;
            assert_eq!(payloads(node).await, ["kept", "after", "together"]);
        }
        let directory = options(&cluster, N1).storage.directory.join("salvage/orders");
        let named = disks[0].list(&directory).expect("listed");
        let [file] = named.as_slice() else { panic!("{named:?}") };
        let file = SalvageFile::open(&disks[0], &directory.join(&file.name)).expect("whole");
        assert_eq!((file.header().first.sequence, file.header().last.sequence), (token.sequence.next(), lost));
        assert_eq!(file.header().by, token_after.epoch);
        let saved: Vec<_> = file.entries().map(|entry| entry.expect("whole").payload).collect();
        assert_eq!(saved, ["lost 0", "lost 1", "lost 2", "lost 3", "lost 4"]);
    });
}

#[test]
fn a_killed_primary_is_replaced_in_time_again_and_again_and_all_logs_end_equal() {
    run(async {
        let cluster = Cluster::new();
        let mut nodes = Vec::new();
        for node in [N1, N2, N3] {
            nodes.push(Some(Killable::start(&cluster, node).await));
        }
        let mut expected = vec!["first".to_owned()];
        let all: Vec<&NodeHandle> = nodes.iter().flatten().map(|node| &node.node).collect();
        let (mut primary, _) = promoted(&all, "first").await;
        let mut epoch = Epoch::ZERO;
        for round in 0..3 {
            drop(nodes[primary].take());
            let rest: Vec<usize> = (0..3).filter(|node| *node != primary).collect();
            let handles: Vec<&NodeHandle> = nodes.iter().flatten().map(|node| &node.node).collect();
            let payload = format!("after kill {round}");
            let (at, took) = promoted(&handles, &payload).await;
            println!("promoted after {took:?}");
            assert!(took < PROMOTED_WITHIN, "round {round}: {took:?}");
            let role = handles[at].role(space()).expect("the space").borrow().clone();
            assert!(role.role == Role::Primary && role.epoch > epoch, "{role:?} after {epoch}");
            epoch = role.epoch;
            // Whoever asks the other one is told who the primary is.
            let leader = role.epoch.owner();
            until("the hint", async || {
                let outcomes = handles[1 - at].append(vec![request("elsewhere", Ack::Local)]).await;
                let [Outcome::Failed(AppendError::NotPrimary { primary })] = outcomes.as_slice() else { return false };
                *primary == leader
            })
            .await;
            expected.push(payload);
            let killed = core::mem::replace(&mut primary, rest[at]);
            let back = Killable::start(&cluster, [N1, N2, N3][killed]).await;
            nodes[killed] = Some(back);
            let payload = format!("together {round}");
            let leader = &nodes[primary].as_ref().expect("it runs").node;
            let token = append(leader, &payload, Ack::All).await;
            expected.push(payload);
            for node in nodes.iter().flatten() {
                caught_up(&node.node, token.sequence).await;
                assert_eq!(payloads(&node.node).await, expected, "round {round}");
            }
        }
    });
}

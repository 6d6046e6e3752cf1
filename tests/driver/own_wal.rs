//! An engine that owns its log, on the primary of three nodes.

use alloc::sync::Arc;
use core::time::Duration;
use std::path::Path;

use engraft::core::Outcome;
use engraft::driver::own_wal::{OwnWalError, WalShipper};
use engraft::driver::{NodeHandle, NodeOptions};
use engraft::types::{Control, Sequence, Token};
use engraft::wal::StdDisk;
use engraft::wal::own_wal::{EngineLink, EngramWal};

use super::cluster::{Cluster, N1, N2, N3, PATIENCE, opened, run, space, start_with, until};
use super::engine::Engine;

/// What a replica has: epoch, type, timestamp and payload of each user's entry.
async fn entries(node: &NodeHandle) -> Vec<(u32, u64, String)> {
    let Outcome::Entries { entries, .. } = node.read(space(), Sequence::ZERO, 10_000, 1 << 20).await else {
        panic!("not read");
    };
    let users = entries.iter().filter(|entry| entry.header.control().kind == Control::USER);
    users
        .map(|entry| {
            let payload = String::from_utf8_lossy(&entry.payload).into_owned();
            (entry.header.entry_type().number(), entry.header.timestamp(), payload)
        })
        .collect()
}

async fn committed(node: &NodeHandle, token: Token) {
    let outcome = node.wait_for(token, PATIENCE).await;
    assert!(matches!(outcome, Outcome::Resolved { .. }), "{outcome:?}");
    until("the commit", async || {
        let status = node.status().await.expect("it runs");
        status.spaces[0].commit >= token.sequence
    })
    .await;
}

fn link(directory: &Path) -> Arc<EngineLink> {
    Arc::new(EngineLink::new(Arc::new(EngramWal::new(directory))))
}

/// n1 over the engine's log.
async fn start_n1(cluster: &Cluster, link: &Arc<EngineLink>) -> (NodeHandle, WalShipper) {
    let mut options: NodeOptions = cluster.options(N1);
    options.storage.engines.insert(space(), Arc::clone(link));
    let node = start_with(StdDisk, options).await;
    opened(&node).await;
    let own = WalShipper::new(node.clone(), space(), Arc::clone(link));
    (node, own)
}

/// n1 over the engine's log, from which it has taken three entries, and n2.
async fn three_taken(
    cluster: &Cluster,
    directory: &Path,
    link: &Arc<EngineLink>,
) -> (Engine, NodeHandle, (NodeHandle, WalShipper)) {
    let mut engine = Engine::open(directory);
    let n2 = cluster.start(N2).await;
    let (n1, own) = start_n1(cluster, link).await;
    for payload in ["a", "b", "c"] {
        own.append_entry(engine.append(1, payload)).await.expect("taken");
    }
    (engine, n2, (n1, own))
}

#[test]
fn replicas_have_what_the_engine_wrote_whoever_was_away() {
    run(async {
        let (cluster, place) = (Cluster::new(), tempfile::tempdir().expect("made"));
        let link = link(place.path());
        let mut engine = Engine::open(place.path());
        let mut expected = Vec::new();
        let mut write = |engine: &mut Engine, kind: u32, payload: &str| {
            let entry = engine.append(kind, payload);
            expected.push((kind, entry.timestamp, payload.to_owned()));
            entry
        };
        // Written before there was any node.
        write(&mut engine, 1, "before the node");
        let n2 = cluster.start(N2).await;
        let (n1, own) = start_n1(&cluster, &link).await;
        own.catch_up().await.expect("taken");
        for index in 0..20 {
            let entry = write(&mut engine, index % 7, &format!("entry {index}"));
            own.append_entry(entry).await.expect("taken");
        }
        // Entries that were not reported are read from the engine's log before the one that is; a new file is no gap.
        write(&mut engine, 9, "not reported");
        engine.roll(77);
        write(&mut engine, 2, "");
        let last = write(&mut engine, 3, "reported");
        let token = own.append_entry(last.clone()).await.expect("taken").expect("a token");
        assert_eq!(own.append_entry(last).await.expect("passed over"), None, "what is there is not taken twice");
        committed(&n1, token).await;
        assert_eq!(link.last().map(|place| place.number), Some(1), "the engine's own number is kept");

        // n1 goes; the engine writes on; n1 comes back, its memory of what it shipped gone; n3 comes for the first time
        // and gets everything out of the engine's log.
        n1.shutdown().await;
        drop((n1, own));
        write(&mut engine, 4, "while the node was down");
        let (n1, own) = start_n1(&cluster, &link).await;
        let token = own.catch_up().await.expect("taken").expect("a token");
        committed(&n1, token).await;
        let n3 = cluster.start(N3).await;
        for node in [&n1, &n2, &n3] {
            until("the same on every node", async || entries(node).await == expected).await;
        }
        for node in [n1, n2, n3] {
            node.shutdown().await;
        }
    });
}

#[test]
fn a_replaced_file_is_taken_anew_in_a_new_epoch_while_the_node_runs() {
    run(async {
        let (cluster, place) = (Cluster::new(), tempfile::tempdir().expect("made"));
        let directory = place.path().join("engine");
        let link = link(&directory);
        let (engine, n2, (n1, own)) = three_taken(&cluster, &directory, &link).await;
        until("the three on the replica", async || entries(&n2).await.len() == 3).await;
        let before = n1.status().await.expect("it runs").spaces[0].epoch;
        engine.compact(&[(1, "a"), (1, "c")]);
        assert!(matches!(own.check().await, Err(OwnWalError::Replaced { .. })));
        let mut engine = Engine::open(&directory);
        // A tailer does by itself what an engine that reports does by calling `resync`.
        let tail = own.tail(Duration::from_millis(5));
        let work = async {
            until("the new file on the replica", async || entries(&n2).await.len() == 5).await;
            engine.append(2, "d");
            until("what came after it", async || entries(&n2).await.len() == 6).await;
        };
        tokio::select! {
            error = tail => panic!("the tailer ended: {error}"),
            () = work => {}
        }
        let found: Vec<_> = entries(&n2).await.into_iter().map(|(_, _, payload)| payload).collect();
        assert_eq!(found, ["a", "b", "c", "a", "c", "d"]);
        assert!(n1.status().await.expect("it runs").spaces[0].epoch > before);
        for node in [n1, n2] {
            node.shutdown().await;
        }
    });
}

#[test]
fn a_replaced_file_is_noticed_and_taken_anew_in_a_new_epoch() {
    run(async {
        let (cluster, place) = (Cluster::new(), tempfile::tempdir().expect("made"));
        let directory = place.path().join("engine");
        let link = link(&directory);
        let (mut engine, n2, (n1, own)) = three_taken(&cluster, &directory, &link).await;
        engine.compact(&[(1, "a"), (1, "c")]);
        // The engine's writer still has the old file, which has no name any more.
        let lost = engine.append(1, "written to no file");
        let noticed = own.append_entry(lost).await;
        assert!(matches!(&noticed, Err(OwnWalError::Replaced { file }) if *file == "wal-0000000000000001.log"));
        assert!(matches!(own.check().await, Err(OwnWalError::Replaced { .. })), "a quiet engine's too");
        assert!(
            matches!(own.catch_up().await, Err(OwnWalError::Replaced { .. })),
            "nothing is mixed into the old epoch"
        );
        let before = n1.status().await.expect("it runs").spaces[0].epoch;
        until("the three on the replica", async || entries(&n2).await.len() == 3).await;

        n1.shutdown().await;
        drop((n1, own));
        let mut engine = Engine::open(&directory);
        let (n1, own) = start_n1(&cluster, &link).await;
        let token = own.catch_up().await.expect("taken").expect("a token");
        own.append_entry(engine.append(2, "d")).await.expect("taken");
        committed(&n1, token).await;
        assert!(n1.status().await.expect("it runs").spaces[0].epoch > before);
        until("the new file on the replica", async || {
            let found: Vec<_> = entries(&n2).await.into_iter().map(|(_, _, payload)| payload).collect();
            found == ["a", "b", "c", "a", "c", "d"]
        })
        .await;
        for node in [n1, n2] {
            node.shutdown().await;
        }
    });
}

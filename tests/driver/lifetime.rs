//! How nodes start and end.

use core::time::Duration;

use engraft::core::{Ack, AppendError, Notice, Outcome};
use engraft::driver::tokio_host::TokioHost;
use engraft::driver::{NodeOptions, StartError, start};
use engraft::types::Sequence;
use engraft::types::message::CloseReason;
use tokio::sync::broadcast::error::RecvError;

use super::cluster::{
    Cluster, N1, N2, N3, append, closed, cluster_id, payloads, request, run, space, status, until, within,
};

#[test]
fn a_shutdown_says_goodbye_and_leaves_a_directory_that_opens_again() {
    run(async {
        let cluster = Cluster::new();
        let [primary, second, third] = cluster.start_all().await;
        append(&primary, "kept", Ack::All).await;
        let mut heard = second.notices();
        within("the shutdown", third.shutdown()).await;
        assert!(!closed(&mut heard, |reason| *reason == CloseReason::Shutdown).await, "n3 closed it");
        assert_eq!(third.failure(), None);
        assert_eq!(third.status().await, None);
        let third = cluster.start(N3).await;
        until("the entry", async || payloads(&third).await == ["kept"]).await;
    });
}

#[test]
fn what_comes_after_a_shutdown_is_refused() {
    run(async {
        let cluster = Cluster::new();
        let [primary, _third] = cluster.start_without_n2().await;
        let mut notices = primary.notices();
        within("the shutdown", primary.shutdown()).await;
        let shutdown = Outcome::Failed(AppendError::Shutdown);
        assert_eq!(primary.append(vec![request("late", Ack::Local)]).await, core::slice::from_ref(&shutdown));
        assert_eq!(primary.read(space(), Sequence(1), 1, 1).await, shutdown);
        within("another shutdown", primary.shutdown()).await;
        within("the end of the notices", async { while notices.recv().await != Err(RecvError::Closed) {} }).await;
        assert_eq!(primary.notices().recv().await, Err(RecvError::Closed));
    });
}

#[test]
fn an_append_that_waits_when_the_node_shuts_down_is_unknown() {
    run(async {
        let cluster = Cluster::new();
        let [primary, third] = cluster.start_without_n2().await;
        let waiting = tokio::spawn({
            let primary = primary.clone();
            async move { primary.append(vec![request("not at all", Ack::All)]).await }
        });
        // Both disks have it, and n1 knows.
        until("the append on n3", async || {
            let space = status(&primary).await;
            let on_n3 = space.replicas.iter().any(|replica| replica.node == N3 && replica.durable == space.end);
            space.waiting > 0 && space.durable == space.end && on_n3
        })
        .await;
        within("the shutdown", primary.shutdown()).await;
        let outcomes = waiting.await.expect("it is answered");
        let [Outcome::Unknown { token, acked_by }] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        assert!(token.sequence > Sequence::ZERO, "the token names the entry: {token}");
        assert_eq!(acked_by.as_slice(), [N1, N3]);
        drop(third);
    });
}

#[test]
fn dropping_the_last_handle_shuts_the_node_down() {
    run(async {
        let cluster = Cluster::new();
        let [primary, second, third] = cluster.start_all().await;
        append(&primary, "kept", Ack::All).await;
        let mut heard = second.notices();
        let another = third.clone();
        drop(third);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(another.status().await.is_some(), "a handle is left");
        drop(another);
        assert!(!closed(&mut heard, |reason| *reason == CloseReason::Shutdown).await, "n3 closed it");
    });
}

#[test]
fn an_append_whose_caller_left_is_not_taken_back() {
    run(async {
        let cluster = Cluster::new();
        // Without n2 there is no answer at All, however quick the disks are.
        let [primary, _third] = cluster.start_without_n2().await;
        let impatient = primary.append(vec![request("handed over", Ack::All)]);
        // The first poll hands it over.
        assert!(tokio::time::timeout(Duration::ZERO, impatient).await.is_err());
        until("the entry", async || payloads(&primary).await == ["handed over"]).await;
    });
}

#[test]
fn two_nodes_on_one_address_or_directory_do_not_start() {
    run(async {
        let cluster = Cluster::new();
        let _node = cluster.start(N1).await;
        let again = start(TokioHost::new(), cluster.options(N1)).await;
        assert!(matches!(again, Err(StartError::Listen { .. })), "{again:?}");
        let mut elsewhere = cluster.options(N1);
        elsewhere.listen = "127.0.0.1:0".to_owned();
        let again = start(TokioHost::new(), elsewhere).await;
        assert!(matches!(again, Err(StartError::Open(_))), "{again:?}");
    });
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    run(async {
        let cluster = Cluster::new();
        let check = async |change: fn(&mut NodeOptions), words: &str| {
            let mut options = cluster.options(N1);
            change(&mut options);
            let error = start(TokioHost::new(), options).await.expect_err("refused").to_string();
            assert!(error.contains(words), "{error}");
        };
        check(|options| drop(options.peers.remove(&N2)), "addresses are given for").await;
        check(|options| options.storage.node = N2, "another node: expected n1, found n2").await;
        check(|options| options.storage.cluster = cluster_id("another"), "another cluster").await;
        check(|options| options.replication.batch_entries = 0, "batch_entries").await;
        check(|options| options.listen = "nowhere".to_owned(), "cannot listen on \"nowhere\"").await;
    });
}

#[test]
fn the_chosen_port_is_told() {
    run(async {
        let cluster = Cluster::new();
        let mut options = cluster.options(N1);
        options.listen = "127.0.0.1:0".to_owned();
        let node = start(TokioHost::new(), options).await.expect("it starts");
        assert_ne!(node.listen_address().port(), 0);
        tokio::net::TcpStream::connect(node.listen_address()).await.expect("it accepts");
    });
}

#[test]
fn a_subscriber_hears_the_commit() {
    run(async {
        let cluster = Cluster::new();
        let [primary, _second, _third] = cluster.start_all().await;
        let mut notices = primary.notices();
        let token = append(&primary, "heard", Ack::Quorum).await;
        within("the notice", async {
            let wanted = Notice::Committed { space: space(), commit: token.sequence };
            while notices.recv().await.expect("the node runs") != wanted {}
        })
        .await;
    });
}

//! A node that ends under those who wait, and one that has too much to read.

use core::time::Duration;
use std::time::Instant;

use engraft::core::Ack;
use engraft::driver::{NodeError, StartError};
use engraft::wal::WalOptions;
use engraft::{AppendError, BuildError, ReadError, Sequence, SpaceOptions, WaitError};

use super::trio::{PATIENCE, Trio, alone_builder, first_payloads, orders, primary, run, space, until, within};
use crate::test_disk::TestDisk;

#[test]
fn appends_that_a_node_took_and_ended_by_a_defect_are_unanswered_with_its_reason() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = TestDisk::default();
        let node = alone_builder(&directory).wal(disk.clone()).space(orders()).start().await.expect("the node starts");
        space(&node).append("kept").await.expect("appended");
        disk.panic_at_next_sync();
        let answer = within("the answer", async { space(&node).append("lost or not").await }).await;
        let failure = Some(NodeError::WalEnded);
        assert_eq!(answer.err(), Some(AppendError::Unanswered { failure: failure.clone() }));
        until("the end of the node", async || node.status().await.is_none()).await;
        assert_eq!(node.failure(), failure);
        assert_eq!(space(&node).append("later").await.err(), Some(AppendError::Shutdown), "nothing of it was taken");
    });
}

#[test]
fn appends_whose_runtime_ends_are_unanswered() {
    let trio = Trio::new();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (its_own, ours) = (runtime().expect("a runtime"), runtime().expect("a runtime"));
    let node = its_own.block_on(async { trio.start_left_alone().await });
    let orders = space(&node);
    // Nobody else is there, so it is not answered before the end.
    let waiting = ours.spawn(async move { orders.append("nowhere else").ack(Ack::Quorum).timeout(PATIENCE * 2).await });
    ours.block_on(until("the append", async || {
        space(&node).status().await.is_some_and(|report| report.status.waiting > 0)
    }));
    its_own.shutdown_background();
    let answer = ours.block_on(within("the answer", waiting)).expect("no panic");
    let failure = Some(NodeError::ShellEnded);
    assert_eq!(answer.err(), Some(AppendError::Unanswered { failure: failure.clone() }));
    assert_eq!(node.failure(), failure);
}

#[test]
fn a_disk_that_hangs_holds_up_a_shutdown_no_longer_than_configured_and_is_named() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = TestDisk::default();
        let limit = Duration::from_millis(300);
        let options = WalOptions { close_timeout: limit, ..WalOptions::default() };
        let builder = alone_builder(&directory).wal_options(options).wal(disk.clone());
        let builder = builder.space(orders()).space(SpaceOptions::new("bills"));
        let builder = builder.tune(|numbers| numbers.shutdown_drain = Duration::from_millis(100));
        let node = builder.start().await.expect("the node starts");
        space(&node).append("kept").await.expect("appended");
        let bills = node.space("bills").expect("it is there");
        bills.append("kept").await.expect("appended");
        disk.hold(true);
        let waiting = tokio::spawn({
            let orders = space(&node);
            async move { orders.append("hangs").timeout(PATIENCE * 2).await }
        });
        until("the append", async || space(&node).status().await.is_some_and(|report| report.status.waiting > 0)).await;
        let begun = Instant::now();
        within("the shutdown", node.shutdown()).await;
        assert!(begun.elapsed() >= limit, "the disk had its time");
        let answer = within("the answer", waiting).await.expect("no panic");
        assert!(matches!(answer, Err(AppendError::Unknown { .. })), "{answer:?}");
        let Some(NodeError::DiskHangs { doing, ms }) = node.failure() else { panic!("{:?}", node.failure()) };
        assert!(doing.starts_with("`sync` of orders has taken ") && ms == 300, "{doing}, {ms}");
        let start = async || {
            let builder = alone_builder(&directory).wal(disk.clone());
            builder.space(orders()).space(SpaceOptions::new("bills")).start().await
        };
        let taken = start().await;
        assert!(
            matches!(taken, Err(BuildError::Start(StartError::Open(_)))),
            "its thread has the directory: {taken:?}"
        );
        disk.hold(false);
        let node = within("the end of that thread", async {
            loop {
                match start().await {
                    Ok(node) => return node,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        })
        .await;
        assert_eq!(first_payloads(&space(&node), 1).await, ["kept"], "what was acknowledged is there");
    });
}

#[test]
fn more_waits_than_may_be_under_way_are_overloaded() {
    run(async {
        let trio = Trio::new();
        // Nobody else is there, so nothing is committed.
        let first = trio.start_left_alone().await;
        let token = space(&first).append("alone").await.expect("its own disk suffices").token();
        let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..65_537 {
            let (orders, told) = (space(&first), told.clone());
            tokio::spawn(async move { told.send(orders.wait_for(token).timeout(PATIENCE * 2).await) });
        }
        let refused = within("a refusal", tells.recv()).await;
        assert_eq!(refused, Some(Err(WaitError::Overloaded { waiting: 65_536 })));
    });
}

#[test]
fn more_reads_than_may_be_under_way_are_overloaded() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = TestDisk::default();
        let start = async || {
            let builder = alone_builder(&directory).wal(disk.clone()).space(orders());
            let node = builder.start().await.expect("the node starts");
            primary(&node).await;
            node
        };
        let node = start().await;
        space(&node).append("old").await.expect("appended");
        within("the shutdown", node.shutdown()).await;
        // What was written before the start is not in memory: it is read from the log, whose thread is held.
        let node = start().await;
        disk.hold(true);
        let orders = space(&node);
        let held = tokio::spawn({
            let orders = orders.clone();
            async move { orders.append("held").await }
        });
        until("the append", async || orders.status().await.is_some_and(|report| report.status.waiting > 0)).await;
        let read = || {
            let orders = orders.clone();
            tokio::spawn(async move { orders.read(Sequence(1), 10).await })
        };
        // A subscription that is refused waits a little and asks again.
        let following = tokio::spawn({
            let orders = orders.clone();
            async move { first_payloads(&orders, 2).await }
        });
        let mut reads: Vec<_> = (0..400).map(|_| read()).collect();
        let refused = within("a refusal", async {
            loop {
                if let Some(index) = reads.iter().position(tokio::task::JoinHandle::is_finished) {
                    return reads.swap_remove(index).await.expect("no panic");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let Err(ReadError::Overloaded { waiting }) = refused else { panic!("{refused:?}") };
        assert!(waiting > 100, "{waiting}");
        disk.hold(false);
        within("the append", held).await.expect("no panic").expect("appended");
        let mut answered = 0_u64;
        for read in reads {
            match within("a read", read).await.expect("no panic") {
                Ok((entries, _)) => {
                    assert_eq!(entries[0].payload, "old");
                    answered += 1;
                }
                Err(error) => assert!(matches!(error, ReadError::Overloaded { .. }), "{error:?}"),
            }
        }
        // One of them may be that of the subscription.
        assert!(answered + 1 >= waiting, "those under way were answered: {answered}");
        assert_eq!(within("what follows", following).await.expect("no panic"), ["old", "held"]);
    });
}

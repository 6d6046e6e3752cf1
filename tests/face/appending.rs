//! Appending, and each way in which it is refused.

use core::time::Duration;

use engraft::core::notice::StopReason;
use engraft::{
    Ack, AppendError, Engraft, Epoch, PauseError, ReadError, Sequence, SpaceError, SpaceOptions, Token, TokenState,
    WaitError,
};

use super::trio::{
    N1, N2, N3, PATIENCE, Trio, alone, first_payloads, linked, orders, payloads, run, space, until, within,
};
use crate::test_disk::TestDisk;

#[test]
fn an_append_right_after_the_start_waits_for_the_primary_to_open() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = Engraft::builder(1, "test-cluster").data_dir(directory.path()).space(orders());
        let node = node.start().await.expect("the node starts");
        let receipt = space(&node).append("first").await.expect("it waits until the epoch is open");
        assert_eq!(receipt.sequence(), Sequence(2), "behind the entry that opens the epoch");
    });
}

#[test]
fn a_primary_that_does_not_open_in_time_is_not_ready() {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = TestDisk::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let builder = super::trio::alone_builder(&directory).wal(disk.clone()).space(orders());
        let node = builder.start().await.expect("the node starts");
        // There is one thread: the node has not done anything yet.
        disk.hold(true);
        let refused = space(&node).append("early").timeout(Duration::from_millis(50)).await;
        assert_eq!(refused.err(), Some(AppendError::NotReady));
        let report = space(&node).status().await.expect("the node runs");
        assert!(report.reason.starts_with("stands for election"), "{}", report.reason);
        disk.hold(false);
        space(&node).append("later").ack(Ack::Quorum).await.expect("it has opened");
        assert_eq!(payloads(&space(&node)).await, ["later"]);
    });
}

#[test]
fn a_quorum_append_is_on_a_majority_and_its_token_holds_everywhere() {
    run(async {
        let trio = Trio::new();
        let [first, second, third] = trio.start_all().await;
        let receipt = within("the append", async { space(&first).append("paid").ack(Ack::Quorum).await });
        let token = receipt.await.expect("a majority is there").token();
        for node in [&first, &second, &third] {
            within("the entry", async { space(node).wait_for(token).await }).await.expect("it comes");
            assert_eq!(space(node).resolve(token).await, Ok(TokenState::Committed));
            assert_eq!(payloads(&space(node)).await, ["paid"]);
        }
    });
}

#[test]
fn a_local_receipt_waits_for_the_commit() {
    run(async {
        let trio = Trio::new();
        let first = trio.start_left_alone().await;
        let receipt = space(&first).append("alone").ack(Ack::Local).await.expect("its own disk suffices");
        let early = receipt.committed().timeout(Duration::from_millis(50)).await;
        assert_eq!(early, Err(WaitError::TimedOut { token: receipt.token() }));
        assert_eq!(space(&first).resolve(receipt.token()).await, Ok(TokenState::Pending));
        let _second = trio.start(2).await;
        within("the commit", async { receipt.committed().timeout(PATIENCE).await }).await.expect("a majority");
    });
}

#[test]
fn a_level_that_is_not_reached_in_time_is_unknown_and_resolved_later() {
    run(async {
        let trio = Trio::new();
        let first = trio.start_left_alone().await;
        let orders = space(&first);
        let (mut tokens, mut timeout) = (Vec::new(), Duration::from_millis(100));
        loop {
            let refused = orders.append("late").ack(Ack::Quorum).timeout(timeout).await;
            let Err(AppendError::Unknown { token, acked_by }) = refused else { panic!("{refused:?}") };
            tokens.push(token);
            if acked_by == [N1] {
                break;
            }
            // Its own disk took longer than that.
            assert_eq!(acked_by, []);
            timeout *= 4;
            assert!(timeout < PATIENCE, "n1 does not count itself");
        }
        let _second = trio.start(2).await;
        for token in &tokens {
            until("the commit", async || orders.resolve(*token).await == Ok(TokenState::Committed)).await;
        }
        assert_eq!(payloads(&orders).await, vec!["late"; tokens.len()]);
    });
}

#[test]
fn many_appends_come_in_their_order() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let wanted: Vec<String> = (0..2_500).map(|number| format!("{number}")).collect();
        let receipts = space(&node).append_all(wanted.clone()).ack(Ack::All).await;
        let sequences: Vec<u64> =
            receipts.iter().map(|receipt| receipt.as_ref().expect("appended").sequence().0).collect();
        assert_eq!(sequences, (2..2_502).collect::<Vec<_>>());
        assert_eq!(first_payloads(&space(&node), 2_500).await, wanted);
        assert!(space(&node).append_all(Vec::<String>::new()).await.is_empty());
    });
}

#[test]
fn a_replica_names_the_primary_and_its_address() {
    run(async {
        let trio = Trio::new();
        let second = trio.start(2).await;
        let refused = space(&second).append("here?").await;
        let Err(AppendError::NotPrimary { hint }) = refused else { panic!("{refused:?}") };
        assert_eq!((hint.node, hint.address.as_deref()), (N1, Some(trio.addresses[0].as_str())));
        let many = space(&second).append_all(["a", "b"]).await;
        assert!(
            many.len() == 2 && many.iter().all(|one| matches!(one, Err(AppendError::NotPrimary { .. }))),
            "{many:?}"
        );
    });
}

#[test]
fn a_payload_that_is_too_large_is_refused_and_nothing_is_appended() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let builder = super::trio::alone_builder(&directory).tune(|numbers| numbers.entry_bytes_max = 8);
        let node = builder.space(orders()).start().await.expect("the node starts");
        let refused = space(&node).append("123456789").await;
        assert_eq!(refused.err(), Some(AppendError::TooLarge { expected: 8, found: 9 }));
        space(&node).append("12345678").await.expect("this one fits");
        assert_eq!(payloads(&space(&node)).await, ["12345678"]);
    });
}

#[test]
fn too_much_at_once_is_overloaded() {
    run(async {
        let trio = Trio::new();
        let few = |builder: engraft::Builder| builder.tune(|numbers| numbers.append_entries_max = 2).space(orders());
        let first = trio.start_left_alone_with(few, |builder| builder.space(orders())).await;
        let orders = space(&first);
        // Nobody else is there: these two wait for a majority.
        let answers = orders.append_all(["1", "2", "3"]).ack(Ack::Quorum).timeout(Duration::from_millis(500)).await;
        let [
            Err(AppendError::Unknown { .. }),
            Err(AppendError::Unknown { .. }),
            Err(AppendError::Overloaded { waiting, .. }),
        ] = answers.as_slice()
        else {
            panic!("{answers:?}")
        };
        assert_eq!(*waiting, 2);
    });
}

#[test]
fn a_closed_space_takes_no_appends_and_still_reads() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let receipt = space(&node).append("before").await.expect("appended");
        let other = space(&node);
        space(&node).close();
        assert!(other.is_closed(), "closing concerns all handles");
        let closed = AppendError::Closed { space: other.name().clone() };
        assert_eq!(other.append("after").await.err(), Some(closed.clone()));
        assert_eq!(other.append_all(["after"]).await.into_iter().next().and_then(Result::err), Some(closed));
        other.wait_for(receipt.token()).await.expect("what was appended goes on");
        assert_eq!(payloads(&other).await, ["before"]);
    });
}

#[test]
fn a_stopped_space_says_why() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = TestDisk::default();
        let builder = super::trio::alone_builder(&directory).wal(disk.clone()).space(orders());
        let node = builder.start().await.expect("the node starts");
        let token = space(&node).append("kept").await.expect("appended").token();
        disk.fail_next_sync();
        let lost = space(&node).append("not kept").await;
        assert!(matches!(lost, Err(AppendError::Unknown { .. } | AppendError::Stopped { .. })), "{lost:?}");
        let refused = space(&node).append("neither").await;
        let Err(AppendError::Stopped { reason: StopReason::Storage { .. } }) = refused else { panic!("{refused:?}") };
        let report = space(&node).status().await.expect("the node runs");
        assert!(report.reason.contains("sync failed"), "{}", report.reason);
        let orders = space(&node);
        for refused in [orders.wait_for(token).await.err(), orders.resolve(token).await.err()] {
            assert!(matches!(refused, Some(WaitError::Stopped { .. })), "{refused:?}");
        }
        for refused in [orders.pause_replica(N2).await, orders.resume_replica(N2).await] {
            assert!(matches!(refused, Err(PauseError::Stopped { .. })), "{refused:?}");
        }
        assert!(matches!(orders.read(Sequence(1), 1).await, Err(ReadError::Stopped { .. })));
    });
}

#[test]
fn after_a_shutdown_everything_is_refused_as_such() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let orders = space(&node);
        let token = orders.append("kept").await.expect("appended").token();
        within("the shutdown", node.shutdown()).await;
        assert_eq!(orders.append("late").await.err(), Some(AppendError::Shutdown));
        assert_eq!(
            orders.append_all(["late"]).await.into_iter().next().and_then(Result::err),
            Some(AppendError::Shutdown)
        );
        assert_eq!(orders.resolve(token).await, Err(WaitError::Shutdown));
        assert_eq!(orders.wait_for(token).await, Err(WaitError::Shutdown));
        assert!(orders.subscribe(Sequence::ZERO).next().await.is_none());
        assert_eq!(orders.read(Sequence(1), 1).await.err(), Some(ReadError::Shutdown));
        assert!(orders.status().await.is_none() && node.status().await.is_none());
        assert_eq!(node.failure(), None);
        within("a second shutdown", node.shutdown()).await;
        let again = alone(&directory, super::trio::orders()).await;
        assert_eq!(first_payloads(&space(&again), 1).await, ["kept"]);
    });
}

#[test]
fn an_append_under_way_when_the_node_shuts_down_is_unknown() {
    run(async {
        let trio = Trio::new();
        let first = trio.start_left_alone().await;
        let orders = space(&first);
        let waiting = tokio::spawn(async move { orders.append("nowhere else").ack(Ack::Quorum).await });
        until("the append", async || space(&first).status().await.is_some_and(|report| report.status.waiting > 0))
            .await;
        within("the shutdown", first.shutdown()).await;
        let answer = waiting.await.expect("it is answered");
        assert!(
            matches!(answer, Err(AppendError::Unknown { token, .. }) if token.sequence == Sequence(2)),
            "{answer:?}"
        );
    });
}

#[test]
fn a_token_of_another_space_or_of_nothing_is_refused() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let builder = super::trio::alone_builder(&directory).space(orders()).space(SpaceOptions::new("bills"));
        let node = builder.start().await.expect("the node starts");
        let bills = node.space("bills").expect("it is there");
        let mut token = space(&node).append("an order").await.expect("appended").token();
        let refused = WaitError::OtherSpace { expected: bills.name().clone(), token };
        assert_eq!(bills.resolve(token).await, Err(refused.clone()));
        assert_eq!(bills.wait_for(token).await, Err(refused));
        // As it would be had another primary's entry been committed in its place.
        let replaced = Token { epoch: Epoch::new(0, 1, N2), ..token };
        assert_eq!(space(&node).wait_for(replaced).await, Err(WaitError::Lost { token: replaced }));
        assert_eq!(space(&node).resolve(replaced).await, Ok(TokenState::Lost));
        token.sequence = Sequence::ZERO;
        assert_eq!(space(&node).resolve(token).await, Err(WaitError::NamesNothing { token }));
    });
}

#[test]
fn a_space_that_is_not_there_is_named_with_those_that_are() {
    run(async {
        let trio = Trio::new();
        let elsewhere = SpaceOptions::new("elsewhere").primary(2).voters([2, 3]);
        let node = trio.builder(1).space(orders()).space(elsewhere).start().await.expect("the node starts");
        let Err(SpaceError::Unknown { known, .. }) = node.space("order") else { panic!("it is not there") };
        assert_eq!(known, ["orders"]);
        assert!(matches!(node.space("No Name"), Err(SpaceError::Name(_))));
        let Err(SpaceError::NotHere { voters, .. }) = node.space("elsewhere") else { panic!("it is not here") };
        assert_eq!(voters, [N2, N3]);
        assert_eq!(linked(&node).await, 0);
    });
}

//! Appends whose futures are dropped: nothing is lost that was handed over, nothing comes twice.

use core::future::{Future, IntoFuture};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use engraft::{Ack, AppendError, Appending, Space};

use super::trio::{PATIENCE, Trio, alone, first_payloads, orders, payloads, run, space, until, within};

/// Polls once, and nobody is woken.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn appending(space: &Space, payload: &str) -> Appending {
    space.append(payload.to_owned()).into_future()
}

/// One thread: nothing of the node runs between two awaits of the test.
fn run_alone(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(tokio::task::unconstrained(test));
}

#[test]
fn a_future_that_is_never_polled_appends_nothing() {
    run_alone(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        drop(appending(&space(&node), "never"));
        space(&node).append("after").await.expect("appended");
        assert_eq!(payloads(&space(&node)).await, ["after"]);
    });
}

#[test]
fn a_future_dropped_after_the_hand_over_appends_exactly_once() {
    run_alone(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let mut dropped = appending(&space(&node), "once");
        assert!(!dropped.handed_over());
        assert!(poll(pin!(&mut dropped)).is_pending());
        assert!(dropped.handed_over());
        drop(dropped);
        space(&node).append("after").await.expect("appended");
        assert_eq!(payloads(&space(&node)).await, ["once", "after"]);
    });
}

#[test]
fn a_future_dropped_while_it_waits_for_room_appends_nothing() {
    run_alone(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let mut first = Vec::new();
        let waits = loop {
            let mut next = Box::pin(appending(&space(&node), &format!("{}", first.len())));
            assert!(poll(next.as_mut()).is_pending());
            if !next.handed_over() {
                break next;
            }
            first.push(next);
            assert!(first.len() < 10_000, "the way to the node is bounded");
        };
        drop(waits);
        let count = first.len();
        for future in first {
            future.await.expect("appended");
        }
        space(&node).append("after").await.expect("appended");
        let mut wanted: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        wanted.push("after".into());
        assert_eq!(first_payloads(&space(&node), count + 1).await, wanted);
    });
}

#[test]
fn a_future_dropped_while_the_primary_opens_appends_nothing() {
    run_alone(async {
        let directory = tempfile::tempdir().expect("a directory");
        let builder = super::trio::alone_builder(&directory).space(orders());
        let node = builder.start().await.expect("the node starts");
        let mut early = appending(&space(&node), "early");
        assert!(poll(pin!(&mut early)).is_pending());
        assert!(!early.handed_over(), "the primary has not opened its epoch yet");
        drop(early);
        space(&node).append("after").await.expect("appended");
        assert_eq!(payloads(&space(&node)).await, ["after"]);
    });
}

#[test]
fn a_future_that_lost_a_race_is_awaited_later() {
    run(async {
        let trio = Trio::new();
        let first = trio.start_left_alone().await;
        let mut paid = space(&first).append("paid").ack(Ack::Quorum).timeout(PATIENCE).into_future();
        // It loses races until the node has the append.
        within("the hand-over", async {
            while !paid.handed_over() {
                tokio::select! {
                    biased;
                    answer = &mut paid => panic!("no majority is there: {answer:?}"),
                    () = tokio::time::sleep(Duration::from_millis(5)) => {}
                }
            }
        })
        .await;
        let _second = trio.start(2).await;
        let receipt = (&mut paid).await.expect("the majority came");
        assert_eq!(paid.await.err(), Some(AppendError::AnsweredAlready));
        until("the entry", async || payloads(&space(&first)).await == ["paid"]).await;
        receipt.committed().await.expect("committed");
    });
}

#[test]
fn dropped_waits_and_reads_change_nothing() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let orders = space(&node);
        let mut entries = orders.subscribe(engraft::Sequence::ZERO);
        for number in 0..20 {
            // The wait for the next entry is dropped again and again, at any stage.
            for _ in 0..number {
                let _ = tokio::time::timeout(Duration::from_micros(50 * number), entries.next())
                    .await
                    .map(|_| panic!("none"));
            }
            orders.append(number.to_string()).await.expect("appended");
            let mut next = pin!(entries.next());
            let first = poll(next.as_mut());
            let entry = match first {
                Poll::Ready(entry) => entry,
                Poll::Pending => next.await,
            };
            let entry = entry.expect("the node runs").expect("it can be read");
            assert_eq!(entry.payload, number.to_string());
        }
    });
}

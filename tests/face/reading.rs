//! Subscriptions and waits, from any node.

use core::future::poll_fn;
use core::pin::Pin;

use engraft::core::notice::StopReason;
use engraft::{Ack, ReadError, Sequence};
use futures_core::Stream;

use super::trio::{Trio, alone, first_payloads, orders, payloads, run, space, until, within};
use crate::test_disk::TestDisk;

#[test]
fn a_subscription_gives_old_and_new_entries_on_a_replica() {
    run(async {
        let trio = Trio::new();
        let [first, second, third] = trio.start_all().await;
        for payload in ["a", "b"] {
            space(&first).append(payload).ack(Ack::Quorum).await.expect("appended");
        }
        let followed = space(&third);
        let following = tokio::spawn(async move { first_payloads(&followed, 4).await });
        for payload in ["c", "d"] {
            space(&first).append(payload).ack(Ack::Quorum).await.expect("appended");
        }
        assert_eq!(within("all four", following).await.expect("no panic"), ["a", "b", "c", "d"]);
        drop(second);
    });
}

#[test]
fn a_subscription_begins_where_it_is_told_and_says_where_it_is() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let orders = space(&node);
        orders.append_all(["a", "b", "c"]).ack(Ack::Quorum).await;
        let mut entries = orders.subscribe(Sequence(3));
        assert_eq!(entries.at(), Sequence(3));
        let entry = within("an entry", entries.next()).await.expect("the node runs").expect("it can be read");
        assert_eq!((&entry.payload[..], entry.header.sequence()), (&b"b"[..], Sequence(3)));
        assert_eq!(entries.at(), Sequence(4));
        let later = orders.subscribe(entries.at());
        assert_eq!(later.at(), Sequence(4));
    });
}

#[test]
fn a_subscription_reads_on_through_thousands() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let wanted: Vec<String> = (0..3_500).map(|number| number.to_string()).collect();
        space(&node).append_all(wanted.clone()).ack(Ack::Quorum).await;
        assert_eq!(first_payloads(&space(&node), 3_500).await, wanted);
        let (entries, next) = space(&node).read(Sequence(2), 10).await.expect("it can be read");
        assert_eq!((entries.len(), next), (10, Sequence(12)));
    });
}

#[test]
fn a_subscription_is_a_stream_and_ends_with_the_node() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        space(&node).append("one").ack(Ack::Quorum).await.expect("appended");
        let mut entries = space(&node).subscribe(Sequence::ZERO);
        let item = within("an entry", poll_fn(|context| Pin::new(&mut entries).poll_next(context))).await;
        assert_eq!(&item.expect("the node runs").expect("it can be read").payload[..], b"one");
        let ended = tokio::spawn(async move { entries.next().await.is_none() });
        within("the shutdown", node.shutdown()).await;
        assert!(within("the end", ended).await.expect("no panic"));
    });
}

#[test]
fn a_subscription_to_a_space_that_stops_says_why_and_ends() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = TestDisk::default();
        let builder = super::trio::alone_builder(&directory).wal(disk.clone()).space(orders());
        let node = builder.start().await.expect("the node starts");
        space(&node).append("kept").ack(Ack::Quorum).await.expect("appended");
        let mut entries = space(&node).subscribe(Sequence(3));
        disk.fail_next_sync();
        let following = tokio::spawn(async move { (entries.next().await, entries.next().await.is_none()) });
        let _ = space(&node).append("not kept").await;
        let (stopped, ended) = within("the stop", following).await.expect("no panic");
        assert!(matches!(stopped, Some(Err(ReadError::Stopped { reason: StopReason::Storage { .. } }))), "{stopped:?}");
        assert!(ended);
    });
}

#[test]
fn a_disk_of_ones_own_holds_the_log() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = engraft_sim::disk::SimDisk::new(7, 1);
        let start = async || {
            let builder = super::trio::alone_builder(&directory).wal(disk.clone()).space(orders());
            builder.start().await.expect("the node starts")
        };
        let node = start().await;
        space(&node).append("in memory").ack(Ack::Quorum).await.expect("appended");
        within("the shutdown", node.shutdown()).await;
        assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0, "no file was written");
        assert!(disk.bytes_used() > 0);
        let node = start().await;
        until("the entry", async || payloads(&space(&node)).await == ["in memory"]).await;
    });
}

#[test]
fn many_subscriptions_at_once_all_get_everything() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let node = alone(&directory, orders()).await;
        let following: Vec<_> = (0..300)
            .map(|_| {
                let orders = space(&node);
                tokio::spawn(async move { first_payloads(&orders, 3).await })
            })
            .collect();
        for payload in ["a", "b", "c"] {
            space(&node).append(payload).await.expect("appended");
        }
        for followed in following {
            assert_eq!(followed.await.expect("no panic"), ["a", "b", "c"]);
        }
    });
}

//! The node for programs without a runtime.

use core::time::Duration;

use engraft::blocking::{self, Error};
use engraft::{Ack, AppendError, BuildError, PauseError, Role, Sequence, TokenState, WaitError};

use super::engine::Ledger;
use super::trio::{N2, PATIENCE, alone_builder, orders, run};

fn start(directory: &tempfile::TempDir, ledger: &Ledger) -> blocking::Engraft {
    alone_builder(directory).space(orders().state(ledger.engine())).start_blocking().expect("the node starts")
}

#[test]
fn an_engine_without_a_runtime_appends_reads_and_waits() {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = Ledger::default();
    let node = start(&directory, &ledger);
    let orders = node.space("orders").expect("it is there");
    let receipt = orders.append("one").expect("appended");
    orders.wait_for(receipt.token(), PATIENCE).expect("applied");
    assert_eq!(ledger.payloads(), ["one"]);
    orders.append_with("two", Ack::Quorum, PATIENCE).expect("appended");
    assert_eq!(orders.resolve(receipt.token()), Ok(TokenState::Committed));
    let answers = orders.make_all(orders.space().append_all(["three", "four"])).expect("it runs");
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let read: Vec<_> = orders.subscribe(Sequence::ZERO).take(4).map(|entry| entry.expect("read").payload).collect();
    assert_eq!(read, ["one", "two", "three", "four"]);
    assert_eq!(node.status().expect("it runs").spaces[0].status.role, Role::Primary);
    assert!(matches!(orders.pause_replica(N2), Err(Error::Node(PauseError::NotAReplica { .. }))));
    assert!(matches!(orders.resume_replica(N2), Err(Error::Node(PauseError::NotAReplica { .. }))));
    assert_eq!(node.space("other").err().map(|error| error.to_string().contains("orders")), Some(true));
}

#[test]
fn a_shutdown_leaves_a_directory_that_opens_again_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = Ledger::default();
    for round in 1..=3 {
        let node = start(&directory, &ledger);
        let orders = node.space("orders").expect("it is there");
        let receipt = orders.append(format!("{round}")).expect("appended");
        orders.wait_for(receipt.token(), PATIENCE).expect("applied");
        let mut entries = orders.subscribe(receipt.sequence().next());
        node.shutdown().expect("no runtime is here");
        assert_eq!(ledger.engines(), 0);
        assert!(entries.next().is_none(), "the node has ended");
        assert!(matches!(orders.append("late"), Err(Error::Ended | Error::Node(AppendError::Shutdown))));
        assert!(matches!(orders.resolve(receipt.token()), Err(Error::Ended | Error::Node(WaitError::Shutdown))));
        assert_eq!(node.status(), Err(Error::Ended));
        node.shutdown().expect("it is shut down already");
    }
    assert_eq!(ledger.payloads(), ["1", "2", "3"]);
}

#[test]
fn dropping_the_last_handle_shuts_the_node_down() {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = Ledger::default();
    let node = start(&directory, &ledger);
    drop(node);
    let began = std::time::Instant::now();
    while ledger.engines() > 0 {
        assert!(began.elapsed() < PATIENCE, "the node goes on without anybody");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_call_that_blocks_within_a_runtime_is_an_error_and_no_panic() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = start(&directory, &Ledger::default());
    let orders = node.space("orders").expect("it is there");
    run(async {
        let builder = alone_builder(&directory).space(super::trio::orders());
        assert!(matches!(builder.start_blocking(), Err(BuildError::InsideRuntime)));
        assert_eq!(orders.append("here").err(), Some(Error::InsideRuntime));
        assert_eq!(node.status(), Err(Error::InsideRuntime));
        assert_eq!(node.shutdown(), Err(Error::InsideRuntime));
        assert!(matches!(orders.subscribe(Sequence::ZERO).next(), Some(Err(Error::InsideRuntime))));
        // The same node, awaited on a runtime that is not its own.
        let receipt = node.node().space("orders").expect("it is there").append("here").await.expect("appended");
        receipt.committed().await.expect("committed");
    });
    assert_eq!(orders.subscribe(Sequence::ZERO).next().expect("it runs").expect("read").payload, "here");
}

#[test]
fn many_threads_append_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = start(&directory, &Ledger::default());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let orders = node.space("orders").expect("it is there");
            scope.spawn(move || {
                for number in 0..25 {
                    orders.append(format!("{thread}-{number}")).expect("appended");
                }
            });
        }
    });
    let orders = node.space("orders").expect("it is there");
    let read: Vec<_> = orders.subscribe(Sequence::ZERO).take(200).map(|entry| entry.expect("read").payload).collect();
    let mut different = read.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 200);
}

#[test]
fn what_keeps_a_node_from_starting_is_told_here_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let _node = start(&directory, &Ledger::default());
    let refused = alone_builder(&directory).space(orders()).start_blocking();
    assert!(matches!(refused, Err(BuildError::Start(_))), "two nodes on one directory: {refused:?}");
}

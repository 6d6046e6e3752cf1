//! Configurations of every wrong shape, each refused before anything runs.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::path::Path;

use engraft::driver::StartError;
use engraft::driver::config::Overrides;
use engraft::{Ack, Apply, BuildError, Builder, Engraft, NodeConfig, SpaceOptions};

use super::engine::Ledger;
use super::trio::{Trio, alone_builder, first_payloads, orders, run, space};

/// The words of the refusal. The directory stays untouched.
async fn refused(build: impl FnOnce(Builder) -> Builder) -> (BuildError, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let builder = build(Engraft::builder(1, "test-cluster").data_dir(&data));
    let error = builder.start().await.expect_err("it cannot be started");
    assert!(!data.exists(), "something was written: {error}");
    let words = error.to_string();
    (error, words)
}

macro_rules! refuses {
    ($name:ident, $pattern:pat, $words:literal, $build:expr) => {
        #[test]
        fn $name() {
            run(async {
                let (error, words) = refused($build).await;
                assert!(matches!(error, $pattern), "{error:?}");
                assert!(words.contains($words), "{words}");
            });
        }
    };
}

refuses!(a_space_with_a_bad_name, BuildError::Name(_), "\"no name\"", |builder| builder
    .space(SpaceOptions::new("no name")));
refuses!(a_space_given_twice, BuildError::Twice { .. }, "space orders", |builder| builder
    .space(orders())
    .space(orders()));
refuses!(peers_without_an_address_to_listen_on, BuildError::Missing { .. }, "`listen`", |builder| builder
    .peer(2, "b:1"));
refuses!(a_peer_given_twice, BuildError::Twice { .. }, "peer", |builder| {
    builder.listen("127.0.0.1:0").peer(2, "b:1").peer(2, "c:1")
});
refuses!(a_peer_that_is_the_node, BuildError::Config { .. }, "peers", |builder| {
    builder.listen("127.0.0.1:0").peer(1, "a:1")
});
refuses!(a_primary_that_is_nobody, BuildError::Config { .. }, "n7, which is neither", |builder| {
    builder.space(orders().primary(7))
});
refuses!(a_primary_that_is_no_voter, BuildError::Config { .. }, "the primary n1 among them", |builder| {
    builder.listen("127.0.0.1:0").peer(2, "b:1").space(orders().voters([2]))
});
refuses!(no_voters, BuildError::Config { .. }, "no voters", |builder| builder.space(orders().voters([])));
refuses!(a_voter_given_twice, BuildError::Config { .. }, "n1 twice", |builder| builder.space(orders().voters([1, 1])));
refuses!(a_number_out_of_bounds, BuildError::Config { .. }, "batch_entries", |builder| {
    builder.tune(|numbers| numbers.batch_entries = 0)
});
refuses!(an_engine_for_no_space, BuildError::EngineWithoutSpace { .. }, "order", |builder| {
    builder.space(orders()).state("order", Apply::OnCommit, Ledger::default().engine())
});
refuses!(an_engine_where_the_log_is_not, BuildError::EngineWithoutSpace { .. }, "elsewhere", |builder| {
    let elsewhere = SpaceOptions::new("elsewhere").primary(2).voters([2, 3]).state(Ledger::default().engine());
    builder.listen("127.0.0.1:0").peer(2, "b:1").peer(3, "c:1").space(elsewhere)
});
refuses!(two_engines_for_a_space, BuildError::Twice { .. }, "an engine for orders", |builder| {
    let options = orders().state(Ledger::default().engine());
    builder.space(options).state("orders", Apply::OnCommit, Ledger::default().engine())
});
refuses!(an_address_that_is_none, BuildError::Start(StartError::Listen { .. }), "\"nowhere\"", |builder| {
    builder.listen("nowhere").space(orders())
});

#[test]
fn no_data_directory_and_a_bad_cluster() {
    run(async {
        let missing = Engraft::builder(1, "test-cluster").start().await.expect_err("no directory");
        assert!(missing.to_string().contains("`data_dir`"), "{missing}");
        let directory = tempfile::tempdir().expect("a directory");
        let bad = Engraft::builder(1, "A Cluster").data_dir(directory.path()).start().await;
        assert!(matches!(bad, Err(BuildError::Name(_))), "{bad:?}");
    });
}

#[test]
fn a_directory_that_is_a_file_or_another_nodes() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        std::fs::write(&file, "no directory").expect("it can be written");
        let refused = alone_builder(&directory).data_dir(&file).space(orders()).start().await;
        assert!(matches!(refused, Err(BuildError::Start(StartError::Open(_)))), "{refused:?}");

        let data = directory.path().join("data");
        let node = alone_builder(&directory).data_dir(&data).space(orders()).start().await.expect("the node starts");
        let locked = alone_builder(&directory).data_dir(&data).space(orders()).start().await;
        assert!(matches!(locked, Err(BuildError::Start(StartError::Open(_)))), "{locked:?}");
        node.shutdown().await;
        let other =
            Engraft::builder(2, "test-cluster").data_dir(&data).space(SpaceOptions::new("orders")).start().await;
        assert!(matches!(other, Err(BuildError::Start(StartError::Open(_)))), "{other:?}");
    });
}

#[test]
fn starting_outside_of_a_runtime_is_an_error_and_no_panic() {
    let directory = tempfile::tempdir().expect("a directory");
    let start = pin!(alone_builder(&directory).space(orders()).start());
    let Poll::Ready(result) = start.poll(&mut Context::from_waker(Waker::noop())) else { panic!("it does not wait") };
    assert!(matches!(result, Err(BuildError::NoRuntime)));
}

#[test]
fn futures_of_a_node_run_outside_of_its_runtime() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let node = runtime.block_on(alone_builder(&directory).space(orders()).start()).expect("the node starts");
    // A thread that polls and knows no runtime.
    let block_on = |mut future: core::pin::Pin<Box<dyn Future<Output = ()>>>| {
        while future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            std::thread::yield_now();
        }
    };
    block_on(Box::pin(async move {
        let receipt = space(&node).append("from outside").ack(Ack::Quorum).await.expect("appended");
        receipt.committed().await.expect("committed");
        let entry = space(&node).subscribe(engraft::Sequence::ZERO).next().await;
        assert_eq!(entry.expect("it runs").expect("read").payload, "from outside");
    }));
}

#[test]
fn a_node_is_built_from_a_file() {
    run(async {
        let trio = Trio::new();
        let [first, second, _] = &trio.addresses;
        let text = format!(
            "node = 1\ncluster = \"test-cluster\"\nlisten = \"{first}\"\ndata_dir = \"{}\"\n\
             [[peers]]\nid = 2\naddress = \"{second}\"\n\
             [[spaces]]\nname = \"orders\"\nprimary = 1\nvoters = [1]\nack = \"quorum\"\n\
             [[spaces]]\nname = \"elsewhere\"\nprimary = 2\nvoters = [2]\n\
             [replication]\nappend_timeout = \"7s\"\n",
            trio.directory.path().display()
        );
        let config = NodeConfig::parse(Path::new("node.toml"), &text, &Overrides::default()).expect("it holds");
        let ledger = Ledger::default();
        let builder = Builder::from(&config).state("orders", Apply::OnCommit, ledger.engine());
        let node = builder.start().await.expect("the node starts");
        let receipt = space(&node).append("from a file").await.expect("appended");
        receipt.committed().await.expect("applied");
        assert_eq!(ledger.payloads(), ["from a file"]);
        assert_eq!(first_payloads(&space(&node), 1).await, ["from a file"]);
        assert!(node.space("elsewhere").is_err());
        assert_eq!(node.listen_address().to_string(), *first);
    });
}

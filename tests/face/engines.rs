//! Engines whose state follows from the log.

use core::time::Duration;

use engraft::{Ack, Apply, Notice, Role, SpaceOptions, WaitError};

use super::engine::Ledger;
use super::trio::{PATIENCE, Trio, alone, first_payloads, orders, run, space, until, within};

fn with(ledger: &Ledger) -> SpaceOptions {
    orders().state(ledger.engine())
}

#[test]
fn every_node_applies_the_same_entries_in_the_same_order() {
    run(async {
        let trio = Trio::new();
        let ledgers = [Ledger::default(), Ledger::default(), Ledger::default()];
        let mut nodes = Vec::new();
        for (node, ledger) in (1..).zip(&ledgers) {
            nodes.push(trio.start_with(node, with(ledger)).await);
        }
        let wanted: Vec<String> = (0..300).map(|number| number.to_string()).collect();
        let receipts =
            within("appends", async { space(&nodes[0]).append_all(wanted.clone()).ack(Ack::All).await }).await;
        let last = receipts.last().expect("there are some").as_ref().expect("appended").token();
        for (node, ledger) in nodes.iter().zip(&ledgers) {
            within("applying", async { space(node).wait_for(last).await }).await.expect("it comes");
            assert_eq!(ledger.payloads(), wanted);
            assert!(ledger.flushes() > 0);
        }
        // The primary learns with the next ack how far its replicas' engines are.
        until("what replicas applied", async || {
            space(&nodes[0]).append("more").await.expect("appended");
            let report = space(&nodes[0]).status().await.expect("the node runs");
            report.status.replicas.iter().all(|view| view.applied >= last.sequence)
        })
        .await;
    });
}

#[test]
fn waiting_for_an_entry_waits_for_the_engine() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = Ledger::default();
        let node = alone(&directory, with(&ledger)).await;
        ledger.hold(true);
        let receipt = space(&node).append("slow").ack(Ack::Quorum).await.expect("committed, applied or not");
        let early = receipt.committed().timeout(Duration::from_millis(100)).await;
        assert_eq!(early, Err(WaitError::TimedOut { token: receipt.token() }));
        ledger.hold(false);
        within("applying", async { receipt.committed().await }).await.expect("applied");
        assert_eq!(ledger.payloads(), ["slow"]);
    });
}

#[test]
fn an_engine_that_blocks_holds_up_nobody_else() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = Ledger::default();
        let node = alone(&directory, with(&ledger)).await;
        ledger.hold(true);
        let orders = space(&node);
        for number in 0..50 {
            within("an append", async { orders.append(number.to_string()).ack(Ack::Quorum).await })
                .await
                .expect("appended");
        }
        assert_eq!(first_payloads(&orders, 50).await.len(), 50);
        assert!(ledger.payloads().is_empty());
        let report = orders.status().await.expect("the node runs");
        assert!(report.engine.as_deref().is_some_and(|engine| engine.contains("entries behind")), "{report:?}");
        ledger.hold(false);
        until("applying", async || ledger.payloads().len() == 50).await;
    });
}

#[test]
fn after_a_restart_it_goes_on_behind_what_is_applied() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let (ledger, empty) = (Ledger::default(), Ledger::default());
        let node = alone(&directory, with(&ledger)).await;
        space(&node).append("one").await.expect("appended").committed().await.expect("applied");
        within("the shutdown", node.shutdown()).await;
        assert_eq!(ledger.engines(), 0, "after a shutdown nothing touches the state");
        let node = alone(&directory, with(&ledger)).await;
        space(&node).append("two").await.expect("appended").committed().await.expect("applied");
        assert_eq!(ledger.payloads(), ["one", "two"]);
        within("the shutdown", node.shutdown()).await;
        let node = alone(&directory, with(&empty)).await;
        until("applying anew", async || empty.payloads() == ["one", "two"]).await;
        drop(node);
        until("the end of the engine", async || empty.engines() == 0).await;
    });
}

async fn fails(panics: bool) {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = Ledger::default();
    let mut engine = ledger.engine();
    (engine.fails_at, engine.panics) = (Some("bad"), panics);
    let node = alone(&directory, orders().state(engine)).await;
    let mut notices = node.notices();
    let answers = space(&node).append_all(["good", "bad", "later"]).await;
    let tokens: Vec<_> = answers.into_iter().map(|answer| answer.expect("the log goes on").token()).collect();
    let (at, reason) = within("the notice", async {
        loop {
            let notice = notices.next().await.expect("the node runs");
            if let Ok(Notice::ApplyFailed { at, reason, .. }) = notice {
                return (at, reason);
            }
        }
    })
    .await;
    assert_eq!(ledger.payloads(), ["good"]);
    let applying = space(&node).applying().expect("there is an engine");
    let failure = applying.failure.expect("it failed");
    assert_eq!((failure.at, &failure.reason), (at, &reason));
    if panics {
        assert!(reason.contains("panicked"), "{reason}");
    } else {
        assert_eq!((at, reason.as_str()), (tokens[1].sequence, "bad is not to my taste"));
        assert_eq!(applying.applied, tokens[0].sequence);
    }
    let report = space(&node).status().await.expect("the node runs");
    assert!(report.engine.is_some_and(|engine| engine.contains(&reason)), "the status says so as well");
    assert_eq!(report.status.role, Role::Primary);
    let waited = space(&node).wait_for(tokens[2]).await;
    assert_eq!(waited, Err(WaitError::ApplyFailed { failure }));
    space(&node).append("the log goes on").ack(Ack::Quorum).await.expect("appended");
    within("the shutdown", node.shutdown()).await;
    assert_eq!(ledger.engines(), 0);
    let node = alone(&directory, orders().state(ledger.engine())).await;
    until("applying on", async || ledger.payloads() == ["good", "bad", "later", "the log goes on"]).await;
    drop(node);
}

#[test]
fn an_engine_that_fails_stops_and_says_so_and_goes_on_after_a_restart() {
    run(fails(false));
}

#[test]
fn an_engine_that_panics_has_failed() {
    run(fails(true));
}

#[test]
fn on_append_applies_what_is_durable_here_before_it_is_committed() {
    run(async {
        let trio = Trio::new();
        let (early, late) = (Ledger::default(), Ledger::default());
        let others = || SpaceOptions::new("others").primary(1);
        // No majority is there any more.
        let first = trio
            .start_left_alone_with(
                |builder| builder.space(with(&early).apply(Apply::OnAppend)).space(others().state(late.engine())),
                |builder| builder.space(orders()).space(others()),
            )
            .await;
        let receipt = space(&first).append("early").ack(Ack::Local).await.expect("appended");
        let other = first.space("others").expect("it is there").append("late").ack(Ack::Local).await.expect("appended");
        until("applying", async || early.payloads() == ["early"]).await;
        assert!(late.payloads().is_empty(), "it is not committed");
        let report = space(&first).status().await.expect("the node runs");
        assert!(report.status.commit < receipt.sequence(), "{report:?}");
        assert_eq!(report.status.applied, report.status.commit, "the core counts the commit");
        let applied = within("its end", async {
            let applied = || space(&first).applying().expect("there is an engine").applied;
            until("the word of it", async || applied() == receipt.sequence()).await;
            applied()
        });
        assert_eq!(applied.await, receipt.sequence());
        let second = trio.builder(2).space(orders()).space(others()).start().await;
        within("the commit", async { other.committed().timeout(PATIENCE).await }).await.expect("a majority");
        assert_eq!(late.payloads(), ["late"]);
        drop(second);
    });
}

#[test]
fn on_append_a_restart_reads_what_was_not_committed() {
    run(async {
        let trio = Trio::new();
        let (ledger, empty) = (Ledger::default(), Ledger::default());
        let first = trio
            .start_left_alone_with(
                |builder| builder.space(with(&ledger).apply(Apply::OnAppend)),
                |builder| builder.space(orders()),
            )
            .await;
        space(&first).append("early").ack(Ack::Local).await.expect("appended");
        until("applying", async || ledger.payloads() == ["early"]).await;
        within("the shutdown", first.shutdown()).await;
        let _first = trio.start_with(1, with(&empty).apply(Apply::OnAppend)).await;
        until("applying anew", async || empty.payloads() == ["early"]).await;
    });
}

//! Engines that apply on append take back what was truncated; a gate keeps a primary closed until its engine is open.

use core::time::Duration;

use engraft::{Ack, Apply, Engraft, Notice, Role, Sequence, SpaceOptions};

use super::engine::Ledger;
use super::trio::{Trio, orders, primary_of, run, space, until, within};

fn on_append(ledger: &Ledger) -> SpaceOptions {
    orders().state(ledger.engine()).apply(Apply::OnAppend)
}

/// n1 applied an entry that it alone has, and stopped; the others have elected a primary, which has another entry there.
async fn overtaken(trio: &Trio, ledger: &Ledger) -> [Engraft; 2] {
    let first =
        trio.start_left_alone_with(|builder| builder.space(on_append(ledger)), |builder| builder.space(orders())).await;
    space(&first).append("only here").ack(Ack::Local).await.expect("appended");
    until("applying", async || ledger.payloads() == ["only here"]).await;
    within("the shutdown", first.shutdown()).await;
    let others = [trio.start(2).await, trio.start(3).await];
    until("an election", async || others.iter().any(|node| space(node).roles().current().role == Role::Primary)).await;
    let elected = others.iter().find(|node| space(node).roles().current().role == Role::Primary).expect("just seen");
    within("an append", async { space(elected).append("instead").ack(Ack::Quorum).await }).await.expect("a majority");
    others
}

#[test]
fn an_engine_on_append_takes_back_what_was_truncated() {
    run(async {
        let (trio, ledger) = (Trio::new(), Ledger::default());
        let _others = overtaken(&trio, &ledger).await;
        let old = ledger.as_of();
        let first = trio.start_with(1, on_append(&ledger)).await;
        until("the other log", async || ledger.payloads() == ["instead"]).await;
        // To the common point, or to the beginning where the log was truncated before the engine was asked what it has.
        assert_eq!(ledger.rewinds().len(), 1, "{:?}", ledger.rewinds());
        let status = || async { space(&first).status().await.expect("the node runs").status };
        until("applying", async || status().await.applied == status().await.commit).await;
        within("the shutdown", first.shutdown()).await;

        // The node died after the truncation and before the word of it: the engine has what the log has no more.
        assert_eq!(old.payloads(), ["only here"]);
        let _first = trio.start_with(1, on_append(&old)).await;
        until("the other log", async || old.payloads() == ["instead"]).await;
        assert_eq!(old.rewinds(), [Sequence::ZERO], "nothing tells how much of it both logs have");
    });
}

#[test]
fn an_engine_that_takes_nothing_back_is_stopped_and_says_why() {
    run(async {
        let (trio, ledger) = (Trio::new(), Ledger::default());
        let _others = overtaken(&trio, &ledger).await;
        let mut engine = ledger.engine();
        engine.keeps = true;
        let first = trio.start_with(1, orders().state(engine).apply(Apply::OnAppend)).await;
        let mut notices = first.notices();
        let applying = || space(&first).applying().expect("there is an engine");
        until("the failure", async || applying().failure.is_some()).await;
        let failure = applying().failure.expect("just seen");
        assert!(failure.reason.contains("stays"), "{failure:?}");
        let told = within("the notice", async {
            loop {
                if let Some(Ok(Notice::ApplyFailed { reason, .. })) = notices.next().await {
                    return reason;
                }
            }
        });
        assert!(told.await.contains("stays"));
    });
}

#[test]
fn a_primary_behind_a_readiness_gate_takes_appends_once_its_engine_says_so() {
    run(async {
        let trio = Trio::new();
        let gated = || orders().readiness_gate();
        let mut nodes = Vec::new();
        for node in 1..=3 {
            nodes.push(trio.start_with(node, gated()).await);
        }
        let role = |node: &Engraft| space(node).roles().current();
        until("an election", async || role(&nodes[0]).role == Role::Opening).await;
        let early = space(&nodes[0]).append("early").timeout(Duration::from_millis(100)).await;
        assert!(early.is_err(), "the engine is not ready");
        let epoch = role(&nodes[0]).epoch;
        space(&nodes[0]).ready(epoch).await;
        primary_of(&space(&nodes[0])).await;
        space(&nodes[0]).append("taken").ack(Ack::Quorum).await.expect("a majority");
    });
}

//! Appends and reads across three nodes.

use core::time::Duration;

use engraft::core::action::TokenState;
use engraft::core::{Ack, AppendError, Outcome};
use engraft::types::{Control, Sequence, SpaceName};

use super::cluster::{
    Cluster, N1, N3, PATIENCE, append, caught_up, connected, opened, payloads, request, run, space, status, within,
};

#[test]
fn an_append_at_each_level_is_on_every_node() {
    run(async {
        let cluster = Cluster::new();
        let nodes = cluster.start_all().await;
        let primary = &nodes[0];
        for ack in [Ack::Local, Ack::Quorum, Ack::All] {
            append(primary, &ack.to_string(), ack).await;
        }
        let end = status(primary).await.end;
        for node in &nodes {
            caught_up(node, end).await;
            assert_eq!(payloads(node).await, ["local", "quorum", "all"]);
        }
    });
}

#[test]
fn appends_of_one_call_are_answered_in_its_order() {
    run(async {
        let cluster = Cluster::new();
        let [primary, _second, _third] = cluster.start_all().await;
        let mut batch = (0..2_500).map(|number| request(&number.to_string(), Ack::Quorum)).collect::<Vec<_>>();
        batch[1_700].space = SpaceName::new("elsewhere").expect("a name").id();
        let outcomes = within("appends", primary.append(batch)).await;
        assert_eq!(outcomes.len(), 2_500);
        let mut sequence = status(&primary).await.end.0 - 2_498;
        for (number, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Outcome::Appended { token } => {
                    assert_eq!(token.sequence, Sequence(sequence), "append {number}");
                    sequence += 1;
                }
                Outcome::Failed(AppendError::UnknownSpace { .. }) => assert_eq!(number, 1_700),
                Outcome::Unknown { .. }
                | Outcome::Resolved { .. }
                | Outcome::Failed(_)
                | Outcome::Entries { .. }
                | Outcome::Standing { .. } => panic!("{number}: {outcome}"),
            }
        }
    });
}

#[test]
fn appends_of_many_callers_all_arrive() {
    run(async {
        let cluster = Cluster::new();
        let [primary, _second, _third] = cluster.start_all().await;
        let callers = (0..20).map(|caller| {
            let primary = primary.clone();
            tokio::spawn(async move {
                for number in 0..20 {
                    append(&primary, &format!("{caller}-{number}"), Ack::Quorum).await;
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.expect("every append is answered");
        }
        let mut found = payloads(&primary).await;
        found.sort_unstable();
        let mut wanted = (0..400).map(|number| format!("{}-{}", number / 20, number % 20)).collect::<Vec<_>>();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
    });
}

#[test]
fn an_append_to_a_replica_names_the_primary() {
    run(async {
        let cluster = Cluster::new();
        let [_primary, second, _third] = cluster.start_all().await;
        let outcomes = second.append(vec![request("here?", Ack::Local)]).await;
        assert_eq!(outcomes, [Outcome::Failed(AppendError::NotPrimary { primary: N1 })]);
    });
}

#[test]
fn control_bytes_of_the_librarys_own_are_refused() {
    run(async {
        let cluster = Cluster::new();
        let [primary, _third] = cluster.start_without_n2().await;
        let mut forged = request("an epoch's start?", Ack::Local);
        forged.control = Control { kind: 1, ..Control::user() };
        let outcomes = primary.append(vec![forged]).await;
        assert_eq!(outcomes, [Outcome::Failed(AppendError::ReservedControl { found: 1 })]);
        assert_eq!(payloads(&primary).await, [""; 0]);
    });
}

#[test]
fn a_large_entry_travels_whole() {
    run(async {
        let cluster = Cluster::new();
        let [primary, _second, third] = cluster.start_all().await;
        let payload = "0123456789abcdef".repeat(300_000);
        let token = append(&primary, &payload, Ack::All).await;
        caught_up(&third, token.sequence).await;
        let read = third.read(space(), token.sequence, 1, 1).await;
        let Outcome::Entries { entries, .. } = read else { panic!("not read: {read}") };
        assert!(entries.first().is_some_and(|entry| entry.payload == payload.as_bytes()));
    });
}

#[test]
fn a_replica_that_was_stopped_catches_up_when_it_is_back() {
    run(async {
        let cluster = Cluster::new();
        let [primary, second, third] = cluster.start_all().await;
        append(&primary, "before", Ack::All).await;
        third.shutdown().await;
        connected(&primary, false).await;
        let mut last = Sequence::ZERO;
        for number in 0..300 {
            last = append(&primary, &format!("without n3, {number}"), Ack::Quorum).await.sequence;
        }
        let third = cluster.start(N3).await;
        caught_up(&third, last).await;
        assert_eq!(payloads(&third).await, payloads(&primary).await);
        let last = append(&primary, "after", Ack::All).await.sequence;
        caught_up(&second, last).await;
    });
}

#[test]
fn a_primary_goes_on_in_a_higher_epoch_after_its_restart() {
    run(async {
        let cluster = Cluster::new();
        let [primary, second, _third] = cluster.start_all().await;
        let before = append(&primary, "before", Ack::All).await;
        primary.shutdown().await;
        let primary = cluster.start(N1).await;
        opened(&primary).await;
        let after = append(&primary, "after", Ack::All).await;
        assert!(after.epoch > before.epoch, "{before} then {after}");
        caught_up(&second, after.sequence).await;
        assert_eq!(payloads(&second).await, ["before", "after"]);
    });
}

#[test]
fn a_token_tells_what_became_of_its_append() {
    run(async {
        let cluster = Cluster::new();
        let [primary, third] = cluster.start_without_n2().await;
        third.shutdown().await;
        let token = append(&primary, "alone", Ack::Local).await;
        let resolved = |state| Outcome::Resolved { token, state };
        assert_eq!(primary.wait_for(token, Duration::ZERO).await, resolved(TokenState::Pending));
        let waiting = tokio::spawn({
            let primary = primary.clone();
            async move { primary.wait_for(token, PATIENCE).await }
        });
        let _third = cluster.start(N3).await;
        assert_eq!(waiting.await.expect("it is answered"), resolved(TokenState::Committed));
    });
}

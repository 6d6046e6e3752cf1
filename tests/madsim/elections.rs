//! A primary is killed, cut off, and replaced by a replica that lagged behind it: what the driver makes of it.

use core::time::Duration;

use engraft::core::{Ack, Outcome, PromoteBy, Role};
use engraft::driver::NodeHandle;
use engraft::types::{NodeId, Sequence};
use engraft_sim::madsim_host::{Detail, World, run_story, sleep};

use crate::support;

use super::cluster::{N1, N2, N3, NODES, append, caught_up, orders, start, status};

const MS: Duration = Duration::from_millis(1);

/// Three nodes, n1 the primary, with 20 entries on each.
async fn settled(world: &World, seed: u64) -> [NodeHandle; 3] {
    let handles = [start(world, seed, N1).await, start(world, seed, N2).await, start(world, seed, N3).await];
    for handle in &handles {
        caught_up(handle, Sequence(1)).await;
    }
    let last = append(&handles[0], 20, Ack::All).await;
    world.milestone(format!("20 entries at all, up to {last}"));
    handles
}

/// Waits until one of the nodes is the primary; which one.
async fn replaced<'a>(world: &World, among: &[(NodeId, &'a NodeHandle)]) -> (NodeId, &'a NodeHandle) {
    for _ in 0..500 {
        for &(node, handle) in among {
            let space = status(handle).await;
            if space.role == Role::Primary {
                world.milestone(format!("{node} is the primary in {}", space.epoch));
                return (node, handle);
            }
        }
        sleep(10 * MS).await;
    }
    panic!("nobody took over within five seconds");
}

async fn tell_end(world: &World, node: NodeId, handle: &NodeHandle) -> Sequence {
    let space = status(handle).await;
    world.milestone(format!("{node} {} in {} ends {} commit {}", space.role, space.epoch, space.end, space.commit));
    space.end
}

/// Ends a story: all logs are the same, and every node stops in order.
async fn ended(world: &World, handles: &[(NodeId, &NodeHandle)]) {
    let mut ends = Vec::new();
    for &(node, handle) in handles {
        ends.push(tell_end(world, node, handle).await);
    }
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:?}");
    for (_, handle) in handles {
        handle.shutdown().await;
        sleep(100 * MS).await;
        assert_eq!(handle.failure(), None);
    }
}

async fn killed(mut world: World, seed: u64) {
    let [first, second, third] = settled(&world, seed).await;
    world.power_off(N1);
    drop(first);
    let (_, primary) = replaced(&world, &[(N2, &second), (N3, &third)]).await;
    let last = append(primary, 10, Ack::Quorum).await;
    world.milestone(format!("10 entries at quorum without n1, up to {last}"));
    world.power_on(N1);
    let first = start(&world, seed, N1).await;
    caught_up(&first, last).await;
    assert_eq!(status(&first).await.role, Role::Replica, "it follows who took its place");
    ended(&world, &[(N1, &first), (N2, &second), (N3, &third)]).await;
}

async fn cut_off(world: World, seed: u64) {
    let [first, second, third] = settled(&world, seed).await;
    world.cut(N1, N2);
    world.cut(N1, N3);
    // It still holds its lease, then does not; both times it answers at Local.
    let last = append(&first, 5, Ack::Local).await;
    assert!(status(&first).await.leased);
    world.milestone(format!("5 entries at local on n1 with its lease, up to {last}"));
    sleep(1_000 * MS).await;
    assert!(!status(&first).await.leased);
    let alone = append(&first, 5, Ack::Local).await;
    world.milestone(format!("5 entries at local on n1 without a lease, up to {alone}"));
    let (_, primary) = replaced(&world, &[(N2, &second), (N3, &third)]).await;
    let last = append(primary, 3, Ack::Quorum).await;
    world.milestone(format!("3 entries at quorum elsewhere, up to {last}"));
    assert!(last < alone, "n1 has more");
    world.heal(N1, N2);
    world.heal(N1, N3);
    let last = append(primary, 1, Ack::All).await;
    world.milestone(format!("{last} at all"));
    caught_up(&first, last).await;
    assert_eq!(status(&first).await.role, Role::Replica);
    ended(&world, &[(N1, &first), (N2, &second), (N3, &third)]).await;
}

async fn behind(mut world: World, seed: u64) {
    let [first, second, third] = settled(&world, seed).await;
    world.cut(N1, N3);
    let last = append(&first, 30, Ack::Quorum).await;
    world.milestone(format!("30 entries at quorum that n3 lacks, up to {last}"));
    world.power_off(N1);
    drop(first);
    let (node, primary) = replaced(&world, &[(N2, &second), (N3, &third)]).await;
    assert_eq!(node, N2, "whoever lacks what is committed is not elected, however often it stands");
    let last = append(primary, 10, Ack::Quorum).await;
    caught_up(&third, last).await;
    world.milestone(format!("n3 has everything, up to {last}"));
    world.power_on(N1);
    world.heal(N1, N3);
    let first = start(&world, seed, N1).await;
    caught_up(&first, last).await;
    ended(&world, &[(N1, &first), (N2, &second), (N3, &third)]).await;
}

async fn forced(mut world: World, seed: u64) {
    let [first, second, third] = settled(&world, seed).await;
    world.cut(N1, N3);
    world.cut(N2, N3);
    let lost = append(&first, 5, Ack::Quorum).await;
    world.milestone(format!("5 entries at quorum that n3 lacks, up to {lost}"));
    world.power_off(N1);
    world.power_off(N2);
    drop((first, second));
    sleep(3_000 * MS).await;
    assert_eq!(status(&third).await.role, Role::Replica, "one of three is no majority");
    let Outcome::Standing { epoch } = third.promote(orders().id(), PromoteBy::Force).await else { panic!("refused") };
    let (_, primary) = replaced(&world, &[(N3, &third)]).await;
    assert_eq!((status(primary).await.epoch, epoch.generation()), (epoch, 1));
    let last = append(primary, 3, Ack::Local).await;
    world.milestone(format!("3 entries at local on n3 alone, up to {last}"));
    world.heal(N1, N3);
    world.heal(N2, N3);
    world.power_on(N1);
    world.power_on(N2);
    let (first, second) = (start(&world, seed, N1).await, start(&world, seed, N2).await);
    for (node, handle) in [(N1, &first), (N2, &second)] {
        caught_up(handle, last).await;
        let space = status(handle).await;
        assert_eq!(
            (space.role, space.promise.generation()),
            (Role::Replica, 1),
            "{node} follows, however many they are"
        );
    }
    while status(primary).await.voters != NODES {
        sleep(100 * MS).await;
    }
    let last = append(primary, 1, Ack::All).await;
    world.milestone(format!("{last} at all"));
    caught_up(&first, last).await;
    caught_up(&second, last).await;
    ended(&world, &[(N1, &first), (N2, &second), (N3, &third)]).await;
}

#[test]
fn a_primary_without_power_is_replaced_and_follows() {
    let trace = run_story(11, &NODES, Detail::Notices, |world| killed(world, 11));
    support::snapshot("driver", "replaced", &trace.story());
}

#[test]
fn a_primary_that_is_cut_off_is_replaced_and_truncates_what_it_alone_has() {
    let trace = run_story(12, &NODES, Detail::Notices, |world| cut_off(world, 12));
    let story = trace.story();
    for expected in ["lease of e1n1 lost", "deposed", "salvaged", "truncated"] {
        assert!(story.contains(expected), "{expected}:\n{story}");
    }
    support::snapshot("driver", "cut_off", &story);
}

#[test]
fn a_replica_that_lags_is_not_promoted() {
    let trace = run_story(13, &NODES, Detail::Notices, |world| behind(world, 13));
    support::snapshot("driver", "behind", &trace.story());
}

#[test]
fn two_of_three_that_come_back_follow_who_was_forced_on_without_them() {
    let trace = run_story(14, &NODES, Detail::Notices, |world| forced(world, 14));
    let story = trace.story();
    for expected in ["salvaged", "truncated"] {
        assert!(story.contains(expected), "{expected}:\n{story}");
    }
    support::snapshot("driver", "forced", &story);
}

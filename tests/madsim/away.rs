//! A replica loses its power and comes back; then another one is cut off and heals.

use core::fmt::Write;
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::process::Command;

use engraft::core::Ack;
use engraft::types::Sequence;
use engraft_sim::madsim_host::wal_gate::WalStep;
use engraft_sim::madsim_host::{Detail, Trace, World, run_story, sleep};

use crate::support;

use super::cluster::{N1, N2, N3, NODES, append, caught_up, start, status};

const SEED: u64 = 7;
/// Where a child process of these tests writes its trace.
const TRACE_TO: &str = "ENGRAFT_TRACE_TO";

fn tell(seed: u64) -> Trace {
    run_story(seed, &NODES, Detail::Everything, move |world| story(world, seed))
}

async fn story(mut world: World, seed: u64) {
    let primary = start(&world, seed, N1).await;
    let second = start(&world, seed, N2).await;
    let third = start(&world, seed, N3).await;
    caught_up(&second, Sequence(1)).await;
    caught_up(&third, Sequence(1)).await;
    let last = append(&primary, 20, Ack::All).await;
    world.milestone(format!("20 entries at all, up to {last}"));

    // The power fails while a group is written and not synced: it is in no ack, so it may be lost.
    let (_, last) = tokio::join!(world.stop_log_at(N3, WalStep::Written), append(&primary, 1, Ack::Quorum));
    world.milestone(format!("{last} at quorum, written and not synced on n3"));
    world.power_off(N3);
    drop(third);
    let last = append(&primary, 30, Ack::Quorum).await;
    world.milestone(format!("30 entries at quorum without n3, up to {last}"));
    sleep(Duration::from_secs(2)).await;
    world.power_on(N3);
    let third = start(&world, seed, N3).await;
    caught_up(&third, last).await;
    world.milestone(format!("n3 has caught up to {last}"));

    world.cut(N1, N2);
    let last = append(&primary, 40, Ack::Quorum).await;
    world.milestone(format!("40 entries at quorum without n2, up to {last}"));
    sleep(Duration::from_secs(2)).await;
    let behind = status(&second).await.durable;
    assert!(behind < last, "nothing reaches n2: it has {behind}");
    world.heal(N1, N2);
    caught_up(&second, last).await;
    world.milestone(format!("n2 has caught up to {last}"));

    let last = append(&primary, 1, Ack::All).await;
    world.milestone(format!("{last} at all"));
    for (node, handle) in [(N1, &primary), (N2, &second), (N3, &third)] {
        let space = status(handle).await;
        world.milestone(format!(
            "{node} {} in {} ends {} durable {}",
            space.role, space.epoch, space.end, space.durable
        ));
        handle.shutdown().await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(handle.failure(), None);
    }
}

#[test]
fn a_replica_that_lost_power_and_one_that_was_cut_off_catch_up() {
    let trace = tell(SEED);
    support::snapshot("driver", "away", &trace.story());
}

/// The body of the child processes below; does nothing in an ordinary run.
#[test]
fn child_writes_its_trace() {
    if let Some(path) = std::env::var_os(TRACE_TO) {
        std::fs::write(path, tell(SEED).full()).expect("the parent made the directory");
    }
}

fn told_elsewhere(directory: &Path, name: &str) -> String {
    let path: PathBuf = directory.join(name);
    let child = Command::new(std::env::current_exe().expect("this test runs from a file"))
        .args(["--exact", "madsim::away::child_writes_its_trace", "--test-threads=1"])
        .env(TRACE_TO, &path)
        .output()
        .expect("the test's own file runs");
    assert!(child.status.success(), "the child failed:\n{}", String::from_utf8_lossy(&child.stderr));
    std::fs::read_to_string(path).expect("the child wrote its trace")
}

#[test]
fn the_same_seed_gives_the_same_trace_in_two_processes() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (first, second) = (told_elsewhere(directory.path(), "first"), told_elsewhere(directory.path(), "second"));
    let differs = first.lines().zip(second.lines()).enumerate().find(|(_, (first, second))| first != second);
    if let Some((number, (first, second))) = differs {
        panic!("line {} differs:\n{first}\n{second}", number + 1);
    }
    assert_eq!(first.len(), second.len(), "one trace is longer");
    assert!(first.lines().count() > 1_000, "the trace holds what the core was told and did");
}

#[test]
fn another_seed_gives_another_trace() {
    let mut traces = String::new();
    for seed in [SEED, SEED + 1] {
        let trace = tell(seed).full();
        assert!(!traces.contains(&trace));
        let _ = write!(traces, "{trace}");
    }
}

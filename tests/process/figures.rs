//! What a monitor sees: figures that move with real faults, and readiness.

use alloc::collections::BTreeMap;
use core::time::Duration;
use std::io::Read;
use std::time::Instant;

use engraft::core::{Exposed, NodeStatus, ReplicaLag, ReplicaStatus, ReplicaView, Role, SpaceStatus};
use engraft::driver::NodeFigures;
use engraft::driver::figures::SyncTimes;
use engraft::driver::metrics::{self, METRICS, MetricKind, Subject};
use engraft::types::{Epoch, NodeId, Sequence, SpaceName};

use super::support::{Answer, Server, alone, eventually, without_peers};
use super::trio::Trio;

const ENTRIES: &str = "/v1/spaces/orders/entries";

/// Every series of a text in Prometheus' format, by name and labels.
fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line:?}")))
        })
        .collect()
}

/// The primary's figures of one replica, without the common start of their names.
#[derive(Debug)]
struct Figures {
    lag_ms: f64,
    lag_entries: f64,
    sent: f64,
    failed: f64,
    status: f64,
    throughput: f64,
}

fn figures(server: &Server, replica: u16) -> Figures {
    let answer = server.get("/metrics");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4")));
    let all = series(&answer.text);
    let figure = |name: &str| {
        let series = format!("engram_replication_{name}{{memory_space=\"orders\",replica_id=\"{replica}\"}}");
        *all.get(&series).unwrap_or_else(|| panic!("no {series} in {}", answer.text))
    };
    Figures {
        lag_ms: figure("lag_ms"),
        lag_entries: figure("lag_entries"),
        sent: figure("batches_sent_total"),
        failed: figure("batches_failed_total"),
        status: figure("replica_status"),
        throughput: figure("throughput_entries_per_sec"),
    }
}

fn wait(server: &Server, replica: u16, what: &str, holds: impl Fn(&Figures) -> bool) -> Figures {
    eventually(what, || {
        let found = figures(server, replica);
        if holds(&found) { Ok(found) } else { Err(format!("n{replica}: {found:?}")) }
    })
}

fn append(server: &Server) {
    assert_eq!(server.post(ENTRIES, b"entry").status, 200);
}

#[test]
fn each_figure_moves_with_a_replica_that_stalls_dies_and_comes_back() {
    let mut trio = Trio::start();
    let before = figures(trio.node(1), 2);
    assert_eq!((before.lag_ms, before.lag_entries, before.status), (0.0, 0.0, 3.0));
    (0..50).for_each(|_| append(trio.node(1)));
    trio.wait_until_healthy();
    let busy = wait(trio.node(1), 2, "a rate", |figures| figures.throughput > 0.0);
    assert!(busy.sent >= before.sent + 2.0, "{before:?} {busy:?}");

    // Its kernel still takes bytes; nothing is acknowledged any more.
    trio.node(2).signal("STOP");
    append(trio.node(1));
    let stalled = wait(trio.node(1), 2, "a lag", |figures| figures.lag_ms >= 100.0);
    assert!(stalled.lag_entries >= 1.0 && stalled.status < 3.0, "{stalled:?}");
    let failing = wait(trio.node(1), 2, "a failure", |figures| figures.failed > busy.failed && figures.status <= 1.0);
    assert!(failing.lag_ms >= 300.0 || failing.status == 0.0, "Degraded from the alert on: {failing:?}");
    assert!(failing.sent > busy.sent, "what was not acknowledged was sent again: {failing:?}");
    trio.kill(2);
    wait(trio.node(1), 2, "a failed replica", |figures| figures.status == 0.0);
    wait(trio.node(1), 2, "an end of its rate", |figures| {
        append(trio.node(1));
        figures.throughput == 0.0
    });
    wait(trio.node(1), 3, "the rate of the other one", |figures| {
        append(trio.node(1));
        figures.throughput > 0.0 && figures.status > failing.status
    });

    trio.start_node(2);
    let back = wait(trio.node(1), 2, "recovery", |figures| figures.status == 3.0 && figures.lag_entries == 0.0);
    assert!(back.lag_ms == 0.0, "{back:?}");
    wait(trio.node(1), 2, "a rate again", |figures| {
        append(trio.node(1));
        figures.throughput > 0.0
    });
    assert!(back.failed >= failing.failed && back.sent > failing.sent, "{failing:?} {back:?}");
}

#[test]
fn bytes_and_syncs_are_counted_where_they_happen() {
    let trio = Trio::start();
    let counted = |node: usize| {
        let all = series(&trio.node(node).get("/metrics").text);
        let of = |series: &str| all[&format!("engram_replication_{series}")];
        let syncs = of("fsync_seconds_count{memory_space=\"orders\"}");
        let longest = of("fsync_seconds_bucket{memory_space=\"orders\",le=\"+Inf\"}");
        assert_eq!(syncs, longest);
        (of("bytes_total{direction=\"sent\"}"), of("bytes_total{direction=\"received\"}"), syncs)
    };
    let (payload, before) = (vec![7; 1 << 20], [counted(1), counted(2), counted(3)]);
    for _ in 0..3 {
        assert_eq!(trio.node(1).post(&format!("{ENTRIES}?ack=all"), &payload).status, 200);
    }
    let after = [counted(1), counted(2), counted(3)];
    let bulk = 3.0 * 1_048_576.0;
    let difference = |node: usize| {
        let (after, before) = (after[node - 1], before[node - 1]);
        (after.0 - before.0, after.1 - before.1, after.2 - before.2)
    };
    let (sent, received, syncs) = difference(1);
    assert!(sent >= 2.0 * bulk, "to two replicas: {sent}");
    assert!(received > 0.0 && received < bulk, "acknowledgements: {received}");
    assert!(syncs >= 3.0, "each was answered before the next was sent: {syncs}");
    for replica in [2, 3] {
        let (sent, received, syncs) = difference(replica);
        assert!(received >= bulk && sent > 0.0 && sent < bulk, "n{replica}: {sent} {received}");
        assert!(syncs >= 3.0, "n{replica}: {syncs}");
    }
    let seconds = series(&trio.node(1).get("/metrics").text);
    assert!(seconds["engram_replication_fsync_seconds_sum{memory_space=\"orders\"}"] > 0.0);
}

#[test]
fn a_node_tells_what_it_is_and_a_replica_tells_nothing_of_replicas() {
    let trio = Trio::start();
    for (node, role) in [(1, 3.0), (2, 2.0)] {
        let all = series(&trio.node(node).get("/metrics").text);
        assert_eq!(all["engram_replication_role{memory_space=\"orders\"}"], role);
        assert_eq!(all["engram_replication_epoch{memory_space=\"orders\"}"], 1.0);
        assert_eq!(all.keys().any(|name| name.contains("replica_id")), node == 1, "{all:?}");
    }
}

fn status_of(node: u16, replica: u16) -> NodeStatus {
    let name = SpaceName::new("orders").expect("a name");
    let view = ReplicaView {
        node: NodeId(replica),
        status: ReplicaStatus::Degraded,
        reason: String::new(),
        durable: Sequence(5),
        applied: Sequence(5),
        lag: ReplicaLag { entries: 7, bytes: 700, ms: 1_234 },
        connected: true,
        paused: false,
        recovering: false,
        batches_sent: 11,
        batches_failed: 2,
    };
    let epoch = Epoch::new(0, 9, NodeId(node));
    let (end, commit) = (Sequence(12), Sequence(10));
    let space = SpaceStatus {
        space: name.id(),
        name,
        role: Role::Primary,
        stopped: None,
        primary: Some(NodeId(node)),
        leased: true,
        voters: Vec::from([NodeId(1)]),
        epoch,
        promise: epoch,
        end,
        end_epoch: epoch,
        durable: end,
        commit,
        applied: commit,
        waiting: 0,
        exposure: Exposed { entries: 2, bytes: 20, ms: 300, held: 0, bytes_max: Some(64 << 20) },
        replicas: vec![view],
    };
    NodeStatus { node: NodeId(node), peers: BTreeMap::new(), spaces: vec![space] }
}

#[test]
fn every_metric_is_described_and_stands_once_for_each_subject() {
    let status = status_of(1, 2);
    let mut times = SyncTimes { total: Duration::from_millis(1_500), ..SyncTimes::default() };
    (times.counts[0], times.counts[3], times.counts[14]) = (4, 2, 1);
    let syncs = [(status.spaces[0].space, times)].into();
    let text = metrics::render(&status, &NodeFigures { bytes_sent: 70, bytes_received: 30, syncs }, |_, _| 17.5);
    let mut all = series(&text);
    for (series, expected) in [
        ("bytes_total{direction=\"sent\"}", 70.0),
        ("bytes_total{direction=\"received\"}", 30.0),
        ("fsync_seconds_bucket{memory_space=\"orders\",le=\"0.0001\"}", 4.0),
        ("fsync_seconds_bucket{memory_space=\"orders\",le=\"0.0005\"}", 4.0),
        ("fsync_seconds_bucket{memory_space=\"orders\",le=\"0.001\"}", 6.0),
        ("fsync_seconds_bucket{memory_space=\"orders\",le=\"5\"}", 6.0),
        ("fsync_seconds_bucket{memory_space=\"orders\",le=\"+Inf\"}", 7.0),
        ("fsync_seconds_sum{memory_space=\"orders\"}", 1.5),
        ("fsync_seconds_count{memory_space=\"orders\"}", 7.0),
    ] {
        assert_eq!(all.get(&format!("engram_replication_{series}")), Some(&expected), "{series} in {text}");
    }
    all.retain(|series, _| !series.contains("fsync_seconds") && !series.contains("direction"));
    let plain = METRICS.iter().filter(|metric| ![metrics::BYTES, metrics::FSYNC].contains(&metric.name));
    assert_eq!(all.len(), plain.clone().count(), "{text}");
    for metric in plain.clone() {
        let replica = if metric.subject == Subject::Replica { ",replica_id=\"2\"" } else { "" };
        assert!(all.contains_key(&format!("{}{{memory_space=\"orders\"{replica}}}", metric.name)), "{text}");
    }
    for metric in METRICS {
        let kind = kind_name(metric.kind);
        assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{text}");
        assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{text}");
    }
    let both = "{memory_space=\"orders\",replica_id=\"2\"}";
    for (name, expected) in [
        ("lag_ms", 1_234.0),
        ("lag_entries", 7.0),
        ("lag_bytes", 700.0),
        ("batches_sent_total", 11.0),
        ("batches_failed_total", 2.0),
        ("replica_status", 1.0),
        ("throughput_entries_per_sec", 17.5),
    ] {
        assert_eq!(all[&format!("engram_replication_{name}{both}")], expected, "{name}");
    }
    for (name, expected) in [("entries", 2.0), ("bytes", 20.0), ("ms", 300.0)] {
        let series = format!("engram_replication_exposure_{name}{{memory_space=\"orders\"}}");
        assert_eq!(all[&series], expected, "{name}");
    }
}

const fn kind_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    }
}

#[test]
fn figures_of_two_nodes_in_one_process_do_not_mix() {
    let first = metrics::render(&status_of(1, 2), &NodeFigures::default(), |_, _| 1.0);
    let second = metrics::render(&status_of(2, 3), &NodeFigures::default(), |_, _| 2.0);
    assert!(first.contains("replica_id=\"2\"") && !first.contains("replica_id=\"3\""), "{first}");
    assert!(second.contains("replica_id=\"3\"") && !second.contains("replica_id=\"2\""), "{second}");
}

#[test]
fn readiness_says_what_is_in_the_way() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &alone(directory.path(), ""));
    server.wait_for_primary();
    assert_eq!((server.get("/readyz").status, server.get("/readyz").text.as_str()), (200, "ready\n"));
    assert_eq!(server.get("/readyz?max_lag_ms=0").status, 200);
    for bad in ["max_lag_ms=x", "max_lag=1"] {
        let answer = server.get(&format!("/readyz?{bad}"));
        assert_eq!((answer.status, &answer.json()["error"]["kind"]), (400, &"bad_request".into()), "{bad}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let replica = Server::start(directory.path(), &without_peers(directory.path(), 2, ""));
    let answer = replica.get("/readyz");
    assert_eq!((answer.status, &answer.json()["error"]["kind"]), (503, &"not_ready".into()));
    assert!(answer.text.contains("orders: no link to the primary n1"), "{}", answer.text);
    assert_eq!(replica.get("/livez").status, 200, "it lives all the same");
}

#[test]
fn readiness_minds_the_lag_where_it_is_asked_to() {
    let trio = Trio::start();
    let ready = |node| {
        eventually("readiness", || match trio.node(node).get("/readyz?max_lag_ms=200") {
            answer if answer.status == 200 => Ok(()),
            answer => Err(answer.text),
        });
    };
    ready(1);
    ready(2);
    trio.node(2).signal("STOP");
    append(trio.node(1));
    let answer = eventually("a lag", || {
        let answer = trio.node(1).get("/readyz?max_lag_ms=200");
        if answer.status == 503 { Ok(answer) } else { Err(answer.text) }
    });
    assert!(answer.text.contains("orders: n2 lags "), "{}", answer.text);
    assert_eq!(trio.node(1).get("/readyz").status, 200, "it takes appends all the same");
    trio.node(2).signal("CONT");
    ready(1);
}

#[test]
fn a_long_poll_is_answered_by_the_commit_by_its_time_or_by_the_end_of_the_node() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &alone(directory.path(), ""));
    server.wait_for_primary();
    append(&server);
    assert_eq!(server.get(&format!("{ENTRIES}?from=2&wait_ms=60000")).lines().len(), 1, "what is there comes at once");
    let begun = Instant::now();
    let nothing = server.get(&format!("{ENTRIES}?from=3&wait_ms=300"));
    assert_eq!((nothing.status, nothing.text.as_str(), nothing.header("engraft-commit")), (200, "", Some("2")));
    assert!(begun.elapsed() >= Duration::from_millis(300), "it waited");
    assert_eq!(server.get(&format!("{ENTRIES}?wait_ms=60001")).status, 400);

    let waiting = server.open("GET", &format!("{ENTRIES}?from=3&wait_ms=60000"), "text/plain", 0);
    std::thread::sleep(Duration::from_millis(100));
    append(&server);
    let answer = Answer::read(waiting);
    assert_eq!((answer.status, answer.lines().len()), (200, 1), "at its time it would have none: {}", answer.text);

    // The node may be told to stop before it has taken the request, and resets the connection then.
    let answered = [100, 1_000, 10_000].into_iter().any(is_answered_by_the_end_of_the_node);
    assert!(answered, "a request of ten seconds ago is taken");
}

/// Stops a node some time after somebody began to wait for an entry that does not come; whether that was answered.
fn is_answered_by_the_end_of_the_node(after_ms: u64) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    // Were the waiting one waited for, the node would not end before the test gives up.
    let slow = "[clients]\ndrain_timeout = \"1h\"\n";
    let mut server = Server::start(directory.path(), &alone(directory.path(), slow));
    server.wait_for_primary();
    let mut waiting = server.open("GET", &format!("{ENTRIES}?from=9&wait_ms=60000"), "text/plain", 0);
    std::thread::sleep(Duration::from_millis(after_ms));
    server.signal("TERM");
    let mut answer = Vec::new();
    let read = waiting.read_to_end(&mut answer);
    assert_eq!(server.wait(), Some(0));
    let answered = read.is_ok() && !answer.is_empty();
    assert!(!answered || answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    answered
}

#[test]
fn the_document_for_operators_names_every_metric_every_status_and_every_command() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operating.md");
    let text = std::fs::read_to_string(file).expect("the document");
    for metric in METRICS {
        let labels: Vec<String> = metric.subject.labels().iter().map(|label| format!("`{label}`")).collect();
        let (labels, kind) = (labels.join(", "), kind_name(metric.kind));
        let row = format!("| `{}` | {labels} | {kind} |", metric.name);
        assert!(text.contains(&row), "docs/operating.md has no row {row}");
    }
    let named = text.lines().filter(|line| line.starts_with("| `engram_replication_")).count();
    assert_eq!(named, METRICS.len(), "docs/operating.md names metrics that are not there");
    for status in [200, 202, 400, 404, 405, 408, 413, 421, 429, 503] {
        assert!(text.contains(&format!("\n| {status} | ")), "docs/operating.md does not tell of {status}");
    }
    let help = super::support::engraft().arg("--help").output().expect("it runs");
    let help = super::support::stdout(&help);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    assert!(commands.len() > 8, "{help}");
    for command in commands.into_iter().filter(|command| !command.is_empty()) {
        assert!(text.contains(&format!("| `engraft {command}")), "docs/operating.md does not tell of {command}");
    }
}

//! `engraft status`: understood at a glance, and by programs.

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use super::support::{code, engraft, eventually, stderr, stdout};
use super::trio::Trio;
use crate::support::free_addresses;

fn status(trio: &Trio, more: &[&str]) -> Output {
    let config = trio.directory(1).join("node.toml");
    engraft().args(["status", "--config"]).arg(config).args(more).output().expect("it runs")
}

/// The words of each line of a table.
fn table(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn the_table_shows_nodes_spaces_and_replicas() {
    let trio = Trio::start();
    let expected = [
        "NODE SPACE ROLE EPOCH END COMMIT REPLICA STATUS LAG REASON",
        "n1 orders primary e1n1 1 1 n2 healthy 0 has everything",
        "n3 healthy 0 has everything",
        "n2 orders replica e1n1 1 1 of n1",
        "n3 orders replica e1n1 1 1 of n1",
    ];
    // Replicas hear of the commit with what comes next, a heartbeat at the latest.
    let output = eventually("the table", || {
        let output = status(&trio, &["--max-lag-ms", "10000"]);
        let found: Vec<String> = table(&stdout(&output)).iter().map(|line| line.join(" ")).collect();
        if found == expected && code(&output) == Some(0) { Ok(output) } else { Err(format!("{output:?}")) }
    });
    let columns: Vec<Option<usize>> = stdout(&output).lines().take(3).map(|line| line.find("healthy")).collect();
    assert_eq!((columns[1], columns[1].is_some()), (columns[2], true), "columns stand below each other");

    let output = status(&trio, &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("one object");
    let nodes = json["nodes"].as_array().expect("a list");
    assert_eq!(nodes.iter().map(|node| node["status"]["node"].clone()).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(nodes[0]["status"]["spaces"][0]["replicas"][0]["status"], "healthy");
    assert_eq!(nodes[0]["http"], trio.http(1));
}

#[test]
fn a_node_that_is_away_is_shown_and_exits_6_and_a_lag_over_the_limit_7() {
    let mut trio = Trio::start();
    trio.kill(2);
    let output = status(&trio, &[]);
    assert_eq!(code(&output), Some(6), "{}", stderr(&output));
    let away = format!("{} - unreachable no answer", trio.http(2));
    assert!(table(&stdout(&output)).iter().any(|line| line.join(" ").starts_with(&away)), "{}", stdout(&output));
    assert!(stdout(&output).contains("n3"), "the others are shown all the same: {}", stdout(&output));

    assert_eq!(trio.node(1).post("/v1/spaces/orders/entries", b"x").status, 200);
    let output = eventually("a lag", || {
        let output = status(&trio, &["--max-lag-ms", "200"]);
        let without_a_link = stdout(&output).contains("no link; ");
        if code(&output) == Some(7) && without_a_link { Ok(output) } else { Err(stdout(&output)) }
    });
    assert!(stderr(&output).contains("orders n2 lags "), "{}", stderr(&output));
    assert!(stderr(&output).contains("expected at most 200 ms"), "{}", stderr(&output));
    let line =
        table(&stdout(&output)).into_iter().find(|line| line.contains(&"primary".to_owned())).expect("a primary");
    assert_eq!((line[6].as_str(), line[8].as_str(), line[9].as_str()), ("n2", "1", "in"), "{line:?}");
    assert!(line[7] != "healthy" && line.join(" ").contains(" ms no link; "), "{line:?}");
    let json = stdout(&status(&trio, &["--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert!(json["nodes"][1]["error"].as_str().is_some_and(|error| error.contains("no answer")), "{json}");
    assert_eq!(code(&status(&trio, &["--node", &trio.http(3)])), Some(0), "only those that were named are asked");
}

#[test]
fn watching_prints_it_again_and_again() {
    let trio = Trio::start();
    let mut child = engraft()
        .args(["status", "--json", "--watch", "20ms", "--node", &trio.http(1)])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..3 {
        let line = lines.next().expect("a line").expect("text");
        assert!(line.starts_with("{\"nodes\":["), "{line}");
    }
    child.kill().expect("killed");
    child.wait().expect("it ends");
}

#[test]
fn what_is_no_node_is_no_status() {
    let [free] = free_addresses().map(|address| address.to_string());
    let output = engraft().args(["status", "--node", &free]).output().expect("it runs");
    assert_eq!(code(&output), Some(6), "{}", stderr(&output));
    assert_eq!(code(&engraft().arg("status").output().expect("it runs")), Some(2), "somebody has to be named");
}

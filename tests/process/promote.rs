//! `engraft promote`: what an operator is told before a node goes on by force, and what comes of it.

use std::process::Output;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::support::{Server, code, engraft, eventually, stderr, stdout, without_peers};
use super::trio::{TIMES, Trio};
use crate::support::free_addresses;

const ENTRIES: &str = "/v1/spaces/orders/entries";
const PROMOTE: &str = "/v1/spaces/orders/promote";

/// Promotes the node that speaks HTTP there.
fn promote(http: &str, more: &[&str]) -> Output {
    engraft().args(["promote", "orders", "--node", http]).args(more).output().expect("it runs")
}

/// The space `orders` as the node sees it.
fn orders(server: &Server) -> Value {
    server.get("/v1/status").json()["spaces"][0].clone()
}

/// What both of two nodes see of the log, its library's own entries included.
fn log(server: &Server) -> Vec<Value> {
    server.get(ENTRIES).lines()
}

/// Appends a payload at a level; it has to be answered.
fn append(server: &Server, ack: &str, payload: &str) {
    let answer = server.post(&format!("{ENTRIES}?ack={ack}"), payload.as_bytes());
    assert_eq!(answer.status, 200, "{payload} at {ack}: {}", answer.text);
}

/// The users' payloads that the node can be read to have.
fn payloads(server: &Server) -> Vec<String> {
    let user = |line: &&Value| line["control"].is_null();
    let payload = |line: &Value| STANDARD.decode(line["payload"].as_str().expect("text")).expect("base64");
    log(server).iter().filter(user).map(|line| String::from_utf8(payload(line)).expect("text")).collect()
}

/// Waits until a node follows a primary of generation 1, has its log, and knows these as voters.
fn follows(trio: &Trio, node: usize, primary: usize, voters: &Value) {
    eventually("a replica of the forced primary", || {
        let (found, ahead) = (orders(trio.node(node)), orders(trio.node(primary)));
        let epoch = found["epoch"].as_str().is_some_and(|epoch| epoch.starts_with("g1"));
        let same =
            ["end", "durable", "commit"].iter().all(|what| found[what] == ahead["end"] && ahead[what] == ahead["end"]);
        let voting = found["voters"] == *voters && ahead["voters"] == *voters;
        if found["role"] == "replica" && found["primary"] == primary && epoch && same && voting {
            Ok(())
        } else {
            Err(format!("{found}\n{ahead}"))
        }
    });
    assert_eq!(log(trio.node(node)), log(trio.node(primary)));
}

/// Two voters; n1 answered what n2 never got, and is gone. n3 has no part in the space.
fn widowed() -> Trio {
    let mut trio = Trio::prepare();
    trio.configure(&format!("voters = [1, 2]\n{TIMES}"));
    trio.start_node(1);
    trio.start_node(2);
    trio.node(1).wait_for_primary();
    append(trio.node(1), "quorum", "both");
    trio.kill(2);
    append(trio.node(1), "local", "n1 alone");
    trio.kill(1);
    trio.start_node(2);
    trio
}

/// Says that the node leads nothing and has begun no generation.
fn leads_nothing(server: &Server) {
    let found = orders(server);
    let promise = found["promise"].as_str().expect("text").to_owned();
    assert!(found["role"] != "primary" && !promise.starts_with('g'), "{found}");
}

#[test]
fn a_node_is_forced_on_only_by_who_accepts_the_loss_and_the_old_primary_follows_it() {
    let mut trio = widowed();
    let http = trio.http(2);
    let output = promote(&http, &["--timeout", "300ms"]);
    assert_eq!(code(&output), Some(5), "{}", stderr(&output));
    for words in ["n2 is ", "after 300ms", "--force goes on without one, and loses what others have"] {
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
    }
    leads_nothing(trio.node(2));

    let end = orders(trio.node(2))["durable"].as_u64().expect("a number");
    let output = promote(&http, &["--force"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (Some(2), ""), "{}", stderr(&output));
    let (has, lost) =
        (format!("n2 has orders up to e1n1#{end}, "), format!("what others have from #{} on is lost", end + 1));
    for words in [has.as_str(), &lost, "committed or not", "salvaged", "--accept-loss"] {
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
    }
    leads_nothing(trio.node(2));
    assert_eq!(orders(trio.node(2))["durable"], end, "nothing was written");

    let output = promote(&http, &["--force", "--accept-loss", "--json"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).expect("one object");
    let epoch = told["epoch"].as_str().expect("text").to_owned();
    assert!(epoch.starts_with("g1") && epoch.ends_with("n2"), "{told}");
    assert_eq!(told, json!({ "node": 2, "space": "orders", "epoch": epoch, "lost_from": end + 1 }));
    let found = orders(trio.node(2));
    assert_eq!((&found["role"], &found["epoch"], &found["voters"]), (&"primary".into(), &told["epoch"], &json!([2])));
    append(trio.node(2), "local", "n2 goes on");

    trio.start_node(1);
    follows(&trio, 1, 2, &json!([1, 2]));
    assert_eq!(payloads(trio.node(1)), ["both", "n2 goes on"]);
    append(trio.node(2), "all", "both again");
    let data = trio.directory(1).join("data");
    let salvage =
        |command: &[&str]| stdout(&engraft().arg("salvage").args(command).arg(&data).output().expect("it runs"));
    let listed = salvage(&["list"]);
    assert!(listed.contains(&format!("replaced by {epoch}")), "{listed}");
    assert!(salvage(&["show", "--payload", "--space", "orders"]).contains("\"n1 alone\""));
    assert_eq!(salvage(&["export", "--space", "orders"]), "n1 alone\n", "and nothing that both have");
}

#[test]
fn a_promotion_that_makes_no_sense_changes_nothing_and_says_why() {
    let mut trio = widowed();
    trio.start_node(3);
    let (http, third) = (trio.http(2), trio.http(3));
    let force = ["--force", "--accept-loss"];
    let output = promote(&http, &["--accept-loss"]);
    assert_eq!(code(&output), Some(2));
    assert!(stderr(&output).contains("--force"), "{}", stderr(&output));

    let output = engraft().args(["promote", "others", "--node", &http]).args(force).output().expect("it runs");
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("n2 has no log of \"others\"; expected one of: orders"), "{}", stderr(&output));
    let output = promote(&third, &force);
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("n3 has no log of \"orders\""), "{}", stderr(&output));

    let output = promote(&http, &["--node", &third, "--force", "--accept-loss"]);
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("there are {http}, {third}")), "{}", stderr(&output));

    let [free] = free_addresses().map(|address| address.to_string());
    let output = promote(&free, &force);
    assert_eq!(code(&output), Some(6), "{}", stderr(&output));
    leads_nothing(trio.node(2));

    let directory = tempfile::tempdir().expect("a directory");
    let empty = Server::start(directory.path(), &without_peers(directory.path(), 2, ""));
    let output = promote(empty.http(), &force);
    assert_eq!(code(&output), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("this node holds no entry of the space"), "{}", stderr(&output));
    leads_nothing(&empty);
}

#[test]
fn a_living_primary_is_replaced_only_by_force_said_twice() {
    let trio = Trio::start();
    append(trio.node(1), "all", "all");
    let before = orders(trio.node(1));
    assert_eq!(before["leased"], true, "{before}");
    let output = promote(&trio.http(2), &["--force", "--accept-loss"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (Some(1), ""), "{}", stderr(&output));
    for words in ["n1 is the primary and is heard", "; say --force twice to replace it all the same"] {
        assert!(stderr(&output).contains(words), "{words}: {}", stderr(&output));
    }
    let output = promote(&trio.http(1), &["--force", "--accept-loss"]);
    assert_eq!(code(&output), Some(1), "{}", stderr(&output));
    let words = format!("this node is the primary already, in {}", before["epoch"].as_str().expect("text"));
    assert!(stderr(&output).contains(&words), "{}", stderr(&output));
    let found = orders(trio.node(1));
    assert_eq!((&found["role"], &found["epoch"]), (&before["role"], &before["epoch"]), "nothing happened");

    let output = promote(&trio.http(2), &["--force", "--force", "--accept-loss"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let told = stdout(&output);
    let next = before["durable"].as_u64().expect("a number") + 1;
    assert!(told.starts_with("n2 is the primary of orders in g1"), "{told}");
    assert!(told.contains(&format!("what others had from #{next} on is lost where n2 does not have it")), "{told}");
    for node in [1, 3] {
        follows(&trio, node, 2, &json!([1, 2, 3]));
    }
    append(trio.node(2), "all", "under n2");
    assert_eq!(payloads(trio.node(2)), ["all", "under n2"]);
}

#[test]
fn programs_are_told_by_status_and_kind_why_a_node_is_not_promoted() {
    let trio = Trio::start();
    let before = orders(trio.node(1));
    let kind = |node: usize, path: &str| {
        let answer = trio.node(node).post(path, b"");
        (answer.status, answer.json()["error"]["kind"].as_str().expect("text").to_owned())
    };
    let forced = |by: &str| format!("{PROMOTE}?by={by}&accept_loss=true");
    for query in [
        "by=force",
        "by=force_though_alive",
        "by=force&accept_loss=false",
        "by=nonsense",
        "accept_loss=maybe",
        "bye=force",
    ] {
        assert_eq!(kind(2, &format!("{PROMOTE}?{query}")), (400, "bad_request".to_owned()), "{query}");
    }
    let words = trio.node(2).post(&format!("{PROMOTE}?by=force"), b"").text;
    assert!(words.contains("no accept_loss=true") && words.contains("by=force_though_alive"), "{words}");
    assert_eq!(trio.node(2).get(PROMOTE).status, 405);
    assert_eq!(kind(2, "/v1/spaces/others/promote"), (404, "unknown_space".to_owned()));
    assert_eq!(kind(2, PROMOTE), (409, "primary_alive".to_owned()));
    assert_eq!(kind(2, &forced("force")), (409, "primary_alive".to_owned()));
    assert_eq!(kind(1, &forced("force")), (409, "already_primary".to_owned()));
    let found = orders(trio.node(1));
    assert_eq!((&found["role"], &found["epoch"]), (&before["role"], &before["epoch"]), "nothing happened");

    let answer = trio.node(3).post(&forced("force_though_alive"), b"");
    assert_eq!(answer.status, 202, "{}", answer.text);
    let epoch = answer.json()["epoch"].as_str().expect("text").to_owned();
    assert!(epoch.starts_with("g1") && epoch.ends_with("n3"), "{epoch}");
    follows(&trio, 1, 3, &json!([1, 2, 3]));
}

//! What clients are answered: by real processes, over real sockets.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::support::{Answer, Server, alone, code, engraft, stderr, without_peers};

const ENTRIES: &str = "/v1/spaces/orders/entries";

fn node(more: &str) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &alone(directory.path(), more));
    server.wait_for_primary();
    (directory, server)
}

fn line(payload: &[u8]) -> String {
    format!("{{\"payload\":\"{}\"}}\n", STANDARD.encode(payload))
}

/// The users' payloads that can be read, by sequence.
fn payloads(server: &Server) -> Vec<(u64, Vec<u8>)> {
    let answer = server.get(ENTRIES);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let user = |line: &serde_json::Value| line["control"].is_null();
    let payload = |line: &serde_json::Value| {
        let payload = STANDARD.decode(line["payload"].as_str().expect("text")).expect("base64");
        assert_eq!(line["payload_crc"], u64::from(crc32c::crc32c(&payload)));
        (line["sequence"].as_u64().expect("a number"), payload)
    };
    answer.lines().iter().filter(|line| user(line)).map(payload).collect()
}

#[test]
fn a_body_of_any_type_is_one_entry_and_is_read_back() {
    let (_directory, server) = node("");
    let body: Vec<u8> = (0..=255).collect();
    let answer = server.post(ENTRIES, &body);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let json = answer.json();
    assert_eq!(json["outcome"], "appended");
    assert_eq!(json["sequence"], 2, "the entry that opens the epoch is the first one");
    assert_eq!(json["epoch"], "e1n1");
    assert_eq!(json["token"], "orders:e1n1:2");
    assert_eq!(server.post(ENTRIES, b"").json()["sequence"], 3, "no bytes are an entry, too");
    assert_eq!(payloads(&server), [(2, body), (3, Vec::new())]);

    let read = server.get(ENTRIES).lines();
    assert_eq!(read[0]["control"], 1, "the entry that opens the epoch says that it is none of a user's");
    assert_eq!((&read[1]["type"], &read[1]["epoch"]), (&1.into(), &"e1n1".into()));
}

#[test]
fn lines_are_entries_and_are_answered_in_their_order() {
    let (_directory, server) = node("");
    let sent: Vec<Vec<u8>> = (0..2_500_u32).map(|n| format!("entry {n}").into_bytes()).collect();
    let lines: String = sent.iter().map(|payload| line(payload)).collect();
    let answer = server.post_lines(ENTRIES, &lines);
    assert_eq!(answer.status, 200);
    let sequences: Vec<u64> = answer.lines().iter().map(|line| line["sequence"].as_u64().expect("one")).collect();
    assert_eq!(sequences, (2..2_502).collect::<Vec<_>>());
    assert_eq!(payloads(&server).into_iter().map(|(_, payload)| payload).collect::<Vec<_>>(), sent);
}

#[test]
fn lines_may_say_a_type_leave_the_padding_out_and_be_blank() {
    let (_directory, server) = node("");
    let answer = server.post_lines(ENTRIES, "\n{\"payload\":\"YQ\",\"type\":7}\r\n\n{\"payload\":\"YWI=\"}");
    assert_eq!(answer.lines().len(), 2, "{}", answer.text);
    assert_eq!(payloads(&server), [(2, b"a".to_vec()), (3, b"ab".to_vec())]);
    assert_eq!(server.get(ENTRIES).lines()[1]["type"], 7);
}

#[test]
fn one_line_that_cannot_be_read_refuses_the_whole_request() {
    let (_directory, server) = node("");
    for bad in [
        "{\"payload\":\"!\"}",
        "{\"payload\":\"YQ\",\"typo\":1}",
        "{\"payload\":\"YQ\",\"type\":-1}",
        "{\"payload\":\"YQ\",\"type\":4294967296}",
        "{}",
        "[]",
        "YQ==",
        "{\"payload\":1}",
        "{\"payload\":\"YQ\"} {\"payload\":\"YQ\"}",
    ] {
        let answer = server.post_lines(ENTRIES, &format!("{}{bad}\n{}", line(b"before"), line(b"after")));
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text);
        let error = &answer.json()["error"];
        assert_eq!(error["kind"], "bad_request");
        assert!(error["message"].as_str().is_some_and(|message| message.starts_with("line 2: expected {")), "{error}");
    }
    assert_eq!(server.post_lines(ENTRIES, "\n\n").status, 400);
    assert_eq!(payloads(&server), [], "nothing of them was appended");
}

#[test]
fn a_read_begins_where_it_is_told_and_tells_the_commit() {
    let (_directory, server) = node("[clients]\nread_entries_max = 4\n");
    server.post_lines(ENTRIES, &(0..9_u8).map(|n| line(&[n])).collect::<String>());
    let read = |query: &str| {
        let answer = server.get(&format!("{ENTRIES}{query}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")));
        assert_eq!(answer.header("engraft-commit"), Some("10"));
        answer.lines().iter().map(|line| line["sequence"].as_u64().expect("one")).collect::<Vec<_>>()
    };
    assert_eq!(read("?from=3&max=2"), [3, 4]);
    assert_eq!(read("?from=9"), [9, 10]);
    assert_eq!(read("?from=0&max=1"), [1], "0 is taken as 1");
    assert_eq!(read(""), [1, 2, 3, 4], "the node's own limit holds");
    assert_eq!(read("?max=4000000000"), [1, 2, 3, 4]);
    assert_eq!(read("?from=11"), [0; 0]);
    assert_eq!(read("?from=18446744073709551615"), [0; 0]);
}

#[test]
fn an_unknown_space_is_404_and_names_those_that_there_are() {
    let (_directory, server) = node("");
    for answer in [server.post("/v1/spaces/ordres/entries", b"x"), server.get("/v1/spaces/ordres/entries")] {
        assert_eq!(answer.status, 404);
        let error = &answer.json()["error"];
        assert_eq!(error["kind"], "unknown_space");
        assert!(error["message"].as_str().is_some_and(|words| words.contains("orders")), "{error}");
    }
}

#[test]
fn what_the_paths_and_queries_do_not_take_is_refused_with_what_they_do() {
    let (_directory, server) = node("");
    assert_eq!(server.get("/v1/space").status, 404);
    assert_eq!(server.request("DELETE", ENTRIES, "text/plain", b"").status, 405);
    for query in ["?ack=most", "?timeout_ms=0", "?timeout_ms=soon", "?timeout_ms=3600001", "?acks=all"] {
        let answer = server.post(&format!("{ENTRIES}{query}"), b"x");
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        assert!(answer.text.contains("ack=local|quorum|all"), "{}", answer.text);
    }
    for query in ["?from=-1", "?from=x", "?max=4294967296", "?form=1"] {
        assert_eq!(server.get(&format!("{ENTRIES}{query}")).status, 400, "{query}");
    }
    assert_eq!(payloads(&server), []);
}

#[test]
fn a_node_that_is_not_the_primary_tells_who_is_and_where() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &without_peers(directory.path(), 2, ""));
    let answer = server.post(ENTRIES, b"x");
    assert_eq!(answer.status, 421, "{}", answer.text);
    let error = &answer.json()["error"];
    assert_eq!((&error["kind"], &error["primary"]), (&"not_primary".into(), &1.into()));
    assert_eq!(error["http"], "127.0.0.1:81");
    let lines = server.post_lines(ENTRIES, &format!("{}{}", line(b"a"), line(b"b")));
    assert_eq!(lines.status, 421);
    assert!(lines.lines().iter().all(|line| line["outcome"] == "failed" && line["error"]["primary"] == 1));
    assert_eq!(lines.lines().len(), 2);
}

#[test]
fn a_node_that_has_no_log_of_the_space_tells_the_primary_as_well() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &without_peers(directory.path(), 2, "voters = [1, 3]\n"));
    let answer = server.post(ENTRIES, b"x");
    assert_eq!((answer.status, &answer.json()["error"]["primary"]), (421, &1.into()), "{}", answer.text);
}

#[test]
fn an_entry_that_is_too_large_is_413_and_its_neighbours_are_appended() {
    let (_directory, server) = node("[replication]\nentry_bytes_max = 1000\n");
    let answer = server.post(ENTRIES, &[7; 1_001]);
    assert_eq!((answer.status, &answer.json()["error"]["kind"]), (413, &"too_large".into()));
    assert!(answer.text.contains("1001 bytes, expected at most 1000"), "{}", answer.text);
    assert_eq!(server.post(ENTRIES, &[7; 1_000]).status, 200);
    let answer = server.post_lines(ENTRIES, &format!("{}{}{}", line(b"a"), line(&[7; 1_001]), line(b"b")));
    assert_eq!(answer.status, 413);
    let outcomes: Vec<String> = answer.lines().iter().map(|line| line["outcome"].to_string()).collect();
    assert_eq!(outcomes, ["\"appended\"", "\"failed\"", "\"appended\""]);
    assert_eq!(payloads(&server), [(2, vec![7; 1_000]), (3, b"a".to_vec()), (4, b"b".to_vec())]);
}

#[test]
fn a_body_that_is_too_large_is_413_for_a_client_that_sends_it_all() {
    let (_directory, server) = node("[clients]\nbody_bytes_max = 1024\n");
    assert_eq!(server.post(ENTRIES, &[7; 1_024]).status, 200);
    let answer = server.post(ENTRIES, &vec![7; 4 << 20]);
    assert_eq!((answer.status, &answer.json()["error"]["kind"]), (413, &"too_large".into()));
    assert_eq!(payloads(&server).len(), 1);
}

#[test]
fn more_entries_than_may_wait_are_413() {
    let (_directory, server) = node("[replication]\nappend_entries_max = 3\n");
    assert_eq!(server.post_lines(ENTRIES, &line(b"x").repeat(3)).status, 200);
    assert_eq!(server.post_lines(ENTRIES, &line(b"x").repeat(4)).status, 413);
    assert_eq!(payloads(&server).len(), 3);
}

#[test]
fn a_level_that_is_not_reached_in_time_is_202_with_who_has_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &without_peers(directory.path(), 1, ""));
    server.wait_for_primary();
    assert_eq!(server.post(ENTRIES, b"local").status, 200, "the space's own level is local");
    let answer = server.post(&format!("{ENTRIES}?ack=quorum&timeout_ms=50"), b"quorum");
    assert_eq!(answer.status, 202, "{}", answer.text);
    let json = answer.json();
    assert_eq!((&json["outcome"], &json["sequence"]), (&"unknown".into(), &3.into()));
    assert_eq!(json["acked_by"], serde_json::json!([1]));
    assert_eq!(payloads(&server), [], "nothing is committed by one of three");
}

#[test]
fn what_is_too_much_at_once_is_429_and_may_be_sent_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let more = "[replication]\nappend_entries_max = 1\n";
    let server = Server::start(directory.path(), &without_peers(directory.path(), 1, more));
    server.wait_for_primary();
    let path = format!("{ENTRIES}?ack=quorum&timeout_ms=3000");
    let mut waiting = server.open("POST", &path, "text/plain", 1);
    waiting.write_all(b"x").expect("sent");
    let begun = Instant::now();
    while server.get("/v1/status").json()["spaces"][0]["waiting"] != 1 {
        assert!(begun.elapsed() < Duration::from_secs(2), "the first append does not wait");
    }
    let answer = server.post(&path, b"y");
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")), "{}", answer.text);
    assert_eq!(answer.json()["error"]["kind"], "overloaded");
    assert_eq!(Answer::read(waiting).status, 202);
}

#[test]
fn bodies_that_do_not_come_hold_memory_for_a_while_only() {
    let (_directory, server) =
        node("[clients]\nbody_bytes_max = 2048\nbodies_bytes_max = 2048\nbody_timeout = \"1500ms\"\n");
    let mut held = TcpStream::connect(server.http()).expect("connected");
    let head = format!(
        "POST {ENTRIES} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 2048\r\n\
         expect: 100-continue\r\n\r\n"
    );
    held.write_all(head.as_bytes()).expect("sent");
    let mut go_on = [0; 25];
    held.read_exact(&mut go_on).expect("the node asks for the body");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(server.post(ENTRIES, b"x").status, 429, "the memory is set aside for the first body");
    let answer = Answer::read(held);
    assert_eq!((answer.status, &answer.json()["error"]["kind"]), (408, &"body_timeout".into()));
    assert_eq!(server.post(ENTRIES, b"x").status, 200);
}

#[test]
fn the_status_tells_the_space_and_its_replicas() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &without_peers(directory.path(), 1, ""));
    server.wait_for_primary();
    let status = server.get("/v1/status").json();
    assert_eq!(status["node"], 1);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["peers"], serde_json::json!({ "2": false, "3": false }));
    let space = &status["spaces"][0];
    assert_eq!(
        (&space["name"], &space["role"], &space["epoch"]),
        (&"orders".into(), &"primary".into(), &"e1n1".into())
    );
    let replicas: Vec<_> = space["replicas"].as_array().expect("a list").iter().map(|each| &each["node"]).collect();
    assert_eq!(replicas, [2, 3]);
    assert_eq!(server.get("/livez").text, "ok\n");
}

#[test]
fn a_signal_stops_a_node_in_good_order_and_answers_what_it_has_taken() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().expect("a directory");
        let at_once = "[replication]\nshutdown_drain = \"0ms\"\n";
        let mut server = Server::start(directory.path(), &without_peers(directory.path(), 1, at_once));
        server.wait_for_primary();
        let mut waiting = server.open("POST", &format!("{ENTRIES}?ack=all&timeout_ms=1000"), "text/plain", 1);
        waiting.write_all(b"x").expect("sent");
        let begun = Instant::now();
        while server.get("/v1/status").json()["spaces"][0]["waiting"] != 1 {}
        let kill = Command::new("kill").args([&format!("-{signal}"), &server.id().to_string()]).status();
        assert!(kill.expect("it runs").success());
        assert_eq!(Answer::read(waiting).status, 202, "it was in the log, and stays there");
        assert!(begun.elapsed() > Duration::from_millis(800), "it was given the time that it asked for");
        assert_eq!(server.wait(), Some(0));
        let again = Server::start(directory.path(), &without_peers(directory.path(), 1, ""));
        again.wait_for_primary();
        assert_eq!(again.post(ENTRIES, b"y").json()["sequence"], 4, "e1: 1, 2; e2: 3, 4");
    }
}

#[test]
fn a_node_ends_with_the_stdin_that_it_was_told_to_watch() {
    let (_directory, mut server) = node("");
    server.close_stdin();
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_start_that_cannot_be_exits_by_whose_fault_it_is() {
    let (directory, server) = node("");
    let run = |configuration: &str| {
        let file = directory.path().join("other.toml");
        std::fs::write(&file, configuration).expect("written");
        let output = engraft().args(["serve", "--config"]).arg(&file).output().expect("it runs");
        (code(&output), stderr(&output))
    };
    let good = alone(directory.path(), "");
    let (code, said) = run(&good);
    assert!(code == Some(1) && said.contains("in use by another process"), "{code:?} {said}");
    let taken = good.replacen("http = \"127.0.0.1:0\"", &format!("http = \"{}\"", server.http()), 1);
    let (code, said) = run(&taken);
    assert!(code == Some(1) && said.contains("(`http`)") && said.contains("in use"), "{code:?} {said}");
    drop(server);
    let (code, said) = run(&good.replacen("\"test\"", "\"other\"", 1));
    assert!(code == Some(3) && said.contains("belongs to cluster"), "{code:?} {said}");
    std::fs::write(directory.path().join("data/superblock"), [7; 8192]).expect("written");
    let (code, said) = run(&good);
    assert!(code == Some(4) && said.contains("superblock"), "{code:?} {said}");
}

#[test]
fn a_node_goes_on_where_nobody_can_take_its_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("node.toml");
    std::fs::write(&file, alone(directory.path(), "")).expect("written");
    // Every write to it fails as on a full disk.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("there is one");
    let mut child = engraft()
        .args(["serve", "--stop-with-stdin", "--log", "info", "--config"])
        .arg(&file)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(full)
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it prints");
    assert!(line.contains("\"ready\":true"), "{line:?}");
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

//! What clients are answered: by real processes, over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::support::{Answer, Server, alone, code, engraft, eventually, stderr, without_peers};
use super::trio::Trio;

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

/// A primary whose replicas have gone, and the end of its log.
fn left_alone(trio: &mut Trio) -> u64 {
    trio.start_all();
    (2..=3).for_each(|replica| trio.kill(replica));
    trio.node(1).get("/v1/status").json()["spaces"][0]["end"].as_u64().expect("a sequence")
}

#[test]
fn a_level_that_is_not_reached_in_time_is_202_with_who_has_it() {
    let mut trio = Trio::prepare();
    let end = left_alone(&mut trio);
    let server = trio.node(1);
    assert_eq!(server.post(ENTRIES, b"local").status, 200, "the space's own level is local");
    let told = |(behind, timeout_ms): (u64, u64)| {
        let answer = server.post(&format!("{ENTRIES}?ack=quorum&timeout_ms={timeout_ms}"), b"quorum");
        assert_eq!(answer.status, 202, "{}", answer.text);
        let json = answer.json();
        assert_eq!((&json["outcome"], &json["sequence"]), (&"unknown".into(), &(end + behind).into()));
        json["acked_by"].clone()
    };
    // Its own disk may take longer than the first ones.
    let mut each = [(2, 50), (3, 1_000), (4, 20_000)].into_iter().map(told);
    assert!(each.any(|acked_by| acked_by == serde_json::json!([1])), "the node counts itself");
    assert_eq!(payloads(server), [], "nothing is committed by one of three");
}

#[test]
fn what_is_too_much_at_once_is_429_and_may_be_sent_again() {
    // The first append may be over before the second one comes, where it waits for a short time only.
    let met = [1_000, 10_000, 50_000].into_iter().any(a_second_append_is_too_much);
    assert!(met, "two wait where one may");
}

/// Whether an append is refused while another one waits for so long.
fn a_second_append_is_too_much(timeout_ms: u64) -> bool {
    let mut trio = Trio::prepare();
    trio.configure("[replication]\nappend_entries_max = 1\n");
    let before = left_alone(&mut trio);
    let server = trio.node(1);
    let path = format!("{ENTRIES}?ack=quorum&timeout_ms={timeout_ms}");
    let mut waiting = server.open("POST", &path, "text/plain", 1);
    waiting.write_all(b"x").expect("sent");
    let end = |server: &Server| server.get("/v1/status").json()["spaces"][0]["end"].clone();
    eventually("the first append", || if end(server) == before + 1 { Ok(()) } else { Err(end(server).to_string()) });
    let answer = server.post(&format!("{ENTRIES}?ack=quorum&timeout_ms=1"), b"y");
    assert_eq!(Answer::read(waiting).status, 202);
    assert_eq!(server.post(&format!("{ENTRIES}?ack=quorum&timeout_ms=1"), b"y").status, 202, "there is room again");
    if answer.status == 202 {
        return false;
    }
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")), "{}", answer.text);
    assert_eq!(answer.json()["error"]["kind"], "overloaded");
    true
}

fn wait_for_an_append_under_way(server: &Server) {
    eventually("an append that waits", || match server.get("/v1/status") {
        answer if answer.json()["spaces"][0]["waiting"] == 1 => Ok(()),
        answer => Err(answer.text),
    });
}

#[test]
fn bodies_that_do_not_come_hold_memory_for_a_while_only() {
    // The shorter ones may be over before the second request comes.
    let met = ["500ms", "3s", "20s"].into_iter().any(a_second_body_finds_no_memory);
    assert!(met, "the memory is not set aside for the first body");
}

/// Whether a body that does not come holds the memory while another one comes; it is given up in any case.
fn a_second_body_finds_no_memory(body_timeout: &str) -> bool {
    let limits = "[clients]\nbody_bytes_max = 2048\nbodies_bytes_max = 2048\n";
    let (_directory, server) = node(&format!("{limits}body_timeout = \"{body_timeout}\"\n"));
    let mut held = TcpStream::connect(server.http()).expect("connected");
    let head = format!(
        "POST {ENTRIES} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: 2048\r\n\
         expect: 100-continue\r\n\r\n"
    );
    held.write_all(head.as_bytes()).expect("sent");
    let mut go_on = [0; 25];
    held.read_exact(&mut go_on).expect("the node asks for the body");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    let second = server.post(ENTRIES, b"x").status;
    assert!([200, 429].contains(&second), "{second}");
    let answer = Answer::read(held);
    assert_eq!((answer.status, &answer.json()["error"]["kind"]), (408, &"body_timeout".into()));
    assert_eq!(server.post(ENTRIES, b"x").status, 200);
    second == 429
}

#[test]
fn the_status_tells_the_space_and_its_replicas() {
    let trio = Trio::start();
    let server = trio.node(1);
    let status = server.get("/v1/status").json();
    assert_eq!(status["node"], 1);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["peers"], serde_json::json!({ "2": true, "3": true }));
    let space = &status["spaces"][0];
    assert_eq!((&space["name"], &space["role"]), (&"orders".into(), &"primary".into()));
    assert!(space["epoch"].as_str().is_some_and(|epoch| epoch.ends_with("n1")), "{}", space["epoch"]);
    let replicas: Vec<_> = space["replicas"].as_array().expect("a list").iter().map(|each| &each["node"]).collect();
    assert_eq!(replicas, [2, 3]);
    assert_eq!(server.get("/livez").text, "ok\n");
}

#[test]
fn a_signal_stops_a_node_in_good_order_and_answers_what_it_has_taken() {
    for signal in ["TERM", "INT"] {
        let mut trio = Trio::prepare();
        trio.configure("[replication]\nshutdown_drain = \"0ms\"\n[clients]\ndrain_timeout = \"1min\"\n");
        left_alone(&mut trio);
        let path = format!("{ENTRIES}?ack=quorum&timeout_ms=3600000");
        let mut waiting = trio.node(1).open("POST", &path, "text/plain", 1);
        waiting.write_all(b"x").expect("sent");
        wait_for_an_append_under_way(trio.node(1));
        trio.node(1).signal(signal);
        // Only a node that goes on for those who wait can still reach a majority.
        trio.start_node(2);
        let answer = Answer::read(waiting);
        assert_eq!(answer.status, 200, "it was given the time that it asked for");
        assert_eq!(trio.wait(1), Some(0));
        trio.start_node(1);
        let sequence = eventually("an answer of either", || {
            let answers = [1, 2].map(|node| trio.node(node).post(ENTRIES, b"y"));
            let sequence =
                answers.iter().find(|answer| answer.status == 200).map(|answer| answer.json()["sequence"].clone());
            sequence.ok_or_else(|| format!("{answers:?}"))
        });
        let behind = answer.json()["sequence"].as_u64().map(|before| before + 2);
        assert!(sequence.as_u64() >= behind, "a new epoch's start lies between: {sequence} after {}", answer.text);
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

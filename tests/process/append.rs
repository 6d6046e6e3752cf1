//! `engraft append`: lines become entries, in order, and whoever asked learns what became of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::support::{Server, alone, code, engraft, stderr, stdout, without_peers};
use super::trio::Trio;
use crate::support::free_addresses;

fn node(more: &str) -> (tempfile::TempDir, Server) {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &alone(directory.path(), more));
    server.wait_for_primary();
    (directory, server)
}

/// Appends this text's lines at the node that speaks HTTP there.
fn append(http: &str, text: &[u8], more: &[&str]) -> Output {
    let mut child = engraft()
        .args(["append", "orders", "--node", http])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    // It may end before it has read everything.
    let _ = stdin.write_all(text);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn payloads(server: &Server) -> Vec<Vec<u8>> {
    let answer = server.get("/v1/spaces/orders/entries");
    let user = |line: &serde_json::Value| line["control"].is_null();
    let payload = |line: &serde_json::Value| STANDARD.decode(line["payload"].as_str().expect("text")).expect("base64");
    answer.lines().iter().filter(|line| user(line)).map(payload).collect()
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"))).collect()
}

#[test]
fn each_line_is_an_entry_in_its_order_however_small_the_window() {
    let (directory, server) = node("");
    let numbers: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let output = append(server.http(), numbers.join("\n").as_bytes(), &["--window", "7"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (Some(0), ""));
    assert!(stdout(&output).starts_with("appended 500 entries to orders: #2 to #501 in e1n1; "), "{}", stdout(&output));
    assert_eq!(payloads(&server), numbers.iter().map(|number| number.clone().into_bytes()).collect::<Vec<_>>());

    let file = directory.path().join("lines");
    std::fs::write(&file, b"\n \xff\r\n\nlast\n").expect("written");
    let url = format!("http://{}/", server.http());
    let output = engraft().args(["append", "orders"]).arg(&file).args(["--node", &url, "--json"]).output();
    let output = output.expect("it runs");
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let expected: [&[u8]; 4] = [b"", b" \xff\r", b"", b"last"];
    assert_eq!(
        payloads(&server).get(500..),
        Some(expected.map(<[u8]>::to_vec).as_slice()),
        "bytes are kept as they are"
    );
    let told = lines(&output);
    assert_eq!(
        told[1],
        serde_json::json!({
            "line": 2, "outcome": "appended", "sequence": 503, "epoch": "e1n1", "token": "orders:e1n1:503",
        })
    );
    assert_eq!(told.len(), 4, "and no summary among them");

    let output = append(server.http(), b"", &[]);
    assert_eq!(code(&output), Some(0));
    assert!(stdout(&output).starts_with("appended 0 entries to orders; "), "{}", stdout(&output));
}

#[test]
fn lines_that_come_one_by_one_are_not_held_back() {
    let (_directory, server) = node("");
    let mut child = engraft()
        .args(["append", "orders", "--json", "--node", server.http()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let (mut stdin, mut told) =
        (child.stdin.take().expect("piped"), BufReader::new(child.stdout.take().expect("piped")));
    for sequence in [2, 3] {
        stdin.write_all(b"x\n").expect("sent");
        let mut line = String::new();
        told.read_line(&mut line).expect("a line");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["sequence"], sequence);
    }
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn a_node_that_is_not_the_primary_points_to_the_one_that_is() {
    let trio = Trio::start();
    let output = append(&trio.http(2), b"a\nb\nc\n", &["--ack", "all", "--window", "2"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_eq!(payloads(trio.node(1)), [b"a", b"b", b"c"]);
    let config = trio.directory(3).join("node.toml");
    let output = engraft().args(["append", "orders", "/dev/null", "--config"]).arg(&config).output().expect("it runs");
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
}

#[test]
fn a_primary_that_nobody_can_name_exits_5_and_one_that_is_away_exits_6() {
    let directory = tempfile::tempdir().expect("a directory");
    let configuration = without_peers(directory.path(), 2, "").replace("http = \"127.0.0.1:8", "# \"");
    let replica = Server::start(directory.path(), &configuration);
    let output = append(replica.http(), b"a\n", &["--timeout", "100ms"]);
    assert_eq!(code(&output), Some(5), "{}", stderr(&output));
    assert!(stderr(&output).contains("not the primary of this space; ask n1"), "{}", stderr(&output));
    assert!(stderr(&output).contains("line 1 and those after it were not appended"), "{}", stderr(&output));
    drop(replica);

    let [free] = free_addresses().map(|address| address.to_string());
    let output = append(&free, b"a\n", &["--timeout", "100ms"]);
    assert_eq!(code(&output), Some(6), "{}", stderr(&output));
    assert!(stderr(&output).contains(&free), "{}", stderr(&output));
}

#[test]
fn another_node_is_asked_where_the_first_is_away() {
    let (_directory, server) = node("");
    let [free] = free_addresses().map(|address| address.to_string());
    let output = append(&free, b"a\n", &["--node", server.http()]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_eq!(payloads(&server), [b"a"]);
}

#[test]
fn an_unknown_entry_exits_1_and_nothing_is_sent_behind_it() {
    let mut trio = Trio::start();
    (2..=3).for_each(|replica| trio.kill(replica));
    let server = trio.node(1);
    let end = || server.get("/v1/status").json()["spaces"][0]["end"].as_u64().expect("a sequence");
    for timeout in ["--timeout=500ms", "--timeout=5s", "--timeout=30s"] {
        let before = end();
        let output = append(server.http(), b"a\nb\nc\n", &["--ack=quorum", timeout, "--window=1", "--json"]);
        assert_eq!(code(&output), Some(1));
        let told = lines(&output);
        assert_eq!((told.len(), &told[0]["outcome"]), (1, &"unknown".into()));
        assert!(stderr(&output).contains("line 2 and those after it were not appended"), "{}", stderr(&output));
        assert_eq!(end(), before + 1, "the first line of each time");
        if told[0]["acked_by"] == serde_json::json!([1]) {
            return;
        }
        assert_eq!(told[0]["acked_by"], serde_json::json!([]), "its own disk took longer than that");
    }
    panic!("the node does not count itself");
}

#[test]
fn what_was_sent_and_not_answered_is_never_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let connections = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 16];
        stream.read_exact(&mut request).expect("a request");
        drop(stream);
        listener.set_nonblocking(true).expect("set");
        listener
    });
    let output = append(&address, b"a\nb\n", &["--json"]);
    assert_eq!(code(&output), Some(1), "{}", stderr(&output));
    // The second was sent with the first, or is not sent at all.
    let told = lines(&output);
    assert!(!told.is_empty() && told.iter().all(|line| line["outcome"] == "unknown"), "{told:?}");
    assert!(stderr(&output).contains("lines from 1 on may be in the log or not"), "{}", stderr(&output));
    let listener = connections.join().expect("it ends");
    assert!(listener.accept().is_err(), "a second connection was made");
}

#[test]
fn lines_that_cannot_be_entries_are_told_with_their_reason() {
    let (_directory, server) = node("[replication]\nentry_bytes_max = 4\n");
    let output = append(server.http(), b"good\nlarge\n", &["--window=1", "--json"]);
    assert_eq!(code(&output), Some(1));
    let told = lines(&output);
    assert_eq!((&told[0]["outcome"], &told[1]["outcome"]), (&"appended".into(), &"failed".into()));
    assert_eq!((told[1]["line"].as_u64(), &told[1]["error"]["kind"]), (Some(2), &"too_large".into()));
    // In one window with a line behind it that is appended, it cannot be set right any more. The two travel together where
    // both were read before the first was sent; where they were not, nothing is sent behind the first.
    let mut told = (0..100).map(|_| {
        let output = append(server.http(), b"large\nfine\n", &[]);
        assert_eq!(code(&output), Some(1));
        stdout(&output)
    });
    let apart = "appended 0 entries to orders; 1 failed; ";
    let together = "appended 1 entry to orders: #3 to #3 in e1n1; 1 failed; ";
    let first = told.find(|told| !told.starts_with(apart));
    assert!(first.as_ref().is_some_and(|told| told.starts_with(together)), "{first:?}");
}

#[test]
fn a_node_that_has_too_much_is_asked_again() {
    let (_directory, server) = node("[replication]\nappend_bytes_max = 8\nentry_bytes_max = 8\n");
    let output = append(server.http(), b"12345678\n12345678\n12345678\n12345678\n", &["--window=4"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_eq!(payloads(&server).len(), 4, "each once");
}

#[test]
fn mistakes_in_the_arguments_exit_2_and_those_in_the_configuration_3() {
    let (directory, server) = node("");
    let run = |arguments: &[&str]| engraft().arg("append").args(arguments).output().expect("it runs");
    let http = server.http();
    let other = run(&["others", "/dev/null", "--node", http]);
    assert_eq!(code(&other), Some(0), "nothing is sent, so nothing is refused");
    let file = directory.path().join("line");
    std::fs::write(&file, "x\n").expect("written");
    let file = file.to_str().expect("text");
    let missing = directory.path().join("missing");
    for (expected, arguments) in [
        (2, vec!["others", file, "--node", http]),
        (2, vec!["or/ders", file, "--node", http]),
        (2, vec!["orders", file]),
        (2, vec!["orders", file, "--node", "here"]),
        (2, vec!["orders", file, "--node", http, "--ack", "some"]),
        (2, vec!["orders", file, "--node", http, "--window", "0"]),
        (2, vec!["orders", file, "--node", http, "--timeout", "0s"]),
        (2, vec!["orders", missing.to_str().expect("text"), "--node", http]),
        (3, vec!["orders", file, "--config", missing.to_str().expect("text")]),
    ] {
        let output = run(&arguments);
        assert_eq!(code(&output), Some(expected), "{arguments:?}: {}", stderr(&output));
    }
}

//! `engraft read`: from any node, everything once and in order.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Output, Stdio};
use std::sync::mpsc::{self, Receiver};

use super::support::{PATIENCE, Server, alone, code, engraft, stderr, stdout};
use super::trio::Trio;
use crate::support::free_addresses;

const ENTRIES: &str = "/v1/spaces/orders/entries";

fn read(http: &str, more: &[&str]) -> Output {
    engraft().args(["read", "orders", "--node", http]).args(more).output().expect("it runs")
}

/// A reader that follows; killed when it is dropped.
struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(more: &[&str]) -> Self {
        let mut child = engraft()
            .args(["read", "orders", "-f", "--raw"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (read, lines) = mpsc::channel();
        // It ends with the reader that it reads from.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).all(|line| read.send(line).is_ok()));
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn entries_are_printed_for_people_for_programs_and_raw() {
    let directory = tempfile::tempdir().expect("a directory");
    let small = "[clients]\nread_entries_max = 2\n";
    let server = Server::start(directory.path(), &alone(directory.path(), small));
    server.wait_for_primary();
    for payload in [&b"a"[..], b"b\n\xff", b"c"] {
        assert_eq!(server.post(ENTRIES, payload).status, 200);
    }
    let output = read(server.http(), &[]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let expected = "e1n1#1 epoch starts\ne1n1#2 \"a\"\ne1n1#3 \"b\\n\\xff\"\ne1n1#4 \"c\"\n";
    assert_eq!(stdout(&output), expected, "three pages of two are one text");
    assert_eq!(read(server.http(), &["--raw", "--from", "2"]).stdout, b"a\nb\n\xff\nc\n");
    assert_eq!(read(server.http(), &["--raw", "--from=3", "--max=1"]).stdout, b"b\n\xff\n");
    assert_eq!(read(server.http(), &["--from=99"]).stdout, b"");
    let output = read(server.http(), &["--json", "--from=4"]);
    let line: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("one object");
    assert_eq!((&line["sequence"], &line["payload"]), (&4.into(), &"Yw==".into()));
}

#[test]
fn following_loses_and_repeats_nothing_at_the_edges_of_pages() {
    let directory = tempfile::tempdir().expect("a directory");
    let small = "[clients]\nread_entries_max = 3\n";
    let server = Server::start(directory.path(), &alone(directory.path(), small));
    server.wait_for_primary();
    let mut follower = Follower::start(&["--node", server.http()]);
    let mut number = 0;
    // Fewer than a page, a whole one, more than one: each edge is met in the middle of a burst and at its end.
    for burst in [1, 2, 3, 4, 6, 7, 1, 5, 12] {
        let lines: String = (number..number + burst)
            .map(|number| {
                use base64::Engine;
                let payload = base64::engine::general_purpose::STANDARD.encode(number.to_string());
                format!("{{\"payload\":\"{payload}\"}}\n")
            })
            .collect();
        assert_eq!(server.post_lines(ENTRIES, &lines).status, 200);
        for _ in 0..burst {
            assert_eq!(follower.next(), number.to_string());
            number += 1;
        }
    }
}

#[test]
fn following_goes_on_at_another_node_where_one_dies() {
    let mut trio = Trio::start();
    let mut follower = Follower::start(&["--node", &trio.http(2), "--node", &trio.http(3)]);
    for number in 0..20 {
        if number == 10 {
            trio.kill(2);
        }
        assert_eq!(trio.node(1).post(ENTRIES, number.to_string().as_bytes()).status, 200);
        if number != 10 {
            continue;
        }
        (0..=number).for_each(|expected| assert_eq!(follower.next(), expected.to_string()));
    }
    (11..20).for_each(|expected| assert_eq!(follower.next(), expected.to_string()));
}

#[test]
fn nobody_who_answers_exits_6_and_an_unknown_space_2() {
    let [free] = free_addresses().map(|address| address.to_string());
    for more in [&[][..], &["-f", "--timeout", "100ms"]] {
        let output = read(&free, more);
        assert_eq!(code(&output), Some(6), "{}", stderr(&output));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path(), &alone(directory.path(), ""));
    let output = engraft().args(["read", "others", "-f", "--node", server.http()]).output().expect("it runs");
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("expected one of: orders"), "{}", stderr(&output));
    assert_eq!(code(&read(server.http(), &["--json", "--raw"])), Some(2));
    assert_eq!(code(&read(server.http(), &["--from", "0"])), Some(2));
}

/// Answers one request with this body.
fn fake(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).expect("a request") > 0);
        let size = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nengraft-commit: 9\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).expect("sent");
    });
    address
}

#[test]
fn what_a_node_sends_is_checked() {
    let gap = "{\"sequence\":3,\"epoch\":\"e1n1\",\"type\":1,\"timestamp\":0,\"payload_crc\":0,\"payload\":\"\"}\n";
    let output = read(&fake(gap), &["--from", "2"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (Some(1), ""));
    assert!(stderr(&output).contains("sent #3, expected #2"), "{}", stderr(&output));
    let rot = "{\"sequence\":2,\"epoch\":\"e1n1\",\"type\":1,\"timestamp\":0,\"payload_crc\":7,\"payload\":\"YQ==\"}\n";
    let output = read(&fake(rot), &["--from", "2"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (Some(4), ""));
    assert!(stderr(&output).contains("verify the log"), "{}", stderr(&output));
}

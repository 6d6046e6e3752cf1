//! What the tests of processes share.

use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::Instant;

/// What takes longer than this has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, with nothing of the tester's own configuration in its environment.
pub(crate) fn engraft() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engraft"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ENGRAFT_")) {
        command.env_remove(name);
    }
    command
}

/// The exit code; a process that a signal ended has none.
pub(crate) fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A node in a process of its own; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    /// The line that it printed when it was ready.
    pub(crate) ready: serde_json::Value,
}

impl Server {
    /// Starts a node with this configuration, in this directory, and returns once it serves.
    pub(crate) fn start(directory: &Path, configuration: &str) -> Self {
        Self::start_with(engraft(), directory, configuration)
    }

    /// The same by a command that was prepared, such as one with more in its environment.
    pub(crate) fn start_with(mut command: Command, directory: &Path, configuration: &str) -> Self {
        let file = directory.join("node.toml");
        std::fs::write(&file, configuration).expect("written");
        // What has to be answered is answered, however long the disk takes today; requests may say otherwise.
        command.env("ENGRAFT_REPLICATION_APPEND_TIMEOUT", "60s");
        let mut child = command
            .args(["serve", "--stop-with-stdin", "--log", "error", "--config"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it prints");
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        Self { child, stdin, ready }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it speaks HTTP.
    pub(crate) fn http(&self) -> &str {
        self.ready["http"].as_str().expect("an address")
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "{name}");
    }

    /// Closes its stdin.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The exit code, once it has ended.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "the node does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a request and returns the answer.
    pub(crate) fn request(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let mut stream = self.open(method, path, content_type, body.len());
        stream.write_all(body).expect("sent");
        Answer::read(stream)
    }

    /// Sends a request's head only; its body is still to come.
    pub(crate) fn open(&self, method: &str, path: &str, content_type: &str, size: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.http()).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: {content_type}\r\n\
             content-length: {size}\r\n\r\n"
        )
        .expect("sent");
        stream
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.request("POST", path, "text/plain", body)
    }

    pub(crate) fn post_lines(&self, path: &str, lines: &str) -> Answer {
        self.request("POST", path, "application/x-ndjson", lines.as_bytes())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "text/plain", b"")
    }

    /// Waits until the space has a primary here that takes appends.
    pub(crate) fn wait_for_primary(&self) {
        let begun = Instant::now();
        while self.get("/v1/status").json()["spaces"][0]["role"] != "primary" {
            assert!(begun.elapsed() < PATIENCE, "no primary: {}", self.get("/v1/status").text);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits for something; what takes longer than this has failed.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(begun.elapsed() < PATIENCE, "{what} never came: {why}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        let all = String::from_utf8(bytes).expect("text");
        let (head, text) = all.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {all:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), text: text.to_owned() }
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"))).collect()
    }
}

/// A node that is alone in its cluster, on ports that the system chooses.
pub(crate) fn alone(directory: &Path, more: &str) -> String {
    format!(
        "node = 1\ncluster = \"test\"\nlisten = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\nreplica_count = 0\n\
         data_dir = {:?}\n\n[[spaces]]\nname = \"orders\"\nprimary = 1\n{more}",
        directory.join("data")
    )
}

/// A node of three whose peers do not run.
pub(crate) fn without_peers(directory: &Path, node: u16, more: &str) -> String {
    let peers: String = (1..=3)
        .filter(|id| *id != node)
        .map(|id| format!("[[peers]]\nid = {id}\naddress = \"127.0.0.1:{id}\"\nhttp = \"127.0.0.1:8{id}\"\n"))
        .collect();
    format!(
        "node = {node}\ncluster = \"test\"\nlisten = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n\
         data_dir = {:?}\n\n{peers}\n[[spaces]]\nname = \"orders\"\nprimary = 1\n{more}",
        directory.join("data")
    )
}

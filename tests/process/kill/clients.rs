//! Clients that append under all levels and record what they were told, and one that reads.

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engraft::core::draw::draw_below;
use serde_json::Value;

use super::history::{Level, Operation, Place, Seen, Told, parse_epoch};
use super::payload::PayloadId;

const NEXT: u64 = 200;

/// Where the nodes speak HTTP; none while a node does not run.
pub(super) type Doors = Arc<Mutex<[Option<SocketAddr>; 3]>>;

/// What is written to.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) primary: u16,
    pub(super) voters: &'static [u16],
}

/// What all clients share.
pub(super) struct Shared {
    pub(super) seed: u64,
    pub(super) targets: &'static [Target],
    /// Of each target, the node that took something last.
    pub(super) leaders: Vec<AtomicU16>,
    pub(super) doors: Doors,
    /// Held for each request; whoever holds it alone sees a history in which nothing is under way.
    pub(super) gate: RwLock<()>,
    pub(super) ended: AtomicBool,
    pub(super) begun: Instant,
    pub(super) operations: Mutex<Vec<Operation>>,
    pub(super) seen: Mutex<Vec<Seen>>,
}

impl Shared {
    /// The node's address, if it runs.
    pub(super) fn door(&self, node: u16) -> Option<SocketAddr> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(node) - 1]
    }
}

/// Starts a client's thread.
pub(super) fn start(shared: &Arc<Shared>, client: u32) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let mut writer = Writer { shared: &shared, client, counter: 0, requests: 0 };
        while !shared.ended.load(Ordering::Relaxed) {
            let passes = shared.gate.read().unwrap_or_else(PoisonError::into_inner);
            let rest = writer.request();
            drop(passes);
            std::thread::sleep(rest);
        }
    })
}

/// Starts the reader's thread.
pub(super) fn start_reader(shared: &Arc<Shared>) -> JoinHandle<()> {
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        for n in 0.. {
            if shared.ended.load(Ordering::Relaxed) {
                return;
            }
            let passes = shared.gate.read().unwrap_or_else(PoisonError::into_inner);
            read(&shared, n);
            drop(passes);
            std::thread::sleep(Duration::from_millis(25));
        }
    })
}

struct Writer<'a> {
    shared: &'a Shared,
    client: u32,
    counter: u32,
    requests: u64,
}

impl Writer<'_> {
    fn below(&self, question: u64, bound: u64) -> u64 {
        draw_below(self.shared.seed, NEXT + question, self.client.into(), self.requests, bound)
    }

    /// Sends one request, records what became of it, and says how long to rest.
    fn request(&mut self) -> Duration {
        self.requests += 1;
        let space = usize::try_from(self.client).unwrap_or(0) % self.shared.targets.len();
        let target = &self.shared.targets[space];
        let level = [Level::Local, Level::Quorum, Level::All][usize::try_from(self.below(0, 3)).unwrap_or(0)];
        let many = self.below(1, 3) == 0;
        let count = if many { 1 + self.below(2, if self.below(3, 10) == 0 { 300 } else { 20 }) } else { 1 };
        let timeout = [1, 5, 20, 100, 500, 2_000][usize::try_from(self.below(4, 6)).unwrap_or(0)];
        // Some go away before they can have heard.
        let patience = if self.below(5, 12) == 0 { 1 + self.below(6, 20) } else { timeout + 3_000 };
        // Some ask the wrong node.
        let leader = self.shared.leaders[space].load(Ordering::Relaxed);
        let node = if self.below(7, 30) == 0 { leader % 3 + 1 } else { leader };
        let ids: Vec<PayloadId> = (0..count)
            .map(|_| {
                self.counter += 1;
                PayloadId { client: self.client, counter: self.counter }
            })
            .collect();
        let path = format!("/v1/spaces/{}/entries?ack={}&timeout_ms={timeout}", target.name, level.name());
        let body = body(self.shared.seed, &ids, many);
        let sent = self.shared.begun.elapsed();
        let told = match self.shared.door(node) {
            None => vec![Told::Failed("not sent".to_owned()); ids.len()],
            Some(door) => send(door, &path, many, &body, ids.len(), Duration::from_millis(patience)),
        };
        let answered = self.shared.begun.elapsed();
        if matches!(told.first(), Some(Told::Failed(_))) && node == leader {
            // Only the first of those who were refused moves on.
            let (place, next) = (&self.shared.leaders[space], leader % 3 + 1);
            let _ = place.compare_exchange(leader, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        // One that finds no node to talk to does not hurry.
        let rest = match told.first() {
            Some(Told::Failed(_)) => 80,
            Some(Told::Nothing) => 10,
            Some(Told::Appended(_) | Told::Unknown { .. }) | None => self.below(8, 8),
        };
        let mut operations = self.shared.operations.lock().unwrap_or_else(PoisonError::into_inner);
        for ((id, told), line) in ids.into_iter().zip(told).zip(0..) {
            operations.push(Operation { id, space, level, sent, answered, line, told });
        }
        Duration::from_millis(rest)
    }
}

fn body(seed: u64, ids: &[PayloadId], many: bool) -> Vec<u8> {
    if !many {
        return ids.iter().flat_map(|id| id.bytes(seed)).collect();
    }
    let line = |id: &PayloadId| format!("{{\"payload\":\"{}\"}}\n", STANDARD.encode(id.bytes(seed)));
    ids.iter().map(line).collect::<String>().into_bytes()
}

/// What each entry of the request was answered.
pub(super) fn send(
    door: SocketAddr,
    path: &str,
    many: bool,
    body: &[u8],
    count: usize,
    patience: Duration,
) -> Vec<Told> {
    let Ok(stream) = TcpStream::connect_timeout(&door, Duration::from_secs(1)) else {
        return vec![Told::Failed("not sent".to_owned()); count];
    };
    let media_type = if many { "application/x-ndjson" } else { "text/plain" };
    let Some((_, text)) = exchange(stream, "POST", path, media_type, body, patience) else {
        return vec![Told::Nothing; count];
    };
    told(&text, count)
}

/// Reads an answer: a line for each entry, or one error for all of them.
pub(super) fn told(text: &str, count: usize) -> Vec<Told> {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect();
    if let [line] = lines.as_slice()
        && line["outcome"].is_null()
    {
        return vec![Told::Failed(line["error"]["kind"].as_str().unwrap_or("no kind").to_owned()); count];
    }
    assert_eq!(lines.len(), count, "an answer for each entry: {text}");
    let place = |line: &Value| Place {
        epoch: line["epoch"].as_str().and_then(parse_epoch).expect("an epoch"),
        sequence: line["sequence"].as_u64().expect("a sequence"),
    };
    let nodes = |line: &Value| -> Vec<u16> { serde_json::from_value(line["acked_by"].clone()).expect("nodes") };
    let each = lines.iter().map(|line| match line["outcome"].as_str() {
        Some("appended") => Told::Appended(place(line)),
        // Nobody knows its place: it was handed to a node that ended meanwhile.
        Some("unknown") if line["sequence"] == 0 => Told::Nothing,
        Some("unknown") => Told::Unknown { place: place(line), acked_by: nodes(line) },
        _ => Told::Failed(line["error"]["kind"].as_str().unwrap_or("no kind").to_owned()),
    });
    each.collect()
}

/// Sends a request and reads its whole answer: status line and head, and body. `None` where it did not come.
pub(super) fn exchange(
    mut stream: TcpStream,
    method: &str,
    path: &str,
    media_type: &str,
    body: &[u8],
    patience: Duration,
) -> Option<(String, String)> {
    let until = Instant::now() + patience;
    let size = body.len();
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nhost: kill\r\nconnection: close\r\ncontent-type: {media_type}\r\n\
         content-length: {size}\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(body);
    stream.set_write_timeout(Some(patience)).ok()?;
    stream.write_all(&request).ok()?;
    let (mut answer, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut piece).ok()? {
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    let text = String::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_ascii_lowercase();
    let expected: usize = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    // A node that was killed may have sent a part.
    (body.len() == expected).then(|| (head.clone(), body.to_owned()))
}

/// Reads committed entries from some node and records what it showed.
fn read(shared: &Shared, n: u64) {
    let below = |question, bound| draw_below(shared.seed, NEXT + 100 + question, 0, n, bound);
    let space = usize::try_from(below(0, shared.targets.len() as u64)).unwrap_or(0);
    let node = u16::try_from(1 + below(1, 3)).unwrap_or(1);
    let Some(door) = shared.door(node) else { return };
    let get = |query: &str| {
        let stream = TcpStream::connect_timeout(&door, Duration::from_secs(1)).ok()?;
        let path = format!("/v1/spaces/{}/entries?{query}", shared.targets[space].name);
        let answer = exchange(stream, "GET", &path, "text/plain", b"", Duration::from_secs(2))?;
        answer.0.starts_with("http/1.1 200").then_some(answer)
    };
    let commit = |head: &str| head.lines().find_map(|line| line.strip_prefix("engraft-commit: ")?.parse::<u64>().ok());
    let Some(end) = get("from=1&max=1").and_then(|(head, _)| commit(&head)) else { return };
    // Mostly what is new, where mistakes are.
    let back = if below(2, 4) == 0 { below(3, end + 1) } else { below(3, 30) };
    let Some((_, text)) = get(&format!("from={}&max=40", end.saturating_sub(back).max(1))) else { return };
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
    let seen = lines.map(|line| Seen {
        space,
        node,
        place: Place {
            epoch: line["epoch"].as_str().and_then(parse_epoch).expect("an epoch"),
            sequence: line["sequence"].as_u64().expect("a sequence"),
        },
        payload_crc: line["payload_crc"].as_u64().and_then(|crc| u32::try_from(crc).ok()).expect("a checksum"),
    });
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(seen);
}

#[test]
fn answers_are_read_line_by_line() {
    let text = "{\"outcome\":\"appended\",\"sequence\":2,\"epoch\":\"e1n1\",\"token\":\"t\"}\n\
                {\"outcome\":\"unknown\",\"sequence\":3,\"epoch\":\"e1n1\",\"token\":\"t\",\"acked_by\":[1,2]}\n\
                {\"outcome\":\"unknown\",\"sequence\":0,\"epoch\":\"e0n0\",\"token\":\"t\",\"acked_by\":[]}\n\
                {\"outcome\":\"failed\",\"error\":{\"kind\":\"overloaded\",\"message\":\"\"}}\n";
    let place = |sequence| Place { epoch: parse_epoch("e1n1").expect("one"), sequence };
    assert_eq!(
        told(text, 4),
        [
            Told::Appended(place(2)),
            Told::Unknown { place: place(3), acked_by: vec![1, 2] },
            Told::Nothing,
            Told::Failed("overloaded".into())
        ]
    );
    assert_eq!(
        told("{\"error\":{\"kind\":\"stopped\",\"message\":\"\"}}\n", 2),
        vec![Told::Failed("stopped".into()); 2]
    );
}

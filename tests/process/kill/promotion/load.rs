//! Clients that append at every level wherever one is taken, and what they were told.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use engraft::types::Epoch;
use serde_json::Value;

use super::super::clients::{Doors, exchange, send};
use super::super::cluster::nodes;
use super::super::history::{Level, Operation, Told, parse_epoch};
use super::super::payload::PayloadId;
use super::SEED;

/// Half of them are in a hurry and leave a node that does not answer; the others wait until it does, so that it has
/// something to answer when it goes on.
pub(super) const CLIENTS: u32 = 8;
/// What a client in a hurry lets the node wait, and how much longer it waits itself.
const HURRY: Duration = Duration::from_millis(300);
/// The same for the others: longer than any pause.
const CALM: Duration = Duration::from_secs(60);
const SLACK: Duration = Duration::from_millis(200);

/// What the clients share with those who kill.
pub(super) struct Load {
    doors: Doors,
    pub(super) begun: Instant,
    pub(super) ended: AtomicBool,
    operations: Mutex<Vec<Operation>>,
    /// How many entries were appended besides those of the clients.
    asked: AtomicU32,
}

impl Load {
    pub(super) fn new(doors: Doors) -> Self {
        let (ended, operations, asked) = (AtomicBool::new(false), Mutex::default(), AtomicU32::new(0));
        Self { doors, begun: Instant::now(), ended, operations, asked }
    }

    fn door(&self, node: u16) -> Option<SocketAddr> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(node) - 1]
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Appends one entry after another, wherever one is taken.
    pub(super) fn run(&self, client: u32) {
        let timeout = if client.is_multiple_of(2) { HURRY } else { CALM };
        let mut node = 1;
        for counter in 0.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let level = [Level::Local, Level::Quorum, Level::All][(client + counter) as usize % 3];
            let told = self.append(PayloadId { client, counter }, level, node, timeout);
            if matches!(told, Told::Failed(_) | Told::Nothing) {
                node = node % 3 + 1;
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Appends one entry more on that node.
    pub(super) fn ask(&self, node: u16, level: Level) -> Told {
        let counter = self.asked.fetch_add(1, Ordering::Relaxed);
        self.append(PayloadId { client: CLIENTS, counter }, level, node, Duration::from_millis(100))
    }

    fn append(&self, id: PayloadId, level: Level, node: u16, timeout: Duration) -> Told {
        let sent = self.begun.elapsed();
        let told = match self.door(node) {
            None => Told::Failed("not sent".to_owned()),
            Some(door) => {
                let path = format!("/v1/spaces/orders/entries?ack={}&timeout_ms={}", level.name(), timeout.as_millis());
                send(door, &path, false, &id.bytes(SEED), 1, timeout + SLACK).remove(0)
            }
        };
        let answered = self.begun.elapsed();
        let operation = Operation { id, space: 0, level, sent, answered, line: 0, told: told.clone() };
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
        told
    }

    /// What the node tells of the space.
    pub(super) fn space(&self, node: u16) -> Option<Value> {
        let stream = TcpStream::connect(self.door(node)?).ok()?;
        let (_, text) = exchange(stream, "GET", "/v1/status", "text/plain", b"", Duration::from_secs(5))?;
        let status: Value = serde_json::from_str(&text).ok()?;
        status["spaces"].as_array()?.first().cloned()
    }

    /// The node that is the primary, and its epoch.
    pub(super) fn primary(&self) -> Option<(u16, Epoch)> {
        let roles = nodes().filter_map(|node| {
            let space = self.space(node)?;
            let epoch = parse_epoch(space["epoch"].as_str()?)?;
            (space["role"] == "primary").then_some((node, epoch))
        });
        roles.max_by_key(|(_, epoch)| *epoch)
    }

    /// When the last answer of this epoch came, and when the first of a later one.
    pub(super) fn answers(&self, epoch: Epoch) -> (Option<Duration>, Option<Duration>) {
        let operations = self.operations();
        let answered = operations.iter().filter_map(|operation| match operation.told {
            Told::Appended(place) => Some((place.epoch, operation.answered)),
            Told::Unknown { .. } | Told::Failed(_) | Told::Nothing => None,
        });
        let answered: Vec<_> = answered.collect();
        let last = answered.iter().filter(|(at, _)| *at == epoch).map(|(_, when)| *when).max();
        (last, answered.iter().filter(|(at, _)| *at > epoch).map(|(_, when)| *when).min())
    }
}

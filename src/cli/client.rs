//! A client of a node's HTTP.

use ::core::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::core::Ack;
use crate::driver::http::{LagPercentiles, NDJSON};

use super::exit::{Exit, Failure};

/// A client of one node. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
}

/// What came back from an append.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// One line per entry, or one error for all of them.
    pub body: Bytes,
}

/// A node's status, as far as the commands need it.
#[derive(Debug, Clone, Deserialize)]
pub struct StatusReply {
    /// The node.
    pub node: u16,
    /// Its spaces.
    pub spaces: Vec<SpaceReply>,
    /// The lag of its replicas over time.
    pub lag: Vec<LagReply>,
}

/// A space in a status.
#[derive(Debug, Clone, Deserialize)]
pub struct SpaceReply {
    /// Its name.
    pub name: String,
    /// The node's part in it: `opening`, `primary`, `replica` or `stopped`.
    pub role: String,
    /// Why it stopped, where it did.
    pub stopped: Option<String>,
    /// The last durable entry.
    pub durable: u64,
    /// The last entry known to be committed.
    pub commit: u64,
    /// The replicas, where the node is the primary.
    pub replicas: Vec<ReplicaReply>,
}

/// A replica in a status.
#[derive(Debug, Clone, Deserialize)]
pub struct ReplicaReply {
    /// The replica.
    pub node: u16,
    /// The last entry that it has durable.
    pub durable: u64,
    /// Whether a link to it is open.
    pub connected: bool,
    /// How far it is behind.
    pub lag: LagNow,
}

/// How far a replica is behind.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct LagNow {
    /// In entries.
    pub entries: u64,
}

/// The lag of a replica over time.
#[derive(Debug, Clone, Deserialize)]
pub struct LagReply {
    /// The space's name.
    pub space: String,
    /// The replica.
    pub replica: u16,
    /// Over all acknowledgements since the primary started.
    #[serde(flatten)]
    pub percentiles: LagPercentiles,
}

impl Client {
    /// A client of the node that speaks HTTP at `address` (`host:port`).
    ///
    /// # Errors
    /// Where no client can be made at all.
    pub fn new(address: &str) -> Result<Self, Failure> {
        // A proxy in the environment is for other machines than one's own nodes.
        let http = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5)).build();
        let http = http.map_err(|error| Failure::failed(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { http, base: format!("http://{address}") })
    }

    /// Appends NDJSON lines; the answer comes once each of them is answered.
    ///
    /// # Errors
    /// Where no answer came. The entries may or may not be in the log then.
    pub async fn append(&self, space: &str, lines: Bytes, ack: Ack, timeout: Duration) -> Result<Answer, Failure> {
        let ms = timeout.as_millis();
        let request = self
            .http
            .post(format!("{}/v1/spaces/{space}/entries?ack={ack}&timeout_ms={ms}", self.base))
            .header(CONTENT_TYPE, NDJSON)
            .timeout(timeout + Duration::from_secs(30))
            .body(lines);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok(Answer { status, body })
    }

    /// What the node says of itself.
    ///
    /// # Errors
    /// Where no answer came, or one that is none.
    pub async fn status(&self) -> Result<StatusReply, Failure> {
        let request = self.http.get(format!("{}/v1/status", self.base)).timeout(Duration::from_secs(5));
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        response.json().await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut message = format!("no answer from {}: {error}", self.base);
        let mut cause = ::core::error::Error::source(error);
        while let Some(next) = cause {
            message.push_str(": ");
            message.push_str(&next.to_string());
            cause = next.source();
        }
        Failure::new(Exit::Unreachable, message)
    }
}

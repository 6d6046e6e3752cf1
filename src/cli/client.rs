//! A client of a node's HTTP.

use ::core::time::Duration;

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::core::{Ack, PromoteBy};
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

/// Committed entries, as they came.
#[derive(Debug, Clone)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The last committed entry, where the node told it.
    pub commit: Option<u64>,
    /// A line of JSON for each entry, or one error.
    pub body: Bytes,
}

/// Why no answer came.
#[derive(Debug, Clone)]
pub enum NoAnswer {
    /// The node was not reached: nothing was sent, so nothing can have happened.
    NotSent(Failure),
    /// The connection broke, or the time was up. What was asked for may have been done.
    Unknown(Failure),
}

impl NoAnswer {
    /// The failure, for whom it makes no difference.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        match self {
            Self::NotSent(failure) | Self::Unknown(failure) => failure,
        }
    }
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
    /// The node's part in it: `candidate`, `opening`, `primary`, `replica` or `stopped`.
    pub role: String,
    /// Why it stopped, where it did.
    pub stopped: Option<String>,
    /// The primary; `None` while the node hears none.
    pub primary: Option<u16>,
    /// The epoch in force, in its printed form.
    pub epoch: String,
    /// The last entry in the log.
    pub end: u64,
    /// The epoch of that entry, in its printed form.
    pub end_epoch: String,
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
    /// How it does: `healthy`, `lagging`, `degraded` or `failed`.
    pub status: String,
    /// Why it is said to do so.
    pub reason: String,
    /// The last entry that it has durable.
    pub durable: u64,
    /// Whether a link to it is open.
    pub connected: bool,
    /// Whether an operator paused it.
    pub paused: bool,
    /// Whether it counts in no majority, since it may have forgotten what it acknowledged.
    #[serde(default)]
    pub recovering: bool,
    /// How far it is behind.
    pub lag: LagNow,
}

/// How far a replica is behind.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct LagNow {
    /// In entries.
    pub entries: u64,
    /// In milliseconds: the age of the oldest of them.
    pub ms: u64,
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

    /// Appends NDJSON lines at the space's own level or another; the answer comes once each of them is answered.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn append_lines(
        &self,
        space: &str,
        lines: Bytes,
        ack: Option<Ack>,
        timeout: Duration,
    ) -> Result<Answer, NoAnswer> {
        let ack = ack.map_or_else(String::new, |ack| format!("ack={ack}&"));
        let request = self
            .http
            .post(format!("{}/v1/spaces/{space}/entries?{ack}timeout_ms={}", self.base, timeout.as_millis()))
            .header(CONTENT_TYPE, NDJSON)
            .timeout(timeout + Duration::from_secs(30))
            .body(lines);
        let response = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| NoAnswer::Unknown(self.unreachable(&error)))?;
        Ok(Answer { status, body })
    }

    /// Reads committed entries from `from` on; where there are none yet, the node waits for the first up to `wait`.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn read(&self, space: &str, from: u64, wait: Duration) -> Result<Page, Failure> {
        let wait_ms = wait.as_millis();
        let request = self
            .http
            .get(format!("{}/v1/spaces/{space}/entries?from={from}&wait_ms={wait_ms}", self.base))
            .timeout(wait + Duration::from_secs(30));
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let commit = response.headers().get("engraft-commit").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok(Page { status, commit, body })
    }

    /// Has the node become the primary of a space: 202 where that has begun.
    ///
    /// # Errors
    /// Where no answer came. It may have begun all the same.
    pub async fn promote(&self, space: &str, by: PromoteBy) -> Result<Answer, Failure> {
        let by = match by {
            PromoteBy::Election => "election",
            PromoteBy::Force => "force&accept_loss=true",
            PromoteBy::ForceThoughAlive => "force_though_alive&accept_loss=true",
        };
        let request = self.http.post(format!("{}/v1/spaces/{space}/promote?by={by}", self.base));
        let response =
            request.timeout(Duration::from_secs(30)).send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok(Answer { status, body })
    }

    /// What the node says of itself.
    ///
    /// # Errors
    /// Where no answer came, or one that is none.
    pub async fn status(&self) -> Result<StatusReply, Failure> {
        let text = self.get("/v1/status").await?;
        serde_json::from_slice(&text)
            .map_err(|error| Failure::failed(format!("{} answers with no status: {error}", self.base)))
    }

    /// The answer to a GET of this path, which has to be a good one.
    ///
    /// # Errors
    /// Where no answer came, or one of failure.
    pub async fn get(&self, path: &str) -> Result<Bytes, Failure> {
        let request = self.http.get(format!("{}{path}", self.base)).timeout(Duration::from_secs(5));
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let response = response.error_for_status().map_err(|error| self.unreachable(&error))?;
        response.bytes().await.map_err(|error| self.unreachable(&error))
    }

    fn no_answer(&self, error: &reqwest::Error) -> NoAnswer {
        let failure = self.unreachable(error);
        if error.is_connect() { NoAnswer::NotSent(failure) } else { NoAnswer::Unknown(failure) }
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

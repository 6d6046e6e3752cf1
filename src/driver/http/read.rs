//! `GET /v1/spaces/{space}/entries`: committed entries, from any node that has a log of the space.

use ::core::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::core::{Notice, Outcome};
use crate::types::{Entry, Sequence, SpaceId};

use super::append::own_space;
use super::failure::Failure;
use super::line::EntryLine;
use super::{HttpState, NDJSON};

/// The longest wait that a request may ask for, in milliseconds.
const WAIT_MS_MAX: u64 = 60_000;
/// How long a wait for a notice may be: what is committed while it is not durable here yet becomes readable without one.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What may stand behind the `?`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadQuery {
    from: Option<u64>,
    max: Option<u32>,
    wait_ms: Option<u64>,
}

/// Answers with entries from `from` (1 where it is left out) up to the commit or a limit; fewer than asked for do not
/// mean that there are no more: `engraft-commit` tells.
///
/// Where there are none yet, it waits for the first up to `wait_ms`, or until the node stops.
pub(super) async fn read(
    State(state): State<HttpState>,
    Path(space): Path<String>,
    query: Result<Query<ReadQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let space = own_space(&state.config, &space)?.id();
    let query = checked(query)?;
    let limits = &state.config.clients;
    let entries_max = query.max.unwrap_or(limits.read_entries_max).min(limits.read_entries_max).max(1);
    let from = Sequence(query.from.unwrap_or(1).max(1));
    let deadline = Instant::now() + Duration::from_millis(query.wait_ms.unwrap_or(0));
    // From before the first look, so that nothing that is committed after it goes unnoticed.
    let mut notices = state.node.notices();
    loop {
        let permit = state.budget.take(limits.read_bytes_max.min(limits.bodies_bytes_max))?;
        let outcome = state.node.read(space, from, entries_max, limits.read_bytes_max).await;
        let (entries, commit) = match outcome {
            Outcome::Entries { entries, commit } => (entries, commit),
            Outcome::Failed(error) => return Err(Failure::from_append(error, &state.config)),
            // A read is never answered as an append.
            Outcome::Appended { .. }
            | Outcome::Unknown { .. }
            | Outcome::Resolved { .. }
            | Outcome::Standing { .. } => return Err(Failure::Halted),
        };
        if !entries.is_empty() || Instant::now() >= deadline || *state.stopping.borrow() {
            let headers =
                [(header::CONTENT_TYPE.as_str(), NDJSON.to_owned()), ("engraft-commit", commit.0.to_string())];
            return Ok((StatusCode::OK, headers, lines(&entries)).into_response());
        }
        // Whoever waits holds no memory.
        drop(permit);
        tokio::select! {
            () = committed(&mut notices, space, from) => {}
            () = sleep_until(deadline.min(Instant::now() + LOOK_AGAIN)) => {}
            () = stopped(state.stopping.clone()) => {}
        }
    }
}

fn checked(query: Result<Query<ReadQuery>, QueryRejection>) -> Result<ReadQuery, Failure> {
    let refuse = |found: String| Failure::BadRequest {
        what: "the query".to_owned(),
        expected: format!("from=, max= and wait_ms= (up to {WAIT_MS_MAX}) with whole numbers, or none of them"),
        found,
    };
    let Query(query) = query.map_err(|rejection| refuse(rejection.body_text()))?;
    match query.wait_ms {
        Some(ms) if ms > WAIT_MS_MAX => Err(refuse(format!("wait_ms={ms}"))),
        Some(_) | None => Ok(query),
    }
}

/// Resolves when the entry may be committed: notices that were missed may have said so.
async fn committed(notices: &mut Receiver<Notice>, space: SpaceId, from: Sequence) {
    loop {
        match notices.recv().await {
            Ok(Notice::Committed { space: found, commit }) if found == space && commit >= from => return,
            Ok(Notice::SpaceStopped { space: found, .. }) if found == space => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_) | RecvError::Closed) => return,
        }
    }
}

/// Resolves when nobody is to be kept waiting any more; never where nobody will tell.
async fn stopped(mut stopping: watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        ::core::future::pending::<()>().await;
    }
}

fn lines(entries: &[Entry]) -> Vec<u8> {
    let bytes: usize = entries.iter().map(|entry| 160 + entry.payload.len().div_ceil(3) * 4).sum();
    let mut lines = Vec::with_capacity(bytes);
    let mut payload = String::new();
    for entry in entries {
        payload.clear();
        STANDARD.encode_string(&entry.payload, &mut payload);
        let line = EntryLine {
            sequence: entry.header.sequence().0,
            epoch: entry.header.epoch().to_string().into(),
            entry_type: entry.header.entry_type().number(),
            control: entry.header.control().kind,
            timestamp: entry.header.timestamp(),
            payload_crc: entry.header.payload_crc(),
            payload: payload.as_str().into(),
        };
        // Writing into memory cannot fail, and the lines have no keys that are not text.
        if serde_json::to_writer(&mut lines, &line).is_ok() {
            lines.push(b'\n');
        }
    }
    lines
}

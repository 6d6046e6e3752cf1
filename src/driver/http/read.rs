//! `GET /v1/spaces/{space}/entries`: committed entries, from any node that has a log of the space.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::core::Outcome;
use crate::types::{Entry, Sequence};

use super::append::own_space;
use super::failure::Failure;
use super::line::EntryLine;
use super::{HttpState, NDJSON};

/// What may stand behind the `?`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadQuery {
    from: Option<u64>,
    max: Option<u32>,
}

/// Answers with entries from `from` (1 where it is left out) up to the commit or a limit; fewer than asked for do not
/// mean that there are no more: `engraft-commit` tells.
pub(super) async fn read(
    State(state): State<HttpState>,
    Path(space): Path<String>,
    query: Result<Query<ReadQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let name = own_space(&state.config, &space)?;
    let Query(query) = query.map_err(|rejection| Failure::BadRequest {
        what: "the query".to_owned(),
        expected: "from= and max= with whole numbers, or neither".to_owned(),
        found: rejection.body_text(),
    })?;
    let limits = &state.config.clients;
    let entries_max = query.max.unwrap_or(limits.read_entries_max).min(limits.read_entries_max).max(1);
    let _permit = state.budget.take(limits.read_bytes_max.min(limits.bodies_bytes_max))?;
    let from = Sequence(query.from.unwrap_or(1));
    match state.node.read(name.id(), from, entries_max, limits.read_bytes_max).await {
        Outcome::Entries { entries, commit } => {
            let headers =
                [(header::CONTENT_TYPE.as_str(), NDJSON.to_owned()), ("engraft-commit", commit.0.to_string())];
            Ok((StatusCode::OK, headers, lines(&entries)).into_response())
        }
        Outcome::Failed(error) => Err(Failure::from_append(error, &state.config)),
        // A read is never answered as an append.
        Outcome::Appended { .. } | Outcome::Unknown { .. } | Outcome::Resolved { .. } => Err(Failure::Halted),
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

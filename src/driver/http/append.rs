//! `POST /v1/spaces/{space}/entries`: one entry, or many.

use ::core::time::Duration;
use alloc::borrow::Cow;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::Deserialize;

use crate::core::{Ack, AppendError, Outcome};
use crate::types::{Control, SpaceId, SpaceName, Token, WalEntryType};

use super::super::config::NodeConfig;
use super::super::node::AppendRequest;
use super::failure::Failure;
use super::line::{AnswerLine, AppendLine};
use super::{HttpState, NDJSON};

/// Base64 in, padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest wait that a request may ask for, in milliseconds.
const TIMEOUT_MS_MAX: u64 = 3_600_000;

/// What may stand behind the `?`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppendQuery {
    ack: Option<Ack>,
    timeout_ms: Option<u64>,
}

/// Appends what the body holds and answers once every entry of it is answered.
pub(super) async fn append(
    State(state): State<HttpState>,
    Path(space): Path<String>,
    query: Result<Query<AppendQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let name = own_space(&state.config, &space)?;
    let query = checked(query)?;
    let (bytes, _permit) = state.budget.collect(&headers, body).await?;
    let many = is_ndjson(&headers);
    let entries_max = state.config.replication.append_entries_max;
    let entries = if many { parse_lines(&bytes, entries_max)? } else { vec![(bytes, WalEntryType::EpisodeStore)] };
    let space = name.id();
    let requests =
        entries.into_iter().map(|(payload, entry_type)| request(space, payload, entry_type, query)).collect();
    let outcomes = state.node.append(requests).await;
    Ok(answer(&name, outcomes, &state.config, many))
}

/// The space of that name, where this node has a log of it. One that has none can still say who is the primary.
pub(super) fn own_space(config: &NodeConfig, name: &str) -> Result<SpaceName, Failure> {
    let Some(space) = config.space(name) else {
        let known = config.spaces.iter().map(|space| space.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Failure::UnknownSpace { found: name.to_owned(), known });
    };
    if !space.config.voters.contains(&config.node) {
        return Err(Failure::from_append(AppendError::NotPrimary { primary: space.config.primary }, config));
    }
    Ok(space.name.clone())
}

fn checked(query: Result<Query<AppendQuery>, QueryRejection>) -> Result<AppendQuery, Failure> {
    let refuse = |found: String| Failure::BadRequest {
        what: "the query".to_owned(),
        expected: format!("ack=local|quorum|all and timeout_ms=1 to {TIMEOUT_MS_MAX}, or neither"),
        found,
    };
    let Query(query) = query.map_err(|rejection| refuse(rejection.body_text()))?;
    match query.timeout_ms {
        Some(ms) if !(1..=TIMEOUT_MS_MAX).contains(&ms) => Err(refuse(format!("timeout_ms={ms}"))),
        Some(_) | None => Ok(query),
    }
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(NDJSON))
}

fn request(space: SpaceId, payload: Bytes, entry_type: WalEntryType, query: AppendQuery) -> AppendRequest {
    AppendRequest {
        space,
        payload,
        entry_type,
        control: Control::user(),
        timestamp: None,
        ack: query.ack,
        timeout: query.timeout_ms.map(Duration::from_millis),
    }
}

/// The entries of an NDJSON body. Nothing is appended where one line cannot be read; blank lines are passed over.
///
/// All payloads are decoded into one buffer and are slices of it.
fn parse_lines(body: &[u8], entries_max: u64) -> Result<Vec<(Bytes, WalEntryType)>, Failure> {
    // Base64 shrinks, so the body's size is room enough for all payloads, and for the decoder's estimate of the last.
    let mut buffer = vec![0_u8; body.len()];
    let mut end = 0;
    let mut places = Vec::new();
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        if places.len() as u64 >= entries_max {
            return Err(Failure::TooManyEntries { expected: entries_max });
        }
        let refuse = |found: String| Failure::BadRequest {
            what: format!("line {}", index + 1),
            expected: "{\"payload\": \"<base64>\"} with, if need be, a \"type\" of 0 to 4294967295".to_owned(),
            found,
        };
        let line: AppendLine<'_> = serde_json::from_slice(line).map_err(|error| refuse(error.to_string()))?;
        let room = buffer.get_mut(end..).unwrap_or_default();
        let size = BASE64
            .decode_slice(line.payload.as_ref(), room)
            .map_err(|error| refuse(format!("a payload that is not base64: {error}")))?;
        let entry_type = line.entry_type.map_or(WalEntryType::EpisodeStore, WalEntryType::from_number);
        places.push((end..end + size, entry_type));
        end += size;
    }
    if places.is_empty() {
        return Err(Failure::BadRequest {
            what: "the body".to_owned(),
            expected: "one line or more".to_owned(),
            found: "none".to_owned(),
        });
    }
    buffer.truncate(end);
    let buffer = Bytes::from(buffer);
    Ok(places.into_iter().map(|(place, entry_type)| (buffer.slice(place), entry_type)).collect())
}

/// One JSON object, or one line for each entry. The status is that of the first entry that was not appended.
fn answer(space: &SpaceName, outcomes: Vec<Outcome>, config: &NodeConfig, many: bool) -> Response {
    let mut status = StatusCode::OK;
    let mut lines = Vec::with_capacity(outcomes.len() * 96);
    for outcome in outcomes {
        let (line_status, line) = answer_line(space, outcome, config);
        if status == StatusCode::OK {
            status = line_status;
        }
        // Writing into memory cannot fail, and the lines have no keys that are not text.
        if serde_json::to_writer(&mut lines, &line).is_ok() {
            lines.push(b'\n');
        }
    }
    let media_type = if many { NDJSON } else { "application/json" };
    let mut response = (status, [(header::CONTENT_TYPE, media_type)], lines).into_response();
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn answer_line(space: &SpaceName, outcome: Outcome, config: &NodeConfig) -> (StatusCode, AnswerLine<'static>) {
    let text = |token: &Token| -> (u64, Cow<'static, str>, Cow<'static, str>) {
        let (sequence, epoch) = (token.sequence.0, token.epoch);
        (sequence, epoch.to_string().into(), format!("{space}:{epoch}:{sequence}").into())
    };
    match outcome {
        Outcome::Appended { token } => {
            let (sequence, epoch, token) = text(&token);
            (StatusCode::OK, AnswerLine::Appended { sequence, epoch, token })
        }
        Outcome::Unknown { token, acked_by } => {
            let (sequence, epoch, token) = text(&token);
            let acked_by = acked_by.into_iter().map(|node| node.0).collect();
            (StatusCode::ACCEPTED, AnswerLine::Unknown { sequence, epoch, token, acked_by })
        }
        Outcome::Failed(error) => failed(&Failure::from_append(error, config)),
        // An append is never answered with entries; a node that did so is not to be believed about this append.
        Outcome::Entries { .. } | Outcome::Resolved { .. } | Outcome::Standing { .. } => failed(&Failure::Halted),
    }
}

fn failed(failure: &Failure) -> (StatusCode, AnswerLine<'static>) {
    (failure.status(), AnswerLine::Failed { error: failure.to_failed() })
}

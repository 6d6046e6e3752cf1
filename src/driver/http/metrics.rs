//! `GET /metrics`: the node's figures, for Prometheus.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::super::metrics::{PROMETHEUS_TEXT, render};
use super::HttpState;
use super::failure::Failure;

/// Answers with every figure as it is now; 503 once the node has halted.
pub(super) async fn metrics(State(state): State<HttpState>) -> Result<Response, Failure> {
    let status = state.node.status().await.ok_or(Failure::Halted)?;
    let figures = state.node.figures();
    let text = render(&status, &figures, |space, replica| state.lag.entries_per_second(space, replica));
    Ok(([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], text).into_response())
}

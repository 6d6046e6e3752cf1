//! `GET /v1/status`: what the node says of itself.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::core::{NodeStatus, SpaceStatus};
use crate::types::NodeId;

use super::HttpState;
use super::failure::Failure;
use super::lag::LagPercentiles;

/// The node's status, and the lag of its replicas over time.
#[derive(Debug, Serialize)]
struct StatusBody<'a> {
    version: &'static str,
    #[serde(flatten)]
    status: &'a NodeStatus,
    lag: Vec<SpaceLag<'a>>,
}

#[derive(Debug, Serialize)]
struct SpaceLag<'a> {
    space: &'a str,
    replica: NodeId,
    #[serde(flatten)]
    percentiles: LagPercentiles,
}

/// Answers with the status; 503 once the node has halted.
pub(super) async fn status(State(state): State<HttpState>) -> Result<Response, Failure> {
    let status = state.node.status().await.ok_or(Failure::Halted)?;
    let lag = status.spaces.iter().flat_map(|space| space_lag(&state, space)).collect();
    let body = StatusBody { version: env!("CARGO_PKG_VERSION"), status: &status, lag };
    let text = serde_json::to_string(&body).map_err(|error| Failure::BadRequest {
        what: "the status".to_owned(),
        expected: "to be written as JSON".to_owned(),
        found: error.to_string(),
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response())
}

fn space_lag<'a>(state: &'a HttpState, space: &'a SpaceStatus) -> impl Iterator<Item = SpaceLag<'a>> {
    space.replicas.iter().filter_map(|replica| {
        let percentiles = state.lag.percentiles(space.space, replica.node)?;
        Some(SpaceLag { space: space.name.as_str(), replica: replica.node, percentiles })
    })
}

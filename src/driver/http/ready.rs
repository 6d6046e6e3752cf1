//! `GET /readyz`: whether to send this node work.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;

use crate::core::{NodeStatus, Role, SpaceStatus};

use super::HttpState;
use super::failure::Failure;

/// What may stand behind the `?`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadyQuery {
    max_lag_ms: Option<u64>,
}

/// Answers 200 where the node takes its part in every space: as a primary that has opened, or as a replica with a link
/// to its primary. With `max_lag_ms` no replica of a primary may lag more than that.
pub(super) async fn ready(
    State(state): State<HttpState>,
    query: Result<Query<ReadyQuery>, QueryRejection>,
) -> Result<&'static str, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::BadRequest {
        what: "the query".to_owned(),
        expected: "max_lag_ms= with a whole number, or nothing".to_owned(),
        found: rejection.body_text(),
    })?;
    let status = state.node.status().await.ok_or(Failure::Halted)?;
    let reasons = status.spaces.iter().flat_map(|space| obstacles(&status, space, query.max_lag_ms));
    let reasons = reasons.collect::<Vec<_>>();
    if reasons.is_empty() { Ok("ready\n") } else { Err(Failure::NotReady { reasons: reasons.join("; ") }) }
}

/// What keeps the node from its part in a space.
fn obstacles(status: &NodeStatus, space: &SpaceStatus, max_lag_ms: Option<u64>) -> Vec<String> {
    let name = &space.name;
    match space.role {
        Role::Candidate => vec![format!("{name}: an election is under way")],
        Role::Recovering => vec![format!("{name}: recovering after a power failure, and counts in no majority")],
        Role::Opening => vec![format!("{name}: the primary is still opening its epoch")],
        Role::Stopped => {
            let reason = space.stopped.as_deref().unwrap_or("for no reason that is known");
            vec![format!("{name}: stopped: {reason}")]
        }
        Role::Replica => match space.primary {
            Some(primary) if status.peers.get(&primary) == Some(&true) => Vec::new(),
            Some(primary) => vec![format!("{name}: no link to the primary {primary}")],
            None => vec![format!("{name}: no primary is heard")],
        },
        Role::Primary => {
            let late = space.replicas.iter().filter(|replica| max_lag_ms.is_some_and(|limit| replica.lag.ms > limit));
            late.map(|replica| format!("{name}: {} lags {} ms: {}", replica.node, replica.lag.ms, replica.reason))
                .collect()
        }
    }
}

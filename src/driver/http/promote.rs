//! `POST /v1/spaces/{space}/promote`: this node becomes the primary, by election or by force.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::core::{Outcome, PromoteBy};

use super::HttpState;
use super::append::own_space;
use super::failure::Failure;

/// What may stand behind the `?`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PromoteQuery {
    #[serde(default)]
    by: PromoteBy,
    /// Whether who asks has read what may be lost: nobody is forced without it.
    #[serde(default)]
    accept_loss: bool,
}

/// The node stands, or goes on by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The epoch that it asks for first; the one that it opens, where it is forced.
    pub epoch: String,
}

/// Answers once it has begun; the status tells when the node is the primary.
pub(super) async fn promote(
    State(state): State<HttpState>,
    Path(space): Path<String>,
    query: Result<Query<PromoteQuery>, QueryRejection>,
) -> Result<(StatusCode, Json<Standing>), Failure> {
    let space = own_space(&state.config, &space)?;
    let refuse = |found: String| Failure::BadRequest {
        what: "the query".to_owned(),
        expected: "by=election, or by=force or by=force_though_alive with accept_loss=true: \
                   what this node does not have is lost then"
            .to_owned(),
        found,
    };
    let Query(PromoteQuery { by, accept_loss }) = query.map_err(|rejection| refuse(rejection.body_text()))?;
    if by != PromoteBy::Election && !accept_loss {
        return Err(refuse("no accept_loss=true".to_owned()));
    }
    match state.node.promote(space.id(), by).await {
        Outcome::Standing { epoch } => Ok((StatusCode::ACCEPTED, Json(Standing { epoch: epoch.to_string() }))),
        Outcome::Failed(error) => Err(Failure::from_append(error, &state.config)),
        // It is never answered as another request.
        Outcome::Appended { .. } | Outcome::Unknown { .. } | Outcome::Resolved { .. } | Outcome::Entries { .. } => {
            Err(Failure::Halted)
        }
    }
}

//! Why a request was not carried out: the status, and words by culprit.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::core::{AppendError, PromotionError};
use crate::types::NodeId;

use super::super::config::NodeConfig;
use super::line::Failed;

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The path leads nowhere.
    #[error(
        "no such path; there are /v1/spaces/{{space}}/entries and /promote, /v1/status, /metrics, /readyz and /livez"
    )]
    NoSuchRoute,
    /// The path does not take the method.
    #[error("this path does not take that method; entries take GET and POST, promote POST, the others GET")]
    NoSuchMethod,
    /// A part of the request cannot be.
    #[error("{what}: expected {expected}, found {found}")]
    BadRequest {
        /// Which part.
        what: String,
        /// What was expected.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The name is under no `[[spaces]]` of this node.
    #[error("unknown space {found:?}; expected one of: {known}")]
    UnknownSpace {
        /// What stood in the path.
        found: String,
        /// The names that there are.
        known: String,
    },
    /// The body is larger than the node takes.
    #[error("the body has {found} bytes, expected at most {expected} (`clients.body_bytes_max`); send it in parts")]
    BodyTooLarge {
        /// How many it may have.
        expected: u64,
        /// How many it has, or how many came before the node stopped reading.
        found: u64,
    },
    /// More entries than the node takes at once.
    #[error("the body has more than {expected} entries (`replication.append_entries_max`); send it in parts")]
    TooManyEntries {
        /// How many it may have.
        expected: u64,
    },
    /// The body did not come in time.
    #[error("the body did not come within {ms} ms (`clients.body_timeout`)")]
    BodyTimeout {
        /// How long it may take.
        ms: u64,
    },
    /// Too many bytes of bodies and answers are in memory.
    #[error("other requests hold {limit} bytes already (`clients.bodies_bytes_max`); try again later")]
    Busy {
        /// The limit.
        limit: u64,
    },
    /// The node said no.
    #[error("{error}")]
    Append {
        /// In its words.
        error: AppendError,
        /// Where the primary speaks HTTP, where it is known.
        http: Option<String>,
    },
    /// The node does not take its part in every space.
    #[error("not ready: {reasons}")]
    NotReady {
        /// What keeps it, space by space.
        reasons: String,
    },
    /// The node has halted.
    #[error("the node has stopped")]
    Halted,
}

impl Failure {
    /// What the node said, with the primary's address where it named one.
    pub(super) fn from_append(error: AppendError, config: &NodeConfig) -> Self {
        let http = primary_of(&error).and_then(|primary| http_of(config, primary));
        Self::Append { error, http }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchRoute | Self::UnknownSpace { .. } => StatusCode::NOT_FOUND,
            Self::NoSuchMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge { .. } | Self::TooManyEntries { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotReady { .. } | Self::Halted => StatusCode::SERVICE_UNAVAILABLE,
            Self::Append { error, .. } => match error {
                AppendError::NotPrimary { .. } => StatusCode::MISDIRECTED_REQUEST,
                AppendError::UnknownSpace { .. } => StatusCode::NOT_FOUND,
                AppendError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                AppendError::ReservedControl { .. } => StatusCode::BAD_REQUEST,
                AppendError::Overloaded { .. } => StatusCode::TOO_MANY_REQUESTS,
                AppendError::Promotion(_) => StatusCode::CONFLICT,
                AppendError::NoPrimary
                | AppendError::NotReady
                | AppendError::Isolated
                | AppendError::ExposureReached { .. }
                | AppendError::NotEnoughReplicas { .. }
                | AppendError::Stopped(_)
                | AppendError::Shutdown => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }

    /// The failure's name for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoSuchRoute => "no_such_path",
            Self::NoSuchMethod => "no_such_method",
            Self::BadRequest { .. } => "bad_request",
            Self::UnknownSpace { .. } => "unknown_space",
            Self::BodyTooLarge { .. } | Self::TooManyEntries { .. } => "too_large",
            Self::BodyTimeout { .. } => "body_timeout",
            Self::Busy { .. } => "overloaded",
            Self::NotReady { .. } => "not_ready",
            Self::Halted => "stopped",
            Self::Append { error, .. } => match error {
                AppendError::NotPrimary { .. } => "not_primary",
                AppendError::UnknownSpace { .. } => "unknown_space",
                AppendError::TooLarge { .. } => "too_large",
                AppendError::ReservedControl { .. } => "bad_request",
                AppendError::Overloaded { .. } => "overloaded",
                AppendError::NoPrimary => "no_primary",
                AppendError::Promotion(error) => promotion_kind(*error),
                AppendError::NotReady => "not_ready",
                AppendError::Isolated => "isolated",
                AppendError::ExposureReached { .. } => "exposure_reached",
                AppendError::NotEnoughReplicas { .. } => "not_enough_replicas",
                AppendError::Stopped(_) => "stopped",
                AppendError::Shutdown => "shutdown",
            },
        }
    }

    /// The failure as it stands in an answer.
    #[must_use]
    pub fn to_failed(&self) -> Failed<'static> {
        let (primary, http) = match self {
            Self::Append { error, http } => (primary_of(error), http.clone()),
            Self::NoSuchRoute
            | Self::NoSuchMethod
            | Self::BadRequest { .. }
            | Self::UnknownSpace { .. }
            | Self::BodyTooLarge { .. }
            | Self::TooManyEntries { .. }
            | Self::BodyTimeout { .. }
            | Self::Busy { .. }
            | Self::NotReady { .. }
            | Self::Halted => (None, None),
        };
        Failed {
            kind: self.kind().into(),
            message: self.to_string().into(),
            primary: primary.map(|node| node.0),
            http: http.map(Into::into),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::json!({ "error": self.to_failed() }).to_string() + "\n";
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn primary_of(error: &AppendError) -> Option<NodeId> {
    match error {
        AppendError::NotPrimary { primary } => Some(*primary),
        AppendError::Promotion(PromotionError::PrimaryAlive { primary }) => Some(*primary),
        AppendError::NoPrimary
        | AppendError::NotReady
        | AppendError::Isolated
        | AppendError::ExposureReached { .. }
        | AppendError::NotEnoughReplicas { .. }
        | AppendError::Promotion(_)
        | AppendError::UnknownSpace { .. }
        | AppendError::TooLarge { .. }
        | AppendError::ReservedControl { .. }
        | AppendError::Overloaded { .. }
        | AppendError::Stopped(_)
        | AppendError::Shutdown => None,
    }
}

const fn promotion_kind(error: PromotionError) -> &'static str {
    match error {
        PromotionError::NotVoter { .. } => "not_voter",
        PromotionError::PrimaryAlive { .. } => "primary_alive",
        PromotionError::AlreadyPrimary { .. } => "already_primary",
        PromotionError::HoldsNothing => "holds_nothing",
        PromotionError::OtherLineage { .. } => "other_lineage",
    }
}

fn http_of(config: &NodeConfig, node: NodeId) -> Option<String> {
    if node == config.node {
        return config.http.clone();
    }
    config.peers.iter().find(|peer| peer.id == node).and_then(|peer| peer.http.clone())
}

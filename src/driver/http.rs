//! What clients speak: HTTP over a running node.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/spaces/{space}/entries?ack=&timeout_ms=` | one entry of the body's bytes, or many from NDJSON lines |
//! | `GET /v1/spaces/{space}/entries?from=&max=&wait_ms=` | committed entries as NDJSON; the header `engraft-commit` |
//! | `POST /v1/spaces/{space}/promote?by=&accept_loss=` | 202 and the epoch that the node stands for, or goes on in by force |
//! | `GET /v1/status` | what the node says of itself, with the lag of each replica at the median and at p99 |
//! | `GET /metrics` | the same for Prometheus |
//! | `GET /readyz?max_lag_ms=` | `ready` while the node takes its part in every space, otherwise 503 and why not |
//! | `GET /livez` | `ok` while the process serves |
//!
//! An append is answered by its outcome: 200 appended, 202 unknown (in the log, its level not reached in time),
//! 404 unknown space, 413 too large, 421 not the primary (with a hint), 429 overloaded, 503 not ready or stopped.

use alloc::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::config::NodeConfig;
use super::node::NodeHandle;

mod append;
mod body;
mod connections;
mod failure;
mod lag;
mod line;
mod metrics;
mod promote;
mod read;
mod ready;
mod status;
mod throughput;

pub use failure::Failure;
pub use lag::{LagPercentiles, LagRecorder};
pub use line::{AnswerLine, AppendLine, EntryLine, Failed};
pub use promote::Standing;

use body::BodyBudget;

/// The media type of one JSON value per line.
pub const NDJSON: &str = "application/x-ndjson";

/// What every handler needs.
#[derive(Debug, Clone)]
struct HttpState {
    node: NodeHandle,
    config: Arc<NodeConfig>,
    budget: Arc<BodyBudget>,
    lag: LagRecorder,
    /// Turns to true when nobody is to be kept waiting any more.
    stopping: watch::Receiver<bool>,
}

/// Serves clients until `stop` resolves and the requests taken by then are answered. Dropping it closes what is left.
pub async fn serve(
    listener: TcpListener,
    node: NodeHandle,
    config: Arc<NodeConfig>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let (stop_waits, stopping) = watch::channel(false);
    let stop = async move {
        stop.await;
        stop_waits.send_replace(true);
    };
    let router = routes(node, Arc::clone(&config), stopping.clone());
    tokio::join!(connections::serve(listener, router, &config.clients, stopping), stop);
}

/// The routes over a node; for those who serve them in their own way. Must be called within a tokio runtime.
pub fn router(node: NodeHandle, config: Arc<NodeConfig>) -> Router {
    let (_, stopping) = watch::channel(false);
    routes(node, config, stopping)
}

fn routes(node: NodeHandle, config: Arc<NodeConfig>, stopping: watch::Receiver<bool>) -> Router {
    let lag = LagRecorder::start(node.notices());
    let budget = Arc::new(BodyBudget::new(&config.clients));
    let state = HttpState { node, config, budget, lag, stopping };
    Router::new()
        .route("/v1/spaces/{space}/entries", get(read::read).post(append::append))
        .route("/v1/spaces/{space}/promote", post(promote::promote))
        .route("/v1/status", get(status::status))
        .route("/metrics", get(metrics::metrics))
        .route("/readyz", get(ready::ready))
        .route("/livez", get(livez))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .with_state(state)
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn no_such_route() -> impl IntoResponse {
    Failure::NoSuchRoute
}

async fn no_such_method() -> impl IntoResponse {
    Failure::NoSuchMethod
}

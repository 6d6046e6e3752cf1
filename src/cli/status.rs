//! `engraft status`: how nodes, spaces and replicas do.

use ::core::time::Duration;
use std::io::IsTerminal;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::StatusReply;
use super::exit::{Exit, Failure};
use super::nodes::{NodeArguments, Nodes, block_on, parse_wait};
use super::output::print;

mod table;

use table::table;

/// Clears a terminal and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Whom to ask, and what to print.
#[derive(Debug, Args)]
pub struct StatusArguments {
    #[command(flatten)]
    nodes: NodeArguments,
    /// Print one JSON object: what each node says of itself.
    #[arg(long)]
    json: bool,
    /// Print it again and again: each second, or after this time.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "1s", value_parser = parse_wait)]
    watch: Option<Duration>,
    /// Exit 7 where a replica lags more than that.
    #[arg(long, value_name = "MS")]
    max_lag_ms: Option<u64>,
}

/// What a node says of itself, or why it does not.
#[derive(Debug)]
pub(super) struct NodeReport {
    /// Where it speaks HTTP.
    pub(super) http: String,
    /// The answer, as it came and as it is understood.
    pub(super) answer: Result<(Value, StatusReply), Failure>,
}

impl NodeReport {
    /// As it is printed in JSON.
    pub(super) fn to_json(&self) -> Value {
        match &self.answer {
            Ok((status, _)) => json!({ "http": self.http, "status": status }),
            Err(failure) => json!({ "http": self.http, "error": failure.message }),
        }
    }
}

/// Runs it.
pub(super) fn run(arguments: &StatusArguments) -> Result<(), Failure> {
    block_on(show(arguments))
}

async fn show(arguments: &StatusArguments) -> Result<(), Failure> {
    let mut nodes = arguments.nodes.nodes()?;
    loop {
        let reports = ask(&mut nodes).await?;
        let text = if arguments.json {
            json!({ "nodes": reports.iter().map(NodeReport::to_json).collect::<Vec<_>>() }).to_string() + "\n"
        } else {
            table(&reports)
        };
        match arguments.watch {
            Some(_) if !arguments.json && std::io::stdout().is_terminal() => print(&format!("{CLEAR}{text}"))?,
            Some(_) | None => print(&text)?,
        }
        let verdict = judge(&reports, arguments.max_lag_ms);
        match (arguments.watch, verdict) {
            (None, verdict) => return verdict,
            (Some(_), Err(failure)) if failure.exit == Exit::LagOverLimit => return Err(failure),
            // A node that is away may come back: whoever watches wants to see that.
            (Some(pause), _) => tokio::time::sleep(pause).await,
        }
    }
}

/// Asks all nodes at once.
pub(super) async fn ask(nodes: &mut Nodes) -> Result<Vec<NodeReport>, Failure> {
    let mut asked = Vec::new();
    for http in nodes.asked.clone() {
        let client = nodes.client(&http)?;
        let answer = tokio::spawn(async move { client.get("/v1/status").await });
        asked.push((http, answer));
    }
    let mut reports = Vec::new();
    for (http, answer) in asked {
        let answer = answer.await.map_err(|error| Failure::failed(error.to_string()))?;
        let understood = answer.and_then(|text| {
            let no_status = |error| Failure::failed(format!("{http} answers with no status: {error}"));
            let value: Value = serde_json::from_slice(&text).map_err(no_status)?;
            let reply = StatusReply::deserialize(&value).map_err(no_status)?;
            Ok((value, reply))
        });
        reports.push(NodeReport { http, answer: understood });
    }
    Ok(reports)
}

/// Whether all is well, as far as it was asked for: first the lag, then who did not answer.
fn judge(reports: &[NodeReport], max_lag_ms: Option<u64>) -> Result<(), Failure> {
    let answered = reports.iter().filter_map(|report| report.answer.as_ref().ok());
    let replicas = answered.flat_map(|(_, status)| &status.spaces).flat_map(|space| {
        let name = space.name.as_str();
        space.replicas.iter().map(move |replica| (name, replica))
    });
    let late = replicas.filter(|(_, replica)| max_lag_ms.is_some_and(|limit| replica.lag.ms > limit));
    let late = late.map(|(space, replica)| format!("{space} n{} lags {} ms", replica.node, replica.lag.ms));
    let late = late.collect::<Vec<_>>();
    if !late.is_empty() {
        let limit = max_lag_ms.unwrap_or_default();
        return Err(Failure::new(Exit::LagOverLimit, format!("{}; expected at most {limit} ms", late.join(", "))));
    }
    let failed = reports.iter().find_map(|report| report.answer.as_ref().err());
    failed.map_or(Ok(()), |failure| Err(failure.clone()))
}

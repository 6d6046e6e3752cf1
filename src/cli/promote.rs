//! `engraft promote`: a node becomes the primary of a space because somebody says so.

use ::core::time::Duration;
use std::time::Instant;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use crate::core::PromoteBy;
use crate::driver::http::Standing;
use crate::types::{Epoch, SpaceName};

use super::client::{Client, SpaceReply};
use super::exit::{Exit, Failure};
use super::nodes::{NodeArguments, block_on, parse_epoch, parse_wait};
use super::output::print;

/// How long lies between two looks at whether the node is the primary.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Which node, of which space, and by what right.
#[derive(Debug, Args)]
pub struct PromoteArguments {
    /// The space.
    #[arg(value_parser = SpaceName::new)]
    space: SpaceName,
    #[command(flatten)]
    nodes: NodeArguments,
    /// Go on with what this node has, without a majority that is gone for good. Given twice, although a primary is heard,
    /// which is replaced with everybody who follows it.
    #[arg(long, action = clap::ArgAction::Count)]
    force: u8,
    /// You have read what may be lost, and want it all the same: nobody is forced without this.
    #[arg(long, requires = "force")]
    accept_loss: bool,
    /// How long the node may take to become the primary: 1ms to 1h.
    #[arg(long, default_value = "10s", value_parser = parse_wait)]
    timeout: Duration,
    /// Print a JSON object: the node, the space, the epoch, and the first sequence that may be lost.
    #[arg(long)]
    json: bool,
}

/// Why a node said no.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: Refused,
}

#[derive(Debug, Deserialize)]
struct Refused {
    kind: String,
    message: String,
}

/// Runs it.
pub(super) fn run(arguments: &PromoteArguments) -> Result<(), Failure> {
    block_on(promote(arguments))
}

async fn promote(arguments: &PromoteArguments) -> Result<(), Failure> {
    let mut nodes = arguments.nodes.nodes()?;
    let [http] = nodes.asked.as_slice() else {
        let asked = nodes.asked.join(", ");
        return Err(Failure::usage(format!("one node becomes the primary: name it with --node; there are {asked}")));
    };
    let http = http.clone();
    let client = nodes.client(&http)?;
    let space = arguments.space.as_str();
    let (node, before) = look(&client, space).await?;
    let by = match arguments.force {
        0 => PromoteBy::Election,
        1 => PromoteBy::Force,
        _ => PromoteBy::ForceThoughAlive,
    };
    let next = before.durable + 1;
    if by != PromoteBy::Election && !arguments.accept_loss {
        let words = format!(
            "n{node} has {space} up to {}#{}, committed up to #{} as far as it knows; what others have from #{next} on is \
             lost, committed or not, and salvaged on those that come back; say --accept-loss where you want that",
            before.end_epoch, before.durable, before.commit
        );
        return Err(Failure::usage(words));
    }
    let answer = client.promote(space, by).await?;
    if answer.status != 202 {
        return Err(refused(by, &answer.body));
    }
    let standing: Standing = serde_json::from_slice(&answer.body)
        .map_err(|error| Failure::failed(format!("{http} says that it stands, and not for what: {error}")))?;
    let asked = parse_epoch(&standing.epoch)
        .ok_or_else(|| Failure::failed(format!("{http} stands for an epoch that is none: {}", standing.epoch)))?;
    let epoch = opened(arguments, &client, node, by, asked).await?;
    let lost = (by != PromoteBy::Election).then_some(next);
    if arguments.json {
        let object = json!({ "node": node, "space": space, "epoch": epoch, "lost_from": lost });
        return print(&format!("{object}\n"));
    }
    print(&format!("n{node} is the primary of {space} in {epoch}\n"))?;
    if let Some(from) = lost {
        print(&format!("what others had from #{from} on is lost where n{node} does not have it\n"))?;
    }
    Ok(())
}

/// The node, and what it says of the space.
async fn look(client: &Client, space: &str) -> Result<(u16, SpaceReply), Failure> {
    let status = client.status().await?;
    let known = status.spaces.iter().map(|space| space.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = status.spaces.iter().find(|found| found.name == space).cloned();
    let found = found
        .ok_or_else(|| Failure::usage(format!("n{} has no log of {space:?}; expected one of: {known}", status.node)))?;
    Ok((status.node, found))
}

/// Waits until the node is the primary, and says in which epoch: that one or a later one, where it is forced. Each node that
/// comes back and votes again begins another.
async fn opened(
    arguments: &PromoteArguments,
    client: &Client,
    node: u16,
    by: PromoteBy,
    asked: Epoch,
) -> Result<String, Failure> {
    let begun = Instant::now();
    loop {
        let (_, now) = look(client, arguments.space.as_str()).await?;
        if let Some(reason) = now.stopped {
            return Err(Failure::failed(format!("the space has stopped: {reason}")));
        }
        if now.role == "primary" && (by == PromoteBy::Election || parse_epoch(&now.epoch) >= Some(asked)) {
            return Ok(now.epoch);
        }
        if begun.elapsed() >= arguments.timeout {
            let hint = match by {
                PromoteBy::Election => {
                    "a majority has to vote for it; --force goes on without one, and loses what others have"
                }
                PromoteBy::Force | PromoteBy::ForceThoughAlive => "its log tells why",
            };
            let words = format!("n{node} is {} after {:?}: {hint}", now.role, arguments.timeout);
            return Err(Failure::new(Exit::NotPrimary, words));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn refused(by: PromoteBy, body: &[u8]) -> Failure {
    let Ok(Refusal { error: Refused { kind, message } }) = serde_json::from_slice(body) else {
        return Failure::failed(format!("an answer that is none: {}", String::from_utf8_lossy(body)));
    };
    let hint = match (by, kind.as_str()) {
        (PromoteBy::Force, "primary_alive") => "; say --force twice to replace it all the same",
        _ => "",
    };
    Failure::failed(format!("{message}{hint}"))
}

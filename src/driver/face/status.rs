//! What a node says of itself, with a reason beside every status.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use crate::core::{NodeStatus, ReplicaStatus, Role, SpaceStatus};
use crate::types::{Epoch, NodeId};

use super::apply::Applying;

/// A node, and why each thing is as it is said to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The node.
    pub node: NodeId,
    /// Whether a link to each peer is open.
    pub peers: BTreeMap<NodeId, bool>,
    /// Its spaces.
    pub spaces: Vec<SpaceReport>,
}

/// A space on a node, and why it is said to be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpaceReport {
    /// The numbers. Each replica in them has a reason of its own.
    #[serde(flatten)]
    pub status: SpaceStatus,
    /// Why the role is what it is, in words.
    pub reason: String,
    /// How the engine does, in words; `None` where there is none.
    pub engine: Option<String>,
}

impl SpaceReport {
    pub(super) fn new(status: SpaceStatus, peers: &BTreeMap<NodeId, bool>, applying: Option<&Applying>) -> Self {
        let reason = reason(&status, peers);
        let engine = applying.map(|applying| engine(&status, applying));
        Self { status, reason, engine }
    }
}

/// The node's own words, with what the engines add.
pub(super) fn report(status: NodeStatus, applying: impl Fn(&SpaceStatus) -> Option<Applying>) -> Status {
    let NodeStatus { node, peers, spaces } = status;
    let spaces = spaces
        .into_iter()
        .map(|space| {
            let applying = applying(&space);
            SpaceReport::new(space, &peers, applying.as_ref())
        })
        .collect();
    Status { node, peers, spaces }
}

fn reason(status: &SpaceStatus, peers: &BTreeMap<NodeId, bool>) -> String {
    let SpaceStatus { role, primary, epoch, durable, commit, .. } = status;
    match role {
        Role::Candidate => "stands for election, or will once it reaches a majority".to_string(),
        Role::Opening => format!("opens {epoch}: its first entry is not durable yet"),
        Role::Primary => {
            let total = status.replicas.len();
            let healthy = status.replicas.iter().filter(|view| view.status == ReplicaStatus::Healthy).count();
            let open = durable.above(*commit);
            format!(
                "takes appends in {epoch}; {healthy} of {total} replicas are healthy, {open} entries are not committed"
            )
        }
        Role::Recovering => {
            let from = primary.map_or("no primary is heard".to_string(), |primary| format!("gets it from {primary}"));
            format!("lost power and may lack what it acknowledged: it has {durable} and counts in no majority; {from}")
        }
        Role::Replica => {
            let Some(primary) = primary else {
                return format!("hears no primary; it has {durable}, committed up to {commit}");
            };
            if peers.get(primary) == Some(&false) {
                format!("waits for a link to {primary}, the primary; it has {durable}, committed up to {commit}")
            } else if *epoch == Epoch::ZERO {
                format!("linked to {primary}, the primary, and has not heard its epoch yet")
            } else {
                format!("follows {primary} in {epoch}; it has {durable}, committed up to {commit}")
            }
        }
        Role::Stopped => status.stopped.clone().unwrap_or_else(|| "it has stopped".to_string()),
    }
}

fn engine(status: &SpaceStatus, applying: &Applying) -> String {
    let applied = applying.applied;
    if let Some(failure) = &applying.failure {
        return format!("stopped at {applied}: {failure}");
    }
    if applied > status.end {
        return format!(
            "its state is at {applied} and the log ends at {}: it waits until the log is there",
            status.end
        );
    }
    if status.role == Role::Stopped {
        return format!("at {applied}; nothing more comes, because the space has stopped");
    }
    let behind = status.commit.above(applied);
    format!("at {applied}, {behind} committed entries behind")
}

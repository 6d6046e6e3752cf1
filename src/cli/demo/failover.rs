//! The primary's death under load, and what it cost.

use ::core::time::Duration;
use alloc::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::core::Ack;
use crate::types::{Epoch, NodeId, Sequence};

use super::super::client::StatusReply;
use super::super::exit::Failure;
use super::super::nodes::parse_epoch;
use super::cluster::{Cluster, SPACE};
use super::load::{Leader, Stage, Written};
use super::{POLL, PRIMARY};

/// How long the others may take to elect a primary.
const PROMOTED_WITHIN: Duration = Duration::from_secs(60);

/// A primary that was killed.
#[derive(Debug)]
pub(super) struct Killed {
    epoch: Epoch,
    /// The last entry that it had told to be committed.
    commit: Sequence,
    /// What it said of itself last.
    pub(super) status: StatusReply,
}

/// What the death of the primary cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failover {
    /// The node that took over.
    pub(super) promoted: NodeId,
    /// From the old primary's last answer to the new one's first, both at the run's level.
    pub(super) promotion: Duration,
    /// The longest that a writer waited over it, from sending something to its next acknowledgement.
    pub(super) pause: Option<Duration>,
    /// Entries that were answered and, as far as was known, not committed.
    pub(super) exposed: u64,
}

/// Kills the primary, and starts it again once another node is the primary.
pub(super) async fn kill_primary(
    cluster: &mut Cluster,
    nodes: &Arc<Leader>,
    stage: &watch::Sender<Stage>,
) -> Result<Killed, Failure> {
    let (at, client) = nodes.client()?;
    let before = client.status().await?;
    let space = before.spaces.iter().find(|space| space.name == SPACE);
    let (epoch, commit) = space
        .and_then(|space| Some((parse_epoch(&space.epoch)?, Sequence(space.commit))))
        .ok_or_else(|| Failure::failed(format!("{PRIMARY} says nothing of its epoch")))?;
    cluster.kill(PRIMARY).await?;
    let _ = nodes.killed.set(Instant::now());
    nodes.move_on(at);
    stage.send_replace(Stage::Leaderless);
    let begun = Instant::now();
    while begun.elapsed() < PROMOTED_WITHIN {
        cluster.check()?;
        let (at, client) = nodes.client()?;
        let status = client.status().await;
        let is_primary =
            |status: &StatusReply| status.spaces.iter().any(|space| space.name == SPACE && space.role == "primary");
        if status.is_ok_and(|status| is_primary(&status)) {
            cluster.restart(PRIMARY).await?;
            return Ok(Killed { epoch, commit, status: before });
        }
        nodes.move_on(at);
        tokio::time::sleep(POLL).await;
    }
    Err(Failure::failed(format!("no other node became the primary within {} s", PROMOTED_WITHIN.as_secs())))
}

impl Killed {
    /// What it cost, by what the writers were told; `None` where one of the two primaries answered nothing.
    pub(super) fn cost(&self, written: &Written, ack: Ack) -> Option<Failover> {
        let (_, last) = written.epochs.get(&self.epoch)?;
        let (epoch, (first, _)) = written.epochs.range(self.epoch..).find(|(epoch, _)| **epoch > self.epoch)?;
        // At the other levels an answer means that the entry is committed.
        let is_exposed = |sequence: Sequence| ack == Ack::Local && sequence > self.commit;
        let mut exposed = written.acknowledged.iter().filter(|entry| entry.epoch == self.epoch);
        let exposed = exposed.by_ref().filter(|entry| is_exposed(entry.sequence)).count() as u64;
        let promotion = first.saturating_duration_since(*last);
        Some(Failover { promoted: epoch.owner(), promotion, pause: written.pause, exposed })
    }
}

//! The one place that turns notices into log lines.

use ::core::fmt::Display;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use std::io;

use tokio::sync::broadcast;
use tracing::Level;

use crate::core::{Event, Notice, ReplicaStatus};
use crate::types::message::CloseReason;
use crate::types::{NodeId, SpaceName, Time};

use super::NodeError;
use super::space_watch::SpaceWatches;

/// Tells notices to those who subscribed and to the log.
#[derive(Debug)]
pub(super) struct NoticeLog {
    node: NodeId,
    /// Names by the printed form of their ids.
    names: BTreeMap<String, SpaceName>,
    subscribers: broadcast::Sender<Notice>,
    watches: SpaceWatches,
}

impl NoticeLog {
    /// A log that knows these spaces by name.
    pub(super) fn new(
        node: NodeId,
        spaces: impl Iterator<Item = SpaceName>,
        subscribers: broadcast::Sender<Notice>,
        watches: SpaceWatches,
    ) -> Self {
        let names = spaces.map(|name| (name.id().to_string(), name)).collect();
        Self { node, names, subscribers, watches }
    }

    /// Tells a notice.
    pub(super) fn tell(&self, now: Time, notice: Notice) {
        let node = self.node;
        // The macros need each level as a constant.
        match level(&notice) {
            Level::ERROR => tracing::error!(target: "engraft::notice", %node, at = %now, "{}", self.line(&notice)),
            Level::WARN => tracing::warn!(target: "engraft::notice", %node, at = %now, "{}", self.line(&notice)),
            Level::INFO => tracing::info!(target: "engraft::notice", %node, at = %now, "{}", self.line(&notice)),
            Level::DEBUG => tracing::debug!(target: "engraft::notice", %node, at = %now, "{}", self.line(&notice)),
            Level::TRACE => tracing::trace!(target: "engraft::notice", %node, at = %now, "{}", self.line(&notice)),
        }
        self.watches.notice(&notice);
        // It fails where nobody has subscribed.
        let _ = self.subscribers.send(notice);
    }

    /// Takes an event that the core is about to be told.
    pub(super) fn event(&self, now: Time, event: &Event) {
        self.trace(now, event);
        self.watches.event(event);
    }

    /// Logs an event or an action, for those who look for a defect.
    pub(super) fn trace(&self, now: Time, what: &impl Display) {
        tracing::trace!(target: "engraft::core", node = %self.node, at = %now, "{}", self.line(what));
    }

    /// Logs why the node ends by itself.
    pub(super) fn failed(&self, now: Time, error: &NodeError) {
        tracing::error!(target: "engraft::notice", node = %self.node, at = %now, "the node ends: {error}");
    }

    /// Logs that a connection could not be accepted; the next is tried after a while.
    pub(super) fn accept_failed(&self, now: Time, error: &io::Error) {
        tracing::warn!(target: "engraft::notice", node = %self.node, at = %now, "accepting a link failed: {error}");
    }

    /// The one-line form, with the names of spaces in the place of their ids.
    pub(super) fn line(&self, what: &impl Display) -> String {
        let line = what.to_string();
        if !line.contains('~') {
            return line;
        }
        let mut named = String::with_capacity(line.len());
        let mut rest = line.as_str();
        while let Some(at) = rest.find('~') {
            let (before, id_on) = rest.split_at(at);
            let (id, after) = id_on.split_at_checked(ID_LENGTH).unwrap_or((id_on, ""));
            named.push_str(before);
            named.push_str(self.names.get(id).map_or(id, SpaceName::as_str));
            rest = after;
        }
        named.push_str(rest);
        named
    }
}

/// A printed space id: `~` and eight hex digits.
const ID_LENGTH: usize = 9;

/// How loud a notice is.
fn level(notice: &Notice) -> Level {
    match notice {
        Notice::Committed { .. } | Notice::ReplicaAcked { .. } => Level::TRACE,
        Notice::RoleChanged { .. }
        | Notice::BecamePrimary { .. }
        | Notice::ElectionStarted { .. }
        | Notice::LeaseHeld { .. }
        | Notice::VoterBack { .. }
        | Notice::LinkOpened { .. }
        | Notice::Recovered { .. }
        | Notice::BreakerHalfOpened { .. }
        | Notice::BreakerClosed { .. } => Level::INFO,
        Notice::BreakerOpened { .. }
        | Notice::Deposed { .. }
        | Notice::LeaseLost { .. }
        | Notice::ReplicaDiverged { .. }
        | Notice::WentAlone { .. }
        | Notice::LineageBegan { .. }
        | Notice::ExposureReached { .. }
        | Notice::Salvaged { .. }
        | Notice::SalvageFailed { .. }
        | Notice::Truncated { .. }
        | Notice::LossBounded { .. }
        | Notice::Recovering { .. }
        | Notice::LossExact { .. } => Level::WARN,
        Notice::ReplicaStatusChanged { to, .. } => match to {
            ReplicaStatus::Healthy | ReplicaStatus::Lagging => Level::INFO,
            ReplicaStatus::Degraded | ReplicaStatus::Failed => Level::WARN,
        },
        Notice::LagAlert { critical, .. } => {
            if *critical {
                Level::ERROR
            } else {
                Level::WARN
            }
        }
        Notice::LinkClosed { reason, .. } => close_level(reason),
        Notice::SpaceStopped { .. }
        | Notice::CommittedMayBeLost { .. }
        | Notice::CommittedTruncated { .. }
        | Notice::LineageConflict { .. }
        | Notice::ApplyFailed { .. } => Level::ERROR,
    }
}

/// Links come and go; one that was refused is somebody's mistake.
fn close_level(reason: &CloseReason) -> Level {
    match reason {
        CloseReason::Silent { .. }
        | CloseReason::ConnectTimeout { .. }
        | CloseReason::Replaced
        | CloseReason::Shutdown
        | CloseReason::Lost(_) => Level::INFO,
        CloseReason::WrongCluster { .. }
        | CloseReason::WrongNode { .. }
        | CloseReason::UnknownNode { .. }
        | CloseReason::OtherIncarnation { .. }
        | CloseReason::UnsupportedVersion { .. }
        | CloseReason::UnknownSpace { .. }
        | CloseReason::BadFrame(_)
        | CloseReason::Unexpected { .. }
        | CloseReason::TooManyLinks { .. } => Level::WARN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn lines_name_the_spaces_that_are_known_and_keep_the_ids_of_others() {
        let orders = SpaceName::new("orders").expect("a name");
        let other = SpaceName::new("other").expect("a name").id();
        let (subscribers, _) = broadcast::channel(1);
        let log = NoticeLog::new(
            NodeId(1),
            ::core::iter::once(orders.clone()),
            subscribers,
            SpaceWatches::new(NodeId(1), &[]).0,
        );
        let line = format!("{} and {other} and {}; ~é", orders.id(), orders.id());
        assert_eq!(log.line(&line), format!("orders and {other} and orders; ~é"));
    }
}

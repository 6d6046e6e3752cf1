//! How far each space has come and who leads it, for those who want the latest and not every step.
//!
//! Notices are a stream that a slow reader falls behind; what stands here is never behind: only the latest value counts.

use ::core::sync::atomic::{AtomicU64, Ordering};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use tokio::sync::watch;

use crate::core::notice::StopReason;
use crate::core::{Event, Notice, Role, StorageOperation};
use crate::types::{Epoch, NodeId, Sequence, SpaceId};

/// How far a space has come on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// The last entry that is durable here.
    pub durable: Sequence,
    /// The last entry that this node knows to be committed; it may not be durable here yet.
    pub commit: Sequence,
}

impl Reach {
    /// The last entry that can be read here: committed, and durable here.
    #[must_use]
    pub fn readable(self) -> Sequence {
        self.commit.min(self.durable)
    }
}

/// The node's part in a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleState {
    /// The role.
    pub role: Role,
    /// The epoch in which it holds; [`Epoch::ZERO`] for a replica that has not heard its primary.
    pub epoch: Epoch,
    /// The last epoch in which this node was the primary and another node took over, since this start.
    pub deposed: Option<Epoch>,
    /// Why the space has stopped, where it has.
    pub stopped: Option<StopReason>,
}

impl RoleState {
    /// A number that rises with each primary of the space, where this node is the primary and takes appends.
    ///
    /// Whatever the primary writes elsewhere carries it, and whoever takes such writes refuses a lower one than it has seen:
    /// a primary that was replaced and does not know it yet can do no harm then.
    #[must_use]
    pub const fn fencing_token(&self) -> Option<u64> {
        match self.role {
            Role::Primary => Some(self.epoch.0),
            Role::Candidate | Role::Opening | Role::Recovering | Role::Replica | Role::Stopped => None,
        }
    }
}

/// What handles see of one space. It ends with the node, and keeps the last value.
#[derive(Debug, Clone)]
pub(super) struct SpaceView {
    pub(super) reach: watch::Receiver<Reach>,
    pub(super) role: watch::Receiver<RoleState>,
    pub(super) retracted: watch::Receiver<Vec<Retracted>>,
    pub(super) cut: Cut,
}

/// Entries that were committed, and are truncated since an operator forced another node on without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retracted {
    pub(super) first: Sequence,
    pub(super) last: Sequence,
}

/// How far a log was truncated since it was asked last: the lowest of what was left, where it happened more than once.
#[derive(Debug, Clone)]
pub(super) struct Cut(Arc<AtomicU64>);

impl Cut {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    fn note(&self, last: Sequence) {
        self.0.fetch_min(last.0, Ordering::AcqRel);
    }

    pub(super) fn is_noted(&self) -> bool {
        self.0.load(Ordering::Acquire) < u64::MAX
    }

    /// The last entry that was left by all truncations since it was asked last.
    pub(super) fn take(&self) -> Option<Sequence> {
        let last = self.0.swap(u64::MAX, Ordering::AcqRel);
        (last < u64::MAX).then_some(Sequence(last))
    }
}

/// The shell's end, for all spaces of a node.
#[derive(Debug)]
pub(super) struct SpaceWatches(BTreeMap<SpaceId, Ends>);

/// The shell's end for one space.
#[derive(Debug)]
struct Ends {
    reach: watch::Sender<Reach>,
    role: watch::Sender<RoleState>,
    retracted: watch::Sender<Vec<Retracted>>,
    cut: Cut,
}

impl SpaceWatches {
    /// The spaces as the storage found them, and what handles see of them.
    pub(super) fn new(node: NodeId, opened: &[Event]) -> (Self, Arc<BTreeMap<SpaceId, SpaceView>>) {
        let (mut senders, mut views) = (BTreeMap::new(), BTreeMap::new());
        for (space, reach, role) in opened.iter().filter_map(|event| found(node, event)) {
            let (reach_sender, reach) = watch::channel(reach);
            let (role_sender, role) = watch::channel(role);
            let cut = Cut::new();
            let (retracted_sender, retracted) = watch::channel(Vec::new());
            let ends = Ends { reach: reach_sender, role: role_sender, retracted: retracted_sender, cut: cut.clone() };
            senders.insert(space, ends);
            views.insert(space, SpaceView { reach, role, retracted, cut });
        }
        (Self(senders), Arc::new(views))
    }

    /// Takes what the core is about to be told. Whoever wakes by it asks the shell afterwards, so the core knows by then.
    pub(super) fn event(&self, event: &Event) {
        if let Event::WalAppended { space, sequence, .. } = event
            && let Some(Ends { reach, .. }) = self.0.get(space)
        {
            reach.send_if_modified(|reach| raise(&mut reach.durable, *sequence));
        }
    }

    /// Takes what the core tells.
    pub(super) fn notice(&self, notice: &Notice) {
        let of = |space: &SpaceId| self.0.get(space);
        if let Notice::Committed { space, commit } = notice
            && let Some(Ends { reach, .. }) = of(space)
        {
            reach.send_if_modified(|reach| raise(&mut reach.commit, *commit));
        } else if let Notice::Truncated { space, last } = notice
            && let Some(Ends { reach, cut, .. }) = of(space)
        {
            // First how far, then the word: whoever wakes by it finds it.
            cut.note(*last);
            reach.send_modify(|reach| reach.durable = *last);
        } else if let Notice::CommittedTruncated { space, first, last, .. } = notice
            && let Some(Ends { reach, retracted, .. }) = of(space)
        {
            // Who reads hears of it before anything new is committed in its place.
            retracted.send_modify(|list| list.push(Retracted { first: *first, last: *last }));
            reach.send_modify(|reach| reach.commit = first.previous());
        } else if let Notice::RoleChanged { space, role, epoch } = notice
            && let Some(Ends { role: state, .. }) = of(space)
        {
            state.send_modify(|state| (state.role, state.epoch) = (*role, *epoch));
        } else if let Notice::Deposed { space, epoch, .. } = notice
            && let Some(Ends { role, .. }) = of(space)
        {
            role.send_modify(|state| state.deposed = Some(*epoch));
        } else if let Notice::SpaceStopped { space, reason } = notice
            && let Some(Ends { role, .. }) = of(space)
        {
            role.send_modify(|state| (state.role, state.stopped) = (Role::Stopped, Some(reason.clone())));
        }
    }
}

fn raise(place: &mut Sequence, to: Sequence) -> bool {
    let rises = to > *place;
    *place = to.max(*place);
    rises
}

/// A space as its storage found it, before the core has said anything.
fn found(node: NodeId, event: &Event) -> Option<(SpaceId, Reach, RoleState)> {
    if let Event::SpaceOpened(opened) = event {
        let role = if opened.config.primary == node { Role::Candidate } else { Role::Replica };
        let reach = Reach { durable: opened.end.sequence, commit: Sequence::ZERO };
        return Some((opened.name.id(), reach, RoleState { role, epoch: Epoch::ZERO, deposed: None, stopped: None }));
    }
    if let Event::SpaceOpenFailed { name, error, .. } = event {
        let stopped = StopReason::Storage { operation: StorageOperation::Open, error: error.clone() };
        let role = RoleState { role: Role::Stopped, epoch: Epoch::ZERO, deposed: None, stopped: Some(stopped) };
        return Some((name.id(), Reach::default(), role));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{SpaceConfig, SpaceOpened};
    use crate::types::{EpochHistory, Position, SpaceName, WriteId};
    use alloc::boxed::Box;

    #[test]
    fn what_can_be_read_is_committed_and_durable_and_nothing_falls_back() {
        let name = SpaceName::new("orders").expect("a name");
        let (watches, views) = SpaceWatches::new(NodeId(1), &[opened(&name, Sequence(4))]);
        let view = views.get(&name.id()).expect("it was opened");
        let readable = || view.reach.borrow().readable();
        assert_eq!((view.role.borrow().role, readable()), (Role::Replica, Sequence::ZERO));
        watches.notice(&Notice::Committed { space: name.id(), commit: Sequence(9) });
        assert_eq!(readable(), Sequence(4), "the commit is ahead of the log here");
        let appended =
            |sequence| Event::WalAppended { space: name.id(), write: WriteId(1), epoch: Epoch::ZERO, sequence };
        watches.event(&appended(Sequence(12)));
        watches.event(&appended(Sequence(6)));
        assert_eq!(readable(), Sequence(9));
    }

    #[test]
    fn truncations_between_two_looks_count_as_the_lowest_and_a_replaced_primary_hears_of_its_epoch() {
        let name = SpaceName::new("orders").expect("a name");
        let (watches, views) = SpaceWatches::new(NodeId(1), &[opened(&name, Sequence(20))]);
        let view = views.get(&name.id()).expect("it was opened");
        for last in [12, 15] {
            watches.notice(&Notice::Truncated { space: name.id(), last: Sequence(last) });
        }
        assert!(view.cut.is_noted());
        assert_eq!(view.reach.borrow().durable, Sequence(15));
        assert_eq!((view.cut.take(), view.cut.take()), (Some(Sequence(12)), None));
        let (epoch, by) = (Epoch::new(0, 1, NodeId(1)), Epoch::new(0, 2, NodeId(2)));
        watches.notice(&Notice::Deposed { space: name.id(), epoch, by });
        watches.notice(&Notice::RoleChanged { space: name.id(), role: Role::Replica, epoch: by });
        let state = view.role.borrow().clone();
        assert_eq!((state.role, state.epoch, state.deposed), (Role::Replica, by, Some(epoch)));
    }

    fn opened(name: &SpaceName, sequence: Sequence) -> Event {
        let config = SpaceConfig::new(NodeId(2), [NodeId(1), NodeId(2)].into());
        let end = Position { sequence, ..Position::default() };
        let (name, history) = (name.clone(), EpochHistory::default());
        let (starts, promise) = (Vec::new(), Epoch::ZERO);
        Event::SpaceOpened(Box::new(SpaceOpened { name, config, end, history, starts, promise, recovering: false }))
    }
}

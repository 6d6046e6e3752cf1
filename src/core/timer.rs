//! The one deadline of many: which space is to be woken next.

use alloc::collections::BTreeSet;

use crate::types::{SpaceId, Time};

/// The deadlines of the spaces, by time.
///
/// A space may stand here too early, never too late: a deadline that moved back is corrected when it fires, so that
/// the steady path (each ack moves a deadline back) does not touch the index.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Wakes {
    by_time: BTreeSet<(Time, SpaceId)>,
}

impl Wakes {
    /// Makes sure that the space is woken at `wanted`; `indexed` is where it stands, kept by the space.
    pub(crate) fn set(&mut self, space: SpaceId, indexed: &mut Option<Time>, wanted: Option<Time>) {
        let Some(wanted) = wanted else { return };
        match *indexed {
            Some(at) if at <= wanted => {}
            earlier => {
                if let Some(at) = earlier {
                    self.by_time.remove(&(at, space));
                }
                self.by_time.insert((wanted, space));
                *indexed = Some(wanted);
            }
        }
    }

    /// Takes out one space whose time has come.
    pub(crate) fn pop(&mut self, now: Time) -> Option<SpaceId> {
        let &(at, space) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        Some(space)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

//! What will happen, in order of time; equal times in the order in which they were planned.

use alloc::collections::{BinaryHeap, VecDeque};
use core::cmp::Ordering;

use engraft::types::Time;

/// A node's place in the world's list: its id less one.
pub(crate) type NodeIndex = usize;

/// Something that will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occurrence {
    /// A node's earliest deadline.
    Wake { node: NodeIndex, life: u32 },
    /// A dial reaches the other side.
    DialArrives { link: u32 },
    /// The answer to a dial reaches the dialler.
    DialAnswered { link: u32, accepted: bool },
    /// The next bytes of one direction of a link arrive.
    Deliver { link: u32, way: Way },
    /// Bytes have left a node's outgoing queue.
    Drained { link: u32, way: Way, bytes: u32 },
    /// A side of a link learns that the other one is gone.
    Reset { link: u32, side: Way },
    /// The next step of a node's log.
    Storage { node: NodeIndex, life: u32, step: StorageStep },
    /// The next step of an embedder's engine.
    Engine { node: NodeIndex, life: u32, space: u16, step: EngineStep },
    /// A client's next burst.
    Burst { load: usize },
    /// A client's request reaches its node.
    Ask { operation: usize },
    /// A fault begins.
    FaultBegins { fault: usize },
    /// A fault ends.
    FaultEnds { fault: usize },
}

/// One of the two directions of a link, or the side that sends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// From the dialler.
    Out,
    /// From the acceptor.
    Back,
}

impl Way {
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Out => 0,
            Self::Back => 1,
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Out => Self::Back,
            Self::Back => Self::Out,
        }
    }
}

/// The steps of a node's log: a crash can come between any two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorageStep {
    Write,
    Sync,
    Complete,
    Idle,
}

/// The steps of an engine: a crash can come between any two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineStep {
    Look,
    Apply,
    Flush,
}

#[derive(Debug, Clone, Copy)]
struct Planned {
    at: Time,
    counter: u64,
    what: Occurrence,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives its greatest first, and the earliest is wanted.
        (other.at, other.counter).cmp(&(self.at, self.counter))
    }
}

/// The plan.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Planned>,
    /// What is to happen at once, in the order of planning: a quarter of all has no need of the heap.
    at_once: VecDeque<Planned>,
    /// When the last one happened.
    reached: Time,
    counter: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Time, what: Occurrence) {
        self.counter += 1;
        let planned = Planned { at, counter: self.counter, what };
        if at == self.reached {
            self.at_once.push_back(planned);
        } else {
            self.heap.push(planned);
        }
    }

    /// The next occurrence, where it comes no later than `until`.
    pub(crate) fn pop_until(&mut self, until: Time) -> Option<(Time, Occurrence)> {
        // The greater of two comes first. What waits here was planned for the moment that was reached last, so nothing
        // earlier can be in the heap, and at the same moment what was planned first is.
        let next = match (self.at_once.front(), self.heap.peek()) {
            (Some(front), Some(top)) if front < top => self.heap.pop(),
            (Some(_), _) => self.at_once.pop_front(),
            (None, Some(top)) if top.at <= until => self.heap.pop(),
            (None, _) => None,
        }?;
        self.reached = next.at;
        Some((next.at, next.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_come_in_the_order_of_planning() {
        let mut queue = Queue::default();
        for load in 0..50 {
            queue.push(Time(7), Occurrence::Burst { load });
        }
        queue.push(Time(3), Occurrence::Burst { load: 99 });
        assert_eq!(queue.pop_until(Time(2)), None);
        assert_eq!(queue.pop_until(Time(7)), Some((Time(3), Occurrence::Burst { load: 99 })));
        for load in 0..50 {
            assert_eq!(queue.pop_until(Time(7)), Some((Time(7), Occurrence::Burst { load })));
        }
    }
}

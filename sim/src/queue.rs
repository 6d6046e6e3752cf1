//! What will happen, in order of time; equal times in the order in which they were planned.

use alloc::collections::BinaryHeap;
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
    Engine { node: NodeIndex, life: u32, space: usize, step: EngineStep },
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
    counter: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Time, what: Occurrence) {
        self.counter += 1;
        self.heap.push(Planned { at, counter: self.counter, what });
    }

    /// The next occurrence, where it comes no later than `until`.
    pub(crate) fn pop_until(&mut self, until: Time) -> Option<(Time, Occurrence)> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop().map(|planned| (planned.at, planned.what))
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

//! What is done to the nodes, and when: a function of the seed.
//!
//! Each draw has its own key, so that the steps of a seed are the same however many of them a run takes.

use core::time::Duration;

use engraft::core::draw::draw_below;

use super::proxy::Weather;

/// How many nodes there are.
pub(super) const NODES: u16 = 3;

const GAP: u64 = 1;
const WHAT: u64 = 2;
const NODE: u64 = 3;
const OTHER: u64 = 4;
const LENGTH: u64 = 5;
const WEATHER: u64 = 6;
const AMOUNT: u64 = 7;
const LAST: u64 = 8;

/// The lowest limit on the size of files: above the reserve, below the largest segment.
pub(super) const FILE_BYTES_MIN: u64 = 80 * 1024;

/// Something that is done, and undone after a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL; the node starts again afterwards.
    Kill { node: u16 },
    /// SIGSTOP, and SIGCONT afterwards.
    Stop { node: u16 },
    /// SIGTERM; the node starts again afterwards.
    Restart { node: u16 },
    /// The bytes from one node to another, on the connections of both directions.
    Link { from: u16, to: u16, weather: Weather },
    /// All links of a node.
    Isolate { node: u16, weather: Weather },
    /// No room on the node's disk beyond that many bytes.
    FillDisk { node: u16, room: u64 },
    /// The node is killed, and runs for a while with a limit on the size of its files. One that is told of it gets an
    /// error; any other is ended by the system in the middle of a write.
    ShortFiles { node: u16, bytes: u64, told: bool },
}

/// A fault of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Since the step before.
    pub(super) after: Duration,
    pub(super) fault: Fault,
    /// Until it is undone.
    pub(super) lasts: Duration,
}

/// The schedule's step of that number.
pub(super) fn step(seed: u64, number: u64) -> Step {
    let below = |purpose, bound| draw_below(seed, purpose, 0, number, bound);
    let node = node_below(below(NODE, NODES.into()));
    let other = (node + node_below(below(OTHER, u64::from(NODES) - 1)) - 1) % NODES + 1;
    let fault = match below(WHAT, 100) {
        0..38 => Fault::Kill { node },
        38..56 => Fault::Stop { node },
        56..62 => Fault::Restart { node },
        62..86 => Fault::Link { from: node, to: other, weather: weather(seed, number) },
        86..94 => Fault::Isolate { node, weather: weather(seed, number) },
        94..97 => Fault::FillDisk { node, room: below(AMOUNT, 180 * 1024) },
        _ => Fault::ShortFiles { node, bytes: FILE_BYTES_MIN + below(AMOUNT, 180 * 1024), told: below(OTHER, 2) == 0 },
    };
    let longest = match fault {
        // Most are back before the others miss them, some long after.
        Fault::Kill { .. } | Fault::Restart { .. } if below(LENGTH, 3) > 0 => 200,
        Fault::Kill { .. } | Fault::Restart { .. } => 1_500,
        Fault::Stop { .. } => 2_000,
        Fault::Link { .. } | Fault::Isolate { .. } => 2_500,
        Fault::FillDisk { .. } | Fault::ShortFiles { .. } => 3_000,
    };
    let lasts = Duration::from_millis(10 + below(LAST, longest));
    Step { after: Duration::from_millis(20 + below(GAP, 430)), fault, lasts }
}

fn node_below(drawn: u64) -> u16 {
    u16::try_from(drawn + 1).expect("few nodes")
}

fn weather(seed: u64, number: u64) -> Weather {
    let amount = |bound| draw_below(seed, AMOUNT, 1, number, bound);
    match draw_below(seed, WEATHER, 0, number, 10) {
        0..2 => Weather::Cut,
        2..4 => Weather::Delay(1 + amount(300)),
        4 => Weather::Throttle(2_000 + amount(100_000)),
        5..8 => Weather::Corrupt(1 + amount(8)),
        _ => Weather::Silent,
    }
}

#[test]
fn a_seed_is_one_schedule_and_every_fault_comes() {
    let steps = |seed| (0..400).map(|number| step(seed, number)).collect::<Vec<_>>();
    assert_eq!(steps(7), steps(7));
    assert_ne!(steps(7), steps(8));
    let count = |is: fn(&Fault) -> bool| steps(7).iter().filter(|step| is(&step.fault)).count();
    assert!(count(|fault| matches!(fault, Fault::Kill { .. })) > 100);
    assert!(count(|fault| matches!(fault, Fault::Stop { .. })) > 40);
    assert!(count(|fault| matches!(fault, Fault::FillDisk { .. } | Fault::ShortFiles { .. })) > 5);
    for step in steps(7) {
        if let Fault::Link { from, to, .. } = step.fault {
            assert!(from != to && (1..=NODES).contains(&from) && (1..=NODES).contains(&to));
        }
    }
}

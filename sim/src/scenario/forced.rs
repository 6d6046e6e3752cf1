//! An operator who has one node go on by itself.

use engraft::types::NodeId;

use super::{Fault, FaultKind, Scenario};
use crate::draws::{draw_below, purpose};

/// In one of so many scenarios, some node is forced at some moment, now and then although a primary is heard. It is never
/// two of them: a second one that has not heard of the first would be in conflict with it, and stay so.
pub(super) fn forced(scenario: &Scenario, one_of: u64) -> Option<Fault> {
    let draw = |n, bound| draw_below(scenario.seed, purpose::FORCED, 0, n, bound);
    let node = NodeId(u16::try_from(1 + draw(2, u64::from(scenario.nodes))).ok()?);
    let fault = Fault::new(draw(1, scenario.phases.chaos_us), FaultKind::Force, node).by(i64::from(draw(3, 3) > 0));
    (draw(0, one_of) == 0).then_some(fault)
}

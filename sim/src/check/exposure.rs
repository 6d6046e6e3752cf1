//! What a primary has answered at Local and not committed, judged against the limit in force.

use alloc::collections::VecDeque;

use engraft::core::Isolation;
use engraft::types::{Epoch, Sequence, Time, Token};

use super::{Checks, Invariant, SpaceIndex};
use crate::queue::NodeIndex;
use crate::scenario::{Scenario, SpacePlan};

/// The limits of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    bytes_max: u64,
    age_max_us: u64,
}

impl Limits {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let config = scenario.replication_config(engraft::types::NodeId(0), engraft::types::Incarnation([0; 16]));
        let age_max_us = engraft::types::time::micros(config.exposure_age_max);
        Self { bytes_max: config.exposure_bytes_max, age_max_us }
    }
}

/// What the newest primary of a space has answered at Local, as its clients saw it.
#[derive(Debug, Default)]
pub(super) struct Exposed {
    limited: bool,
    /// Whose answers they are.
    epoch: Epoch,
    /// The answers that are not known as committed to who gave them: the entry, its payload, when on its clock.
    answers: VecDeque<(Sequence, u64, Time)>,
    bytes: u64,
}

impl Exposed {
    pub(super) fn new(plan: &SpacePlan) -> Self {
        Self { limited: plan.voters.len() > 2 && plan.isolation != Isolation::Continue, ..Self::default() }
    }
}

impl Checks {
    /// An append was answered at Local, at `local` on its primary's clock.
    pub(super) fn exposes_little(&mut self, node: NodeIndex, space: SpaceIndex, token: Token, local: Time) {
        let Limits { bytes_max, age_max_us } = self.limits;
        let at = &mut self.spaces[space];
        let commit = at.views[node].claimed;
        let payload = at.logs[node].record(token.sequence).map_or(0, |record| record.payload_bytes());
        let exposed = &mut at.exposed;
        if exposed.epoch < token.epoch {
            *exposed = Exposed { limited: exposed.limited, epoch: token.epoch, ..Exposed::default() };
        }
        if exposed.epoch != token.epoch {
            // One that was replaced and does not know it yet is judged as long as nobody else answers.
            return;
        }
        exposed.answers.push_back((token.sequence, payload, local));
        exposed.bytes += payload;
        while let Some((_, payload, _)) = exposed.answers.front().filter(|answer| answer.0 <= commit) {
            exposed.bytes -= payload;
            exposed.answers.pop_front();
        }
        let age_us = exposed.answers.front().map_or(0, |(.., since)| local.0.saturating_sub(since.0));
        let (bytes, limited) = (exposed.bytes, exposed.limited);
        let holds = !limited || (bytes <= bytes_max && age_us <= age_max_us);
        self.require(holds, Invariant::S11, node, space, || {
            format!(
                "answers {token} with {bytes} bytes exposed since {age_us} us, allowed are {bytes_max} and {age_max_us}"
            )
        });
    }
}

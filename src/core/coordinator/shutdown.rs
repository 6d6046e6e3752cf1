//! How a node ends.

use crate::types::Time;

use super::super::action::{Action, Actions, AppendError, Outcome};
use super::super::context::Context;
use super::super::event::{Command, Event};
use super::super::state::{Part, ReplicationState};
use super::ReplicationCoordinator;

impl ReplicationCoordinator {
    /// Ends the node once a shutdown has nothing more to wait for.
    pub(super) fn finish_shutdown(&mut self, now: Time, actions: &mut Actions) {
        let Some(deadline) = self.shutdown else { return };
        let settled = self.spaces.values().all(ReplicationState::is_settled);
        if !settled && now < deadline {
            return;
        }
        for state in self.spaces.values_mut() {
            let mut context = Context { now, config: &self.config, links: &mut self.links, actions };
            if let Part::Primary(primary) = &mut state.part {
                primary.release(&state.log, &mut context);
            }
            state.release_reads(&mut context);
        }
        self.links.shutdown(now, &self.config, actions);
        self.halted = true;
        actions.push(Action::Halt);
    }
}

/// The node has halted: whoever still asks is told so, all other events mean nothing any more.
pub(super) fn answer_late(event: &Event, actions: &mut Actions) {
    let request = if let Event::Append(append) = event {
        append.request
    } else if let Event::Command(Command::Read { request, .. } | Command::ReadDurable { request, .. }) = event {
        *request
    } else {
        return;
    };
    actions.push(Action::Reply { request, outcome: Outcome::Failed(AppendError::Shutdown) });
}

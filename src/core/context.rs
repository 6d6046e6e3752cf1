//! What a space is handed while it deals with an event.

use crate::types::Time;

use super::action::{Action, Actions};
use super::config::ReplicationConfig;
use super::link::Links;
use super::notice::Notice;

/// What a space is handed while it deals with an event.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) config: &'a ReplicationConfig,
    pub(crate) links: &'a mut Links,
    pub(crate) actions: &'a mut Actions,
}

impl Context<'_> {
    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.actions.push(Action::Notify(notice));
    }
}

//! What a space is handed while it deals with an event.

use crate::types::entry::chain_start;
use crate::types::{Position, SpaceId, Time};

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
    /// The place before the first entry of a space.
    pub(crate) fn origin(&self, space: SpaceId) -> Position {
        Position { chain: chain_start(self.config.cluster, space), ..Position::default() }
    }

    pub(crate) fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub(crate) fn notify(&mut self, notice: Notice) {
        self.actions.push(Action::Notify(notice));
    }
}

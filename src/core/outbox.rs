//! What the spaces have to say to a peer about elections, gathered while one event is dealt with: one frame for many.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::types::message::{
    Detach, Message, Probe, ProbedSpace, SpaceEpoch, VoteAnswer, VoteAsk, VoteReply, VoteRequest,
};
use crate::types::{LinkId, Time};
use crate::wire::{PROBED_SPACES_MAX, SPACE_EPOCHS_MAX, VOTE_ASKS_MAX, VOTE_REPLIES_MAX};

use super::action::{Action, Actions};
use super::link::Links;

/// Messages in the making, by link.
#[derive(Debug, Clone, Hash, Default)]
pub(crate) struct Outbox {
    pub(super) asks: BTreeMap<LinkId, Vec<VoteAsk>>,
    pub(super) replies: BTreeMap<LinkId, Vec<VoteReply>>,
    pub(super) probes: BTreeMap<LinkId, Vec<ProbedSpace>>,
    pub(super) detached: BTreeMap<LinkId, Vec<SpaceEpoch>>,
}

impl Links {
    /// Asks a voter at the end of this event.
    pub(crate) fn ask(&mut self, link: LinkId, ask: VoteAsk) {
        self.outbox.asks.entry(link).or_default().push(ask);
    }

    /// Answers a candidate at the end of this event.
    pub(crate) fn reply(&mut self, link: LinkId, reply: VoteReply) {
        self.outbox.replies.entry(link).or_default().push(reply);
    }

    /// Probes at the end of this event.
    pub(crate) fn probe(&mut self, link: LinkId, probe: ProbedSpace) {
        self.outbox.probes.entry(link).or_default().push(probe);
    }

    /// Tells, before the next heartbeat or echo, that these do not hold for the space any more.
    pub(crate) fn detach(&mut self, link: LinkId, space: SpaceEpoch) {
        self.outbox.detached.entry(link).or_default().push(space);
    }

    /// Sends what was gathered, on the links that are still open. A detach goes first: nothing that leaves afterwards
    /// is to be taken as said for the space as well.
    pub(crate) fn flush(&mut self, now: Time, actions: &mut Actions) {
        let Outbox { asks, replies, probes, detached } = core::mem::take(&mut self.outbox);
        self.send(detached, SPACE_EPOCHS_MAX, |spaces| Message::Detach(Detach { spaces }), actions);
        self.send(asks, VOTE_ASKS_MAX, |asks| Message::VoteRequest(VoteRequest { asks }), actions);
        self.send(replies, VOTE_REPLIES_MAX, |replies| Message::VoteAnswer(VoteAnswer { replies }), actions);
        self.send(probes, PROBED_SPACES_MAX, |spaces| Message::Probe(Probe { sent: now, spaces }), actions);
    }

    fn send<T: Clone>(
        &self,
        lists: BTreeMap<LinkId, Vec<T>>,
        most: usize,
        message: impl Fn(Vec<T>) -> Message,
        actions: &mut Actions,
    ) {
        for (link, list) in lists {
            if self.is_open(link) {
                let frames = list.chunks(most).map(|part| message(part.to_vec()));
                frames.for_each(|message| actions.push(Action::Send { link, message }));
            }
        }
    }
}

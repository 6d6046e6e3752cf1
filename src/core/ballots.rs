//! Frames about elections, which hold many spaces each.

use alloc::vec::Vec;

use crate::types::message::{
    CloseReason, Detach, Message, Probe, ProbeEcho, SpaceEpoch, Verdict, VoteAnswer, VoteReply, VoteRequest,
};
use crate::types::{Epoch, LinkId, NodeId, SpaceId, Time};

use super::action::{Action, Actions};
use super::coordinator::ReplicationCoordinator;

impl ReplicationCoordinator {
    /// A candidate asks for votes.
    ///
    /// # Errors
    /// Why the link is closed, and for which space.
    pub(super) fn vote_request(
        &mut self,
        now: Time,
        (peer, link): (NodeId, LinkId),
        request: &VoteRequest,
        actions: &mut Actions,
    ) -> Result<(), (SpaceId, CloseReason)> {
        for ask in &request.asks {
            let space = ask.space;
            match self.with(now, space, actions, |state, context| state.asked(peer, link, ask, context)) {
                Some(result) => result.map_err(|reason| (space, reason))?,
                None => {
                    let (epoch, round, sent) = (ask.epoch, ask.round, ask.sent);
                    let (verdict, promised) = (Verdict::UnknownSpace, Epoch::ZERO);
                    self.links.reply(link, VoteReply { space, epoch, round, verdict, promised, sent });
                }
            }
        }
        Ok(())
    }

    /// A voter's answers.
    pub(super) fn vote_answer(&mut self, now: Time, peer: NodeId, answer: &VoteAnswer, actions: &mut Actions) {
        for reply in &answer.replies {
            self.with(now, reply.space, actions, |state, context| state.voted(peer, reply, context));
        }
    }

    /// A primary without a lease asks whether it is followed.
    pub(super) fn probe(&mut self, now: Time, link: LinkId, probe: &Probe, actions: &mut Actions) {
        let mut promised = Vec::new();
        for probed in &probe.spaces {
            let space = probed.space;
            let epoch = self.with(now, space, actions, |state, context| state.probed(probed, context)).flatten();
            promised.extend(epoch.map(|epoch| SpaceEpoch { space, epoch }));
        }
        let message = Message::ProbeEcho(ProbeEcho { sent: probe.sent, promised });
        actions.push(Action::Send { link, message });
    }

    /// A voter's answer to a probe.
    pub(super) fn probe_echo(&mut self, now: Time, peer: NodeId, echo: &ProbeEcho, actions: &mut Actions) {
        for &SpaceEpoch { space, epoch } in &echo.promised {
            self.with(now, space, actions, |state, context| state.probe_echoed(peer, echo.sent, epoch, context));
        }
    }

    /// A peer's heartbeats, or echoes, do not hold for these spaces any more.
    pub(super) fn detach(&mut self, now: Time, from: (NodeId, LinkId), detach: &Detach, actions: &mut Actions) {
        for &SpaceEpoch { space, epoch } in &detach.spaces {
            self.with(now, space, actions, |state, context| state.detached(from.0, from.1, epoch, context));
        }
    }
}

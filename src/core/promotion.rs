//! Elections: who stands, who is granted a vote, and who becomes the primary.
//!
//! Architecture Invariant: a promise binds in memory when it is decided, and is durable before anybody hears of it.
//! A node stands only with an epoch above every one that it ever promised, so that no epoch is stood for twice.

mod hint;
mod voting;

use alloc::vec::Vec;
use core::time::Duration;

use crate::types::message::{SpaceEpoch, Verdict, VoteAsk, VoteReply, VoteRound};
use crate::types::time::micros;
use crate::types::{Epoch, LinkId, NodeId, Time};

use super::action::Action;
use super::config::ReplicationConfig;
use super::context::Context;
use super::draw::{draw_below, purpose};
use super::exposure::Exposure;
use super::link::Links;
use super::members::Opens;
use super::notice::{Notice, StopReason};
use super::primary::{Begins, Primary};
use super::state::{Part, ReplicationState};

/// Election time-outs are rounded up to a grain of this part of a heartbeat interval, so that the spaces of a node that
/// died ask together.
const GRAINS_PER_HEARTBEAT: u32 = 10;
/// How often a candidate that was told of a higher promise asks again at once.
const REBIDS_MAX: u32 = 3;

/// What a node knows of the elections of a space.
#[derive(Debug, Clone, Hash)]
pub(super) struct Election {
    /// When the space was opened: what was heard before is forgotten.
    started: Time,
    /// Whether it stands as soon as it reaches a majority: it was the primary when it stopped, or is preferred.
    pub(super) eager: bool,
    /// Since when a primary is waited for, where none was heard later.
    armed: Time,
    /// How long.
    timeout: Duration,
    /// Counts the time-outs, so that each draws its own.
    draws: u64,
    /// The highest promise that others told of.
    floor: Epoch,
    pub(super) candidacy: Option<Candidacy>,
    /// A vote that is granted and waits for its promise to be durable.
    grant: Option<(LinkId, VoteAsk)>,
}

/// A node that stands.
#[derive(Debug, Clone, Hash)]
pub(super) struct Candidacy {
    epoch: Epoch,
    pub(super) round: VoteRound,
    /// What its start entry would change of who votes.
    opens: Opens,
    /// What this node exposed in its own epoch before, where that goes on.
    pub(super) exposed: Option<Exposure>,
    /// Whether the voters were asked: a vote is asked for once this node's own promise is durable.
    asked: Option<Time>,
    /// Who granted, this node among them.
    granted: Vec<NodeId>,
    /// Who granted and is recovering: they count only where every voter granted.
    forgetful: Vec<NodeId>,
    rebids: u32,
    /// When it is given up.
    until: Time,
}

impl Candidacy {
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }
}

impl Election {
    pub(super) fn new(now: Time) -> Self {
        Self {
            started: now,
            eager: false,
            armed: now,
            timeout: Duration::ZERO,
            draws: 0,
            floor: Epoch::ZERO,
            candidacy: None,
            grant: None,
        }
    }

    /// Whether it asks for votes, and not only whether it would get them.
    pub(super) fn stands(&self) -> bool {
        self.candidacy.as_ref().is_some_and(|candidacy| candidacy.round == VoteRound::Vote)
    }

    /// The epoch that it stands for.
    pub(super) fn asks_for(&self) -> Option<Epoch> {
        self.candidacy.as_ref().map(|candidacy| candidacy.epoch)
    }

    /// Stands for nothing any more, and grants nothing that was not answered yet.
    pub(super) fn withdraw(&mut self) {
        self.candidacy = None;
        self.grant = None;
        self.eager = false;
    }

    /// Remembers a promise that another told of. Nothing raises the generation this way.
    fn learn(&mut self, promised: Epoch, ours: Epoch) {
        if promised.generation() == ours.generation() {
            self.floor = self.floor.max(promised);
        }
    }
}

impl ReplicationState {
    /// Whom the space had as its primary when this node last knew; who is preferred where there was none.
    fn home(&self) -> NodeId {
        let newest = self.promise.max(self.log.end().epoch);
        if newest == Epoch::ZERO { self.config.primary } else { newest.owner() }
    }

    fn is_voter(&self, node: NodeId) -> bool {
        self.voters().contains(&node)
    }

    /// The space is open: waits for its primary, or stands at once where this node was it.
    pub(super) fn begin_election(&mut self, context: &mut Context<'_>) {
        self.election.eager = self.home() == context.config.node;
        self.arm(context);
        self.stand_eagerly(context);
    }

    /// Waits for a primary anew, for a time-out of its own.
    pub(super) fn arm(&mut self, context: &Context<'_>) {
        let (min, max) = (context.config.election_timeout_min, context.config.election_timeout_max);
        let spread = self.draw(micros(max - min), context.config);
        self.election.armed = context.now;
        self.election.timeout = min + Duration::from_micros(spread);
    }

    /// A draw below `bound`, of its own each time.
    fn draw(&mut self, bound: u64, config: &ReplicationConfig) -> u64 {
        self.election.draws += 1;
        let subject = self.space.0.chunks(8).fold(u64::from(config.node.0), |subject, part| {
            part.iter().fold(subject, |subject, byte| subject.wrapping_mul(257).wrapping_add(u64::from(*byte)))
        });
        draw_below(config.seed, purpose::ELECTION, subject, self.election.draws, bound)
    }

    /// When this node stands, or gives its candidacy up.
    pub(super) fn election_wake(&self, links: &Links, config: &ReplicationConfig) -> Option<Time> {
        let Part::Replica(receiver) = &self.part else { return None };
        if let Some(candidacy) = &self.election.candidacy {
            return Some(candidacy.until);
        }
        let itself = self.config.promotes_itself() || self.election.eager || self.home() == config.node;
        let mends = self.divergence.is_some();
        let may = self.is_voter(config.node) && self.is_of_generation();
        if !itself || !may || receiver.is_renewed(links) || mends {
            return None;
        }
        let since = receiver.heard(links).map_or(self.election.armed, |heard| heard.max(self.election.armed));
        let grain = (micros(config.heartbeat_interval) / u64::from(GRAINS_PER_HEARTBEAT)).max(1);
        Some(Time((since + self.election.timeout).0.div_ceil(grain).saturating_mul(grain)))
    }

    /// A deadline of the election may have come.
    pub(super) fn tick_election(&mut self, context: &mut Context<'_>) {
        if self.election_wake(context.links, context.config).is_none_or(|at| at > context.now) {
            return;
        }
        let stood = self.election.stands();
        self.election.candidacy = None;
        if stood {
            // Votes may still be on their way to somebody else: waiting is what lets one of several win.
            self.arm(context);
            self.tell_role(context);
        } else {
            self.stand(VoteRound::PreVote, context);
        }
    }

    /// Stands at once where nothing has to be waited for and a majority can be asked.
    pub(super) fn stand_eagerly(&mut self, context: &mut Context<'_>) {
        let open = |voter: &&NodeId| **voter == context.config.node || context.links.open_to(**voter).is_some();
        let reachable = self.voters().iter().filter(open).count();
        // What is about to be truncated must not become the log of a primary.
        let follows = matches!(&self.part, Part::Replica(_)) && self.divergence.is_none();
        let follows = follows && self.is_voter(context.config.node) && self.is_of_generation();
        if self.election.eager && follows && self.election.candidacy.is_none() && self.is_majority(reachable) {
            self.stand(VoteRound::PreVote, context);
        }
    }

    fn is_majority(&self, count: usize) -> bool {
        count > self.voters().len() / 2
    }

    /// Stands with an epoch above everything that is known. A real vote is asked for once the own promise is durable.
    pub(super) fn stand(&mut self, round: VoteRound, context: &mut Context<'_>) {
        self.stand_for(round, Opens::Same, context);
    }

    /// The same, with an epoch that may change who votes.
    pub(super) fn stand_for(&mut self, round: VoteRound, opens: Opens, context: &mut Context<'_>) {
        if !self.nominate(round, opens, context) {
            return;
        }
        match round {
            VoteRound::PreVote => self.ask_voters(context),
            VoteRound::Vote => self.promise_own(context),
        }
    }

    /// Chooses the epoch; false where there is none left.
    pub(super) fn nominate(&mut self, round: VoteRound, opens: Opens, context: &mut Context<'_>) -> bool {
        let highest = self.promise.max(self.log.end().epoch).max(self.election.floor);
        let node = context.config.node;
        let next = if opens == Opens::Lineage { highest.next_generation(node) } else { highest.next_for(node) };
        let Some(epoch) = next else {
            self.stop(StopReason::TermsExhausted { last: highest }, context);
            return false;
        };
        let rebids = self.election.candidacy.as_ref().map_or(0, |before| before.rebids + 1);
        let quarter = micros(context.config.election_timeout_min) / 4;
        let until = context.now + Duration::from_micros(quarter + self.draw(quarter, context.config));
        let candidacy = Candidacy {
            epoch,
            round,
            opens,
            exposed: None,
            asked: None,
            granted: Vec::new(),
            forgetful: Vec::new(),
            rebids,
            until,
        };
        self.election.candidacy = Some(candidacy);
        true
    }

    /// A majority would vote for this node: it promises its epoch to itself first.
    fn promise_own(&mut self, context: &mut Context<'_>) {
        let Some(candidacy) = &mut self.election.candidacy else { return };
        let epoch = candidacy.epoch;
        (candidacy.round, candidacy.asked, candidacy.until) = (VoteRound::Vote, None, Time::MAX);
        candidacy.granted.clear();
        candidacy.forgetful.clear();
        self.promise(epoch, context);
        context.notify(Notice::ElectionStarted { space: self.space, epoch });
        self.tell_role(context);
    }

    /// Binds this node to an epoch: nothing of a lower one is accepted or acknowledged from now on.
    pub(super) fn promise(&mut self, epoch: Epoch, context: &mut Context<'_>) {
        self.bind(epoch, context);
        context.push(Action::SaveVote { space: self.space, promise: epoch });
    }

    /// The same, before it is saved.
    pub(super) fn bind(&mut self, epoch: Epoch, context: &mut Context<'_>) {
        assert!(epoch > self.promise, "S2: a promise never goes back");
        self.promise = epoch;
        if let Part::Replica(receiver) = &mut self.part
            && let Some((link, epoch)) = receiver.leave(epoch, context.links)
        {
            context.links.detach(link, SpaceEpoch { space: self.space, epoch });
        }
    }

    /// A promise is durable: a vote that waited for it is given, votes are asked for.
    pub(super) fn election_saved(&mut self, context: &mut Context<'_>) {
        if self.promise_saved < self.promise {
            return;
        }
        if let Some((link, ask)) = self.election.grant.take_if(|(_, ask)| ask.epoch <= self.promise)
            && ask.epoch == self.promise
        {
            context.links.reply(link, self.reply_to(&ask, self.own_vote()));
        }
        let unasked = |candidacy: &Candidacy| candidacy.round == VoteRound::Vote && candidacy.asked.is_none();
        if self.election.candidacy.as_ref().is_some_and(unasked) {
            let longest = context.config.election_timeout_max;
            if let Some(candidacy) = &mut self.election.candidacy {
                candidacy.until = context.now + longest;
            }
            self.ask_voters(context);
        }
    }

    fn ask_voters(&mut self, context: &mut Context<'_>) {
        let Some(candidacy) = &mut self.election.candidacy else { return };
        candidacy.asked = Some(context.now);
        let asks = if candidacy.opens.by_itself() { 0 } else { self.voters().len() };
        for index in 0..asks {
            let Some(&voter) = self.voters().get(index) else { break };
            if let Some(link) = context.links.open_to(voter) {
                self.ask_voter(link, context);
            }
        }
        self.granted(context.config.node, self.own_vote(), context);
    }

    fn ask_voter(&self, link: LinkId, context: &mut Context<'_>) {
        let Some(candidacy) = &self.election.candidacy else { return };
        let (epoch, round, end) = (candidacy.epoch, candidacy.round, self.log.end());
        let (space, end_epoch, end_sequence) = (self.space, end.epoch, end.sequence);
        let (lineage, sent) = (self.lineage(), context.now);
        context.links.ask(link, VoteAsk { space, epoch, round, end_epoch, end_sequence, lineage, sent });
    }

    /// The link to a voter is open: it is asked as the others were.
    pub(super) fn voter_linked(&mut self, voter: NodeId, link: LinkId, context: &mut Context<'_>) {
        let asks = |candidacy: &Candidacy| candidacy.asked.is_some() && !candidacy.opens.by_itself();
        if self.election.candidacy.as_ref().is_some_and(asks) && self.is_voter(voter) {
            self.ask_voter(link, context);
        }
        self.stand_eagerly(context);
    }

    /// What a voter said.
    pub(super) fn voted(&mut self, voter: NodeId, reply: &VoteReply, context: &mut Context<'_>) {
        if !self.is_voter(voter) {
            return;
        }
        self.election.learn(reply.promised, self.promise);
        let Some(candidacy) = &self.election.candidacy else { return };
        if (reply.epoch, reply.round) != (candidacy.epoch, candidacy.round) || candidacy.asked > Some(reply.sent) {
            return;
        }
        if reply.verdict.is_yes() {
            self.granted(voter, reply.verdict, context);
        } else if reply.round == VoteRound::PreVote
            && self.election.floor >= candidacy.epoch
            && candidacy.rebids < REBIDS_MAX
        {
            // Whoever has the better log may have the lower epoch: it takes the higher one from the refusal.
            self.stand(VoteRound::PreVote, context);
        }
    }

    fn granted(&mut self, voter: NodeId, verdict: Verdict, context: &mut Context<'_>) {
        let Some(candidacy) = &mut self.election.candidacy else { return };
        if candidacy.granted.contains(&voter) || candidacy.forgetful.contains(&voter) {
            return;
        }
        if verdict == Verdict::Recovering { &mut candidacy.forgetful } else { &mut candidacy.granted }.push(voter);
        let (round, votes, by_itself) = (candidacy.round, candidacy.granted.len(), candidacy.opens.by_itself());
        let yes = votes + candidacy.forgetful.len();
        if !self.is_majority(votes) && yes != self.voters().len() && !by_itself {
            return;
        }
        match round {
            VoteRound::PreVote => self.promise_own(context),
            VoteRound::Vote => self.elected(context),
        }
    }

    /// A majority voted for this node, or it needs none: it is the primary of its epoch.
    pub(super) fn elected(&mut self, context: &mut Context<'_>) {
        let Some(Candidacy { epoch, opens, exposed, granted, forgetful, asked, .. }) = self.election.candidacy.take()
        else {
            return;
        };
        self.election.eager = false;
        self.tell_bound(epoch, self.is_majority(granted.len()) || opens.by_itself(), context);
        self.recovered(context);
        let asked = asked.unwrap_or(context.now);
        let voters = opens.voters(self.voters(), context.config.node);
        let begins = Begins { epoch, asked, voters, lineage: opens.lineage(self.lineage(), epoch) };
        let mut primary = Primary::new(self.name.clone(), begins, &self.config, &self.log, context);
        granted.iter().chain(&forgetful).for_each(|&voter| primary.note_echo(voter, asked));
        if let Opens::With(learner) = opens {
            // It echoed until now. Without a lease nothing would reach it that it can attach to.
            primary.note_echo(learner, asked);
        }
        if let Some(exposed) = exposed {
            primary.exposure.carry(exposed);
        }
        self.part = Part::Primary(alloc::boxed::Box::new(primary));
        context.notify(Notice::BecamePrimary { space: self.space, epoch });
        self.tell_voters(opens, epoch, context);
        self.tell_role(context);
        if let Part::Primary(primary) = &mut self.part {
            primary.start(&mut self.log, self.commit, context);
        }
    }

    /// The primary gave its lease up: nothing more has to be waited for, but all replicas should not stand in one moment.
    pub(super) fn end_patience(&mut self, context: &Context<'_>) {
        let half = micros(context.config.election_timeout_min) / 2;
        let spread = self.draw(half, context.config);
        self.election.armed = context.now;
        self.election.timeout = Duration::from_micros(spread);
    }
}

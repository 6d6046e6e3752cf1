//! What is known of another node: its links, its failures, and when it is dialled again.

use alloc::collections::VecDeque;

use crate::types::message::CloseReason;
use crate::types::{Incarnation, LinkId, NodeId, SpaceId, Time};

use super::action::{Action, Actions};
use super::breaker::Breaker;
use super::config::ReplicationConfig;
use super::draw::{draw_below, purpose};
use super::notice::Notice;

/// Another node as this one knows it.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    /// The incarnation that it first said hello with; another one later is another node's or a lost memory.
    pub(crate) incarnation: Option<Incarnation>,
    /// Whether that is durable: no link is open before.
    pub(crate) is_known: bool,
    /// The link that this node dialled, from the dial on.
    pub(crate) dialled: Option<LinkId>,
    /// The link that the peer dialled, once it passed its hello.
    pub(crate) accepted: Option<LinkId>,
    /// When to dial; `None` while a dialled link is there.
    pub(crate) dial_at: Option<Time>,
    /// Counts back-offs, so that each draws its own part.
    backoffs: u64,
    pub(crate) breaker: Breaker,
    /// When the next heartbeat leaves; `None` while no dialled link is open.
    pub(crate) heartbeat_at: Option<Time>,
    /// When the newest heartbeat was sent that it echoed on the dialled link.
    pub(crate) echoed: Option<Time>,
    /// When its echoes keep no lease any more; `None` where that was told.
    pub(crate) stale_at: Option<Time>,
    /// Spaces whose commit the peer has not confirmed; a heartbeat names them.
    pub(crate) unconfirmed: VecDeque<SpaceId>,
    /// Spaces that have something to ship and wait for room on the dialled link.
    pub(crate) waiting: VecDeque<SpaceId>,
}

impl Peer {
    /// A peer that is dialled at once.
    pub(crate) fn new(node: NodeId) -> Self {
        Self {
            node,
            incarnation: None,
            is_known: false,
            dialled: None,
            accepted: None,
            dial_at: Some(Time::ZERO),
            backoffs: 0,
            breaker: Breaker::default(),
            heartbeat_at: None,
            echoed: None,
            stale_at: None,
            unconfirmed: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Whether the incarnation is the one that is known, if one is; it binds from now on, and is saved where it is new.
    pub(crate) fn check_incarnation(&mut self, found: Incarnation, actions: &mut Actions) -> Result<(), CloseReason> {
        match self.incarnation {
            Some(expected) if expected != found => {
                Err(CloseReason::OtherIncarnation { node: self.node, expected, found })
            }
            Some(_) => Ok(()),
            None => {
                self.incarnation = Some(found);
                actions.push(Action::SavePeer { peer: self.node, incarnation: found });
                Ok(())
            }
        }
    }

    /// The dialled link is gone, or was never made: counts a failure and sets the time of the next dial.
    pub(crate) fn dial_failed(&mut self, now: Time, config: &ReplicationConfig, actions: &mut Actions) {
        self.dialled = None;
        self.heartbeat_at = None;
        if let Some(opened) = self.breaker.fail(now, &config.pool) {
            actions.push(Action::Notify(Notice::BreakerOpened {
                space: None,
                peer: self.node,
                failures: opened.failures,
                retry_ms: crate::types::time::millis_up(opened.until.since(now)),
            }));
        }
        let wait = config.backoff(self.breaker.failures());
        self.backoffs += 1;
        let subject = u64::from(self.node.0);
        let quarter = crate::types::time::micros(wait) / 4;
        let off = draw_below(config.seed, purpose::BACKOFF, subject, self.backoffs, quarter + 1);
        self.dial_at = Some(now + wait.saturating_sub(core::time::Duration::from_micros(off)));
    }

    /// The dialled link passed its hello.
    pub(crate) fn opened(&mut self, now: Time, actions: &mut Actions) {
        self.heartbeat_at = Some(now);
        if self.breaker.contact() {
            actions.push(Action::Notify(Notice::BreakerClosed { space: None, peer: self.node }));
        }
    }
}

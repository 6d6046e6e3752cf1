//! The first frames of a link: who is there, and whether they belong together.

use crate::types::message::{CloseReason, Hello, Message, VERSION_MAX, VERSION_MIN, Welcome};
use crate::types::{Incarnation, LinkId, NodeId, Time};

use super::action::{Action, Actions};
use super::config::ReplicationConfig;
use super::link::{Change, Link, Links, Phase};
use super::notice::Notice;

impl Links {
    /// A dialler's hello.
    pub(super) fn greeted(
        &mut self,
        now: Time,
        id: LinkId,
        hello: &Hello,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) -> Result<(), CloseReason> {
        let version = common_version(hello)?;
        if hello.cluster != config.cluster {
            return Err(CloseReason::WrongCluster { expected: config.cluster, found: hello.cluster });
        }
        if hello.to != config.node {
            return Err(CloseReason::WrongNode { expected: hello.to, found: config.node });
        }
        let Some(peer) = self.peers.get_mut(&hello.from) else {
            return Err(CloseReason::UnknownNode { found: hello.from });
        };
        peer.check_incarnation(hello.incarnation, actions)?;
        if let Some(link) = self.links.get_mut(&id) {
            link.peer = Some(hello.from);
        }
        self.met(now, id, hello.from, version, config, actions);
        Ok(())
    }

    /// The answer to this node's hello.
    pub(super) fn welcomed(
        &mut self,
        now: Time,
        id: LinkId,
        expected: NodeId,
        welcome: &Welcome,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) -> Result<(), CloseReason> {
        if !(VERSION_MIN..=VERSION_MAX).contains(&welcome.version) {
            return Err(CloseReason::UnsupportedVersion {
                expected_min: VERSION_MIN,
                expected_max: VERSION_MAX,
                found_min: welcome.version,
                found_max: welcome.version,
            });
        }
        if welcome.from != expected {
            return Err(CloseReason::WrongNode { expected, found: welcome.from });
        }
        let Some(peer) = self.peers.get_mut(&expected) else {
            return Err(CloseReason::UnknownNode { found: expected });
        };
        peer.check_incarnation(welcome.incarnation, actions)?;
        self.met(now, id, expected, welcome.version, config, actions);
        Ok(())
    }

    /// Who is there is as it should be: the link opens, as soon as it is durable who the peer is. What it says and is told
    /// may be decided on, and a node that forgets who said it would take another in its place.
    fn met(
        &mut self,
        now: Time,
        id: LinkId,
        peer: NodeId,
        version: u16,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) {
        if self.peers.get(&peer).is_some_and(|peer| peer.is_known) {
            self.opens(now, id, peer, version, config, actions);
        } else if let Some(link) = self.links.get_mut(&id) {
            link.phase = Phase::Learning { version };
        }
    }

    fn opens(
        &mut self,
        now: Time,
        id: LinkId,
        node: NodeId,
        version: u16,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) {
        let older = self.peers.get_mut(&node).filter(|_| id.is_accepted()).and_then(|peer| peer.accepted.replace(id));
        if let Some(older) = older {
            self.close(now, older, CloseReason::Replaced, config, actions);
        }
        let (Some(link), Some(peer)) = (self.links.get_mut(&id), self.peers.get_mut(&node)) else { return };
        (link.phase, link.heard) = (Phase::Open, now);
        if id.is_accepted() {
            peer.accepted = Some(id);
            let welcome = Welcome { version, from: config.node, incarnation: config.incarnation };
            actions.push(Action::Send { link: id, message: Message::Welcome(welcome) });
        } else {
            peer.opened(now, actions);
            self.changes.push_back(Change::Up { peer: node, link: id });
        }
        actions.push(Action::Notify(Notice::LinkOpened { link: id, peer: node }));
    }

    /// Under which incarnations peers were known when the node stopped.
    pub(crate) fn peers_known(&mut self, known: &[(NodeId, Incarnation)]) {
        for (node, incarnation) in known {
            // Who is not configured any more is met by nobody.
            if let Some(peer) = self.peers.get_mut(node) {
                (peer.incarnation, peer.is_known) = (Some(*incarnation), true);
            }
        }
    }

    /// It is durable who a peer is: the links that waited for it open.
    pub(crate) fn peer_saved(
        &mut self,
        now: Time,
        node: NodeId,
        incarnation: Incarnation,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.is_known || peer.incarnation != Some(incarnation) {
            return;
        }
        peer.is_known = true;
        let waiting = |link: &Link| match link.phase {
            Phase::Learning { version } if link.peer == Some(node) => Some(version),
            Phase::Learning { .. } | Phase::Dialling | Phase::Greeting | Phase::Open => None,
        };
        while let Some((id, version)) = self.links.iter().find_map(|(id, link)| Some((*id, waiting(link)?))) {
            self.opens(now, id, node, version, config, actions);
        }
    }
}

/// The newest version that both speak.
fn common_version(hello: &Hello) -> Result<u16, CloseReason> {
    let version = hello.version_max.min(VERSION_MAX);
    if version < hello.version_min || version < VERSION_MIN {
        return Err(CloseReason::UnsupportedVersion {
            expected_min: VERSION_MIN,
            expected_max: VERSION_MAX,
            found_min: hello.version_min,
            found_max: hello.version_max,
        });
    }
    Ok(version)
}

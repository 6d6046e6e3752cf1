//! The first frames of a link: who is there, and whether they belong together.

use crate::types::message::{CloseReason, Hello, Message, VERSION_MAX, VERSION_MIN, Welcome};
use crate::types::{LinkId, NodeId, Time};

use super::action::{Action, Actions};
use super::config::ReplicationConfig;
use super::link::{Change, Links, Phase};
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
        peer.check_incarnation(hello.incarnation)?;
        if let Some(older) = peer.accepted.replace(id) {
            self.close(now, older, CloseReason::Replaced, config, actions);
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.peer = Some(hello.from);
            link.phase = Phase::Open;
            link.heard = now;
        }
        if let Some(peer) = self.peers.get_mut(&hello.from) {
            peer.accepted = Some(id);
        }
        let welcome = Welcome { version, from: config.node, incarnation: config.incarnation };
        actions.push(Action::Send { link: id, message: Message::Welcome(welcome) });
        actions.push(Action::Notify(Notice::LinkOpened { link: id, peer: hello.from }));
        Ok(())
    }

    /// The answer to this node's hello.
    pub(super) fn welcomed(
        &mut self,
        now: Time,
        id: LinkId,
        expected: NodeId,
        welcome: &Welcome,
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
        peer.check_incarnation(welcome.incarnation)?;
        peer.opened(now, actions);
        if let Some(link) = self.links.get_mut(&id) {
            link.phase = Phase::Open;
            link.heard = now;
        }
        actions.push(Action::Notify(Notice::LinkOpened { link: id, peer: expected }));
        self.changes.push_back(Change::Up { peer: expected, link: id });
        Ok(())
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

//! What the library's face asks of a node beside what every handle may: a handle that keeps nothing alive, and room for
//! appends before they are handed over.

use ::core::net::SocketAddr;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::core::{Notice, Outcome};
use crate::types::SpaceId;

use super::{AppendRequest, Counters, Life, NodeHandle, Request, SpaceView};

/// A handle that does not keep its node running: for tasks that live as long as the node does.
#[derive(Debug, Clone)]
pub(in crate::driver) struct WeakNodeHandle {
    requests: mpsc::WeakSender<Request>,
    notices: broadcast::WeakSender<Notice>,
    life: watch::Receiver<Life>,
    address: SocketAddr,
    views: Arc<BTreeMap<SpaceId, SpaceView>>,
    counters: Counters,
}

impl WeakNodeHandle {
    /// A handle like others; `None` once the last of those is dropped.
    pub(in crate::driver) fn upgrade(&self) -> Option<NodeHandle> {
        Some(NodeHandle {
            requests: self.requests.upgrade()?,
            notices: self.notices.clone(),
            life: self.life.clone(),
            address: self.address,
            views: Arc::clone(&self.views),
            counters: self.counters.clone(),
        })
    }

    /// Tells a notice that is not the core's.
    pub(in crate::driver) fn tell(&self, notice: Notice) {
        tracing::error!(target: "engraft::notice", "{notice}");
        if let Some(notices) = self.notices.upgrade() {
            // It fails where nobody has subscribed.
            let _ = notices.send(notice);
        }
    }

    /// Returns once the node has ended.
    pub(in crate::driver) async fn halted(self) {
        let Self { mut life, .. } = self;
        while life.changed().await.is_ok() {}
    }
}

impl NodeHandle {
    pub(in crate::driver) fn downgrade(&self) -> WeakNodeHandle {
        WeakNodeHandle {
            requests: self.requests.downgrade(),
            notices: self.notices.clone(),
            life: self.life.clone(),
            address: self.address,
            views: Arc::clone(&self.views),
            counters: self.counters.clone(),
        }
    }

    /// Waits for room for appends to hand over together. Dropping this, or what it gives, hands over nothing.
    pub(in crate::driver) async fn room(&self) -> Result<Room<'_>, Ended> {
        self.requests.reserve().await.map(Room).map_err(|_| Ended)
    }
}

/// The node has ended.
#[derive(Debug)]
pub(in crate::driver) struct Ended;

/// Room for one hand-over of at most 1,000 appends.
#[derive(Debug)]
pub(in crate::driver) struct Room<'a>(mpsc::Permit<'a, Request>);

impl Room<'_> {
    /// Hands the appends over: from now on nothing takes them back. The answer ends without one where the node has ended
    /// and cannot tell what became of them.
    pub(in crate::driver) fn hand_over(self, appends: Vec<AppendRequest>) -> oneshot::Receiver<Vec<Outcome>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Request::Append { appends, reply });
        answer
    }
}

//! A node as its users hold it: started, appended to, asked, shut down.

use ::core::net::SocketAddr;
use ::core::time::Duration;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::core::{
    Ack, AppendError, Command, NodeStatus, Notice, Outcome, PromoteBy, ReplicationConfig, ReplicationCoordinator,
};
use crate::types::{Control, Epoch, NodeId, RequestId, Sequence, SpaceId, Token, WalEntryType};

use super::figures::{Counters, NodeFigures};
use super::host::{Host, LinkOptions};
use super::limits::{APPENDS_PER_REQUEST, NOTICES_MAX, REQUESTS_PER_TURN, link_bytes_max, wal_requests_max};
use super::notice_log::NoticeLog;
use super::shell::{Shell, ShellParts, accept_links};
use super::space_watch::{Reach, RoleState, SpaceView, SpaceWatches};
use super::wal_job::wal_job;
use super::wal_worker::{StorageOptions, WalWorker};

mod error;
#[cfg(feature = "tokio")]
mod weak;

pub use error::{NodeError, StartError};

#[cfg(feature = "tokio")]
pub(super) use weak::WeakNodeHandle;

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Where to accept links, such as `127.0.0.1:7400`; with port 0 one is chosen.
    pub listen: String,
    /// The addresses of the other nodes: of exactly those that are named in `replication`.
    pub peers: BTreeMap<NodeId, String>,
    /// Where the logs are, and which.
    pub storage: StorageOptions,
    /// The numbers of the protocol. The incarnation in it is replaced by that of the storage.
    pub replication: ReplicationConfig,
}

/// An entry to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendRequest {
    /// The space.
    pub space: SpaceId,
    /// The payload.
    pub payload: Bytes,
    /// The type of the entry.
    pub entry_type: WalEntryType,
    /// The control bytes; of the kind [`Control::USER`].
    pub control: Control,
    /// Nanoseconds since the Unix epoch; the host's time where it is `None`.
    pub timestamp: Option<u64>,
    /// When to answer; the space's own level where it is `None`.
    pub ack: Option<Ack>,
    /// How long to wait before the answer is "unknown"; the configured time-out where it is `None`.
    pub timeout: Option<Duration>,
}

impl AppendRequest {
    /// A user's entry, answered as the space is configured.
    #[must_use]
    pub fn new(space: SpaceId, payload: Bytes) -> Self {
        let entry_type = WalEntryType::EpisodeStore;
        Self { space, payload, entry_type, control: Control::user(), timestamp: None, ack: None, timeout: None }
    }
}

/// What handles ask of the shell.
#[derive(Debug)]
pub(super) enum Request {
    Append {
        appends: Vec<AppendRequest>,
        reply: oneshot::Sender<Vec<Outcome>>,
    },
    /// A command that is answered. The number in it is replaced by the shell.
    Ask {
        command: Command,
        reply: oneshot::Sender<Vec<Outcome>>,
    },
    /// A command whose answer nobody waits for.
    Command(Command),
    Applied {
        space: SpaceId,
        sequence: Sequence,
    },
    Status(oneshot::Sender<NodeStatus>),
}

/// How far a node's life is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    ShutDown,
    Failed(NodeError),
}

/// A node that was started.
///
/// Handles are cheap to clone. The node runs until [`NodeHandle::shutdown`] is called, or the last handle is dropped:
/// then it shuts down in the same way, and nobody learns when that is done.
///
/// Every method may be dropped before it is ready. What was asked may then have been done or not; an append that was
/// handed over is in no case taken back.
#[derive(Debug, Clone)]
#[must_use = "the node shuts down when its last handle is dropped"]
pub struct NodeHandle {
    requests: mpsc::Sender<Request>,
    notices: broadcast::WeakSender<Notice>,
    life: watch::Receiver<Life>,
    address: SocketAddr,
    views: Arc<BTreeMap<SpaceId, SpaceView>>,
    counters: Counters,
}

/// Starts a node: opens its storage, listens, and lets it run.
///
/// # Errors
/// What keeps it from starting; nothing runs then. A space that cannot be opened is no reason: it is shown as stopped.
pub async fn start<H: Host>(host: H, options: NodeOptions) -> Result<NodeHandle, StartError> {
    check(&options)?;
    let NodeOptions { listen, peers, storage, mut replication } = options;
    let failed_to_listen = |error| StartError::Listen { address: listen.clone(), error };
    let listener = host.listen(&listen).await.map_err(failed_to_listen)?;
    let address = host.listen_address(&listener).map_err(failed_to_listen)?;

    let close_timeout = storage.wal.close_timeout;
    let names = storage.spaces.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let disk = host.disk();
    let opening = host.run_blocking(move || WalWorker::open(disk, &storage)).await;
    let (worker, opened) = opening.map_err(|error| StartError::Host { what: "the opening of the logs", error })??;
    replication.incarnation = opened.incarnation;
    for (space, report) in &opened.reports {
        let (node, entries, last) = (replication.node, report.entries, report.last_sequence);
        let rewritten = report.rewritten;
        tracing::info!(target: "engraft::wal", %node, "{space} recovered {entries} entries up to {last}, {rewritten} written again");
    }

    let counters = Counters { disk: worker.watch(), ..Counters::default() };
    let (job, wal) = wal_job(worker, wal_requests_max(&replication, names.len()));
    host.run_wal(job).map_err(|error| StartError::Host { what: "the log's work", error })?;

    let (requests, asked) = mpsc::channel(REQUESTS_PER_TURN);
    let (notices, _) = broadcast::channel(NOTICES_MAX);
    let (living, life) = watch::channel(Life::Running);
    let weak_notices = notices.downgrade();
    let (watches, views) = SpaceWatches::new(replication.node, &opened.events);
    let link_options = LinkOptions { keepalive: replication.pool.keepalive };
    let (accepting, accepted) = mpsc::channel(1);
    let accept_task = host.spawn(accept_links(host.clone(), listener, link_options, accepting));
    let shell = Shell::new(ShellParts {
        notices: NoticeLog::new(replication.node, names.iter().cloned(), notices, watches),
        host: host.clone(),
        peers,
        link_options,
        link_bytes_max: link_bytes_max(&replication, names.len()),
        core: ReplicationCoordinator::new(replication)?,
        wal,
        close_timeout,
        counters: counters.clone(),
        accepted,
        accept_task,
        requests: asked,
    });
    H::detach(host.spawn(shell.run(opened.events, living)));
    Ok(NodeHandle { requests, notices: weak_notices, life, address, views, counters })
}

fn check(options: &NodeOptions) -> Result<(), StartError> {
    let NodeOptions { listen: _, peers, storage, replication } = options;
    replication.validate()?;
    let expected = replication.peers.iter().copied().collect::<BTreeSet<_>>();
    if !expected.iter().eq(peers.keys()) {
        let found = peers.keys().copied().collect();
        return Err(StartError::Peers { expected: expected.into_iter().collect(), found });
    }
    if storage.node != replication.node {
        let (expected, found) = (replication.node.to_string(), storage.node.to_string());
        return Err(StartError::Storage { what: "node", expected, found });
    }
    if storage.cluster != replication.cluster {
        let (expected, found) = (replication.cluster.to_string(), storage.cluster.to_string());
        return Err(StartError::Storage { what: "cluster", expected, found });
    }
    Ok(())
}

impl NodeHandle {
    /// Appends; answers in the order of the appends once all are answered.
    ///
    /// They are handed over in this order, with those of other callers in between where they are more than 1,000. Where
    /// the node has ended, those that it never took are [`AppendError::Shutdown`], and those that it took and did not
    /// answer are unknown under a token of sequence 0, which names nothing.
    pub async fn append(&self, appends: Vec<AppendRequest>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(appends.len());
        let mut answers = Vec::with_capacity(appends.len().div_ceil(APPENDS_PER_REQUEST));
        let mut appends = appends.into_iter();
        loop {
            let chunk = appends.by_ref().take(APPENDS_PER_REQUEST).collect::<Vec<_>>();
            if chunk.is_empty() {
                break;
            }
            let spaces = chunk.iter().map(|append| append.space).collect::<Vec<_>>();
            let (reply, answer) = oneshot::channel();
            // A node that has ended drops the request, and with it the reply.
            let taken = self.requests.send(Request::Append { appends: chunk, reply }).await.is_ok();
            answers.push((spaces, taken, answer));
        }
        for (spaces, taken, answer) in answers {
            match answer.await {
                Ok(answered) => outcomes.extend(answered),
                Err(_) if taken => outcomes.extend(spaces.into_iter().map(unknown)),
                Err(_) => outcomes.extend(spaces.iter().map(|_| Outcome::Failed(AppendError::Shutdown))),
            }
        }
        outcomes
    }

    /// Reads committed entries from `from` on: [`Outcome::Entries`] or [`Outcome::Failed`].
    ///
    /// One entry comes however large it is, where there is one.
    pub async fn read(&self, space: SpaceId, from: Sequence, entries_max: u32, bytes_max: u64) -> Outcome {
        self.ask(Command::Read { space, request: UNNUMBERED, from, entries_max, bytes_max }).await
    }

    /// Says what became of an append, once it is committed or lost, or when the time is over: [`Outcome::Resolved`] or
    /// [`Outcome::Failed`]. A time-out of zero answers at once.
    pub async fn wait_for(&self, token: Token, timeout: Duration) -> Outcome {
        self.ask(Command::WaitFor { space: token.space, request: UNNUMBERED, token, timeout }).await
    }

    /// Has this node stand for election in a space, or go on without one: [`Outcome::Standing`] or [`Outcome::Failed`].
    pub async fn promote(&self, space: SpaceId, by: PromoteBy) -> Outcome {
        self.ask(Command::Promote { space, request: UNNUMBERED, by }).await
    }

    /// For engines that apply committed entries by themselves: everything up to `sequence` is applied.
    pub async fn applied(&self, space: SpaceId, sequence: Sequence) {
        // A node that has ended tells nobody.
        let _ = self.requests.send(Request::Applied { space, sequence }).await;
    }

    /// How far a space has come here: always the latest. It ends with the node. `None` where the space is not open here.
    #[must_use]
    pub fn reach(&self, space: SpaceId) -> Option<watch::Receiver<Reach>> {
        self.views.get(&space).map(|view| view.reach.clone())
    }

    /// The node's part in a space: always the latest. It ends with the node. `None` where the space is not open here.
    #[must_use]
    pub fn role(&self, space: SpaceId) -> Option<watch::Receiver<RoleState>> {
        self.views.get(&space).map(|view| view.role.clone())
    }

    /// All that is seen of a space.
    pub(super) fn view(&self, space: SpaceId) -> Option<SpaceView> {
        self.views.get(&space).cloned()
    }

    /// Reads entries that are durable here, committed or not: for engines that apply on append. Otherwise as
    /// [`NodeHandle::read`].
    pub async fn read_durable(&self, space: SpaceId, from: Sequence, entries_max: u32, bytes_max: u64) -> Outcome {
        self.ask(Command::ReadDurable { space, request: UNNUMBERED, from, entries_max, bytes_max }).await
    }

    /// Who is told that the node has ended asks again, and is told what stands then.
    async fn ask(&self, command: Command) -> Outcome {
        let shutdown = Outcome::Failed(AppendError::Shutdown);
        let (reply, answer) = oneshot::channel();
        if self.requests.send(Request::Ask { command, reply }).await.is_err() {
            return shutdown;
        }
        answer.await.ok().and_then(|mut outcomes| outcomes.pop()).unwrap_or(shutdown)
    }

    /// Hands over a command. It returns once the node will carry it out, not when it has.
    ///
    /// For [`Command::Read`] and [`Command::WaitFor`] use [`NodeHandle::read`] and [`NodeHandle::wait_for`]: their answers
    /// would go nowhere.
    pub async fn command(&self, command: Command) {
        // A node that has ended has nothing to be commanded.
        let _ = self.requests.send(Request::Command(command)).await;
    }

    /// What the node says of itself; `None` once it has ended.
    pub async fn status(&self) -> Option<NodeStatus> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Status(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Notices from now on. A receiver that is 4,096 behind misses the oldest, and is told so; it is closed when the node
    /// has ended.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        match self.notices.upgrade() {
            Some(notices) => notices.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// Shuts the node down: takes no more appends, answers what waits as unknown, says goodbye to the peers, closes the
    /// logs. Returns once all that is done and the directory may be opened anew, or once the log was not closed within
    /// `close_timeout`: then [`NodeHandle::failure`] says at what the disk hangs, and the directory is still in use.
    pub async fn shutdown(&self) {
        self.command(Command::Shutdown).await;
        self.halted().await;
    }

    /// Returns once the node has ended, by a shutdown or otherwise ([`NodeHandle::failure`]).
    pub async fn halted(&self) {
        let mut life = self.life.clone();
        while life.changed().await.is_ok() {}
    }

    /// Why the node ended, where it was not shut down; `None` while it runs.
    #[must_use]
    pub fn failure(&self) -> Option<NodeError> {
        match &*self.life.borrow() {
            Life::Failed(error) => Some(error.clone()),
            Life::ShutDown => None,
            Life::Running => self.life.has_changed().is_err().then_some(NodeError::ShellEnded),
        }
    }

    /// What the node has counted since it started; after its end, what it had counted by then.
    #[must_use]
    pub fn figures(&self) -> NodeFigures {
        self.counters.figures()
    }

    /// Where the node accepts links, with the port in force where 0 was asked for.
    #[must_use]
    pub const fn listen_address(&self) -> SocketAddr {
        self.address
    }
}

/// In the place of a number that the shell gives.
const UNNUMBERED: RequestId = RequestId(0);

/// What is said of an append that a node took and did not answer before it ended.
fn unknown(space: SpaceId) -> Outcome {
    let token = Token { space, epoch: Epoch::ZERO, sequence: Sequence::ZERO };
    Outcome::Unknown { token, acked_by: Vec::new() }
}

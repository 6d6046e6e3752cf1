//! The task that owns the core: it takes what has happened, and moves what is to be done.

use ::core::mem;
use ::core::time::Duration;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use std::io;

use tokio::sync::{mpsc, watch};

use crate::core::{Action, Actions, Append, AppendError, Command, Event, Outcome, ReplicationCoordinator};
use crate::types::{EntryLists, NodeId, RequestId, Time};

use super::figures::{Counters, DiskWatch};
use super::host::{Halves, Host, LinkOptions};
use super::limits::{
    ACCEPT_RETRY, ACCEPTED_LINKS_MAX, COMPLETIONS_PER_TURN, LINGER, LINK_EVENTS_PER_TURN, REQUESTS_PER_TURN,
};
use super::link::LinkEvent;
use super::link_table::LinkTable;
use super::node::{AppendRequest, Life, NodeError, Request};
use super::notice_log::NoticeLog;
use super::reply::{ReplyTable, numbered};
use super::wal_job::{Completed, WalPort};
use super::wal_worker::WalRequest;

mod turn;

use turn::{fill, sleep, yield_once};

/// A connection that a peer made, or why there is none.
type Accepted<H> = io::Result<Halves<H>>;

/// What a shell is made of.
pub(super) struct ShellParts<H: Host> {
    pub(super) host: H,
    pub(super) core: ReplicationCoordinator,
    pub(super) peers: BTreeMap<NodeId, String>,
    pub(super) link_options: LinkOptions,
    pub(super) link_bytes_max: u64,
    pub(super) wal: WalPort,
    /// How long the log may take to be closed.
    pub(super) close_timeout: Duration,
    pub(super) counters: Counters,
    pub(super) accepted: mpsc::Receiver<Accepted<H>>,
    pub(super) accept_task: H::Task,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) notices: NoticeLog,
}

/// Owns the core, and does nothing but move: it fires the timer, takes what is ready from the sources, hands each event to
/// the core and each action to whom it concerns. It never waits while it does so.
pub(super) struct Shell<H: Host> {
    host: H,
    core: ReplicationCoordinator,
    actions: Actions,
    /// What follows at once from an action: a link that is down because its queue is full.
    follow_ups: VecDeque<Event>,
    wal: WalPort,
    close_timeout: Duration,
    disk: DiskWatch,
    links: LinkTable<H>,
    link_events: mpsc::Receiver<LinkEvent<H>>,
    accepted: mpsc::Receiver<Accepted<H>>,
    accept_task: H::Task,
    requests: mpsc::Receiver<Request>,
    handles_gone: bool,
    replies: ReplyTable,
    notices: NoticeLog,
    halted: bool,
}

/// What one turn takes from the sources; the memory is kept between turns.
struct Ready<H: Host> {
    completions: Vec<Completed>,
    link_events: Vec<LinkEvent<H>>,
    accepted: Vec<Accepted<H>>,
    requests: Vec<Request>,
}

impl<H: Host> Shell<H> {
    /// A shell that has not begun.
    pub(super) fn new(parts: ShellParts<H>) -> Self {
        let ShellParts { host, core, peers, link_options, link_bytes_max, counters, .. } = parts;
        let (events, link_events) = mpsc::channel(LINK_EVENTS_PER_TURN);
        Self {
            links: LinkTable::new(host.clone(), peers, link_options, link_bytes_max, events, counters.traffic),
            host,
            core,
            actions: Actions::new(),
            follow_ups: VecDeque::new(),
            wal: parts.wal,
            close_timeout: parts.close_timeout,
            disk: counters.disk,
            link_events,
            accepted: parts.accepted,
            accept_task: parts.accept_task,
            requests: parts.requests,
            handles_gone: false,
            replies: ReplyTable::default(),
            notices: parts.notices,
            halted: false,
        }
    }

    /// Runs the node to its end. `opened` is what the storage found; the core is told of it before anything else.
    pub(super) async fn run(mut self, opened: Vec<Event>, life: watch::Sender<Life>) {
        let end = match self.turns(opened).await {
            Ok(()) => {
                self.linger().await;
                Life::ShutDown
            }
            Err(error) => {
                self.notices.failed(self.host.now(), &error);
                Life::Failed(error)
            }
        };
        self.end(&life, end).await;
        // Whoever waits for the end learns of it when the sender is dropped, which is now.
        drop(life);
    }

    async fn turns(&mut self, opened: Vec<Event>) -> Result<(), NodeError> {
        let mut ready = Ready::new();
        let now = self.host.now();
        for event in opened {
            self.handle(now, event)?;
        }
        loop {
            self.fire(self.host.now())?;
            // The one flush of a turn: of what the last one's events and this timer brought.
            self.links.flush();
            if self.halted {
                return Ok(());
            }
            self.wait(&mut ready).await?;
            self.take(&mut ready)?;
        }
    }

    /// Fires what is due: once per turn, before the sources are looked at, so that no flood of events starves it.
    fn fire(&mut self, now: Time) -> Result<(), NodeError> {
        if self.core.next_wake().is_some_and(|wake| wake <= now) {
            self.handle(now, Event::TimerFired)?;
        }
        while let Some(event) = self.links.expire(now) {
            self.handle(now, event)?;
        }
        Ok(())
    }

    /// Waits until a source has something or the timer is due, then takes what is ready, up to the limits of a turn.
    async fn wait(&mut self, ready: &mut Ready<H>) -> Result<(), NodeError> {
        let deadline = [self.core.next_wake(), self.links.next_deadline()].into_iter().flatten().min();
        if deadline.is_some_and(|deadline| deadline <= self.host.now()) {
            // Due again at once. A sleep would be too long on hosts with coarse timers; others get their turn all the same.
            yield_once().await;
        } else {
            let room = self.links.accepted_now() < ACCEPTED_LINKS_MAX;
            // Biased for repeatable runs only: what is ready is taken below, and handed over in the order of `take`.
            tokio::select! {
                biased;
                count = self.wal.completions.recv_many(&mut ready.completions, COMPLETIONS_PER_TURN) => {
                    if count == 0 {
                        return Err(NodeError::WalEnded);
                    }
                }
                // The link table holds a sender of its own, so this source does not end.
                _ = self.link_events.recv_many(&mut ready.link_events, LINK_EVENTS_PER_TURN) => {}
                accepted = self.accepted.recv(), if room => {
                    ready.accepted.push(accepted.ok_or(NodeError::ListenerEnded)?);
                }
                count = self.requests.recv_many(&mut ready.requests, REQUESTS_PER_TURN), if !self.handles_gone => {
                    if count == 0 {
                        self.handles_gone = true;
                        ready.requests.push(Request::Command(Command::Shutdown));
                    }
                }
                () = sleep(&self.host, deadline) => {}
            }
        }
        fill(&mut self.wal.completions, &mut ready.completions, COMPLETIONS_PER_TURN);
        fill(&mut self.link_events, &mut ready.link_events, LINK_EVENTS_PER_TURN);
        fill(&mut self.requests, &mut ready.requests, REQUESTS_PER_TURN);
        Ok(())
    }

    /// Hands what is ready to the core, completions first: they free the windows that the rest wants to fill.
    fn take(&mut self, ready: &mut Ready<H>) -> Result<(), NodeError> {
        let now = self.host.now();
        for Completed { events, spent } in ready.completions.drain(..) {
            self.actions.spare().extend(spent);
            for event in events {
                self.handle(now, event)?;
            }
        }
        for event in ready.link_events.drain(..) {
            if let Some(event) = self.links.on_event(event, now) {
                self.handle(now, event)?;
            }
        }
        for accepted in ready.accepted.drain(..) {
            match accepted {
                Ok(halves) => {
                    let event = self.links.accept(halves);
                    self.handle(now, event)?;
                }
                Err(error) => self.notices.accept_failed(now, &error),
            }
        }
        for request in ready.requests.drain(..) {
            self.ask(now, request)?;
        }
        Ok(())
    }

    fn ask(&mut self, now: Time, request: Request) -> Result<(), NodeError> {
        match request {
            Request::Append { appends, reply } => {
                let received = self.host.unix_nanos();
                let first = self.replies.open(appends.len(), reply);
                for (append, request) in appends.into_iter().zip(first.0..) {
                    let AppendRequest { space, payload, entry_type, control, timestamp, ack, timeout } = append;
                    let timestamp = timestamp.unwrap_or(received);
                    let request = RequestId(request);
                    let append = Append { space, request, payload, entry_type, control, timestamp, ack, timeout };
                    self.handle(now, Event::Append(append))?;
                }
                Ok(())
            }
            Request::Ask { command, reply } => {
                let request = self.replies.open(1, reply);
                self.handle(now, Event::Command(numbered(command, request)))
            }
            Request::Command(command) => {
                let request = self.replies.next();
                self.handle(now, Event::Command(numbered(command, request)))
            }
            Request::Applied { space, sequence } => self.handle(now, Event::Applied { space, sequence }),
            Request::Status(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.core.status(now));
                Ok(())
            }
        }
    }

    fn handle(&mut self, now: Time, event: Event) -> Result<(), NodeError> {
        let mut next = Some(event);
        while let Some(event) = next {
            // Nothing comes after Halt: what is left is answered when the shell ends.
            if self.halted {
                return Ok(());
            }
            self.notices.event(now, &event);
            self.core.handle(now, event, &mut self.actions);
            let mut actions = mem::take(&mut self.actions);
            let (ordered, spare) = actions.drain_beside_spare();
            for action in ordered {
                self.notices.trace(now, &action);
                self.perform(now, action, spare)?;
            }
            self.actions = actions;
            next = self.follow_ups.pop_front();
        }
        Ok(())
    }

    /// Hands an action to whom it concerns, without waiting. A batch is encoded at once, so its list goes back.
    fn perform(&mut self, now: Time, action: Action, spare: &mut EntryLists) -> Result<(), NodeError> {
        match action {
            action @ (Action::WalAppend { .. }
            | Action::WalRead { .. }
            | Action::SaveVote { .. }
            | Action::SavePeer { .. }
            | Action::EndRecovering { .. }
            | Action::SalvageSave { .. }
            | Action::WalTruncate { .. }) => {
                if let Some(request) = WalRequest::from_action(action) {
                    self.wal.requests.push(request).map_err(|limit| NodeError::WalQueueFull { limit })?;
                }
            }
            Action::Send { link, message } => {
                self.follow_ups.extend(self.links.send(link, &message));
                spare.extend(message.into_entries());
            }
            Action::Connect { link, peer } => self.follow_ups.extend(self.links.connect(link, peer)),
            Action::Close { link, reason: _ } => self.links.close(link, now),
            Action::Reply { request, outcome } => self.replies.answer(request, outcome),
            Action::Notify(notice) => self.notices.tell(now, notice),
            Action::Halt => self.halted = true,
        }
        Ok(())
    }

    /// Lets closing links send their last frames.
    async fn linger(&mut self) {
        let until = self.host.now() + LINGER;
        let mut events = Vec::new();
        while !self.links.is_empty() && self.host.now() < until {
            tokio::select! {
                biased;
                _ = self.link_events.recv_many(&mut events, LINK_EVENTS_PER_TURN) => {}
                () = self.host.sleep_until(until) => {}
            }
            for event in events.drain(..) {
                // The core has halted: it is told nothing more.
                let _ = self.links.on_event(event, until);
            }
        }
    }

    /// Ends everything that the node runs, the log last; then tells why, before anybody's answer is given up.
    ///
    /// A log that does not end in time is left to itself, and keeps the directory: its disk hangs.
    async fn end(self, life: &watch::Sender<Life>, mut end: Life) {
        let Self { host, wal, close_timeout, disk, links, mut requests, replies, accept_task, notices, .. } = self;
        drop((links, accept_task));
        let WalPort { requests: wal_requests, completions, ended } = wal;
        drop((wal_requests, completions));
        let until = host.now() + close_timeout;
        tokio::select! {
            biased;
            // It resolves with an error, by being dropped with the rest of the job.
            _ = ended => {}
            () = host.sleep_until(until) => {
                let ms = u64::try_from(close_timeout.as_millis()).unwrap_or(u64::MAX);
                let error = NodeError::DiskHangs { doing: notices.line(&disk.doing()), ms };
                notices.failed(host.now(), &error);
                if end == Life::ShutDown {
                    end = Life::Failed(error);
                }
            }
        }
        // Whoever loses an answer below asks why.
        life.send_replace(end);
        requests.close();
        while let Some(request) = requests.recv().await {
            refuse(request);
        }
        drop(replies);
    }
}

/// Answers a request that the core never saw.
fn refuse(request: Request) {
    // Whoever asked may have gone.
    let shutdown = || Outcome::Failed(AppendError::Shutdown);
    match request {
        Request::Append { appends, reply } => {
            let _ = reply.send(appends.iter().map(|_| shutdown()).collect());
        }
        Request::Ask { reply, .. } => {
            let _ = reply.send([shutdown()].into());
        }
        Request::Command(_) | Request::Applied { .. } | Request::Status(_) => {}
    }
}

/// Accepts connections for as long as the shell takes them.
pub(super) async fn accept_links<H: Host>(
    host: H,
    mut listener: H::Listener,
    options: LinkOptions,
    accepted: mpsc::Sender<Accepted<H>>,
) {
    loop {
        let result = host.accept(&mut listener, options).await;
        let failed = result.is_err();
        if accepted.send(result).await.is_err() {
            return;
        }
        if failed {
            host.sleep_until(host.now() + ACCEPT_RETRY).await;
        }
    }
}

impl<H: Host> Ready<H> {
    fn new() -> Self {
        Self { completions: Vec::new(), link_events: Vec::new(), accepted: Vec::new(), requests: Vec::new() }
    }
}

//! An engine's state, built from the log on a thread of its own.

use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use std::io;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use crate::core;
use crate::core::{Notice, Outcome};
use crate::driver::node::WeakNodeHandle;
use crate::driver::space_watch::{Cut, Reach, SpaceView};
use crate::driver::state_machine::{ApplyError, StateMachine};
use crate::types::{Control, Entry, Epoch, Sequence, SpaceId};

use super::error::ApplyFailure;

/// When an engine gets an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Apply {
    /// Once it is committed and durable here: what is applied stays, unless an operator forces a node on that has other entries
    /// ([`PromoteBy::Force`](crate::PromoteBy::Force)).
    #[default]
    OnCommit,
    /// Once it is durable here, committed or not: for engines that can take entries back
    /// ([`StateMachine::rewind`](crate::StateMachine::rewind)) where another node becomes the primary without them.
    OnAppend,
}

/// How far an engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applying {
    /// When it gets entries.
    pub apply: Apply,
    /// The last entry that it applied.
    pub applied: Sequence,
    /// What stopped it, where something did.
    pub failure: Option<ApplyFailure>,
}

/// Entries and bytes read for an engine at once; three such runs are in memory at most.
const RUN_ENTRIES: u32 = 1_000;
const RUN_BYTES: u64 = 1 << 20;
/// The wait after a read that was refused because too many were under way.
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// How long entries are applied without a flush.
const FLUSH_AFTER: Duration = Duration::from_millis(10);

/// An engine and when it gets entries, before the node runs.
pub(super) struct Engine {
    pub(super) apply: Apply,
    pub(super) machine: Box<dyn StateMachine>,
}

/// Runs an engine for as long as its node runs. What is returned ends when the engine has been dropped.
pub(super) fn run(
    node: &WeakNodeHandle,
    space: SpaceId,
    view: &SpaceView,
    engine: Engine,
) -> io::Result<watch::Receiver<Applying>> {
    let Engine { apply, machine } = engine;
    let (applied, epoch) = (machine.applied(), machine.applied_epoch());
    let (progress, applying) = watch::channel(Applying { apply, applied, failure: None });
    let (jobs, taken) = mpsc::channel(1);
    let worker = Worker { machine: Some(machine), progress, at: applied.next(), told: Instant::now() };
    let fail = Failing { node: node.clone(), space };
    std::thread::Builder::new().name("engraft-apply".into()).spawn(move || worker.run(taken, fail))?;
    let SpaceView { reach, cut, .. } = view.clone();
    let feed = Feed { node: node.clone(), space, apply, next: applied.next(), reach: reach.clone(), cut, jobs };
    tokio::spawn(feed.run(epoch));
    tokio::spawn(tell(node.clone(), space, reach, applying.clone()));
    Ok(applying)
}

/// What an engine has to do next.
enum Job {
    Apply(Vec<Entry>),
    /// The log ends there for it: the state is taken back, and where it is then is answered.
    Rewind(Sequence, oneshot::Sender<Sequence>),
}

/// Reads what the engine is to get next, and hands it over.
struct Feed {
    node: WeakNodeHandle,
    space: SpaceId,
    apply: Apply,
    next: Sequence,
    reach: watch::Receiver<Reach>,
    cut: Cut,
    jobs: mpsc::Sender<Job>,
}

/// The node or the engine has ended.
struct Ended;

impl Feed {
    /// `epoch` is that of the last entry which the engine has.
    async fn run(mut self, epoch: Option<Epoch>) {
        // It ends with the node or the engine, and has nothing to say then.
        if self.check(epoch).await.is_err() {
            return;
        }
        while self.go_on().await.is_ok() {}
    }

    /// The log may have been truncated without a word to the engine, where the node died in between.
    async fn check(&mut self, epoch: Option<Epoch>) -> Result<(), Ended> {
        let applied = self.next.previous();
        if applied == Sequence::ZERO {
            return Ok(());
        }
        if self.apply == Apply::OnCommit {
            return self.check_committed(applied, epoch).await;
        }
        let found = self.epoch_at(applied).await?;
        if epoch.is_some() && found == epoch { Ok(()) } else { self.rewind(Sequence::ZERO).await }
    }

    /// What is committed goes only where an operator forces another node on: an engine that does not tell its epoch is taken
    /// to be right. Epochs rise along the log, so a later one at or below what the engine has replaced that.
    async fn check_committed(&mut self, applied: Sequence, epoch: Option<Epoch>) -> Result<(), Ended> {
        let Some(epoch) = epoch else { return Ok(()) };
        loop {
            let at = self.reach.borrow_and_update().readable().min(applied);
            let found = if at == Sequence::ZERO { None } else { self.epoch_at(at).await? };
            if found.is_some_and(|found| found > epoch) {
                return self.rewind(Sequence::ZERO).await;
            }
            if at == applied && found.is_some() {
                return if found == Some(epoch) { Ok(()) } else { self.rewind(Sequence::ZERO).await };
            }
            tokio::select! {
                biased;
                () = self.jobs.closed() => return Err(Ended),
                moved = self.reach.changed() => moved.map_err(|_| Ended)?,
            }
        }
    }

    async fn epoch_at(&self, at: Sequence) -> Result<Option<Epoch>, Ended> {
        let entries = self.read(at, 1).await?;
        Ok(entries.first().filter(|entry| entry.header.sequence() == at).map(|entry| entry.header.epoch()))
    }

    async fn go_on(&mut self) -> Result<(), Ended> {
        let (apply, next) = (self.apply, self.next);
        let cut = self.cut.clone();
        let there = |reach: &Reach| match apply {
            _ if cut.is_noted() => true,
            Apply::OnCommit => reach.readable() >= next,
            Apply::OnAppend => reach.durable >= next,
        };
        tokio::select! {
            biased;
            () = self.jobs.closed() => return Err(Ended),
            more = self.reach.wait_for(there) => if more.is_err() { return Err(Ended) },
        }
        if self.rewinds().await? {
            return Ok(());
        }
        let entries = self.read(next, RUN_ENTRIES).await?;
        // Where the log was truncated meanwhile, these may be others than those that follow what the engine has.
        if self.rewinds().await? {
            return Ok(());
        }
        let Some(last) = entries.last() else {
            // What is there can be read, save where the space stops just now: then this ends as well.
            tokio::time::sleep(RETRY_AFTER).await;
            return Ok(());
        };
        self.next = last.header.sequence().next();
        self.jobs.send(Job::Apply(entries)).await.map_err(|_| Ended)
    }

    /// Rewinds the engine where it has what was truncated; says whether it did.
    async fn rewinds(&mut self) -> Result<bool, Ended> {
        match self.cut.take() {
            Some(last) if last < self.next.previous() => self.rewind(last).await.map(|()| true),
            Some(_) | None => Ok(false),
        }
    }

    async fn rewind(&mut self, last: Sequence) -> Result<(), Ended> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Rewind(last, reply)).await.map_err(|_| Ended)?;
        self.next = answer.await.map_err(|_| Ended)?.next();
        Ok(())
    }

    async fn read(&self, from: Sequence, entries_max: u32) -> Result<Vec<Entry>, Ended> {
        loop {
            let handle = self.node.upgrade().ok_or(Ended)?;
            let outcome = match self.apply {
                Apply::OnCommit => handle.read(self.space, from, entries_max, RUN_BYTES).await,
                Apply::OnAppend => handle.read_durable(self.space, from, entries_max, RUN_BYTES).await,
            };
            drop(handle);
            match outcome {
                Outcome::Entries { entries, .. } => return Ok(entries),
                Outcome::Failed(core::AppendError::Overloaded { .. }) => tokio::time::sleep(RETRY_AFTER).await,
                Outcome::Failed(_)
                | Outcome::Appended { .. }
                | Outcome::Unknown { .. }
                | Outcome::Resolved { .. }
                | Outcome::Standing { .. } => return Err(Ended),
            }
        }
    }
}

/// Tells the core how far the engine is: it counts what is committed, so this is told again when that moves on.
async fn tell(
    node: WeakNodeHandle,
    space: SpaceId,
    mut reach: watch::Receiver<Reach>,
    mut applying: watch::Receiver<Applying>,
) {
    let mut told = None;
    loop {
        let commit = reach.borrow_and_update().commit;
        let applied = applying.borrow_and_update().applied.min(commit);
        if told != Some(applied) {
            let Some(handle) = node.upgrade() else { return };
            handle.applied(space, applied).await;
            told = Some(applied);
        }
        let goes_on = tokio::select! {
            biased;
            moved = applying.changed() => moved.is_ok(),
            moved = reach.changed() => moved.is_ok(),
        };
        if !goes_on {
            return;
        }
    }
}

/// Whom to tell of a failure.
struct Failing {
    node: WeakNodeHandle,
    space: SpaceId,
}

/// The engine on its thread.
struct Worker {
    machine: Option<Box<dyn StateMachine>>,
    progress: watch::Sender<Applying>,
    /// The entry that comes next.
    at: Sequence,
    told: Instant,
}

impl Worker {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>, fail: Failing) {
        let guard = PanicGuard { progress: self.progress.clone(), fail };
        let Some(mut machine) = self.machine.take() else { return };
        while let Some(job) = jobs.blocking_recv() {
            let done = match job {
                Job::Apply(entries) => self.apply(machine.as_mut(), &entries),
                Job::Rewind(last, reply) => self.rewind(machine.as_mut(), last, reply),
            };
            if let Err(error) = done {
                guard.failed(self.at, error.to_string());
                break;
            }
        }
        // The engine first, then the word that it is gone.
        drop(machine);
        drop(guard);
    }

    fn apply(&mut self, machine: &mut dyn StateMachine, entries: &[Entry]) -> Result<(), ApplyError> {
        for entry in entries {
            self.at = entry.header.sequence();
            if entry.header.control().kind == Control::USER
                && let Err(error) = machine.apply(entry)
            {
                // What came before may still be kept; where it cannot, it was not applied either.
                if machine.flush().is_ok() {
                    self.tell(self.at.previous());
                }
                return Err(error);
            }
            if self.told.elapsed() >= FLUSH_AFTER {
                machine.flush()?;
                self.tell(self.at);
            }
        }
        machine.flush()?;
        self.tell(self.at);
        Ok(())
    }

    fn rewind(
        &mut self,
        machine: &mut dyn StateMachine,
        last: Sequence,
        reply: oneshot::Sender<Sequence>,
    ) -> Result<(), ApplyError> {
        self.at = last.next();
        let applied = machine.rewind(last)?;
        if applied > last {
            return Err(
                format!("the engine was to go back to {last} or before it, and says that it is at {applied}").into()
            );
        }
        machine.flush()?;
        self.at = applied.next();
        self.progress.send_modify(|progress| progress.applied = applied);
        // The node may have ended meanwhile.
        let _ = reply.send(applied);
        Ok(())
    }

    fn tell(&mut self, applied: Sequence) {
        self.told = Instant::now();
        self.progress.send_if_modified(|progress| {
            let moved = applied > progress.applied;
            progress.applied = applied.max(progress.applied);
            moved
        });
    }
}

/// Says that the engine failed, where its thread ends by a panic.
struct PanicGuard {
    progress: watch::Sender<Applying>,
    fail: Failing,
}

impl PanicGuard {
    fn failed(&self, at: Sequence, reason: alloc::string::String) {
        let failure = ApplyFailure { at, reason: reason.clone() };
        self.progress.send_modify(|progress| progress.failure = Some(failure));
        self.fail.node.tell(Notice::ApplyFailed { space: self.fail.space, at, reason });
    }
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let at = self.progress.borrow().applied.next();
            self.failed(at, "the engine panicked at this entry or one soon after it".to_string());
        }
    }
}

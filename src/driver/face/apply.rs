//! An engine's state, built from the log on a thread of its own.

use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use std::io;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use crate::core;
use crate::core::{Notice, Outcome};
use crate::driver::node::WeakNodeHandle;
use crate::driver::space_watch::Reach;
use crate::driver::state_machine::{ApplyError, StateMachine};
use crate::types::{Control, Entry, Sequence, SpaceId};

use super::error::ApplyFailure;

/// When an engine gets an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Apply {
    /// Once it is committed and durable here: what is applied stays.
    #[default]
    OnCommit,
    /// Once it is durable here, committed or not: for engines that can rebuild their state where an entry is taken back.
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
    reach: watch::Receiver<Reach>,
    engine: Engine,
) -> io::Result<watch::Receiver<Applying>> {
    let Engine { apply, machine } = engine;
    let applied = machine.applied();
    let (progress, applying) = watch::channel(Applying { apply, applied, failure: None });
    let (runs, taken) = mpsc::channel(1);
    let worker = Worker { machine: Some(machine), progress, at: applied.next(), told: Instant::now() };
    let fail = Failing { node: node.clone(), space };
    std::thread::Builder::new().name("engraft-apply".into()).spawn(move || worker.run(taken, fail))?;
    tokio::spawn(feed(node.clone(), space, apply, applied.next(), reach.clone(), runs));
    tokio::spawn(tell(node.clone(), space, reach, applying.clone()));
    Ok(applying)
}

/// Reads what the engine is to get next, and hands it over.
async fn feed(
    node: WeakNodeHandle,
    space: SpaceId,
    apply: Apply,
    mut next: Sequence,
    mut reach: watch::Receiver<Reach>,
    runs: mpsc::Sender<Vec<Entry>>,
) {
    let there = |reach: &Reach| match apply {
        Apply::OnCommit => reach.readable(),
        Apply::OnAppend => reach.durable,
    };
    loop {
        tokio::select! {
            biased;
            () = runs.closed() => return,
            more = reach.wait_for(|reach| there(reach) >= next) => if more.is_err() { return },
        }
        let Some(handle) = node.upgrade() else { return };
        let outcome = match apply {
            Apply::OnCommit => handle.read(space, next, RUN_ENTRIES, RUN_BYTES).await,
            Apply::OnAppend => handle.read_durable(space, next, RUN_ENTRIES, RUN_BYTES).await,
        };
        drop(handle);
        match outcome {
            Outcome::Entries { entries, .. } => {
                let Some(last) = entries.last() else {
                    // What is there can be read, save where the space stops just now: then this ends as well.
                    tokio::time::sleep(RETRY_AFTER).await;
                    continue;
                };
                next = last.header.sequence().next();
                if runs.send(entries).await.is_err() {
                    return;
                }
            }
            Outcome::Failed(core::AppendError::Overloaded { .. }) => tokio::time::sleep(RETRY_AFTER).await,
            Outcome::Failed(_)
            | Outcome::Appended { .. }
            | Outcome::Unknown { .. }
            | Outcome::Resolved { .. }
            | Outcome::Standing { .. } => return,
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
    fn run(mut self, mut runs: mpsc::Receiver<Vec<Entry>>, fail: Failing) {
        let guard = PanicGuard { progress: self.progress.clone(), fail };
        let Some(mut machine) = self.machine.take() else { return };
        while let Some(entries) = runs.blocking_recv() {
            if let Err(error) = self.apply(machine.as_mut(), &entries) {
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

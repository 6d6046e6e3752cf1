//! An engine for tests: it keeps what it got, and fails where it is told to.

use alloc::sync::Arc;
use std::sync::{Condvar, Mutex};

use engraft::{ApplyError, Entry, Epoch, Sequence, StateMachine};

/// What an engine got, shared with the test.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    inner: Arc<(Mutex<Inner>, Condvar)>,
}

#[derive(Default)]
struct Inner {
    entries: Vec<(Sequence, Epoch, String)>,
    rewinds: Vec<Sequence>,
    flushes: usize,
    held: bool,
    engines: usize,
}

impl Inner {
    fn applied(&self) -> Sequence {
        self.entries.last().map_or(Sequence::ZERO, |(sequence, ..)| *sequence)
    }
}

impl Ledger {
    pub(super) fn engine(&self) -> Engine {
        self.with(|inner| inner.engines += 1);
        Engine { ledger: self.clone(), fails_at: None, panics: false, keeps: false }
    }

    pub(super) fn payloads(&self) -> Vec<String> {
        self.with(|inner| inner.entries.iter().map(|(.., payload)| payload.clone()).collect())
    }

    pub(super) fn flushes(&self) -> usize {
        self.with(|inner| inner.flushes)
    }

    /// Where the engine was told to go back to.
    pub(super) fn rewinds(&self) -> Vec<Sequence> {
        self.with(|inner| inner.rewinds.clone())
    }

    /// A state as it was before, which nobody told what happened since.
    pub(super) fn as_of(&self) -> Self {
        let copy = Self::default();
        let entries = self.with(|inner| inner.entries.clone());
        copy.with(|inner| inner.entries = entries);
        copy
    }

    /// How many engines are alive.
    pub(super) fn engines(&self) -> usize {
        self.with(|inner| inner.engines)
    }

    /// Holds the engine in its next `apply`, or lets it go.
    pub(super) fn hold(&self, held: bool) {
        self.with(|inner| inner.held = held);
        self.inner.1.notify_all();
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.inner.0.lock().expect("no test panics with it"))
    }
}

pub(super) struct Engine {
    ledger: Ledger,
    pub(super) fails_at: Option<&'static str>,
    pub(super) panics: bool,
    /// Whether it takes nothing back.
    pub(super) keeps: bool,
}

impl StateMachine for Engine {
    fn applied(&self) -> Sequence {
        self.ledger.with(|inner| inner.applied())
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        let payload = String::from_utf8(entry.payload.to_vec())?;
        if self.fails_at == Some(&payload) {
            assert!(!self.panics, "as it was told");
            return Err(format!("{payload} is not to my taste").into());
        }
        let (lock, freed) = &*self.ledger.inner;
        let inner = lock.lock().expect("no test panics with it");
        let mut inner = freed.wait_while(inner, |inner| inner.held).expect("no test panics with it");
        inner.entries.push((entry.header.sequence(), entry.header.epoch(), payload));
        Ok(())
    }

    fn applied_epoch(&self) -> Option<Epoch> {
        self.ledger.with(|inner| inner.entries.last().map(|(_, epoch, _)| *epoch))
    }

    fn rewind(&mut self, last: Sequence) -> Result<Sequence, ApplyError> {
        if self.keeps {
            return Err("what is in the ledger stays".into());
        }
        self.ledger.with(|inner| {
            inner.rewinds.push(last);
            inner.entries.retain(|(sequence, ..)| *sequence <= last);
            Ok(inner.applied())
        })
    }

    fn flush(&mut self) -> Result<(), ApplyError> {
        self.ledger.with(|inner| inner.flushes += 1);
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // As one that writes to its disk at the end: whoever does not wait for it is found out.
        std::thread::sleep(core::time::Duration::from_millis(30));
        self.ledger.with(|inner| inner.engines -= 1);
    }
}

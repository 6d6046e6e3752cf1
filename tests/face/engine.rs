//! An engine for tests: it keeps what it got, and fails where it is told to.

use alloc::sync::Arc;
use std::sync::{Condvar, Mutex};

use engraft::{ApplyError, Entry, Sequence, StateMachine};

/// What an engine got, shared with the test.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    inner: Arc<(Mutex<Inner>, Condvar)>,
}

#[derive(Default)]
struct Inner {
    applied: Sequence,
    payloads: Vec<String>,
    flushes: usize,
    held: bool,
    engines: usize,
}

impl Ledger {
    pub(super) fn engine(&self) -> Engine {
        self.with(|inner| inner.engines += 1);
        Engine { ledger: self.clone(), fails_at: None, panics: false }
    }

    pub(super) fn payloads(&self) -> Vec<String> {
        self.with(|inner| inner.payloads.clone())
    }

    pub(super) fn flushes(&self) -> usize {
        self.with(|inner| inner.flushes)
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
}

impl StateMachine for Engine {
    fn applied(&self) -> Sequence {
        self.ledger.with(|inner| inner.applied)
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
        inner.payloads.push(payload);
        inner.applied = entry.header.sequence();
        Ok(())
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

//! What an engine is to the library: its state follows from the log.

use alloc::boxed::Box;

use crate::types::{Entry, Sequence};

/// What an engine says where it cannot apply.
pub type ApplyError = Box<dyn core::error::Error + Send + Sync>;

/// An engine whose state follows from the log of a space.
///
/// It is moved to a thread of its own and may block there as long as it likes; whoever reads the state shares it with the
/// engine (behind an `Arc`).
/// Entries come in the order of the log, each once, beginning after what [`StateMachine::applied`] says at the start.
/// Entries that are the library's own are passed over, so sequences have gaps.
pub trait StateMachine: Send + 'static {
    /// The last entry that the state includes; 0 for none. Asked once, when the node starts.
    ///
    /// It has to be kept with the state, so that one never outlives the other; a state that is kept in memory only begins
    /// at 0 each time.
    fn applied(&self) -> Sequence;

    /// Applies the next entry.
    ///
    /// # Errors
    /// Whatever the engine says; nothing more is applied then until the node starts again. A panic counts as an error.
    fn apply(&mut self, entry: &Entry) -> Result<(), ApplyError>;

    /// Called after a run of entries (at least each 10 ms while entries come) and before anybody is told that they are
    /// applied: a place to commit a transaction.
    ///
    /// # Errors
    /// As [`StateMachine::apply`].
    fn flush(&mut self) -> Result<(), ApplyError> {
        Ok(())
    }
}

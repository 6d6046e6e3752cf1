//! What an engine is to the library: its state follows from the log.

use alloc::boxed::Box;
use alloc::format;

use crate::types::{Entry, Epoch, Sequence};

/// What an engine says where it cannot apply.
pub type ApplyError = Box<dyn core::error::Error + Send + Sync>;

/// An engine whose state follows from the log of a space.
///
/// It is moved to a thread of its own and may block there as long as it likes; whoever reads the state shares it with the
/// engine (behind an `Arc`).
/// Entries come in the order of the log, each once (again where the state was rewound), beginning after what [`StateMachine::applied`] says at the start.
/// Entries that are the library's own are passed over, so sequences have gaps.
pub trait StateMachine: Send + 'static {
    /// The last entry that the state includes; 0 for none. Asked once, when the node starts.
    ///
    /// It has to be kept with the state, so that one never outlives the other; a state that is kept in memory only begins
    /// at 0 each time.
    fn applied(&self) -> Sequence;

    /// The epoch of the entry that [`StateMachine::applied`] names. Only an engine under
    /// [`Apply::OnAppend`](crate::Apply::OnAppend) is asked: a node that dies between a truncation and the word of it starts
    /// with a state that the log does not bear out, and only the epoch shows that. An engine that does not say is rewound to
    /// the beginning at each start.
    fn applied_epoch(&self) -> Option<Epoch> {
        None
    }

    /// Applies the next entry.
    ///
    /// # Errors
    /// Whatever the engine says; nothing more is applied then until the node starts again. A panic counts as an error.
    fn apply(&mut self, entry: &Entry) -> Result<(), ApplyError>;

    /// Takes the state back: what is behind `last` was truncated, because another node became the primary without it, and
    /// other entries take its places. Only an engine under [`Apply::OnAppend`](crate::Apply::OnAppend) is ever asked.
    ///
    /// Returns where the state is now: any sequence up to `last`, such as that of a checkpoint of the engine's own, or 0 for
    /// none. Entries come again from there on.
    ///
    /// # Errors
    /// As [`StateMachine::apply`]. An engine that does not define this cannot take anything back, and is stopped.
    fn rewind(&mut self, last: Sequence) -> Result<Sequence, ApplyError> {
        let words =
            format!("entries behind {last} were truncated, and the engine defines no `rewind` to take them back");
        Err(words.into())
    }

    /// Called after a run of entries (at least each 10 ms while entries come) and before anybody is told that they are
    /// applied: a place to commit a transaction.
    ///
    /// # Errors
    /// As [`StateMachine::apply`].
    fn flush(&mut self) -> Result<(), ApplyError> {
        Ok(())
    }
}

//! The library's face: a running node as a program holds it that embeds one.
//!
//! [`Engraft`] is the node, [`Space`] one log of it; a [`StateMachine`] is an engine whose state follows from the log.
//! Programs without a runtime use [`blocking`].
//!
//! Architecture Invariant: nothing here decides what is appended, committed or read; it asks the shell and waits.

mod append;
mod apply;
pub mod blocking;
mod builder;
mod engraft;
mod error;
mod options;
mod promote;
mod space;
mod status;
mod stream;
mod subscription;
mod wait;

pub use super::state_machine::{ApplyError, StateMachine};
pub use append::{Append, AppendAll, Appending, Receipt};
pub use apply::{Apply, Applying};
pub use builder::{BuildError, Builder};
pub use engraft::Engraft;
pub use error::{AppendError, ApplyFailure, PauseError, PrimaryHint, ReadError, SpaceError, WaitError};
pub use options::SpaceOptions;
pub use promote::PromoteError;
pub use space::Space;
pub use status::{SpaceReport, Status};
pub use stream::{Missed, Notices, Roles};
pub use subscription::Subscription;
pub use wait::WaitFor;

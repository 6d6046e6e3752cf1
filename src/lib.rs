//! Engraft replicates write-ahead logs.
//!
//! A *space* is one log.
//! Each space has one primary and some replicas; the primary ships what it wrote,
//! the replicas write the same bytes to logs of their own and acknowledge.
//!
//! The layers, each importing only those above it:
//!
//! - [`types`]: ids, time, entries and messages, the base that all others import;
//! - [`wire`]: frames and bodies, bytes to messages and back;
//! - [`core`]: the pure state machine, events in, actions out;
//! - `wal`: the log on disk (feature `std`);
//! - `driver`: the shell that moves bytes, files and time, and its production host
//!   (features `std` and `tokio`);
//! - `cli`: the commands of the binary (feature `cli`).
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod core;
pub mod types;
pub mod wire;

#[cfg(feature = "std")]
pub mod driver;
#[cfg(feature = "std")]
pub mod wal;

#[cfg(feature = "cli")]
pub mod cli;

#[cfg(feature = "tokio")]
pub use driver::face::{
    Append, AppendAll, AppendError, Appending, Apply, ApplyFailure, Applying, BuildError, Builder, Engraft, Missed,
    Notices, PauseError, PrimaryHint, PromoteError, ReadError, Receipt, Roles, Space, SpaceError, SpaceOptions,
    SpaceReport, Status, Subscription, WaitError, WaitFor, blocking,
};
#[cfg(feature = "std")]
pub use driver::own_wal::WalShipper;
#[cfg(feature = "std")]
pub use driver::state_machine::{ApplyError, StateMachine};
#[cfg(feature = "tokio")]
pub use {
    crate::core::{Ack, Notice, PromoteBy, PromotionError, Role, TokenState},
    driver::config::NodeConfig,
    driver::space_watch::RoleState,
    types::{Entry, Epoch, FsyncMode, NodeId, Sequence, Token},
};

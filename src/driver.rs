//! The shell that moves bytes, files and time, and the hosts that say where things run.
//!
//! The shell owns the core and is the same everywhere; a [`host::Host`] dials, listens, sleeps and runs tasks.
//! [`tokio_host`] is the one for production (feature `tokio`); that of the simulator is in the package `engraft-sim`.
//! [`trio`] runs three cores on one thread, so that they can be measured alone.
//! [`config`], [`http`] and [`metrics`] are what people, clients and monitors of a production node touch.
//!
//! Architecture Invariant: nothing here decides. What is to be done follows from the core's actions alone.

#[cfg(feature = "tokio")]
pub mod boot;
#[cfg(feature = "tokio")]
pub mod config;
#[cfg(feature = "tokio")]
pub mod face;
pub mod figures;
pub mod host;
#[cfg(feature = "tokio")]
pub mod http;
mod limits;
mod link;
mod link_table;
#[cfg(feature = "tokio")]
pub mod metrics;
pub mod node;
mod notice_log;
#[cfg(feature = "tokio")]
pub mod own_wal;
mod reply;
mod shell;
pub mod space_watch;
pub mod state_machine;
#[cfg(feature = "tokio")]
pub mod tokio_host;
pub mod trio;
pub mod wal_job;
pub mod wal_worker;

pub use figures::NodeFigures;
pub use host::{Host, LinkOptions};
pub use node::{AppendRequest, NodeError, NodeHandle, NodeOptions, StartError, start};
pub use wal_job::WalJob;

//! The simulator of engraft.
//!
//! A discrete-event world around the real core, the real codec and the real log on a modelled disk.
//! Every fault comes from a seed, every run can be replayed, and nothing in it touches a real clock, file, socket or
//! thread.
//!
//! [`Simulation`] runs an engine of yours in it, in a test of yours.

extern crate alloc;

pub use engraft;

pub mod disk;
pub mod draws;
pub mod embed;
pub mod mark;
pub mod measure;
pub mod minimise;
pub mod render;
pub mod run;
pub mod scenario;
pub mod storage;
pub mod sweep;
pub mod trace;

mod check;
mod clock;
mod history;
mod net;
mod queue;
mod world;

pub use check::{Invariant, Violation};
pub use embed::{Engine, Simulation, digest};
pub use run::{Report, Watch, run};
pub use scenario::Scenario;

#[cfg(madsim)]
pub mod madsim_host;

// A `RUSTFLAGS` variable silently replaces the flags of the `madsim` alias, and ordinary tests would run in its place.
#[cfg(not(madsim))]
const _: () =
    assert!(option_env!("ENGRAFT_MADSIM").is_none(), "unset RUSTFLAGS: it overrides the flags of `cargo madsim`");

//! The integration crate.
//!
//! Under `cfg(madsim)` it holds the driver's tests on madsim and nothing else.

extern crate alloc;

mod support;
#[cfg(not(madsim))]
mod test_disk;

#[cfg(madsim)]
mod madsim;

#[cfg(not(madsim))]
mod core;
#[cfg(not(madsim))]
mod docs;
#[cfg(not(madsim))]
mod driver;
#[cfg(not(madsim))]
mod face;
#[cfg(all(feature = "cli", not(madsim)))]
mod process;
#[cfg(not(madsim))]
mod simulated_engine;
#[cfg(not(madsim))]
mod simulation;
#[cfg(not(madsim))]
mod story;
#[cfg(not(madsim))]
mod tidy;
#[cfg(not(madsim))]
mod wal;
#[cfg(not(madsim))]
mod wire;

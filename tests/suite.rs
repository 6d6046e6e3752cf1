//! The integration crate.

mod core;
mod docs;
#[cfg(all(feature = "cli", not(madsim)))]
mod process;
mod support;
mod tidy;
mod wal;
mod wire;

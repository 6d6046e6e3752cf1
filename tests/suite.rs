//! The integration crate.

mod core;
mod support;
mod wal;
mod wire;

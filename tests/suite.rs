//! The integration crate.

mod core;
mod docs;
mod support;
mod tidy;
mod wal;
mod wire;

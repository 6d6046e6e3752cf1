//! The integration crate.

mod core;
mod support;
mod wal;
mod docs;
mod tidy;
mod wire;

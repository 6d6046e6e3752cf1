//! The integration crate.

mod support;
mod wal;
mod wire;

//! The integration crate.

mod core;
mod support;
mod wire;

//! The integration crate.

mod support;
mod wire;

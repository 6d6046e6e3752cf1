//! The integration crate.

mod support;
mod tidy;
mod wire;

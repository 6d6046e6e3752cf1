//! The integration crate.

mod docs;
mod support;
mod tidy;
mod wire;

//! The log on disk.

mod support;
mod worker;

//! The log on disk.

mod bad_input;
mod crash;
mod crash_disk;
mod engram;
mod flips;
mod model;
mod support;
mod torn;
mod worker;

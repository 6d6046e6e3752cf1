//! The log on disk.

mod crash;
mod crash_disk;
mod engram;
mod support;
mod torn;
mod worker;

//! The simulator of engraft.
//!
//! A discrete-event world around the real core, the real codec and the real log on a modelled disk.
//! Every fault comes from a seed, every run can be replayed, and nothing in it touches a real clock, file, socket or
//! thread.

pub mod disk;
pub mod draws;

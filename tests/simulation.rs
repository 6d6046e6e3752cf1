//! The simulator itself: seeds, planted bugs, committed scenarios, and that a seed is a run.

mod determinism;
mod histories;
mod planted;
mod scenarios;
mod seeds;

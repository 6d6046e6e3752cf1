//! Frames and bodies: every kind, any split, any garbage.

mod build;
mod round_trip;

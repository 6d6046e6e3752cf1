//! Frames and bodies: every kind, any split, any garbage.

mod arbitrary;
mod build;
mod golden;
mod hostile;
mod hostile_batch;
mod limits;
mod round_trip;
mod write_buffer;

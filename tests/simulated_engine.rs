//! Engines of others in the simulator: good ones hold, and each kind of bad one is found.

mod api;
mod flaws;
mod register;

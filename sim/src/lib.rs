//! The simulator of engraft.

//! The binary of engraft.
fn main() {}

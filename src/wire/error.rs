//! What is wrong with bytes from a peer.

/// What is wrong with bytes from a peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WireError {}

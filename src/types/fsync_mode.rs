//! When a log is made durable.

use serde::{Deserialize, Serialize};

/// When a log is made durable; Engram's four modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FsyncMode {
    /// After each write.
    PerWrite,
    /// After each group of writes.
    #[default]
    PerBatch,
    /// By a timer; "durable" means written.
    Timer,
    /// Never; "durable" means written.
    None,
}

impl FsyncMode {
    /// Whether "durable" means written: a power failure may take what was acknowledged.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        match self {
            Self::PerWrite | Self::PerBatch => false,
            Self::Timer | Self::None => true,
        }
    }
}

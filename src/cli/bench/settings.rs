//! How long, how much, where.

use ::core::time::Duration;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::exit::Failure;
use super::failed;
use super::progress::Progress;

/// A figure is the middle of so many rounds, each with a floor of its own: a neighbour's burst spoils one of them.
pub(super) const ROUNDS: u32 = 3;

/// What all measurements share.
pub(super) struct Settings {
    /// How long a measurement takes, the rounds together, floors not counted.
    pub(super) duration: Duration,
    /// Entries per second of the measurements at a fixed rate.
    pub(super) rate: u64,
    /// Entries that a replica misses while it is away.
    pub(super) missed: u64,
    /// Where files are made; removed afterwards.
    pub(super) directory: PathBuf,
    pub(super) progress: Progress,
}

impl Settings {
    /// How long a round takes.
    pub(super) fn round(&self) -> Duration {
        self.duration / ROUNDS
    }

    /// How long its floor takes.
    pub(super) fn floor_round(&self) -> Duration {
        self.round() / 2
    }

    /// A new directory that is removed when it is dropped.
    pub(super) fn temporary(&self) -> Result<TempDir, Failure> {
        let made = tempfile::Builder::new().prefix("engraft-bench-").tempdir_in(&self.directory);
        made.map_err(|error| failed(&format!("make a directory in {}", self.directory.display()), error))
    }
}

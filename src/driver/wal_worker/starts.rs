//! What the entries of a recovered log say that begin its epochs.

use std::path::Path;

use crate::types::EpochHistory;
use crate::types::entry::{StartBody, StartFound};
use crate::wal::{Disk, WalError};

use super::space_log::SpaceLog;

/// Reads the first entry of each epoch of the log.
///
/// # Errors
/// As [`SpaceLog::read`], and where an entry says what cannot be read.
pub(super) fn read_starts<D: Disk>(
    log: &mut SpaceLog<D>,
    history: &EpochHistory,
    directory: &Path,
) -> Result<Vec<StartFound>, WalError> {
    let mut found = Vec::new();
    for start in history.starts() {
        let Some(entry) = log.read(start.first, 1, 0)?.into_iter().next() else { continue };
        let corrupt = |error: crate::types::entry::StartError| WalError::Corrupt {
            path: directory.to_owned(),
            offset: 0,
            reason: error.into(),
        };
        if let Some(body) = StartBody::of(&entry).map_err(corrupt)? {
            found.push(StartFound { first: start.first, body });
        }
    }
    Ok(found)
}

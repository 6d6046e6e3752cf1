//! The numbers of the log on disk.

use core::time::Duration;

use super::error::StorageOpenError;

/// The numbers of the log on disk; [`WalOptions::default`] has the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WalOptions {
    /// The size of a space's first segment. Default 64 KiB, 4 KiB to `segment_bytes_max`.
    pub segment_bytes_min: u64,
    /// The size that segments grow to by doubling. Default 64 MiB, up to 1 GiB.
    /// An entry that is larger gets a segment of its own size.
    pub segment_bytes_max: u64,
    /// Entries that share an fsync, at most. Default 1,000, 1 to 1,000,000.
    pub group_entries: usize,
    /// Bytes that share an fsync, at most (an entry larger than that is a group of its own). Default 8 MiB.
    pub group_bytes: u64,
    /// Files kept open for all spaces of the node together. Default 128.
    pub files_open_max: usize,
    /// Indexes of older segments that are kept in memory per space (4 bytes per entry). Default 4.
    pub indexes_max: usize,
    /// The size of the reserve that is given up when the disk is full. Default 1 MiB; 0 for none.
    pub reserve_bytes: u64,
    /// How long a stopping node waits until what is queued is written and the log is closed. Default 30 s, 1 ms to 1 h.
    /// Past it the node ends all the same, and says what the disk hangs at.
    pub close_timeout: Duration,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            segment_bytes_min: 64 << 10,
            segment_bytes_max: 64 << 20,
            group_entries: 1_000,
            group_bytes: 8 << 20,
            files_open_max: 128,
            indexes_max: 4,
            reserve_bytes: 1 << 20,
            close_timeout: Duration::from_secs(30),
        }
    }
}

impl WalOptions {
    /// Checks every bound.
    ///
    /// # Errors
    /// [`StorageOpenError::Option`] with the first value that cannot be.
    pub fn validate(&self) -> Result<(), StorageOpenError> {
        let wrong =
            |key, expected, found: u64| Err(StorageOpenError::Option { key, expected, found: found.to_string() });
        if !(4 << 10..=1 << 30).contains(&self.segment_bytes_max) {
            return wrong("segment_bytes_max", "4096 to 1073741824", self.segment_bytes_max);
        }
        if !(4 << 10..=self.segment_bytes_max).contains(&self.segment_bytes_min) {
            return wrong("segment_bytes_min", "4096 to `segment_bytes_max`", self.segment_bytes_min);
        }
        if !(1..=1_000_000).contains(&self.group_entries) {
            return wrong("group_entries", "1 to 1000000", self.group_entries as u64);
        }
        if !(4 << 10..=1 << 30).contains(&self.group_bytes) {
            return wrong("group_bytes", "4096 to 1073741824", self.group_bytes);
        }
        if !(1..=3_600_000).contains(&self.close_timeout.as_millis()) {
            let found = u64::try_from(self.close_timeout.as_millis()).unwrap_or(u64::MAX);
            return wrong("close_timeout", "1 ms to 3600000 ms", found);
        }
        Ok(())
    }
}

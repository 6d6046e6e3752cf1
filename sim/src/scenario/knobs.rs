//! Numbers of the protocol that are not the defaults.

use core::time::Duration;

use engraft::core::ReplicationConfig;
use serde::{Deserialize, Serialize};

/// Numbers of the protocol that are not the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "each is the field of that name in `ReplicationConfig`")]
pub struct Knobs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_interval_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election_timeout_min_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure_age_max_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alone_after_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_entries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_delay_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_batches: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmit_after_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_entries_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub append_timeout_us: Option<u64>,
}

impl Knobs {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn apply(&self, config: &mut ReplicationConfig) {
        let set = |place: &mut Duration, value: Option<u64>| {
            if let Some(value) = value {
                *place = Duration::from_micros(value);
            }
        };
        set(&mut config.heartbeat_interval, self.heartbeat_interval_us);
        set(&mut config.election_timeout_min, self.election_timeout_min_us);
        config.election_timeout_max = config.election_timeout_min * 2;
        config.alone_after = config.election_timeout_min * 2;
        set(&mut config.exposure_age_max, self.exposure_age_max_us);
        config.exposure_bytes_max = self.exposure_bytes_max.unwrap_or(config.exposure_bytes_max);
        set(&mut config.alone_after, self.alone_after_us);
        set(&mut config.batch_delay, self.batch_delay_us);
        set(&mut config.retransmit_after, self.retransmit_after_us);
        set(&mut config.append_timeout, self.append_timeout_us);
        config.batch_entries = self.batch_entries.unwrap_or(config.batch_entries);
        config.batch_bytes = self.batch_bytes.unwrap_or(config.batch_bytes);
        config.window_bytes = self.window_bytes.unwrap_or(config.window_bytes);
        config.window_batches = self.window_batches.unwrap_or(config.window_batches);
        config.tail_bytes = self.tail_bytes.unwrap_or(config.tail_bytes);
        config.entry_bytes_max = self.entry_bytes_max.unwrap_or(config.entry_bytes_max);
        config.append_entries_max = self.append_entries_max.unwrap_or(config.append_entries_max);
        config.append_bytes_max = self.append_bytes_max.unwrap_or(config.append_bytes_max);
    }
}

//! The lag of each replica, sampled at each of its acknowledgements.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::core::Notice;
use crate::types::{NodeId, SpaceId};

/// The largest lag that is told apart: an hour, in microseconds.
const LAG_US_MAX: u64 = 3_600_000_000;

/// What is known of a replica's lag since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LagPercentiles {
    /// Acknowledgements that were sampled.
    pub samples: u64,
    /// The median, in milliseconds.
    pub ms_p50: f64,
    /// The 99th percentile, in milliseconds.
    pub ms_p99: f64,
}

/// In microseconds.
type Histograms = BTreeMap<(SpaceId, NodeId), Histogram<u64>>;

/// Keeps a histogram per space and replica.
#[derive(Debug, Clone)]
pub struct LagRecorder {
    histograms: Arc<Mutex<Histograms>>,
}

impl LagRecorder {
    /// Listens to a node's notices until it halts. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(mut notices: Receiver<Notice>) -> Self {
        let recorder = Self { histograms: Arc::default() };
        let listener = recorder.clone();
        tokio::spawn(async move {
            loop {
                match notices.recv().await {
                    Ok(notice) => listener.record(&notice),
                    // Samples that were missed are missing from the percentiles, which stay honest without them.
                    Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "lag samples were missed"),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        recorder
    }

    /// The percentiles of a replica; `None` before its first acknowledgement.
    #[must_use]
    pub fn percentiles(&self, space: SpaceId, replica: NodeId) -> Option<LagPercentiles> {
        let histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = histograms.get(&(space, replica))?;
        Some(LagPercentiles {
            samples: histogram.len(),
            ms_p50: milliseconds(histogram.value_at_quantile(0.5)),
            ms_p99: milliseconds(histogram.value_at_quantile(0.99)),
        })
    }

    fn record(&self, notice: &Notice) {
        let Notice::ReplicaAcked { space, replica, lag_us, .. } = notice else { return };
        let mut histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = match histograms.entry((*space, *replica)) {
            Entry::Occupied(slot) => slot.into_mut(),
            Entry::Vacant(slot) => {
                let Ok(histogram) = Histogram::new_with_max(LAG_US_MAX, 3) else { return };
                slot.insert(histogram)
            }
        };
        histogram.saturating_record((*lag_us).clamp(1, LAG_US_MAX));
    }
}

#[expect(clippy::cast_precision_loss, reason = "an hour of microseconds is far below 2^53")]
fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

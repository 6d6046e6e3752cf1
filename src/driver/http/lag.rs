//! The lag of each replica and how fast it takes entries, sampled at each of its acknowledgements.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::core::Notice;
use crate::types::{NodeId, SpaceId};

use super::throughput::Throughput;

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

/// What is kept of a replica.
#[derive(Debug)]
struct Samples {
    /// In microseconds.
    lag: Histogram<u64>,
    throughput: Throughput,
}

/// Keeps a histogram and a rate per space and replica.
#[derive(Debug, Clone)]
pub struct LagRecorder {
    began: Instant,
    samples: Arc<Mutex<BTreeMap<(SpaceId, NodeId), Samples>>>,
}

impl LagRecorder {
    /// Listens to a node's notices until it halts. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(mut notices: Receiver<Notice>) -> Self {
        let recorder = Self { began: Instant::now(), samples: Arc::default() };
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
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = &samples.get(&(space, replica))?.lag;
        Some(LagPercentiles {
            samples: histogram.len(),
            ms_p50: milliseconds(histogram.value_at_quantile(0.5)),
            ms_p99: milliseconds(histogram.value_at_quantile(0.99)),
        })
    }

    /// Entries that a replica acknowledged per second, lately; 0 before its first acknowledgement.
    #[must_use]
    pub fn entries_per_second(&self, space: SpaceId, replica: NodeId) -> f64 {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.get(&(space, replica)).map_or(0.0, |samples| samples.throughput.per_second(self.began.elapsed()))
    }

    fn record(&self, notice: &Notice) {
        let Notice::ReplicaAcked { space, replica, durable, lag_us } = notice else { return };
        let now = self.began.elapsed();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = match samples.entry((*space, *replica)) {
            Entry::Occupied(slot) => slot.into_mut(),
            Entry::Vacant(slot) => {
                let Ok(lag) = Histogram::new_with_max(LAG_US_MAX, 3) else { return };
                slot.insert(Samples { lag, throughput: Throughput::new(now, *durable) })
            }
        };
        samples.lag.saturating_record((*lag_us).clamp(1, LAG_US_MAX));
        samples.throughput.record(now, *durable);
    }
}

#[expect(clippy::cast_precision_loss, reason = "an hour of microseconds is far below 2^53")]
fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

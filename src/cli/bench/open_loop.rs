//! Appends at a fixed rate, whatever becomes of the earlier ones: how long answers and replicas take.

use ::core::time::Duration;
use std::thread;
use std::time::Instant;

use hdrhistogram::Histogram;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::core::{Ack, Notice};
use crate::driver::NodeHandle;
use crate::types::time::micros;

use super::super::exit::Failure;
use super::cluster::{Cluster, append};
use super::figure::{Figure, Unit};
use super::load::Load;
use super::settings::{ROUNDS, Settings};
use super::{entry_bytes, failed, floor};

/// Quantiles that are shown, the one that counts in the middle.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)];

/// Longer than this is recorded as this.
const LONGEST: Duration = Duration::from_secs(600);

/// Microseconds, three digits of each.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, micros(LONGEST), 3).expect("these are within the bounds of the crate")
}

/// Adds a duration.
pub(super) fn record(times: &mut Histogram<u64>, duration: Duration) {
    times.saturating_record(micros(duration));
}

/// When the entry of that number is to be sent.
pub(super) fn intended(number: u64, rate: u64) -> Duration {
    Duration::from_nanos(number.saturating_mul(1_000_000_000) / rate)
}

/// How many entries are to be sent by then.
pub(super) fn due(elapsed: Duration, rate: u64) -> u64 {
    let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    nanos.saturating_mul(rate) / 1_000_000_000 + 1
}

/// What a run at a fixed rate shows.
pub(super) struct Measured {
    level: Ack,
    /// From when an entry should have been sent to its answer.
    answers: Histogram<u64>,
    /// What acks of replicas say of the lag.
    lag: Histogram<u64>,
    /// A write and its `fdatasync`.
    floor: Histogram<u64>,
}

impl Measured {
    /// How long answers took.
    pub(super) fn latency(&self) -> Vec<Figure> {
        self.figures(&format!("ack_{}", self.level), &format!("answer at {}", self.level), &self.answers)
    }

    /// How far the replicas were behind.
    pub(super) fn lag(&self) -> Vec<Figure> {
        self.figures("lag", "lag of a replica", &self.lag)
    }

    fn figures(&self, key: &str, title: &str, times: &Histogram<u64>) -> Vec<Figure> {
        let quantiles = QUANTILES.iter().map(|(name, quantile)| {
            let (value, floor) = (times.value_at_quantile(*quantile), self.floor.value_at_quantile(*quantile));
            let (key, title) = (format!("{key}_{name}_ms"), format!("{title}, {name}"));
            let (value, floor) = (value as f64 / 1_000.0, floor as f64 / 1_000.0);
            Figure::beside(key, title, Unit::Milliseconds, value, floor, "write and fdatasync of what is due, the same")
        });
        quantiles.collect()
    }
}

/// Appends at the settings' rate with answers at that level.
pub(super) async fn measure(settings: &Settings, level: Ack, size: usize) -> Result<Measured, Failure> {
    let directory = settings.temporary()?;
    let cluster = Cluster::start(directory.path()).await?;
    let load = Load::new(cluster.space(), level, size);
    settings.progress.now(format!("answers at {level}: the log grows"));
    grow(settings, &cluster, &load).await?;
    let mut measured = Measured { level, answers: histogram(), lag: histogram(), floor: histogram() };
    for round in 1..=ROUNDS {
        settings.progress.now(format!("answers at {level}, round {round} of {ROUNDS}: raw fdatasync"));
        let (place, rate, duration) = (directory.path().to_owned(), settings.rate, settings.floor_round());
        let raw = move || floor::sync_times(&place, entry_bytes(size), rate, duration);
        let raw = tokio::task::spawn_blocking(raw).await.map_err(|error| failed("sync a file", error))?;
        measured.floor += raw.map_err(|error| failed("sync a file", error))?;
        settings.progress.now(format!("answers at {level}, round {round} of {ROUNDS}: three nodes"));
        one_round(settings, &cluster, &load, &mut measured).await?;
    }
    cluster.stop().await;
    Ok(measured)
}

/// What is handed over at a time while the log grows.
const LOT: usize = 1_000;

/// Appends as fast as it goes for a while. A new log makes a segment at every turn, each twice the size of the one
/// before; one that has been in use makes one in twenty seconds at the default rate.
async fn grow(settings: &Settings, cluster: &Cluster, load: &Load) -> Result<(), Failure> {
    let until = Instant::now() + settings.floor_round();
    while Instant::now() < until {
        append(cluster.primary(), load.requests(LOT)).await?;
    }
    cluster.until_durable(None).await
}

async fn one_round(
    settings: &Settings,
    cluster: &Cluster,
    load: &Load,
    measured: &mut Measured,
) -> Result<(), Failure> {
    let (stop, stopped) = oneshot::channel();
    let lags = tokio::spawn(gather_lags(cluster.primary().notices(), stopped));
    let (sent, mut answered) = mpsc::unbounded_channel();
    let sender = Sender { node: cluster.primary().clone(), load: load.clone(), rate: settings.rate, sent };
    let (runtime, duration) = (Handle::current(), settings.round());
    let sending = thread::spawn(move || sender.run(&runtime, duration));
    while let Some(lot) = answered.recv().await {
        let Lot { first, count, after, result } = lot;
        result?;
        for number in first..first + count {
            record(&mut measured.answers, after.saturating_sub(intended(number, settings.rate)));
        }
    }
    sending.join().map_err(|_| Failure::failed("the thread that appends panicked"))?;
    cluster.until_durable(None).await?;
    drop(stop);
    measured.lag += lags.await.map_err(|error| failed("gather the lags", error))?;
    Ok(())
}

/// What every ack says of the lag, until nobody needs it any more.
async fn gather_lags(mut notices: broadcast::Receiver<Notice>, mut stopped: oneshot::Receiver<()>) -> Histogram<u64> {
    let mut lags = histogram();
    loop {
        let notice = tokio::select! {
            biased;
            notice = notices.recv() => notice,
            _ = &mut stopped => return lags,
        };
        match notice {
            Ok(Notice::ReplicaAcked { lag_us, .. }) => lags.saturating_record(lag_us),
            // The others are not asked for, and those that were missed are of the same kind.
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return lags,
        }
    }
}

/// Entries that were answered together.
struct Lot {
    first: u64,
    count: u64,
    /// From the beginning to the answer.
    after: Duration,
    result: Result<(), Failure>,
}

/// Sends what is due; a thread of its own, because timers of the runtime are too coarse.
struct Sender {
    node: NodeHandle,
    load: Load,
    rate: u64,
    sent: mpsc::UnboundedSender<Lot>,
}

impl Sender {
    fn run(self, runtime: &Handle, duration: Duration) {
        let began = Instant::now();
        let total = due(duration, self.rate);
        let mut first = 0;
        while first < total {
            thread::sleep(intended(first, self.rate).saturating_sub(began.elapsed()));
            let until = due(began.elapsed(), self.rate).min(total);
            let count = until.saturating_sub(first);
            let requests = self.load.requests(usize::try_from(count).unwrap_or(usize::MAX));
            let (node, sent) = (self.node.clone(), self.sent.clone());
            runtime.spawn(async move {
                let result = append(&node, requests).await;
                let lot = Lot { first, count, after: began.elapsed(), result };
                // Whoever measures has given up where this fails.
                let _ = sent.send(lot);
            });
            first = until;
        }
    }
}

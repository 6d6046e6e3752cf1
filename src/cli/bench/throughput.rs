//! How many entries per second reach both replicas.

use std::path::Path;
use std::time::Instant;

use crate::core::Ack;

use super::super::exit::Failure;
use super::cluster::{Cluster, append};
use super::figure::{Figure, Round, Unit, per_second};
use super::load::Load;
use super::memory::{Resident, forget_peak, resident};
use super::settings::{ROUNDS, Settings};
use super::{entry_bytes, failed, floor};

/// Callers that append at the same time: together they keep half of what may wait by default under way.
const CALLERS: usize = 32;
/// What each of them hands over at a time and waits for.
const LOT: usize = 1_000;
/// The replica streams of the primary.
const STREAMS: f64 = 2.0;

/// Measures one size of payload; the second figure is the memory that was in use meanwhile.
pub(super) async fn measure(settings: &Settings, size: usize) -> Result<[Figure; 2], Failure> {
    let directory = settings.temporary()?;
    let before = resident();
    let cluster = Cluster::start(directory.path()).await?;
    let load = Load::new(cluster.space(), Ack::Quorum, size);
    let mut rounds = Vec::new();
    let mut peak = None;
    for round in 1..=ROUNDS {
        settings.progress.now(format!("throughput of {size} B, round {round} of {ROUNDS}: the bare pipe"));
        let floor = bare_pipe(settings, directory.path(), size).await?;
        settings.progress.now(format!("throughput of {size} B, round {round} of {ROUNDS}: three nodes"));
        forget_peak();
        let value = one_round(settings, &cluster, &load).await?;
        peak = peak.max(resident().map(|resident| resident.peak));
        rounds.push(Round { floor, value });
    }
    cluster.stop().await;
    let title = format!("throughput, {size} B, on both replicas");
    let floor_is = "write, sync, send to two, verify, write, sync: blocking, per MiB";
    let key = match size {
        1_024 => "throughput_1k".to_owned(),
        size => format!("throughput_{size}b"),
    };
    Ok([Figure::of_rounds(key, title, Unit::EntriesPerSecond, &rounds, floor_is), memory(before, peak)])
}

async fn bare_pipe(settings: &Settings, directory: &Path, size: usize) -> Result<f64, Failure> {
    let (directory, duration) = (directory.to_owned(), settings.floor_round());
    let pipe = tokio::task::spawn_blocking(move || floor::pipe(&directory, duration)).await;
    let bytes = pipe.map_err(|error| failed("run the bare pipe", error))?;
    Ok(bytes.map_err(|error| failed("run the bare pipe", error))? / entry_bytes(size) as f64)
}

/// Entries per second from the first append until both replicas have the last one on disk.
async fn one_round(settings: &Settings, cluster: &Cluster, load: &Load) -> Result<f64, Failure> {
    let before = cluster.end().await?;
    let began = Instant::now();
    let until = began + settings.round();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (node, load) = (cluster.primary().clone(), load.clone());
            tokio::spawn(async move {
                while Instant::now() < until {
                    append(&node, load.requests(LOT)).await?;
                }
                Ok::<(), Failure>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await.map_err(|error| failed("append", error))??;
    }
    cluster.until_durable(None).await?;
    let elapsed = began.elapsed();
    Ok(per_second(cluster.end().await?.above(before), elapsed))
}

/// Everything that the process took for three nodes and the load, divided among the streams.
fn memory(before: Option<Resident>, peak: Option<u64>) -> Figure {
    let taken = before.zip(peak).map(|(before, peak)| peak.saturating_sub(before.now) as f64 / f64::from(1 << 20));
    let title = "memory per replica stream, peak";
    Figure::alone("memory_per_stream_mb", title, Unit::Megabytes, taken.map(|taken| taken / STREAMS))
}

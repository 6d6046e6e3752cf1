//! How fast a replica that was away gets what it missed.

use std::time::Instant;

use tokio::sync::broadcast;

use crate::core::{Ack, Notice};

use super::super::exit::Failure;
use super::cluster::{AWAY, Cluster, append};
use super::figure::{Figure, Round, Unit, per_second};
use super::load::Load;
use super::settings::Settings;
use super::{entry_bytes, failed, floor};

/// What is handed over at a time.
const LOT: usize = 1_000;
/// Fewer rounds than elsewhere: each writes all that is missed first.
const ROUNDS: u32 = 2;

/// Measures entries per second from the open link until the replica has everything.
pub(super) async fn measure(settings: &Settings, size: usize) -> Result<Figure, Failure> {
    let directory = settings.temporary()?;
    let mut cluster = Cluster::start(directory.path()).await?;
    let load = Load::new(cluster.space(), Ack::Local, size);
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        settings.progress.now(format!("catch-up, round {round} of {ROUNDS}: the replica is away"));
        cluster.send_away().await;
        let known = cluster.log_files()?;
        let before = cluster.end().await?;
        let mut left = settings.missed;
        while left > 0 {
            let count = left.min(LOT as u64);
            append(cluster.primary(), load.requests(usize::try_from(count).unwrap_or(LOT))).await?;
            left -= count;
        }
        let missed = cluster.end().await?.above(before);
        settings.progress.now(format!("catch-up, round {round} of {ROUNDS}: files, loopback, files"));
        let files = cluster.log_files()?.into_iter().filter(|file| !known.contains(file)).collect::<Vec<_>>();
        let place = directory.path().to_owned();
        let copied = tokio::task::spawn_blocking(move || floor::copy(&place, &files)).await;
        let copied = copied.map_err(|error| failed("copy files", error))?;
        let floor = copied.map_err(|error| failed("copy files", error))? / entry_bytes(size) as f64;
        settings.progress.now(format!("catch-up, round {round} of {ROUNDS}: the replica is back"));
        let notices = cluster.primary().notices();
        cluster.bring_back().await?;
        link_open(notices).await?;
        let began = Instant::now();
        cluster.until_durable(Some(AWAY)).await?;
        rounds.push(Round { floor, value: per_second(missed, began.elapsed()) });
    }
    cluster.stop().await;
    let key = format!("catch_up_{size}b");
    let title = format!("catch-up, {size} B, from the log's files");
    Ok(Figure::of_rounds(
        key,
        title,
        Unit::EntriesPerSecond,
        &rounds,
        "read, send, verify, write, sync: blocking, per MiB",
    ))
}

/// Returns once the primary's own link to the replica is open.
async fn link_open(mut notices: broadcast::Receiver<Notice>) -> Result<(), Failure> {
    loop {
        match notices.recv().await {
            Ok(Notice::LinkOpened { link, peer }) if peer == AWAY && !link.is_accepted() => return Ok(()),
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return Err(Failure::failed("the primary halted by itself")),
        }
    }
}

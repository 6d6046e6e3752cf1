//! Writing: batches in flight to the primary, and what it answered to each entry.

use ::core::time::Duration;
use alloc::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::core::Ack;
use crate::driver::http::AnswerLine;

use super::super::client::Client;
use super::super::exit::Failure;
use super::input::{Batch, BatchLimits, Batcher, Input};
use super::verdict::Acknowledged;

/// How long an entry that the primary did not take is offered again.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// The wait before that.
const RETRY_AFTER: Duration = Duration::from_millis(20);
/// The largest acknowledgement time that is told apart, in microseconds: ten minutes.
const ACK_US_MAX: u64 = 600_000_000;

/// How to write.
#[derive(Debug, Clone)]
pub(super) struct LoadOptions {
    pub(super) client: Client,
    pub(super) space: String,
    pub(super) ack: Ack,
    pub(super) timeout: Duration,
    pub(super) in_flight: usize,
    pub(super) limits: BatchLimits,
}

/// Where the run stands: what holds the writing back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// All nodes run.
    Whole,
    /// A replica was killed.
    Killed,
    /// It was started again.
    Restarted,
}

/// What was written.
#[derive(Debug)]
pub(super) struct Written {
    /// Each acknowledged entry, in the order of the answers.
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Entries whose level was not reached in time. They are in the primary's log, but nobody promised them.
    pub(super) unknown: u64,
    /// The bytes of all payloads that were acknowledged or unknown.
    pub(super) payload_bytes: u64,
    /// The time from sending a request to its answer, in microseconds, for each acknowledged entry.
    pub(super) ack_us: Histogram<u64>,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
}

/// What the writers share.
#[derive(Debug)]
struct Record {
    written: Mutex<Written>,
    answered: watch::Sender<u64>,
}

/// Writes everything and returns once each entry is answered. `answered` follows how many are.
///
/// The input is not written past two thirds before the kill nor to its end before the restart, so that both fall into
/// the writing however short it is; a long one is never held back.
pub(super) async fn write(
    options: &LoadOptions,
    input: &Input,
    answered: watch::Sender<u64>,
    stage: watch::Receiver<Stage>,
) -> Result<Written, Failure> {
    let histogram = Histogram::new_with_max(ACK_US_MAX, 3)
        .map_err(|error| Failure::failed(format!("cannot make a histogram: {error}")))?;
    let record = Arc::new(Record {
        written: Mutex::new(Written {
            acknowledged: Vec::new(),
            unknown: 0,
            payload_bytes: 0,
            ack_us: histogram,
            elapsed: Duration::ZERO,
        }),
        answered,
    });
    let (sender, receiver) = mpsc::channel::<Batch>(2);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let begun = Instant::now();
    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();
    let batcher = Batcher::new(input.open()?, options.limits);
    let entries = input.entries();
    tasks.spawn_blocking(move || produce(batcher, entries, &sender, stage));
    for _ in 0..options.in_flight {
        let (options, receiver, record) = (options.clone(), Arc::clone(&receiver), Arc::clone(&record));
        tasks.spawn(async move {
            loop {
                let batch = receiver.lock().await.recv().await;
                let Some(batch) = batch else { return Ok(()) };
                send(&options, batch, &record).await?;
            }
        });
    }
    drop(receiver);
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Failure::failed(format!("a writer ended: {error}")))??;
    }
    let record = Arc::into_inner(record).ok_or_else(|| Failure::failed("a writer still runs"))?;
    let mut written = record.written.into_inner().unwrap_or_else(PoisonError::into_inner);
    written.elapsed = begun.elapsed();
    Ok(written)
}

/// Reads the input on a thread of its own, never more than a few batches ahead of the writers.
fn produce(
    mut batcher: Batcher,
    entries: u64,
    sender: &mpsc::Sender<Batch>,
    mut stage: watch::Receiver<Stage>,
) -> Result<(), Failure> {
    let two_thirds = entries * 2 / 3;
    while let Some(batch) = batcher.next()? {
        let needed = if batch.first + batch.digests.len() as u64 >= entries {
            Stage::Restarted
        } else if batch.first >= two_thirds {
            Stage::Killed
        } else {
            Stage::Whole
        };
        let reached = tokio::runtime::Handle::current().block_on(stage.wait_for(|stage| *stage >= needed)).is_ok();
        if !reached || sender.blocking_send(batch).is_err() {
            // The run is over; whoever ended it says why.
            return Ok(());
        }
    }
    Ok(())
}

/// Sends a batch until each of its entries is acknowledged or unknown. What the primary did not take is sent again.
async fn send(options: &LoadOptions, mut batch: Batch, record: &Record) -> Result<(), Failure> {
    let begun = Instant::now();
    record.written.lock().unwrap_or_else(PoisonError::into_inner).payload_bytes += batch.payload_bytes;
    loop {
        let sent = Instant::now();
        let lines = Bytes::from(::core::mem::take(&mut batch.lines));
        let answer = options.client.append(&options.space, lines.clone(), options.ack, options.timeout).await?;
        let taken_us = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX).clamp(1, ACK_US_MAX);
        let refused = match take_answers(&answer.body, &batch.digests, taken_us, record) {
            Ok(refused) => refused,
            // One error for the whole request: nothing of it was appended.
            Err(reason) if answer.status == 429 || answer.status == 503 => {
                Refused { indexes: (0..batch.digests.len()).collect(), reason }
            }
            Err(reason) => return Err(Failure::failed(format!("the primary refused a request: {reason}"))),
        };
        if refused.indexes.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > RETRY_FOR {
            return Err(Failure::failed(format!("the primary takes no entries: {}", refused.reason)));
        }
        keep(&mut batch, &lines, &refused.indexes);
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// Entries that were not appended and may be sent again.
#[derive(Debug, Default)]
struct Refused {
    indexes: Vec<usize>,
    reason: String,
}

/// Records what the answer says of each entry.
fn take_answers(body: &[u8], digests: &[u64], taken_us: u64, record: &Record) -> Result<Refused, String> {
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    if lines.len() != digests.len() {
        return Err(String::from_utf8_lossy(body).trim().chars().take(500).collect());
    }
    let mut acknowledged = Vec::with_capacity(lines.len());
    let mut unknown = 0;
    let mut refused = Refused::default();
    for (index, (line, digest)) in lines.into_iter().zip(digests).enumerate() {
        let line: AnswerLine<'_> =
            serde_json::from_slice(line).map_err(|error| format!("{error} in {:?}", String::from_utf8_lossy(line)))?;
        match line {
            AnswerLine::Appended { sequence, epoch, .. } => {
                let epoch = super::verdict::parse_epoch(&epoch).ok_or_else(|| format!("no epoch: {epoch:?}"))?;
                acknowledged.push(Acknowledged { sequence: crate::types::Sequence(sequence), epoch, digest: *digest });
            }
            AnswerLine::Unknown { .. } => unknown += 1,
            AnswerLine::Failed { error } if error.kind == "overloaded" || error.kind == "not_ready" => {
                refused.indexes.push(index);
                refused.reason = error.message.into_owned();
            }
            AnswerLine::Failed { error } => return Err(error.message.into_owned()),
        }
    }
    let answered = acknowledged.len() as u64 + unknown;
    let mut written = record.written.lock().unwrap_or_else(PoisonError::into_inner);
    written.ack_us.saturating_record_n(taken_us, acknowledged.len() as u64);
    written.acknowledged.append(&mut acknowledged);
    written.unknown += unknown;
    drop(written);
    record.answered.send_modify(|total| *total += answered);
    Ok(refused)
}

/// Leaves only these entries in the batch.
fn keep(batch: &mut Batch, lines: &[u8], indexes: &[usize]) {
    let all: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    batch.lines = indexes.iter().filter_map(|index| all.get(*index)).flat_map(|line| line.iter().copied()).collect();
    batch.digests = indexes.iter().filter_map(|index| batch.digests.get(*index).copied()).collect();
}

//! Writing: batches in flight to whoever is the primary, and what it answered to each entry.

use ::core::sync::atomic::{AtomicUsize, Ordering};
use ::core::time::Duration;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::core::Ack;
use crate::driver::http::AnswerLine;
use crate::types::Epoch;

use super::super::client::{Client, NoAnswer};
use super::super::exit::Failure;
use super::super::nodes::parse_epoch;
use super::input::{Batch, BatchLimits, Batcher, Input};
use super::verdict::Acknowledged;

/// How long an entry that no node took is offered again.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// The wait before that.
const RETRY_AFTER: Duration = Duration::from_millis(20);
/// The largest acknowledgement time that is told apart, in microseconds: ten minutes.
const ACK_US_MAX: u64 = 600_000_000;

/// What a node says that takes nothing now: another one may, or the same one a little later.
const NOT_NOW: [&str; 7] =
    ["overloaded", "not_ready", "not_primary", "no_primary", "isolated", "exposure_reached", "shutdown"];

/// How to write.
#[derive(Debug, Clone)]
pub(super) struct LoadOptions {
    pub(super) nodes: Arc<Leader>,
    pub(super) space: String,
    pub(super) ack: Ack,
    pub(super) timeout: Duration,
    pub(super) in_flight: usize,
    pub(super) limits: BatchLimits,
    /// Whether the primary is killed, too.
    pub(super) kills_primary: bool,
}

/// Whom all writers ask: the node that took something last.
#[derive(Debug)]
pub(super) struct Leader {
    clients: Vec<Client>,
    at: AtomicUsize,
    /// When the primary was killed.
    pub(super) killed: OnceLock<Instant>,
}

impl Leader {
    /// The nodes, the one that is asked first before the others.
    pub(super) fn new(clients: Vec<Client>) -> Self {
        Self { clients, at: AtomicUsize::new(0), killed: OnceLock::new() }
    }

    /// The node that is asked, and its place.
    pub(super) fn client(&self) -> Result<(usize, &Client), Failure> {
        let at = self.at.load(Ordering::Relaxed);
        self.clients.get(at).map(|client| (at, client)).ok_or_else(|| Failure::failed("there is no node to ask"))
    }

    /// The node at `at` took nothing: the next one is asked, unless somebody has moved on already.
    pub(super) fn move_on(&self, at: usize) {
        let next = (at + 1) % self.clients.len().max(1);
        let _ = self.at.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }
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
    /// It has caught up.
    Level,
    /// The primary was killed.
    Leaderless,
}

/// What was written.
#[derive(Debug)]
pub(super) struct Written {
    /// Each acknowledged entry, in the order of the answers.
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Entries whose level was not reached in time, or whose request broke. They may be in the log; nobody promised them.
    pub(super) unknown: u64,
    /// The bytes of all payloads that were acknowledged or unknown.
    pub(super) payload_bytes: u64,
    /// The time from sending a request to its answer, in microseconds, for each acknowledged entry.
    pub(super) ack_us: Histogram<u64>,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// The first and the last answer of each epoch.
    pub(super) epochs: BTreeMap<Epoch, (Instant, Instant)>,
    /// The longest that a writer went from sending something to its next acknowledgement, over the primary's death.
    pub(super) pause: Option<Duration>,
}

/// What the writers share.
#[derive(Debug)]
struct Record {
    written: Mutex<Written>,
    answered: watch::Sender<u64>,
}

/// Writes everything and returns once each entry is answered. `answered` follows how many are.
///
/// The input is not written past a half before the kill, past three quarters before the return, nor to its end before
/// the primary's death, so that all of it falls into the writing however short it is; a long one is never held back.
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
            epochs: BTreeMap::new(),
            pause: None,
        }),
        answered,
    });
    let (sender, receiver) = mpsc::channel::<Batch>(2);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let begun = Instant::now();
    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();
    let batcher = Batcher::new(input.open()?, options.limits);
    let entries = input.entries();
    let later =
        if options.kills_primary { [Stage::Level, Stage::Leaderless] } else { [Stage::Killed, Stage::Restarted] };
    tasks.spawn_blocking(move || produce(batcher, entries, later, &sender, stage));
    for _ in 0..options.in_flight {
        let (options, receiver, record) = (options.clone(), Arc::clone(&receiver), Arc::clone(&record));
        tasks.spawn(async move {
            let mut since = None;
            loop {
                let batch = receiver.lock().await.recv().await;
                let Some(batch) = batch else { return Ok(()) };
                send(&options, batch, &mut since, &record).await?;
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
    [last_quarter, last]: [Stage; 2],
    sender: &mpsc::Sender<Batch>,
    mut stage: watch::Receiver<Stage>,
) -> Result<(), Failure> {
    while let Some(batch) = batcher.next()? {
        let needed = if batch.first + batch.digests.len() as u64 >= entries {
            last
        } else if batch.first >= entries * 3 / 4 {
            last_quarter
        } else if batch.first >= entries / 2 {
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

/// Sends a batch until each of its entries is acknowledged or unknown. What no primary took is sent again, to whoever is
/// the primary then; what was sent and not answered is unknown, and never sent again.
///
/// `since` is when the writer sent what it waits for, until something is acknowledged.
async fn send(
    options: &LoadOptions,
    mut batch: Batch,
    since: &mut Option<Instant>,
    record: &Record,
) -> Result<(), Failure> {
    let begun = Instant::now();
    since.get_or_insert(begun);
    record.written.lock().unwrap_or_else(PoisonError::into_inner).payload_bytes += batch.payload_bytes;
    loop {
        let sent = Instant::now();
        let (at, client) = options.nodes.client()?;
        let lines = Bytes::from(::core::mem::take(&mut batch.lines));
        let answer = client.append_lines(&options.space, lines.clone(), Some(options.ack), options.timeout).await;
        let all = |reason| Refused { indexes: (0..batch.digests.len()).collect(), reason };
        let refused = match answer {
            Ok(answer) => {
                let taken_us = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX).clamp(1, ACK_US_MAX);
                match take_answers(&answer.body, &batch.digests, taken_us, record) {
                    Ok(refused) => refused,
                    // One error for the whole request: nothing of it was appended.
                    Err(reason) if matches!(answer.status, 421 | 429 | 503) => all(reason),
                    Err(reason) => return Err(Failure::failed(format!("the primary refused a request: {reason}"))),
                }
            }
            Err(NoAnswer::NotSent(failure)) => all(failure.message),
            Err(NoAnswer::Unknown(_)) => {
                options.nodes.move_on(at);
                record.lose(batch.digests.len() as u64);
                return Ok(());
            }
        };
        if refused.indexes.len() < batch.digests.len() {
            record.pause(options.nodes.killed.get(), since);
        }
        if refused.indexes.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > RETRY_FOR {
            return Err(Failure::failed(format!("no node takes entries: {}", refused.reason)));
        }
        if refused.indexes.len() == batch.digests.len() {
            options.nodes.move_on(at);
        }
        keep(&mut batch, &lines, &refused.indexes);
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

impl Record {
    /// Nobody knows what became of so many entries.
    fn lose(&self, count: u64) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).unknown += count;
        self.answered.send_modify(|total| *total += count);
    }

    /// Something was answered: a pause has ended, and counts where the primary died in it.
    fn pause(&self, killed: Option<&Instant>, since: &mut Option<Instant>) {
        let Some(since) = since.take() else { return };
        let now = Instant::now();
        if killed.is_some_and(|killed| *killed <= now) {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.pause = written.pause.max(Some(now - since));
        }
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
                let epoch = parse_epoch(&epoch).ok_or_else(|| format!("no epoch: {epoch:?}"))?;
                acknowledged.push(Acknowledged { sequence: crate::types::Sequence(sequence), epoch, digest: *digest });
            }
            AnswerLine::Unknown { .. } => unknown += 1,
            AnswerLine::Failed { error } if NOT_NOW.contains(&error.kind.as_ref()) => {
                refused.indexes.push(index);
                refused.reason = error.message.into_owned();
            }
            AnswerLine::Failed { error } => return Err(error.message.into_owned()),
        }
    }
    let answered = acknowledged.len() as u64 + unknown;
    let now = Instant::now();
    let mut written = record.written.lock().unwrap_or_else(PoisonError::into_inner);
    for entry in &acknowledged {
        let (first, last) = written.epochs.entry(entry.epoch).or_insert((now, now));
        (*first, *last) = ((*first).min(now), (*last).max(now));
    }
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

//! `engraft demo`: proof on this machine that nothing acknowledged is lost.
//!
//! Three nodes run as processes of their own. While entries are written through the primary, one replica is killed
//! with SIGKILL at a quarter, and comes back at a half; in the last quarter the primary itself is killed, another
//! node takes over, and the killed one comes back. When all processes have ended, the verdict is computed from their files:
//! see [`Verdict`].

use ::core::time::Duration;
use alloc::sync::Arc;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use crate::core::Ack;
use crate::types::NodeId;

use super::client::{Client, StatusReply};
use super::exit::Failure;
use super::output::print;
use super::signal::StopSignals;

mod cluster;
mod engram;
mod failover;
mod input;
mod load;
mod logs;
mod report;
mod verdict;

pub use input::digest;
pub use logs::{UserEntries, verdict_of};
pub use verdict::{Acknowledged, Found, Loss, Tally, Verdict};

use cluster::{Cluster, SPACE, node_ids};
use engram::EngramSource;
use failover::{Failover, Killed};
use input::{BatchLimits, Input};
use load::{Leader, LoadOptions, Stage, Written};
use report::Report;

/// The node that takes the writes, until it is killed.
const PRIMARY: NodeId = NodeId(1);
/// The replica that is killed.
const KILLED: NodeId = NodeId(3);
/// How long the nodes may take to find each other.
const CONNECTED_WITHIN: Duration = Duration::from_secs(30);
/// How long a replica may take to have everything once the writing has ended.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);
/// Between two looks at the primary's status.
const POLL: Duration = Duration::from_millis(10);

/// How to run the demo.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// How many entries to write.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    entries: u64,
    /// The size of an entry in bytes, up to 1 MiB.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    size: u32,
    /// Write the lines of this file instead; `-` is stdin. An empty line is an entry of no bytes; line ends belong to
    /// no entry.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["entries", "size"])]
    input: Option<PathBuf>,
    /// Write the entries of this directory of Engram's instead, payload and type, and compare every node's log with it
    /// entry by entry. Requests go one after the other, so that the order is kept.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["entries", "size", "input", "in_flight"])]
    engram: Option<PathBuf>,
    /// When an entry counts as acknowledged: local, quorum or all. At `all`, entries written while a replica is away
    /// time out as unknown.
    #[arg(long, default_value = "quorum", value_parser = parse_ack)]
    ack: Ack,
    /// How long to wait for an acknowledgement, in milliseconds. Default 5000; 500 at `--ack all`.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    timeout: Option<u64>,
    /// Entries in a request at most.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Requests in flight. Entries of different requests may come into the log in another order than they were read.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    in_flight: u16,
    /// Run in this directory, which must be empty or not there yet, and leave everything in it. By default all happens
    /// in a temporary directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
}

fn parse_ack(text: &str) -> Result<Ack, String> {
    let levels = [Ack::Local, Ack::Quorum, Ack::All];
    levels.into_iter().find(|level| level.to_string() == text).ok_or("expected local, quorum or all".to_owned())
}

/// Runs it. It fails where something acknowledged is lost, where a replica did not catch up, or where a node died.
pub(super) fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    let temporary;
    let directory = match &arguments.keep {
        Some(directory) => {
            prepare(directory)?;
            // The nodes are told absolute paths.
            directory.canonicalize().map_err(|error| Failure::usage(format!("{}: {error}", directory.display())))?
        }
        None => {
            let made = tempfile::Builder::new().prefix("engraft-demo-").tempdir();
            temporary = made.map_err(|error| Failure::failed(format!("cannot make a directory: {error}")))?;
            temporary.path().to_owned()
        }
    };
    let input = match (&arguments.engram, &arguments.input) {
        (Some(engram), _) => Input::Engram(EngramSource::open(engram)?),
        (None, Some(file)) => Input::lines(file, &directory.join("input"))?,
        (None, None) => Input::Generated { entries: arguments.entries, size: arguments.size as usize },
    };
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::failed(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(run_to_the_end(arguments, &directory, &input));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let report = result?;
    let kept = if arguments.keep.is_some() { format!("kept in {}\n", directory.display()) } else { String::new() };
    print(&if arguments.json { format!("{}\n", report.to_json()) } else { format!("{report}{kept}") })?;
    report.judge()
}

fn prepare(directory: &Path) -> Result<(), Failure> {
    let refuse = |what: String| Failure::usage(format!("--keep {}: {what}", directory.display()));
    std::fs::create_dir_all(directory).map_err(|error| refuse(format!("cannot make the directory: {error}")))?;
    let mut found = std::fs::read_dir(directory).map_err(|error| refuse(error.to_string()))?;
    if found.next().is_some() {
        return Err(refuse("expected an empty directory, or none; found one with files in it".to_owned()));
    }
    Ok(())
}

/// The run, and the killing of whatever still runs when it fails or is interrupted.
async fn run_to_the_end(arguments: &DemoArguments, directory: &Path, input: &Input) -> Result<Report, Failure> {
    let mut signals = StopSignals::listen()?;
    let mut cluster = tokio::select! {
        biased;
        () = signals.wait() => return Err(Failure::failed("interrupted")),
        started = Cluster::start(directory) => started?,
    };
    let result = tokio::select! {
        biased;
        () = signals.wait() => Err(Failure::failed("interrupted")),
        result = play(arguments, &mut cluster, input) => result,
    };
    let played = match result {
        Ok(played) => played,
        Err(failure) => {
            // A node that died is the reason behind most failures of others: tell that one. Its end may take a moment.
            let mut reason = cluster.check();
            for _ in 0..50 {
                if reason.is_err() {
                    break;
                }
                tokio::time::sleep(POLL).await;
                reason = cluster.check();
            }
            cluster.kill_all().await;
            return Err(reason.err().unwrap_or(failure));
        }
    };
    tokio::select! {
        biased;
        () = signals.wait() => {
            cluster.kill_all().await;
            return Err(Failure::failed("interrupted"));
        }
        stopped = cluster.stop() => stopped?,
    }
    let Played { written, catch_up, status, failover } = played;
    let acknowledged = written.acknowledged.clone();
    let directories: Vec<(NodeId, PathBuf)> =
        node_ids().map(|node| (node, Cluster::data_dir(directory, node))).collect();
    let source = input.engram().cloned();
    let judged = tokio::task::spawn_blocking(move || {
        let compared = source.map(|source| engram::compare(&source, &directories, SPACE));
        (verdict_of(acknowledged, &directories, SPACE), compared)
    });
    let (verdict, compared) =
        judged.await.map_err(|error| Failure::failed(format!("the verdict did not come: {error}")))?;
    let report = Report::new(arguments.ack, input.entries(), written, &status, catch_up, verdict);
    Ok(report.with_engram(compared).with_failover(failover))
}

/// What the run gave, before the verdict.
#[derive(Debug)]
struct Played {
    written: Written,
    catch_up: CatchUp,
    /// The first primary's last status.
    status: StatusReply,
    failover: Option<Failover>,
}

/// How the killed replica came back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CatchUp {
    /// How many entries it was behind when its process was started again.
    pub(super) behind: u64,
    /// From the start of its process until it had everything that the primary had at that start.
    pub(super) backlog: Option<Duration>,
    /// From the start of its process until the primary first saw it with a lag of no entries, writing going on.
    pub(super) level: Option<Duration>,
}

/// Writes, kills, starts again, and waits until every replica has everything.
async fn play(arguments: &DemoArguments, cluster: &mut Cluster, input: &Input) -> Result<Played, Failure> {
    let client = Client::new(cluster.http(PRIMARY))?;
    wait_for(&client, cluster, CONNECTED_WITHIN, "the nodes do not find each other", |space| {
        space.role == "primary" && space.replicas.iter().all(|replica| replica.connected)
    })
    .await?;
    let entries = input.entries();
    let (answered_sender, answered) = watch::channel(0_u64);
    let (stage, stage_receiver) = watch::channel(Stage::Whole);
    let clients = node_ids().map(|node| Client::new(cluster.http(node))).collect::<Result<_, _>>()?;
    let nodes = Arc::new(Leader::new(clients));
    let options = load_options(arguments, Arc::clone(&nodes), entries);
    let bar = progress_bar(entries);
    let writing = load::write(&options, input, answered_sender, stage_receiver);
    let acting = async {
        let mut answered = answered;
        let catch_up = kill_and_restart(cluster, &client, entries, &mut answered, &stage, &bar).await?;
        let killed = if options.kills_primary {
            stage.send_replace(Stage::Level);
            // Some way into the last quarter, so that there is something under way.
            reach(cluster, &mut answered, entries * 13 / 16, &bar).await?;
            bar.set_message(format!("{PRIMARY}, the primary, killed"));
            Some(failover::kill_primary(cluster, &nodes, &stage).await?)
        } else {
            None
        };
        reach(cluster, &mut answered, entries, &bar).await?;
        Ok((catch_up, killed))
    };
    // Neither outlives the other's failure.
    let (written, (catch_up, killed)): (Written, (CatchUp, Option<Killed>)) = tokio::try_join!(writing, acting)?;
    let failover = killed.as_ref().and_then(|killed| killed.cost(&written, arguments.ack));
    let (_, client) = nodes.client()?;
    bar.set_message("waiting for the replicas");
    let status = wait_for(client, cluster, CAUGHT_UP_WITHIN, "the replicas do not catch up", |space| {
        space.replicas.iter().all(|replica| replica.lag.entries == 0 && replica.durable >= space.durable)
    })
    .await;
    bar.finish_and_clear();
    // Replicas that never catch up are for the verdict to show; a primary that is gone is a failure.
    let status = match status {
        Ok(status) => status,
        Err(failure) => {
            cluster.check()?;
            eprintln!("warning: {failure}");
            client.status().await?
        }
    };
    // The lag over time is that of the replicas of the first primary.
    let status = killed.map_or(status, |killed| killed.status);
    Ok(Played { written, catch_up, status, failover })
}

fn load_options(arguments: &DemoArguments, nodes: Arc<Leader>, entries: u64) -> LoadOptions {
    let default_ms = if arguments.ack == Ack::All { 500 } else { 5_000 };
    // Small runs have small batches, so that what is in flight is a small part of them, and the kill and the restart
    // leave the replica behind.
    let share = usize::try_from(entries / 48).unwrap_or(usize::MAX);
    LoadOptions {
        nodes,
        space: SPACE.to_owned(),
        ack: arguments.ack,
        timeout: Duration::from_millis(arguments.timeout.unwrap_or(default_ms)),
        in_flight: if arguments.engram.is_some() { 1 } else { usize::from(arguments.in_flight) },
        limits: BatchLimits { entries: share.clamp(1, arguments.batch as usize), bytes: 1 << 20 },
        // What is unknown is not sent again: entries that are to be compared one by one would be missing.
        kills_primary: arguments.engram.is_none(),
    }
}

/// Kills a replica at a quarter, starts it again at a half, and watches it catch up while writing goes on.
async fn kill_and_restart(
    cluster: &mut Cluster,
    client: &Client,
    entries: u64,
    answered: &mut watch::Receiver<u64>,
    stage: &watch::Sender<Stage>,
    bar: &ProgressBar,
) -> Result<CatchUp, Failure> {
    reach(cluster, answered, entries / 4, bar).await?;
    cluster.kill(KILLED).await?;
    bar.set_message(format!("{KILLED} killed"));
    stage.send_replace(Stage::Killed);
    reach(cluster, answered, entries / 2, bar).await?;
    let before = client.status().await?;
    let (target, had) = durable(&before);
    let begun = Instant::now();
    bar.set_message(format!("{KILLED} starts again"));
    stage.send_replace(Stage::Restarted);
    cluster.restart(KILLED).await?;
    bar.set_message(format!("{KILLED} catches up"));
    let mut catch_up = CatchUp { behind: target.saturating_sub(had), ..CatchUp::default() };
    while begun.elapsed() < CAUGHT_UP_WITHIN {
        let status = client.status().await?;
        let (_, has) = durable(&status);
        if has >= target && catch_up.backlog.is_none() {
            catch_up.backlog = Some(begun.elapsed());
        }
        if catch_up.backlog.is_some() && lag_entries(&status) == Some(0) {
            catch_up.level = Some(begun.elapsed());
            bar.set_message("whole again");
            break;
        }
        bar.set_position(*answered.borrow());
        cluster.check()?;
        tokio::time::sleep(POLL).await;
    }
    Ok(catch_up)
}

/// Waits until so many entries are answered, or the writing has ended; looks after the nodes meanwhile.
async fn reach(
    cluster: &mut Cluster,
    answered: &mut watch::Receiver<u64>,
    entries: u64,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    loop {
        let count = *answered.borrow_and_update();
        bar.set_position(count);
        if count >= entries {
            return Ok(());
        }
        cluster.check()?;
        match tokio::time::timeout(Duration::from_millis(100), answered.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(_)) => return Ok(()),
        }
    }
}

/// Polls the primary until its view of the space is as wanted.
async fn wait_for(
    client: &Client,
    cluster: &mut Cluster,
    within: Duration,
    otherwise: &str,
    wanted: impl Fn(&super::client::SpaceReply) -> bool,
) -> Result<StatusReply, Failure> {
    let begun = Instant::now();
    loop {
        cluster.check()?;
        let status = client.status().await?;
        if let Some(space) = status.spaces.iter().find(|space| space.name == SPACE) {
            if wanted(space) {
                return Ok(status);
            }
            if let Some(reason) = &space.stopped {
                return Err(Failure::failed(format!("the space stopped on n{}: {reason}", status.node)));
            }
        }
        if begun.elapsed() > within {
            let status = format!("{:?}", status.spaces);
            return Err(Failure::failed(format!("{otherwise} within {} s: {status}", within.as_secs())));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The last durable entry of the primary, and of the killed replica.
fn durable(status: &StatusReply) -> (u64, u64) {
    let space = status.spaces.iter().find(|space| space.name == SPACE);
    let killed = space.and_then(|space| space.replicas.iter().find(|replica| replica.node == KILLED.0));
    (space.map_or(0, |space| space.durable), killed.map_or(0, |replica| replica.durable))
}

fn lag_entries(status: &StatusReply) -> Option<u64> {
    let space = status.spaces.iter().find(|space| space.name == SPACE)?;
    space.replicas.iter().find(|replica| replica.node == KILLED.0).map(|replica| replica.lag.entries)
}

/// On a terminal only.
fn progress_bar(entries: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(entries), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {per_sec} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

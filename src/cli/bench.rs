//! `engraft bench`: what this build does on this machine, beside what the machine does without it.

mod catch_up;
mod cluster;
mod core_run;
mod figure;
mod floor;
mod load;
mod memory;
mod open_loop;
mod progress;
mod settings;
mod throughput;
mod wal_run;

use ::core::fmt::Display;
use ::core::time::Duration;
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::core::Ack;
use crate::types::HEADER_SIZE;

use super::exit::Failure;
use figure::{Figure, Table};
use progress::Progress;
use settings::Settings;

/// What to measure, and for how long.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// What to measure.
    #[arg(value_enum, default_value_t = Subject::All)]
    subject: Subject,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// How long each measurement takes, in seconds; floors take half as long again.
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0, value_parser = seconds)]
    seconds: f64,
    /// The size of a payload in bytes; throughput takes 256 and 1024 unless it is told.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    size: Option<u32>,
    /// Entries per second of `latency` and `lag`.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// Entries that a replica misses in `catch-up`; the newest 4 MiB are in memory.
    #[arg(long, value_name = "COUNT", default_value_t = 250_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    entries: u64,
    /// Where to make files, on the disk that is to be measured. They are removed afterwards.
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Entries per second that reach both replicas, fsync on, and the memory that takes.
    Throughput,
    /// How long answers take at a fixed rate, at local and at quorum.
    Latency,
    /// How far replicas are behind at a fixed rate.
    Lag,
    /// How fast a replica that was away gets what it missed.
    CatchUp,
    /// How fast the pure core is, without disks and sockets.
    Core,
    /// How fast the log alone writes and syncs.
    Wal,
    /// All of them, in about a minute.
    All,
}

/// The figures that `all` tells, in their order.
const OF_ALL: [&str; 9] = [
    "throughput_256b",
    "throughput_1k",
    "core_256b",
    "wal_256b",
    "ack_local_p99_ms",
    "ack_quorum_p99_ms",
    "lag_p99_ms",
    "catch_up_256b",
    "memory_per_stream_mb",
];

/// Measures and prints.
pub(super) fn run(arguments: &BenchArguments) -> Result<(), Failure> {
    let settings = Settings {
        duration: Duration::from_secs_f64(arguments.seconds),
        rate: arguments.rate,
        missed: arguments.entries,
        directory: arguments.dir.clone().unwrap_or_else(std::env::temp_dir),
        progress: Progress::start(),
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| failed("start the runtime", error))?;
    let figures = runtime.block_on(measure(&settings, arguments))?;
    drop(settings);
    let text = if arguments.json { format!("{}\n", figure::to_json(&figures)) } else { Table(&figures).to_string() };
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| failed("write to stdout", error))
}

async fn measure(settings: &Settings, arguments: &BenchArguments) -> Result<Vec<Figure>, Failure> {
    let size = arguments.size.map_or(Ok(256), usize::try_from).unwrap_or(256);
    match arguments.subject {
        Subject::Throughput => {
            let sizes = if arguments.size.is_some() { vec![size] } else { vec![256, 1_024] };
            throughputs(settings, &sizes).await
        }
        Subject::Latency => {
            let mut figures = open_loop::measure(settings, Ack::Local, size).await?.latency();
            figures.extend(open_loop::measure(settings, Ack::Quorum, size).await?.latency());
            Ok(figures)
        }
        Subject::Lag => Ok(open_loop::measure(settings, Ack::Quorum, size).await?.lag()),
        Subject::CatchUp => Ok(vec![catch_up::measure(settings, size).await?]),
        Subject::Core => tokio::task::block_in_place(|| core_run::measure(settings, size)),
        Subject::Wal => Ok(vec![tokio::task::block_in_place(|| wal_run::measure(settings, size))?]),
        Subject::All => all(settings).await,
    }
}

/// The memory stands last, and is that of the first size.
async fn throughputs(settings: &Settings, sizes: &[usize]) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    let mut memory = None;
    for &size in sizes {
        let [throughput, taken] = throughput::measure(settings, size).await?;
        figures.push(throughput);
        memory.get_or_insert(taken);
    }
    figures.extend(memory);
    Ok(figures)
}

async fn all(settings: &Settings) -> Result<Vec<Figure>, Failure> {
    let mut measured = throughputs(settings, &[256, 1_024]).await?;
    measured.extend(tokio::task::block_in_place(|| core_run::measure(settings, 256))?);
    measured.push(tokio::task::block_in_place(|| wal_run::measure(settings, 256))?);
    measured.extend(open_loop::measure(settings, Ack::Local, 256).await?.latency());
    let quorum = open_loop::measure(settings, Ack::Quorum, 256).await?;
    measured.extend(quorum.latency());
    measured.extend(quorum.lag());
    measured.push(catch_up::measure(settings, 256).await?);
    let figures = OF_ALL.iter().filter_map(|key| measured.iter().find(|figure| figure.key == *key).cloned());
    Ok(figures.collect())
}

/// An entry on disk and on the wire: its header and a payload of that size.
const fn entry_bytes(size: usize) -> usize {
    HEADER_SIZE + size
}

fn failed(what: &str, error: impl Display) -> Failure {
    Failure::failed(format!("cannot {what}: {error}"))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds, such as 4 or 0.5".to_owned())?;
    if (0.01..=3_600.0).contains(&seconds) { Ok(seconds) } else { Err("expected 0.01 to 3600".to_owned()) }
}

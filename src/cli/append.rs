//! `engraft append`: lines of a file or of stdin become entries.

use ::core::time::Duration;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::sync::mpsc;

use crate::core::Ack;
use crate::types::SpaceName;

use super::exit::Failure;
use super::nodes::{NodeArguments, block_on, parse_ack, parse_wait};

mod sender;
mod tally;

use sender::Sender;

/// Payload bytes in one request; the line that goes over it still belongs to it.
const REQUEST_BYTES: usize = 4 << 20;
/// The largest payload that any node may be configured to take.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// What to append, and where.
#[derive(Debug, Args)]
pub struct AppendArguments {
    /// The space.
    #[arg(value_parser = SpaceName::new)]
    space: SpaceName,
    /// The file whose lines are appended, each without its end; `-` is stdin.
    #[arg(default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    nodes: NodeArguments,
    /// When an entry counts as appended: local, quorum or all; the space's own level where it is left out.
    #[arg(long, value_parser = parse_ack)]
    ack: Option<Ack>,
    /// Entries under way at most, 1 to 65536. They travel in one request; the next one waits for its answer, so that
    /// order holds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    window: u32,
    /// How long an entry may take to reach its level, and how long a primary is looked for: 1ms to 1h.
    #[arg(long, default_value = "5s", value_parser = parse_wait)]
    timeout: Duration,
    /// Print a JSON object for each line, as soon as it is answered.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(arguments: &AppendArguments) -> Result<(), Failure> {
    let source = open(&arguments.file)?;
    let window = usize::try_from(arguments.window).unwrap_or(1);
    let (read, lines) = mpsc::channel(window);
    // A thread of its own reads: stdin may keep it waiting while answers come in.
    std::thread::spawn(move || read_lines(source, &read));
    block_on(append(arguments, lines, window))
}

async fn append(
    arguments: &AppendArguments,
    mut lines: mpsc::Receiver<io::Result<Vec<u8>>>,
    window: usize,
) -> Result<(), Failure> {
    let mut sender = Sender::new(arguments)?;
    let mut result = Ok(());
    while let Some(line) = lines.recv().await {
        let mut payloads = Vec::new();
        let mut bytes = 0;
        let mut next = Some(line);
        // What is there already travels together; nothing is waited for.
        while let Some(line) = next.take() {
            match line {
                Ok(line) => {
                    bytes += line.len();
                    payloads.push(line);
                }
                Err(error) => result = Err(Failure::failed(format!("{}: {error}", arguments.file.display()))),
            }
            if payloads.len() < window && bytes < REQUEST_BYTES {
                next = lines.try_recv().ok();
            }
        }
        let sent = sender.send(&payloads).await;
        // What could not be sent is worth more words than what could not be read.
        result = sent.and(result);
        if result.is_err() {
            break;
        }
    }
    sender.finish()?;
    result
}

fn open(file: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let opened = std::fs::File::open(file).map_err(|error| {
        let message = format!("{}: {error}; expected a file of lines, or - for stdin", file.display());
        if error.kind() == io::ErrorKind::NotFound { Failure::usage(message) } else { Failure::failed(message) }
    })?;
    Ok(Box::new(opened))
}

/// Reads lines until the source ends or nobody wants more.
fn read_lines(source: Box<dyn Read + Send>, lines: &mpsc::Sender<io::Result<Vec<u8>>>) {
    let mut source = BufReader::with_capacity(64 << 10, source);
    loop {
        let mut line = Vec::new();
        let read = source.by_ref().take(LINE_BYTES_MAX + 2).read_until(b'\n', &mut line);
        let line = match read {
            Ok(0) => return,
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                whole(line)
            }
            Err(error) => Err(error),
        };
        let ended = line.is_err();
        if lines.blocking_send(line).is_err() || ended {
            return;
        }
    }
}

fn whole(line: Vec<u8>) -> io::Result<Vec<u8>> {
    if line.len() as u64 > LINE_BYTES_MAX {
        return Err(io::Error::other(format!("a line has more than {LINE_BYTES_MAX} bytes, which no node takes")));
    }
    Ok(line)
}

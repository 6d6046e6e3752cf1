//! `engraft read`: committed entries, from any node.

use ::core::fmt::Write;
use ::core::time::Duration;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Deserialize;

use crate::driver::http::{EntryLine, Failed};
use crate::types::SpaceName;

use super::client::Page;
use super::exit::{Exit, Failure};
use super::nodes::{NodeArguments, Nodes, block_on, parse_wait};
use super::output::Output;

/// How long a node is asked to wait for the next entry.
const WAIT: Duration = Duration::from_secs(10);
/// The wait before a node is asked again that did not answer.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What to read, and from whom.
#[derive(Debug, Args)]
pub struct ReadArguments {
    /// The space.
    #[arg(value_parser = SpaceName::new)]
    space: SpaceName,
    #[command(flatten)]
    nodes: NodeArguments,
    /// The first sequence.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// Entries at most; the epochs' own entries count.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Go on with entries as they are committed, until the process is stopped.
    #[arg(short, long)]
    follow: bool,
    /// How long nodes are tried while none answers: 1ms to 1h.
    #[arg(long, default_value = "30s", value_parser = parse_wait)]
    timeout: Duration,
    /// Print a JSON object for each entry, its payload in base64.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Print the users' payloads and nothing else, each with a line's end behind it.
    #[arg(long)]
    raw: bool,
}

/// Runs it.
pub(super) fn run(arguments: &ReadArguments) -> Result<(), Failure> {
    let nodes = arguments.nodes.nodes()?;
    let address = nodes.asked.first().cloned().unwrap_or_default();
    let reader = Reader { arguments, nodes, address, next: arguments.from, left: arguments.max.unwrap_or(u64::MAX) };
    block_on(reader.read())
}

/// Reads page after page, each from where the last one ended.
struct Reader<'a> {
    arguments: &'a ReadArguments,
    nodes: Nodes,
    /// The node that is asked.
    address: String,
    /// The sequence that comes next.
    next: u64,
    /// How many entries are still wanted.
    left: u64,
}

/// An answer without entries.
#[derive(Debug, Deserialize)]
struct Refused<'a> {
    #[serde(borrow)]
    error: Failed<'a>,
}

impl Reader<'_> {
    async fn read(mut self) -> Result<(), Failure> {
        // What is committed afterwards is read by those who follow; the others would never come to an end.
        let mut end = None;
        while self.left > 0 && end.is_none_or(|end| self.next <= end) {
            let page = self.page().await?;
            let mut output = Output::new();
            if !self.print(&page, end, &mut output)? || !output.flush()? {
                return Ok(());
            }
            if !self.arguments.follow {
                end = end.or(page.commit).or(Some(0));
            }
        }
        Ok(())
    }

    /// The next page, from the first node that gives one.
    async fn page(&mut self) -> Result<Page, Failure> {
        let wait = if self.arguments.follow { WAIT } else { Duration::ZERO };
        let deadline = Instant::now() + self.arguments.timeout;
        let mut warned = false;
        let mut failures = 0;
        loop {
            let client = self.nodes.client(&self.address)?;
            let failure = match client.read(self.arguments.space.as_str(), self.next, wait).await {
                Ok(page) if page.status == 200 => return Ok(page),
                Ok(page) => self.refused(&page),
                Err(failure) => failure,
            };
            failures += 1;
            let all_tried = failures >= self.nodes.asked.len();
            let patient = self.arguments.follow && failure.exit != Exit::Usage;
            if all_tried && (!patient || Instant::now() >= deadline) {
                return Err(failure);
            }
            if all_tried && !::core::mem::replace(&mut warned, true) {
                eprintln!("warning: {failure}; trying again");
            }
            self.address = self.nodes.after(&self.address);
            if all_tried {
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }

    /// Why there is no page, by whose fault it is.
    fn refused(&self, page: &Page) -> Failure {
        let Ok(Refused { error }) = serde_json::from_slice(&page.body) else {
            return Failure::failed(format!("{} answers with status {} and no reason", self.address, page.status));
        };
        let exit = match error.kind.as_ref() {
            "unknown_space" | "bad_request" => Exit::Usage,
            "not_primary" => Exit::NotPrimary,
            _ => Exit::Failed,
        };
        Failure::new(exit, format!("{} says: {}", self.address, error.message))
    }

    /// Prints a page up to `end`; false where nobody reads any more.
    fn print(&mut self, page: &Page, end: Option<u64>, output: &mut Output) -> Result<bool, Failure> {
        for line in page.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let entry: EntryLine<'_> = serde_json::from_slice(line)
                .map_err(|error| Failure::failed(format!("{} answers with no entry: {error}", self.address)))?;
            if self.left == 0 || end.is_some_and(|end| entry.sequence > end) {
                return Ok(true);
            }
            let payload = self.checked(&entry)?;
            let going_on = if self.arguments.json {
                output.bytes(line)? && output.text("\n")?
            } else if self.arguments.raw {
                entry.control != 0 || (output.bytes(&payload)? && output.text("\n")?)
            } else {
                output.line(&for_people(&entry, &payload))?
            };
            if !going_on {
                return Ok(false);
            }
            self.next = entry.sequence + 1;
            self.left -= 1;
        }
        Ok(true)
    }

    /// The payload of an entry that comes in its turn and is whole.
    fn checked(&self, entry: &EntryLine<'_>) -> Result<Vec<u8>, Failure> {
        let (address, next, sequence) = (&self.address, self.next, entry.sequence);
        if sequence != next {
            return Err(Failure::failed(format!("{address} sent #{sequence}, expected #{next}; this is a defect")));
        }
        let payload = STANDARD.decode(entry.payload.as_bytes()).unwrap_or_default();
        let (expected, found) = (entry.payload_crc, crc32c::crc32c(&payload));
        if expected != found {
            let message = format!(
                "#{sequence} from {address} has a payload of checksum {found:08x}, expected {expected:08x}; \
                 read it from another node, and verify the log of this one"
            );
            return Err(Failure::new(Exit::Corruption, message));
        }
        Ok(payload)
    }
}

fn for_people(entry: &EntryLine<'_>, payload: &[u8]) -> String {
    let mut text = format!("{}#{}", entry.epoch, entry.sequence);
    // Writing into a string cannot fail.
    let _ = match (entry.control, entry.entry_type) {
        (0, 1) => write!(text, " \"{}\"", payload.escape_ascii()),
        (0, entry_type) => write!(text, " type {entry_type} \"{}\"", payload.escape_ascii()),
        (1, _) => write!(text, " epoch starts"),
        (control, _) => write!(text, " control {control}"),
    };
    text
}

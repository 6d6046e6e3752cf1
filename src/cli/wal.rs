//! `engraft wal`: what stands in the files of a log.
//!
//! `verify` and `inspect` only read; nobody needs to be stopped for them, but a log that is being written to may look
//! torn at its end.

use ::core::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::types::{Control, SpaceName};
use crate::wal::{Disk, Inspect, Inspected, InspectedEntry, StdDisk, VerifyReport, WalError, inspect, verify};

use super::exit::{Exit, Failure};
use super::output::{Output, print};

mod import;

/// What to do with a log's files.
#[derive(Debug, Subcommand)]
pub enum WalCommand {
    /// Tell whether a directory holds what was written to it; exit 4 where it does not.
    Verify(VerifyArguments),
    /// Print a line for each entry.
    Inspect(InspectArguments),
    /// Make a new space of a directory of Engram's.
    ImportEngram(import::ImportArguments),
}

/// Which directory to verify.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// A node's data directory, a space's directory in it, or a directory of Engram's.
    directory: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Which entries to print, and how.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// A node's data directory, a space's directory in it, or a directory of Engram's.
    directory: PathBuf,
    /// Print a JSON object for each entry.
    #[arg(long)]
    json: bool,
    /// Only entries of this sequence and above.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    from: u64,
    /// Only this space of a data directory.
    #[arg(long, value_name = "NAME", value_parser = SpaceName::new)]
    space: Option<SpaceName>,
    /// Print the payloads as well: base64 in JSON, otherwise text with escapes.
    #[arg(long)]
    payload: bool,
}

/// Runs it.
pub(super) fn run(command: &WalCommand) -> Result<(), Failure> {
    match command {
        WalCommand::Verify(arguments) => run_verify(arguments),
        WalCommand::Inspect(arguments) => run_inspect(arguments),
        WalCommand::ImportEngram(arguments) => import::run(arguments),
    }
}

fn run_verify(arguments: &VerifyArguments) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let report = verify(&StdDisk, directory).map_err(|error| refused(directory, &error))?;
    if arguments.json {
        let json = serde_json::to_string(&report).map_err(|error| Failure::failed(error.to_string()))?;
        print(&(json + "\n"))?;
    } else {
        print(&table(&report))?;
    }
    if report.segments == 0 {
        warn_of_nothing(directory);
    }
    if report.damage.is_empty() {
        return Ok(());
    }
    let message = format!("{}: damaged places: {}; nothing was changed", directory.display(), report.damage.len());
    Err(Failure::new(Exit::Corruption, message))
}

/// A wrong path must not look like a clean log.
fn warn_of_nothing(directory: &Path) {
    eprintln!("warning: there is nothing of a log in {}", directory.display());
}

/// The report for people.
fn table(report: &VerifyReport) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name:<12}{value}");
    };
    row("origin", format!("{:?}", report.origin).to_lowercase());
    row("segments", report.segments.to_string());
    row("entries", format!("{} of {} bytes", report.entries, report.bytes));
    if let (Some(first), Some(last)) = (report.first_sequence, report.last_sequence) {
        row("sequences", format!("#{first} to #{last}"));
    }
    if report.duplicates > 0 {
        row("duplicates", format!("{} entries whose sequence was seen before", report.duplicates));
    }
    if let Some(torn) = &report.torn_tail {
        row("torn tail", format!("{} at {}; the next start cuts it", torn.file, torn.offset));
    }
    for gap in &report.gaps {
        let left_out = format!("#{} to before #{}", gap.expected, gap.found);
        row("gap", format!("{} at {}: no {left_out}; lost, or never written", gap.file, gap.offset));
    }
    for damage in &report.damage {
        row("damage", format!("{} at {}: {}", damage.file, damage.offset, damage.reason));
    }
    row("verdict", if report.damage.is_empty() { "clean" } else { "DAMAGED" }.to_owned());
    text
}

/// An entry as it is printed in JSON.
#[derive(Debug, Serialize)]
struct EntryLine<'a> {
    file: &'a str,
    offset: u64,
    sequence: u64,
    epoch: String,
    #[serde(rename = "type")]
    entry_type: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<u8>,
    timestamp: u64,
    size: u32,
    payload_crc: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

/// A break as it is printed in JSON.
#[derive(Debug, Serialize)]
struct BreakLine<'a> {
    file: &'a str,
    offset: u64,
    #[serde(rename = "break")]
    reason: String,
}

fn run_inspect(arguments: &InspectArguments) -> Result<(), Failure> {
    let mut output = Output::new();
    let mut nothing = true;
    for (prefix, directory) in directories(arguments)? {
        let mut entries = inspect(StdDisk, &directory).map_err(|error| refused(&directory, &error))?;
        while let Some(found) = entries.next() {
            let found = found.map_err(|error| refused(&directory, &error))?;
            nothing = false;
            let line = match found {
                Inspected::Entry(entry) if entry.header.sequence().0 < arguments.from => continue,
                Inspected::Entry(entry) => entry_line(arguments, &prefix, &entries, &entry)?,
                Inspected::Break { file, offset, reason } => {
                    let file = format!("{prefix}{file}");
                    break_line(arguments, &BreakLine { file: &file, offset, reason: reason.to_string() })?
                }
            };
            if !output.line(&line)? {
                return Ok(());
            }
        }
    }
    if nothing {
        warn_of_nothing(&arguments.directory);
    }
    output.finish()
}

/// The directories of spaces, and what stands before their files' names.
fn directories(arguments: &InspectArguments) -> Result<Vec<(String, PathBuf)>, Failure> {
    let directory = &arguments.directory;
    let spaces = directory.join("spaces");
    if let Some(space) = &arguments.space {
        return Ok(vec![(format!("spaces/{space}/"), spaces.join(space.as_str()))]);
    }
    match StdDisk.list(&spaces) {
        Ok(listed) => {
            let names = listed.into_iter().filter(|entry| !entry.is_file).map(|entry| entry.name);
            Ok(names.map(|name| (format!("spaces/{name}/"), spaces.join(name))).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![(String::new(), directory.clone())]),
        Err(error) => Err(system(&spaces, &error)),
    }
}

fn entry_line(
    arguments: &InspectArguments,
    prefix: &str,
    entries: &Inspect<StdDisk>,
    entry: &InspectedEntry,
) -> Result<String, Failure> {
    let payload = match arguments.payload {
        true => Some(entries.payload(entry).map_err(|error| refused(&arguments.directory, &error))?),
        false => None,
    };
    let (header, kind) = (&entry.header, entry.header.control().kind);
    let line = EntryLine {
        file: &format!("{prefix}{}", entry.file),
        offset: entry.offset,
        sequence: header.sequence().0,
        epoch: header.epoch().to_string(),
        entry_type: header.entry_type().number(),
        control: (kind != Control::USER).then_some(kind),
        timestamp: header.timestamp(),
        size: header.payload_size(),
        payload_crc: header.payload_crc(),
        payload: payload.as_ref().map(|payload| STANDARD.encode(payload)),
    };
    if arguments.json {
        return serde_json::to_string(&line).map_err(|error| Failure::failed(error.to_string()));
    }
    let EntryLine { file, offset, sequence, epoch, entry_type, size, payload_crc, .. } = &line;
    let mut text = format!("{file} {offset} {epoch}#{sequence} type {entry_type} {size} bytes {payload_crc:08x}");
    if kind != Control::USER {
        let _ = write!(text, " control {kind}");
    }
    if let Some(payload) = payload {
        let _ = write!(text, " \"{}\"", payload.escape_ascii());
    }
    Ok(text)
}

fn break_line(arguments: &InspectArguments, line: &BreakLine<'_>) -> Result<String, Failure> {
    if arguments.json {
        return serde_json::to_string(line).map_err(|error| Failure::failed(error.to_string()));
    }
    Ok(format!("{} {} BREAK {}", line.file, line.offset, line.reason))
}

/// A failure of the log's code, by whose fault it is.
fn refused(directory: &Path, error: &WalError) -> Failure {
    match error {
        WalError::Io { path, source, .. } => system(path, source),
        WalError::Corrupt { .. } => Failure::new(Exit::Corruption, error.to_string()),
        WalError::Engram { .. }
        | WalError::NotContiguous { .. }
        | WalError::TooLarge { .. }
        | WalError::Stopped { .. }
        | WalError::NoSuchCut { .. } => Failure::failed(format!("{}: {error}", directory.display())),
    }
}

/// A path that is not there is a mistake in the arguments; everything else is the system's.
fn system(path: &Path, error: &io::Error) -> Failure {
    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        let expected = "expected a data directory, a space's directory in it, or one of Engram's";
        return Failure::usage(format!("{}: {error}; {expected}", path.display()));
    }
    Failure::failed(format!("{}: {error}", path.display()))
}

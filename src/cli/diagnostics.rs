//! `engraft diagnostics`: a bundle for those who are asked for help.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use crate::driver::config::NodeConfig;
use crate::wal::{StdDisk, verify};

use super::exit::Failure;
use super::nodes::{NodeArguments, block_on};
use super::output::print;
use super::status::{NodeReport, ask};

mod machine;
mod redact;

pub use redact::redact;

/// What is taken from the end of a log.
const LOG_BYTES: u64 = 256 << 10;

/// What to write down, and where.
#[derive(Debug, Args)]
pub struct DiagnosticsArguments {
    /// The directory to make; it must not be there yet.
    out: PathBuf,
    #[command(flatten)]
    nodes: NodeArguments,
    /// A file with a node's log; its end is taken along. May be repeated.
    #[arg(long, value_name = "FILE")]
    log_file: Vec<PathBuf>,
    /// Leave out the verification of the logs on disk, which reads all of them.
    #[arg(long)]
    no_verify: bool,
}

/// Runs it. What cannot be had is told in the bundle and on stderr, and is no failure: that is when a bundle is needed.
pub(super) fn run(arguments: &DiagnosticsArguments) -> Result<(), Failure> {
    // A configuration that does not hold is worth a bundle, too.
    let config = arguments.nodes.config();
    let out = &arguments.out;
    fs::create_dir(out).map_err(|error| {
        Failure::usage(format!("{}: {error}; expected a directory that is not there yet", out.display()))
    })?;
    let mut bundle = Bundle { out, missing: Vec::new() };
    match &config {
        Ok(Some(config)) => bundle.write("config.toml", &config.to_toml())?,
        Ok(None) => bundle.miss("the configuration", "no --config was given"),
        Err(failure) => bundle.miss("the configuration", &failure.message),
    }
    block_on(nodes(arguments, &mut bundle))?;
    if let Ok(Some(config)) = &config {
        storage(arguments, config, &mut bundle)?;
    }
    for (number, file) in arguments.log_file.iter().enumerate() {
        match tail(file) {
            Ok(text) => bundle.write(&format!("log-{}.txt", number + 1), &text)?,
            Err(error) => bundle.miss(&file.display().to_string(), &error.to_string()),
        }
    }
    let about = json!({
        "engraft": env!("CARGO_PKG_VERSION"),
        "unix_seconds": SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        "machine": machine::facts(),
        "missing": bundle.missing,
    });
    bundle.write_json("about.json", &about)?;
    print(&format!("{}\n", out.display()))
}

/// The directory that is being filled.
struct Bundle<'a> {
    out: &'a Path,
    /// What could not be had, and why.
    missing: Vec<Value>,
}

impl Bundle<'_> {
    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let file = self.out.join(name);
        fs::write(&file, redact(text)).map_err(|error| Failure::failed(format!("{}: {error}", file.display())))
    }

    fn write_json(&self, name: &str, value: &Value) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(error.to_string()))?;
        self.write(name, &(text + "\n"))
    }

    fn miss(&mut self, what: &str, why: &str) {
        eprintln!("warning: the bundle lacks {what}: {why}");
        self.missing.push(json!({ "what": what, "why": redact(why) }));
    }
}

/// What the nodes say of themselves.
async fn nodes(arguments: &DiagnosticsArguments, bundle: &mut Bundle<'_>) -> Result<(), Failure> {
    let mut nodes = match arguments.nodes.nodes() {
        Ok(nodes) => nodes,
        Err(failure) => {
            bundle.miss("what the nodes say", &failure.message);
            return Ok(());
        }
    };
    let reports = ask(&mut nodes).await?;
    bundle
        .write_json("status.json", &json!({ "nodes": reports.iter().map(NodeReport::to_json).collect::<Vec<_>>() }))?;
    for report in &reports {
        let Ok((_, status)) = &report.answer else {
            let why = report.answer.as_ref().err().map(|failure| failure.message.clone()).unwrap_or_default();
            bundle.miss(&format!("the status of {}", report.http), &why);
            continue;
        };
        match nodes.client(&report.http)?.get("/metrics").await {
            Ok(text) => {
                bundle.write(&format!("metrics-n{}.txt", status.node), &String::from_utf8_lossy(&text))?;
            }
            Err(failure) => bundle.miss(&format!("the metrics of n{}", status.node), &failure.message),
        }
    }
    Ok(())
}

/// The files of this node's data directory, and whether they hold what was written.
fn storage(arguments: &DiagnosticsArguments, config: &NodeConfig, bundle: &mut Bundle<'_>) -> Result<(), Failure> {
    let directory = &config.data_dir;
    let mut files = Vec::new();
    list(directory, directory, &mut files);
    if files.is_empty() {
        bundle.miss("the files of the log", &format!("there are none in {}", directory.display()));
        return Ok(());
    }
    files.sort_by_key(|(name, _)| name.clone());
    let files = files.into_iter().map(|(name, bytes)| json!({ "file": name, "bytes": bytes })).collect::<Vec<_>>();
    let verified = if arguments.no_verify {
        json!("left out")
    } else {
        match verify(&StdDisk, directory) {
            Ok(report) => serde_json::to_value(report).map_err(|error| Failure::failed(error.to_string()))?,
            Err(error) => json!({ "error": error.to_string() }),
        }
    };
    bundle.write_json("wal.json", &json!({ "directory": directory, "files": files, "verify": verified }))
}

/// Names and sizes of all files below a directory; what cannot be read is left out.
fn list(root: &Path, directory: &Path, files: &mut Vec<(String, u64)>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => list(root, &path, files),
            Ok(metadata) => {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                files.push((name, metadata.len()));
            }
            Err(_) => {}
        }
    }
}

/// The last whole lines of a file.
fn tail(file: &Path) -> std::io::Result<String> {
    let mut opened = fs::File::open(file)?;
    let size = opened.metadata()?.len();
    opened.seek(SeekFrom::Start(size.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    opened.take(LOG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if size <= LOG_BYTES {
        return Ok(text);
    }
    Ok(text.split_once('\n').map_or(String::new(), |(_, whole)| whole.to_owned()))
}

//! How fast the log appends and syncs, beside a raw loop of the same writes in the same run.
//!
//! `cargo run --release --example wal_rate -- [DIRECTORY] [ROUNDS]`
//!
//! For each group size it prints entries per second of the raw loop and of the log, the ratio of the two, and what the
//! raw loop makes of a file that grows or was only extended by `set_size`; rates and ratios are medians over the rounds.

use core::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use engraft::types::entry::chain_start;
use engraft::types::{ClusterId, Control, Entry, Epoch, NodeId, Position, Sequence, SpaceName, WalEntryType};
use engraft::wal::{Access, Disk, DiskFile, Handles, SpaceMemory, StdDisk, Wal, WalOptions, WalPlace};

const PAYLOAD: usize = 256;
const SEGMENT: u64 = 64 << 20;

/// How the raw loop's file is made.
#[derive(Clone, Copy)]
enum Made {
    PreWritten,
    SetSize,
    Growing,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| "target/wal-rate".into()));
    let rounds = arguments.next().map_or(Ok(5), |rounds| rounds.parse())?;
    fs::create_dir_all(&directory)?;
    println!("{PAYLOAD} B payloads; entries/s as medians of {rounds} rounds");
    println!("group      raw      log  log/raw   set_size/raw  growing/raw");
    for (group, groups) in [(1, 2_000), (10, 1_000), (100, 500), (1_000, 150)] {
        let entries = make_entries(group * groups)?;
        let (mut raw, mut log, mut sized, mut growing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            raw.push(raw_loop(&directory, &entries, group, Made::PreWritten)?);
            log.push(log_loop(&directory, &entries, group)?);
            sized.push(raw_loop(&directory, &entries, group, Made::SetSize)?);
            growing.push(raw_loop(&directory, &entries, group, Made::Growing)?);
        }
        // The two of one round ran next to one another: their ratio says more than the ratio of two medians.
        let ratio = |of: &[f64]| median(of.iter().zip(&raw).map(|(one, raw)| one / raw).collect());
        let (log_ratio, sized, growing) = (ratio(&log), ratio(&sized), ratio(&growing));
        let (raw, log) = (median(raw.clone()), median(log));
        println!("{group:>5} {raw:>8.0} {log:>8.0} {log_ratio:>8.2} {sized:>14.2} {growing:>12.2}");
    }
    for made in [Made::PreWritten, Made::SetSize] {
        let mut times: Vec<f64> = Vec::new();
        for _ in 0..rounds {
            let start = Instant::now();
            make_file(&directory.join("raw"), made)?;
            times.push(start.elapsed().as_secs_f64() * 1_000.0);
        }
        let name = match made {
            Made::PreWritten => "pre-writing",
            Made::SetSize | Made::Growing => "set_size",
        };
        println!("{name} 64 MiB and a sync: {:.1} ms", median(times));
    }
    fs::remove_dir_all(&directory)?;
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn place(directory: &Path) -> Result<WalPlace, Box<dyn Error>> {
    let cluster = ClusterId::from_name("bench")?;
    Ok(WalPlace { directory: directory.join("log"), cluster, space: SpaceName::new("bench")?.id() })
}

fn make_entries(count: usize) -> Result<Vec<Entry>, Box<dyn Error>> {
    let place = place(Path::new("."))?;
    let chain = chain_start(place.cluster, place.space);
    let mut previous = Position { epoch: Epoch::ZERO, sequence: Sequence::ZERO, chain };
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let epoch = Epoch::new(0, 1, NodeId(1));
    let entries = core::iter::repeat_with(|| {
        let (kind, control) = (WalEntryType::EpisodeStore, Control::user());
        let entry = Entry::following(&previous, epoch, kind, control, 1, payload.clone());
        previous = entry.position();
        entry
    });
    Ok(entries.take(count).collect())
}

/// A file of 64 MiB, or an empty one, made durable.
fn make_file(path: &Path, made: Made) -> Result<<StdDisk as Disk>::File, Box<dyn Error>> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    let file = StdDisk.open(path, Access::CreateNew)?;
    match made {
        Made::PreWritten => {
            let zeros = vec![0; 1 << 20];
            for offset in (0..SEGMENT).step_by(zeros.len()) {
                file.write_at(&[std::io::IoSlice::new(&zeros)], offset)?;
            }
        }
        Made::SetSize => file.set_size(SEGMENT)?,
        Made::Growing => {}
    }
    file.sync()?;
    Ok(file)
}

/// The same bytes in the same writes, and a sync after each: what a log could reach at best.
fn raw_loop(directory: &Path, entries: &[Entry], group: usize, made: Made) -> Result<f64, Box<dyn Error>> {
    let file = make_file(&directory.join("raw"), made)?;
    let mut buffer = Vec::new();
    let mut offset = 0;
    let start = Instant::now();
    for group in entries.chunks(group) {
        buffer.clear();
        for entry in group {
            buffer.extend_from_slice(entry.header.as_bytes());
            buffer.extend_from_slice(&entry.payload);
        }
        file.write_at(&[std::io::IoSlice::new(&buffer)], offset)?;
        file.sync()?;
        offset += buffer.len() as u64;
    }
    Ok(entries.len() as f64 / start.elapsed().as_secs_f64())
}

/// The log, in one segment of 64 MiB that is made before the clock runs, as the raw loop's file is.
fn log_loop(directory: &Path, entries: &[Entry], group: usize) -> Result<f64, Box<dyn Error>> {
    let place = place(directory)?;
    if place.directory.exists() {
        fs::remove_dir_all(&place.directory)?;
    }
    let options = WalOptions { segment_bytes_min: SEGMENT, segment_bytes_max: SEGMENT, ..WalOptions::default() };
    let handles = Handles::new(StdDisk, options.files_open_max);
    let (mut log, _, _) = Wal::open(handles, place, options, &SpaceMemory::default())?;
    let (first, rest) = entries.split_at(group);
    log.append(first)?;
    log.sync()?;
    let start = Instant::now();
    for group in rest.chunks(group) {
        log.append(group)?;
        log.sync()?;
    }
    Ok(rest.len() as f64 / start.elapsed().as_secs_f64())
}

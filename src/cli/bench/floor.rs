//! What this machine does for the same work without us: plain blocking loops.

use ::core::hint::black_box;
use ::core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use hdrhistogram::Histogram;

use super::figure::{median, per_second};
use super::load::noise;

/// What the loops hand on at a time.
const BLOCK: usize = 1 << 20;

/// Bytes per second of a file that is appended to in groups of this size, with an `fdatasync` after each.
pub(super) fn append_and_sync(directory: &Path, group_bytes: usize, duration: Duration) -> io::Result<f64> {
    let group = noise(group_bytes);
    let mut file = new_file(directory, "floor-append")?;
    let began = Instant::now();
    let mut bytes = 0;
    while began.elapsed() < duration {
        file.write_all(&group)?;
        file.sync_data()?;
        bytes += group.len() as u64;
    }
    Ok(per_second(bytes, began.elapsed()))
}

/// How long a write and its `fdatasync` take where at each turn all that is due by then is written.
pub(super) fn sync_times(
    directory: &Path,
    entry_bytes: usize,
    rate: u64,
    duration: Duration,
) -> io::Result<Histogram<u64>> {
    let mut times = super::open_loop::histogram();
    let mut file = new_file(directory, "floor-sync")?;
    let entries = noise(BLOCK);
    let began = Instant::now();
    let mut written = 0;
    while began.elapsed() < duration {
        let due = super::open_loop::due(began.elapsed(), rate);
        if due == written {
            thread::sleep(super::open_loop::intended(due, rate).saturating_sub(began.elapsed()));
            continue;
        }
        let bytes = usize::try_from(due - written).unwrap_or(usize::MAX).saturating_mul(entry_bytes);
        let at = Instant::now();
        file.write_all(entries.get(..bytes).unwrap_or(&entries))?;
        file.sync_data()?;
        super::open_loop::record(&mut times, at.elapsed());
        written = due;
    }
    Ok(times)
}

/// Bytes per second of the bare pipe: one thread writes and syncs a block and sends it to two others over loopback, which
/// verify its CRC32C, write and sync it.
pub(super) fn pipe(directory: &Path, duration: Duration) -> io::Result<f64> {
    let block = noise(BLOCK);
    // The bare pipe sends what it was given: nothing is computed again.
    let checksum = crc32c::crc32c(&block);
    let mut file = new_file(directory, "floor-pipe")?;
    let began = Instant::now();
    send_to_all(directory, 2, &mut |send| {
        while began.elapsed() < duration {
            file.write_all(&block)?;
            file.sync_data()?;
            send(&block, checksum)?;
        }
        Ok(())
    })
}

/// Bytes per second at which files are read, sent over loopback, verified, written and synced.
pub(super) fn copy(directory: &Path, files: &[PathBuf]) -> io::Result<f64> {
    let mut block = vec![0; BLOCK];
    send_to_all(directory, 1, &mut |send| {
        for path in files {
            let mut file = File::open(path)?;
            loop {
                let count = file.read(&mut block)?;
                let read = block.get(..count).unwrap_or_default();
                if read.is_empty() {
                    break;
                }
                send(read, crc32c::crc32c(read))?;
            }
        }
        Ok(())
    })
}

/// Takes a block and its checksum.
type Send<'a> = dyn FnMut(&[u8], u32) -> io::Result<()> + 'a;

/// Bytes per second at which `work` sends blocks to `receivers` threads, until each has the last one on disk.
fn send_to_all(
    directory: &Path,
    receivers: usize,
    work: &mut dyn FnMut(&mut Send<'_>) -> io::Result<()>,
) -> io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut streams = Vec::new();
    let mut threads = Vec::new();
    for index in 0..receivers {
        let file = new_file(directory, &format!("floor-receiver-{index}"))?;
        let sender = TcpStream::connect(address)?;
        sender.set_nodelay(true)?;
        let (stream, _) = listener.accept()?;
        threads.push(thread::spawn(move || receive(stream, file)));
        streams.push(sender);
    }
    let began = Instant::now();
    let mut bytes = 0;
    work(&mut |block, checksum| {
        for stream in &mut streams {
            stream.write_all(&u32::try_from(block.len()).unwrap_or(u32::MAX).to_le_bytes())?;
            stream.write_all(&checksum.to_le_bytes())?;
            stream.write_all(block)?;
        }
        bytes += block.len() as u64;
        Ok(())
    })?;
    for stream in &streams {
        stream.shutdown(Shutdown::Write)?;
    }
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a thread of the bare pipe panicked"))??;
    }
    Ok(per_second(bytes, began.elapsed()))
}

fn receive(mut stream: TcpStream, mut file: File) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let mut head = [0; 8];
        match stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let room = block.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
        stream.read_exact(room)?;
        if crc32c::crc32c(room) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        file.write_all(room)?;
        file.sync_data()?;
    }
}

/// Bytes per second of CRC32C over pieces of this size, one behind the other in memory.
pub(super) fn checksum(piece_bytes: usize, duration: Duration) -> f64 {
    let bytes = noise(BLOCK.next_multiple_of(piece_bytes));
    let mut turns = Vec::new();
    let began = Instant::now();
    while began.elapsed() < duration {
        let at = Instant::now();
        for piece in bytes.chunks_exact(piece_bytes) {
            black_box(crc32c::crc32c(black_box(piece)));
        }
        turns.push(per_second(bytes.len() as u64, at.elapsed()));
    }
    // The middle turn is one that had the processor for itself.
    median(turns.into_iter()).unwrap_or_default()
}

fn new_file(directory: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).open(directory.join(name))
}

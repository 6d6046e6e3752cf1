//! What recovery changes on disk: cuts that were begun, torn tails, what the page cache alone may hold.

use std::io::IoSlice;
use std::path::Path;

use crate::types::Sequence;
use crate::wal::disk::{Access, Disk, DiskFile};
use crate::wal::error::WalError;
use crate::wal::ledger::Cut;
use crate::wal::segment::{Segment, write_zeros};
use crate::wal::segment_name::SegmentName;

/// Bytes that are copied at a time.
const COPY: usize = 1 << 20;

/// Does again what a recorded truncation was to do, from its first step.
pub(super) fn complete_cut<D: Disk>(
    disk: &D,
    directory: &Path,
    cut: &Cut,
    files: &mut Vec<(SegmentName, u64)>,
) -> Result<(), WalError> {
    if let Some((name, size)) = files.iter().find(|(name, _)| name.0 == cut.segment) {
        let path = directory.join(name.to_string());
        let file = disk.open(&path, Access::ReadWrite).map_err(WalError::io("open", &path))?;
        write_zeros(&file, cut.offset, *size).map_err(WalError::io("write", &path))?;
        file.sync().map_err(WalError::io("sync", &path))?;
    }
    for (name, _) in files.iter().rev().filter(|(name, _)| name.0 > cut.segment) {
        let path = directory.join(name.to_string());
        disk.remove_file(&path).map_err(WalError::io("remove", &path))?;
    }
    files.retain(|(name, _)| name.0 <= cut.segment);
    disk.sync_directory(directory).map_err(WalError::io("sync", directory))
}

/// Deletes segments that lie before the log's recorded start, oldest first.
pub(super) fn remove_retired<D: Disk>(
    disk: &D,
    directory: &Path,
    start: Sequence,
    files: &mut Vec<(SegmentName, u64)>,
) -> Result<(), WalError> {
    for (name, _) in files.iter().filter(|(name, _)| name.0 <= start) {
        let path = directory.join(name.to_string());
        disk.remove_file(&path).map_err(WalError::io("remove", &path))?;
        disk.sync_directory(directory).map_err(WalError::io("sync", directory))?;
    }
    files.retain(|(name, _)| name.0 > start);
    Ok(())
}

/// Clears everything behind a segment's last entry, up to the file's end: pages behind a hole may hold anything.
pub(super) fn zero_tail<D: Disk>(disk: &D, directory: &Path, segment: &Segment) -> Result<(), WalError> {
    let path = segment.path(directory);
    let file = disk.open(&path, Access::ReadWrite).map_err(WalError::io("open", &path))?;
    write_zeros(&file, segment.used, segment.size).map_err(WalError::io("write", &path))?;
    file.sync().map_err(WalError::io("sync", &path))
}

/// Writes the entries above `witnessed` again and syncs their files: the page cache may show what no disk holds.
pub(super) fn rewrite<D: Disk>(
    disk: &D,
    directory: &Path,
    segments: &[Segment],
    witnessed: Sequence,
) -> Result<u64, WalError> {
    let mut entries = 0;
    for segment in segments.iter().filter(|segment| segment.next().previous() > witnessed) {
        let skipped = witnessed.next().above(segment.name.0);
        let index = segment.index.as_deref();
        let from = index.and_then(|index| index.get(usize::try_from(skipped).ok()?)).map_or(0, |from| u64::from(*from));
        entries += segment.entries.saturating_sub(skipped);
        let path = segment.path(directory);
        let file = disk.open(&path, Access::ReadWrite).map_err(WalError::io("open", &path))?;
        let mut buffer = vec![0; COPY];
        let mut place = from;
        while place < segment.used {
            let count = usize::try_from(segment.used - place).unwrap_or(COPY).min(COPY);
            let piece = buffer.get_mut(..count).unwrap_or_default();
            let read = file.read_at(piece, place).map_err(WalError::io("read", &path))?;
            if read != count {
                return Err(WalError::io("read", &path)(std::io::ErrorKind::UnexpectedEof.into()));
            }
            file.write_at(&[IoSlice::new(piece)], place).map_err(WalError::io("write", &path))?;
            place += count as u64;
        }
        file.sync().map_err(WalError::io("sync", &path))?;
    }
    Ok(entries)
}

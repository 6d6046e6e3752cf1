//! What takes entries away: cuts at the end, retention at the beginning.

use alloc::sync::Arc;

use crate::types::{Entry, Position, Sequence};
use crate::wal::disk::{Disk, DiskFile};
use crate::wal::error::WalError;
use crate::wal::ledger::{Cut, Ledger};
use crate::wal::segment::{Segment, write_zeros};

use super::Wal;

impl<D: Disk> Wal<D> {
    /// Forgets every entry behind `last`. A crash at any step leaves the log as it was or cut; what was cut is never
    /// read again: the cut is recorded durably, with the mark lowered to it, before the first byte is cleared, and the
    /// record is cleared durably before anything is appended.
    ///
    /// # Errors
    /// [`WalError::NoSuchCut`] where the log does not reach from its start over `last`;
    /// those of the operating system, which are final.
    pub fn truncate(&mut self, ledger: &mut Ledger<D>, last: Sequence) -> Result<(), WalError> {
        if self.failed {
            return Err(self.stopped());
        }
        if last < self.start.sequence || last > self.end.sequence {
            let first = self.start.sequence.next();
            return Err(WalError::NoSuchCut { first, last: self.end.sequence, found: last });
        }
        if last == self.end.sequence {
            return Ok(());
        }
        self.failed = true;
        let (at, offset, end) = self.cut_place(last)?;
        let Some(segment) = self.segments.get(at).cloned() else { return Err(self.stopped()) };
        let space = self.place.space;
        let cut = Cut { segment: segment.name.0, offset, last };
        ledger.change(space, |memory| {
            memory.cut = Some(cut);
            memory.mark = memory.mark.min(last);
        });
        ledger.write()?;
        ledger.sync()?;
        self.clear_behind(at, &segment, offset, last)?;
        ledger.change(space, |memory| memory.cut = None);
        ledger.write()?;
        ledger.sync()?;
        self.end = end;
        self.synced = last;
        self.failed = false;
        Ok(())
    }

    /// The segment and the offset at which the entries behind `last` begin, and the position of `last`.
    fn cut_place(&mut self, last: Sequence) -> Result<(usize, u64, Position), WalError> {
        if last == self.start.sequence {
            return Ok((0, 0, self.start));
        }
        let at = self.segments.partition_point(|segment| segment.name.0 <= last).saturating_sub(1);
        let index = self.index(at)?;
        let entry = self.read(last, 1, 0)?;
        let kept = self.segments.get(at).map_or(0, |segment| last.next().above(segment.name.0));
        let used = self.segments.get(at).map_or(0, |segment| segment.used);
        let offset = usize::try_from(kept).ok().and_then(|kept| index.get(kept)).map_or(used, |o| u64::from(*o));
        let end = entry.first().map(Entry::position).ok_or_else(|| self.stopped())?;
        Ok((at, offset, end))
    }

    fn clear_behind(&mut self, at: usize, segment: &Segment, offset: u64, last: Sequence) -> Result<(), WalError> {
        let directory = self.place.directory.clone();
        let path = segment.path(&directory);
        self.dirty = None;
        let file =
            self.handles.get(self.number, segment.name.0.0, || path.clone()).map_err(WalError::io("open", &path))?;
        write_zeros(file.as_ref(), offset, segment.size).map_err(WalError::io("write", &path))?;
        file.sync().map_err(WalError::io("sync", &path))?;
        for later in self.segments.drain(at + 1..).rev() {
            let path = later.path(&directory);
            self.handles.forget(self.number, later.name.0.0);
            self.handles.disk().remove_file(&path).map_err(WalError::io("remove", &path))?;
        }
        self.handles.disk().sync_directory(&directory).map_err(WalError::io("sync", &directory))?;
        if let Some(kept) = self.segments.get_mut(at) {
            kept.used = offset;
            kept.entries = last.next().above(kept.name.0);
            let entries = usize::try_from(kept.entries).unwrap_or(usize::MAX);
            Arc::make_mut(kept.index.get_or_insert_default()).truncate(entries);
        }
        Ok(())
    }

    /// Deletes whole segments that lie below `from`, oldest first, each durably before the next. The segment that is
    /// written to stays. The log's new start is recorded durably before the first one goes.
    ///
    /// # Errors
    /// Those of the operating system, which are final.
    pub fn retire(&mut self, ledger: &mut Ledger<D>, from: Sequence) -> Result<u64, WalError> {
        if self.failed {
            return Err(self.stopped());
        }
        let older = self.segments.len().saturating_sub(1);
        let count = self.segments.iter().take(older).take_while(|segment| segment.next() <= from).count();
        let Some(kept) = self.segments.get(count).filter(|_| count > 0).map(|segment| segment.name.0) else {
            return Ok(0);
        };
        let before = self.read(kept.previous(), 1, 0)?;
        let Some(start) = before.first().map(Entry::position) else { return Err(self.stopped()) };
        self.failed = true;
        ledger.change(self.place.space, |memory| memory.start = start);
        ledger.write()?;
        ledger.sync()?;
        let directory = self.place.directory.clone();
        for segment in self.segments.drain(..count) {
            let path = segment.path(&directory);
            self.handles.forget(self.number, segment.name.0.0);
            self.handles.disk().remove_file(&path).map_err(WalError::io("remove", &path))?;
            self.handles.disk().sync_directory(&directory).map_err(WalError::io("sync", &directory))?;
        }
        self.start = start;
        self.failed = false;
        Ok(count as u64)
    }
}

//! A walk over every segment of a directory, through damage, reading only.

use std::path::{Path, PathBuf};

use crate::types::{Epoch, WalEntryHeader};

use super::disk::{Access, Disk, DiskFile};
use super::error::{BreakReason, WalError};
use super::recovery::foreign;
use super::scan::{Scanner, Step, entry_size};
use super::segment_name::SegmentName;
use super::witness::synced_when_written;

/// Who wrote a directory: Engram's entries have epoch 0, ours never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Engram.
    Engram,
    /// This program.
    Engraft,
}

/// What the walk meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Met {
    /// An entry whose header and payload check out.
    Entry { offset: u64, header: WalEntryHeader },
    /// Something that is no entry; the walk goes on at the next entry behind it.
    Break { offset: u64, reason: BreakReason },
    /// The segment's end: the walk goes on with the next one.
    End { offset: u64 },
}

/// The walk.
pub(crate) struct DirectoryWalk<D: Disk> {
    disk: D,
    directory: PathBuf,
    segments: Vec<(SegmentName, Option<u64>)>,
    at: usize,
    scanner: Option<Scanner<D::File>>,
    offset: u64,
    origin: Option<Origin>,
}

impl<D: Disk> DirectoryWalk<D> {
    pub(crate) fn new(disk: D, directory: &Path) -> Result<Self, WalError> {
        let mut segments: Vec<_> = disk
            .list(directory)
            .map_err(WalError::io("list", directory))?
            .into_iter()
            .filter_map(|entry| Some((SegmentName::parse(&entry.name)?, entry.is_file.then_some(entry.size))))
            .collect();
        segments.sort_unstable();
        let directory = directory.to_owned();
        Ok(Self { disk, directory, segments, at: 0, scanner: None, offset: 0, origin: None })
    }

    pub(crate) fn segments(&self) -> &[(SegmentName, Option<u64>)] {
        &self.segments
    }

    /// Who wrote it; known from the first entry on.
    pub(crate) const fn origin(&self) -> Option<Origin> {
        self.origin
    }

    /// The next thing, and the segment it is in; `None` behind the last one.
    pub(crate) fn step(&mut self) -> Result<Option<(SegmentName, Met)>, WalError> {
        let Some((name, size)) = self.segments.get(self.at).copied() else { return Ok(None) };
        if size.is_none() {
            self.next_segment();
            return Ok(Some((name, Met::Break { offset: 0, reason: BreakReason::NotAFile })));
        }
        let path = self.directory.join(name.to_string());
        let mut scanner = match self.scanner.take() {
            Some(scanner) => scanner,
            None => {
                let file = self.disk.open(&path, Access::Read).map_err(WalError::io("open", &path))?;
                Scanner::new(file).map_err(WalError::io("read", &path))?
            }
        };
        let met = self.step_in(name, &mut scanner).map_err(WalError::io("read", &path))?;
        match met {
            Met::End { .. } => self.next_segment(),
            Met::Entry { .. } | Met::Break { .. } => self.scanner = Some(scanner),
        }
        Ok(Some((name, met)))
    }

    const fn next_segment(&mut self) {
        self.at += 1;
        self.offset = 0;
    }

    fn step_in(&mut self, name: SegmentName, scanner: &mut Scanner<D::File>) -> std::io::Result<Met> {
        let offset = self.offset;
        let (reason, header) = match scanner.step(offset)? {
            Step::End => return Ok(Met::End { offset }),
            Step::Entry(header) => {
                let origin = if header.epoch() == Epoch::ZERO { Origin::Engram } else { Origin::Engraft };
                self.origin.get_or_insert(origin);
                self.offset += entry_size(&header);
                return Ok(Met::Entry { offset, header });
            }
            Step::Bad { reason, header } => (reason, header),
        };
        let origin = self.origin;
        let behind = scanner.header_behind(offset, header.as_ref(), |place, header| match origin {
            Some(Origin::Engram) => true,
            Some(Origin::Engraft) => synced_when_written(header, name, place).is_ok(),
            None => header.epoch() == Epoch::ZERO || synced_when_written(header, name, place).is_ok(),
        })?;
        let Some((next, _)) = behind else {
            self.offset = scanner.size();
            return refine(scanner, offset, reason);
        };
        self.offset = next;
        Ok(Met::Break { offset, reason })
    }
}

/// Says what a break is behind which nothing of the log follows in its file.
fn refine<F: DiskFile>(scanner: &mut Scanner<F>, offset: u64, reason: BreakReason) -> std::io::Result<Met> {
    if offset == 0
        && let Some(found) = foreign(scanner)?
    {
        return Ok(Met::Break { offset, reason: BreakReason::Foreign { found } });
    }
    if scanner.word(offset)? == Some(0)
        && let Some(place) = scanner.first_non_zero(offset)?
    {
        return Ok(Met::Break { offset: place, reason: BreakReason::NotZero });
    }
    Ok(Met::Break { offset, reason })
}

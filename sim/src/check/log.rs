//! One node's log of one space, read from the bytes on its disk as they are written.

use alloc::collections::BTreeMap;

use engraft::types::entry::chain_start;
use engraft::types::{ClusterId, Epoch, HEADER_SIZE, Sequence, SpaceId, WalEntryHeader};

use super::members::Start;
use crate::disk::{FileNumber, SimDisk};

/// One entry on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) epoch: Epoch,
    pub(crate) chain: u32,
    pub(crate) header_crc: u32,
    pub(crate) payload_crc: u32,
    offset: u64,
    size: u64,
    /// The timestamp, by which the operation is known that it is of; 0 for a control entry.
    pub(crate) stamp: u64,
    /// What it says where it begins an epoch.
    pub(crate) start: Option<Start>,
}

/// What was done to a log's bytes behind its back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Damage {
    /// The lowest entry with a turned bit in its verified bytes.
    pub(crate) rotten: Option<Sequence>,
    /// Syncs lied, blocks went astray, or the disk is new: anything may be missing.
    pub(crate) anything: bool,
    /// The disk is new, and all other voters know better than to take the node for who it was.
    pub(crate) excluded: bool,
    /// A power failure took entries that a weak fsync mode had called durable.
    pub(crate) forgot: bool,
}

impl Record {
    pub(crate) const fn payload_bytes(&self) -> u64 {
        self.size - HEADER_SIZE as u64
    }
}

#[derive(Debug)]
struct Segment {
    first: Sequence,
    records: Vec<Record>,
    /// How many of the records are synced.
    synced: usize,
    /// Whether a crash would leave the file its name.
    named: bool,
}

/// One node's log of one space, as its bytes say.
#[derive(Debug)]
pub(crate) struct DiskLog {
    chain_start: u32,
    files: BTreeMap<FileNumber, Sequence>,
    segments: BTreeMap<Sequence, Segment>,
    end: Sequence,
    durable: Sequence,
    /// The durable end before the last sync that moved it: what is at or below it, later entries bear witness of.
    pub(crate) durable_before: Sequence,
    pub(crate) damage: Damage,
}

/// What a write made of a log.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// The first sequence that is new, and how many are.
    pub(crate) new: Option<(Sequence, usize)>,
    pub(crate) dropped: Option<Dropped>,
    /// A valid entry that does not belong where it stands.
    pub(crate) misplaced: Option<(Sequence, Sequence)>,
    /// An entry whose chain does not continue.
    pub(crate) broken_chain: Option<Sequence>,
}

/// Entries that are gone from a log.
#[derive(Debug, Clone)]
pub(crate) struct Dropped {
    pub(crate) first: Sequence,
    pub(crate) last: Sequence,
    /// The last of them that was durable.
    pub(crate) durable_last: Option<Sequence>,
    /// Those of them that were durable.
    pub(crate) durable: Vec<(Epoch, Sequence)>,
    pub(crate) epoch: Epoch,
}

impl DiskLog {
    pub(crate) fn new(cluster: ClusterId, space: SpaceId) -> Self {
        Self {
            chain_start: chain_start(cluster, space),
            files: BTreeMap::new(),
            segments: BTreeMap::new(),
            end: Sequence::ZERO,
            durable: Sequence::ZERO,
            durable_before: Sequence::ZERO,
            damage: Damage::default(),
        }
    }

    pub(crate) const fn end(&self) -> Sequence {
        self.end
    }

    pub(crate) const fn durable_end(&self) -> Sequence {
        self.durable
    }

    pub(crate) fn has(&self, file: FileNumber) -> bool {
        self.files.contains_key(&file)
    }

    pub(crate) fn record(&self, sequence: Sequence) -> Option<&Record> {
        let (_, segment) = self.segments.range(..=sequence).next_back()?;
        segment.records.get(usize::try_from(sequence.0 - segment.first.0).ok()?)
    }

    /// The segment files in order of their first sequences.
    pub(crate) fn files(&self) -> Vec<(Sequence, FileNumber)> {
        let mut files: Vec<_> = self.files.iter().map(|(file, first)| (*first, *file)).collect();
        files.sort_unstable();
        files
    }

    /// The bytes of all entries above a sequence.
    pub(crate) fn bytes_above(&self, sequence: Sequence) -> u64 {
        let above = |segment: &Segment| {
            let skip = sequence.0.saturating_sub(segment.first.0 - 1);
            let skip = usize::try_from(skip).unwrap_or(usize::MAX);
            segment.records.iter().skip(skip).map(|record| record.size).sum::<u64>()
        };
        self.segments.values().map(above).sum()
    }

    /// The file and the bytes of an entry.
    pub(crate) fn place(&self, sequence: Sequence) -> Option<(FileNumber, u64, u64)> {
        let (first, _) = self.segments.range(..=sequence).next_back()?;
        let record = self.record(sequence)?;
        let (file, _) = self.files.iter().find(|(_, start)| *start == first)?;
        Some((*file, record.offset, record.size))
    }

    /// The chain at the end; that of the log's start where it is empty.
    pub(crate) fn end_chain(&self) -> u32 {
        self.record(self.end).map_or(self.chain_start, |record| record.chain)
    }

    pub(crate) fn add_segment(&mut self, file: FileNumber, first: Sequence) {
        self.files.insert(file, first);
        self.segments.insert(first, Segment { first, records: Vec::new(), synced: 0, named: false });
    }

    pub(crate) fn remove_segment(&mut self, file: FileNumber) -> Option<Dropped> {
        let first = self.files.remove(&file)?;
        if self.files.values().any(|other| *other == first) {
            return None;
        }
        let segment = self.segments.remove(&first)?;
        // A segment behind a hole was never a part of the log.
        let of_the_log = segment.first <= self.end;
        let dropped = dropped(&segment, 0, &segment.records, segment.synced).filter(|_| of_the_log);
        self.measure();
        dropped
    }

    /// Reads what a write at `offset` made of the file; what ends behind `limit` was there before, or is not there yet.
    pub(crate) fn parse(&mut self, file: FileNumber, offset: u64, limit: u64, bytes: &[u8], parsed: &mut Parsed) {
        let Some(first) = self.files.get(&file).copied() else { return };
        let start = self.segments.range(..first).next_back().and_then(|(_, before)| {
            (before.first.0 + before.records.len() as u64 == first.0)
                .then(|| before.records.last().map(|last| last.chain))?
        });
        let start = start.or((first.0 == 1).then_some(self.chain_start));
        let Some(segment) = self.segments.get_mut(&first) else { return };
        let kept = segment.records.partition_point(|record| record.offset + record.size <= offset);
        let aside = if kept < segment.records.len() { segment.records.split_off(kept) } else { Vec::new() };
        let was_synced = segment.synced;
        segment.synced = was_synced.min(kept);
        let mut at = segment.records.last().map_or(0, |record| record.offset + record.size);
        let mut chain = segment.records.last().map(|record| record.chain).or(start);
        while let Some(record) = read_record(bytes, at) {
            let expected = Sequence(first.0 + segment.records.len() as u64);
            let (header, record) = record;
            let same = aside.get(segment.records.len() - kept) == Some(&record);
            if !same && at + record.size > limit {
                break;
            }
            if header.sequence() != expected {
                parsed.misplaced = Some((expected, header.sequence()));
                break;
            }
            if chain.is_some_and(|chain| header.chain_after(chain) != header.chain()) {
                parsed.broken_chain = Some(expected);
            }
            if same && segment.records.len() < was_synced {
                segment.synced = segment.records.len() + 1;
            }
            if !same {
                let new = parsed.new.get_or_insert((expected, 0));
                new.1 += 1;
            }
            at += record.size;
            chain = Some(record.chain);
            segment.records.push(record);
        }
        let again = segment.records.len() - kept;
        if again < aside.len() {
            let gone = aside.get(again..).unwrap_or_default();
            parsed.dropped = dropped(segment, segment.records.len(), gone, was_synced);
        }
        self.measure_end();
    }

    pub(crate) fn synced(&mut self, file: FileNumber, disk: &SimDisk) {
        let Some(segment) = self.files.get(&file).and_then(|first| self.segments.get_mut(first)) else { return };
        segment.synced = segment.records.len();
        if !segment.named {
            segment.named = disk.name_is_durable(file);
        }
        self.measure();
    }

    pub(crate) fn names_synced(&mut self, disk: &SimDisk) {
        for (file, first) in &self.files {
            if let Some(segment) = self.segments.get_mut(first)
                && !segment.named
            {
                segment.named = disk.name_is_durable(*file);
            }
        }
        self.measure();
    }

    /// Begins anew: the segments are read again after a crash.
    pub(crate) fn clear(&mut self) {
        self.files.clear();
        self.segments.clear();
        self.end = Sequence::ZERO;
        self.durable = Sequence::ZERO;
    }

    /// After a power failure: what stands on the disk has its name, and is durable up to `synced`, which was so before. What
    /// is left above that is recovery's to keep or to cut, and durable once it is synced.
    pub(crate) fn left_by_power(&mut self, synced: Sequence) {
        for segment in self.segments.values_mut() {
            let synced = synced.next().0.saturating_sub(segment.first.0);
            segment.synced = usize::try_from(synced).unwrap_or(usize::MAX).min(segment.records.len());
            segment.named = true;
        }
        let before = self.durable_before;
        self.measure();
        self.durable_before = before;
    }

    fn measure(&mut self) {
        self.measure_end();
        let mut durable = Sequence::ZERO;
        for segment in self.segments.values() {
            if segment.first != durable.next() || !segment.named {
                break;
            }
            durable = Sequence(durable.0 + segment.synced as u64);
            if segment.synced < segment.records.len() {
                break;
            }
        }
        if durable > self.durable {
            self.durable_before = self.durable;
        }
        self.durable = durable;
    }

    fn measure_end(&mut self) {
        let mut end = Sequence::ZERO;
        for segment in self.segments.values() {
            if segment.first != end.next() {
                break;
            }
            end = Sequence(end.0 + segment.records.len() as u64);
        }
        self.end = end;
        self.durable = self.durable.min(end);
    }
}

fn dropped(segment: &Segment, from: usize, gone: &[Record], synced: usize) -> Option<Dropped> {
    let epoch = gone.first()?.epoch;
    let first = Sequence(segment.first.0 + from as u64);
    let last = Sequence(first.0 + gone.len() as u64 - 1);
    let durable = synced.saturating_sub(from).min(gone.len());
    let durable_last = (durable > 0).then(|| Sequence(first.0 + durable as u64 - 1));
    let durable = gone.iter().zip(first.0..).take(durable).map(|(record, at)| (record.epoch, Sequence(at))).collect();
    Some(Dropped { first, last, durable_last, durable, epoch })
}

/// The entries that stand one behind another from an offset on.
pub(super) fn records(bytes: &[u8], mut at: u64) -> Vec<(Epoch, Sequence)> {
    let mut found = Vec::new();
    while let Some((header, record)) = read_record(bytes, at) {
        found.push((record.epoch, header.sequence()));
        at += record.size;
    }
    found
}

fn read_record(bytes: &[u8], at: u64) -> Option<(WalEntryHeader, Record)> {
    let from = usize::try_from(at).ok()?;
    let header = bytes.get(from..from + HEADER_SIZE)?.first_chunk::<HEADER_SIZE>()?;
    let header = WalEntryHeader::parse(header).ok()?;
    let payload_size = header.payload_size() as usize;
    let payload = bytes.get(from + HEADER_SIZE..from + HEADER_SIZE + payload_size)?;
    if crc32c::crc32c(payload) != header.payload_crc() {
        return None;
    }
    let begins = header.control().kind == engraft::types::Control::EPOCH_START;
    let is_clients = header.control().kind == engraft::types::Control::USER;
    let record = Record {
        epoch: header.epoch(),
        chain: header.chain(),
        header_crc: header.header_crc(),
        payload_crc: header.payload_crc(),
        offset: at,
        size: (HEADER_SIZE + payload_size) as u64,
        stamp: if is_clients { header.timestamp() } else { 0 },
        start: if begins { Start::read(payload) } else { None },
    };
    Some((header, record))
}

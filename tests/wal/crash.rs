//! Crashes after every change of a scripted history on the simulator's disk, with every tear of the last write and many
//! choices and orders of what was not synced; log and recovery are the production code.

use std::path::Path;

use engraft::core::{Event, draw::draw};
use engraft::driver::wal_worker::{StorageOptions, WalRequest, WalWorker};
use engraft::types::message::SpaceEpoch;
use engraft::types::{Entry, Epoch, FsyncMode, Position, Sequence, WriteId};
use engraft::wal::salvage::SalvageFile;
use engraft::wal::{Disk, verify};
use engraft_sim::disk::{CrashPoint, SimDisk, Survivor, Survivors};

use super::support::{beginning, entries_after, epoch, fresh_disk, open, options, read_all, read_behind, same, space};

const SPACE: &str = "/node/spaces/orders";
/// What the draws here are for.
const KEEP: u64 = 0x6372_6173;

/// What must hold once the disk was changed so often.
#[derive(Clone, Debug)]
struct Promise {
    changes: usize,
    /// Told to be durable: in the log, whatever happens.
    acked: Vec<Entry>,
    /// Written at most: nothing else is in the log.
    written: Vec<Entry>,
    /// Cut durably, or about to be: the log may end here instead.
    may_end_at: Option<usize>,
    /// Saved and cut: in a salvage file each, whatever happens.
    salvaged: Vec<Vec<Entry>>,
    /// How many entries were retired, and how many may be.
    retired: (usize, usize),
    promise: Epoch,
    promise_asked: Epoch,
}

struct Script {
    disk: SimDisk,
    options: StorageOptions,
    state: Promise,
    promises: Vec<Promise>,
}

impl Script {
    fn note(&mut self) {
        self.state.changes = self.disk.crash_points_kept();
        self.promises.push(self.state.clone());
    }

    fn append(&mut self, worker: &mut WalWorker<SimDisk>, term: u32, count: u64) {
        let after = self.state.written.last().map_or(beginning(), Entry::position);
        let entries =
            entries_after(after, term, count, |sequence| usize::try_from(sequence * 37 % 190).expect("small"));
        self.state.written.extend(entries.iter().cloned());
        self.note();
        worker.submit(WalRequest::Append { space: space(), write: WriteId(after.sequence.0 + 1), entries });
        // A promise that is asked for again costs nothing, and its frame is written while the group is unsynced.
        worker.submit(WalRequest::SaveVote { space: space(), promise: self.state.promise });
        let mut events = Vec::new();
        while worker.has_work() {
            worker.write();
            worker.sync();
            worker.complete(&mut events);
        }
        assert!(matches!(events.as_slice(), [Event::VotesSaved { .. }, Event::WalAppended { .. }]), "{events:?}");
        if self.strict() {
            self.state.acked = self.state.written.clone();
        }
        self.note();
    }

    fn close(&mut self, worker: WalWorker<SimDisk>) {
        self.note();
        worker.close().expect("a clean stop");
        self.state.acked = self.state.written.clone();
        self.note();
    }

    /// Whether "told to be durable" means durable.
    fn strict(&self) -> bool {
        matches!(self.options.spaces[0].1.fsync, FsyncMode::PerWrite | FsyncMode::PerBatch)
    }

    fn promise(&mut self, worker: &mut WalWorker<SimDisk>, term: u32) {
        self.state.promise_asked = epoch(term);
        self.note();
        worker.submit(WalRequest::SaveVote { space: space(), promise: epoch(term) });
        let events = super::support::run(worker);
        assert_eq!(events, [Event::VotesSaved { votes: vec![SpaceEpoch { space: space(), epoch: epoch(term) }] }]);
        self.state.promise = epoch(term);
        self.note();
    }

    fn retire(&mut self, worker: &mut WalWorker<SimDisk>, from: u64) {
        let starts =
            self.disk.list(Path::new(SPACE)).expect("listed").into_iter().filter_map(|entry| {
                u64::from_str_radix(entry.name.get(4..20)?, 16).ok().filter(|first| *first <= from)
            });
        let kept = usize::try_from(starts.max().expect("a segment")).expect("small") - 1;
        assert!(kept > self.state.retired.0, "something is retired");
        self.state.retired.1 = kept;
        self.note();
        assert!(worker.retire(space(), Sequence(from)).expect("retired") > 0);
        self.state.retired.0 = kept;
        self.note();
    }

    fn truncate(&mut self, worker: &mut WalWorker<SimDisk>, last: usize) {
        let (first, end) = (Sequence(last as u64 + 1), Sequence(self.state.written.len() as u64));
        self.state.may_end_at = Some(last);
        self.note();
        let (write, by) = (WriteId(7), epoch(9));
        worker.submit(WalRequest::Salvage { space: space(), write, first, last: end, by });
        worker.submit(WalRequest::Truncate { space: space(), write, last: Sequence(last as u64) });
        let events = super::support::run(worker);
        let (saved, cut) =
            (Event::SalvageSaved { space: space(), write }, Event::WalTruncated { space: space(), write });
        assert_eq!(events, [saved, cut]);
        self.state.salvaged.push(self.state.written.split_off(last));
        // The cut's own syncs make everything before it durable, in every mode.
        self.state.acked = self.state.written.clone();
        self.state.may_end_at = None;
        self.note();
    }
}

/// A life in small segments: appends over rolls, promises, idleness, two cuts, a clean stop, a kill, retention.
fn history(mode: FsyncMode) -> Script {
    let mut options = options(Path::new("/node"), mode);
    options.wal.segment_bytes_min = 4096;
    options.wal.segment_bytes_max = 8192;
    let state = Promise {
        changes: 0,
        acked: Vec::new(),
        written: Vec::new(),
        may_end_at: None,
        salvaged: Vec::new(),
        retired: (0, 0),
        promise: Epoch::ZERO,
        promise_asked: Epoch::ZERO,
    };
    let disk = fresh_disk();
    disk.keep_crash_points();
    let mut script = Script { disk, options, state, promises: Vec::new() };
    script.note();
    let (mut worker, _) = open(script.disk.clone(), &script.options);
    script.note();
    script.append(&mut worker, 1, 1);
    script.append(&mut worker, 1, 19);
    script.promise(&mut worker, 2);
    script.append(&mut worker, 2, 20);
    worker.idle();
    script.append(&mut worker, 2, 5);
    script.truncate(&mut worker, 42);
    script.append(&mut worker, 3, 8);
    script.truncate(&mut worker, 15);
    script.append(&mut worker, 4, 45);
    script.close(worker);
    let (mut worker, _) = open(script.disk.clone(), &script.options);
    script.append(&mut worker, 5, 4);
    drop(worker);
    let (mut worker, _) = open(script.disk.clone(), &script.options);
    script.promise(&mut worker, 6);
    script.retire(&mut worker, 50);
    script.append(&mut worker, 6, 3);
    script
}

/// Opens what a crash left, twice, and holds it against what was told before.
fn check(script: &Script, promise: &Promise, disk: &SimDisk, what: &dyn Fn() -> String) {
    let directory = Path::new(SPACE);
    if disk.list(directory).is_ok() {
        let looked = verify(disk, directory).expect("readable");
        assert_eq!(looked.damage, [], "{}: no crash is damage", what());
    }
    let opened = WalWorker::open(disk.clone(), &script.options);
    let (mut worker, opened) = opened.unwrap_or_else(|error| panic!("{}: {error}", what()));
    let (end, history, found) = match opened.events.first() {
        Some(Event::SpaceOpened(space)) => (space.end, space.history.clone(), space.promise),
        other => panic!("{}: {other:?}", what()),
    };
    assert!(found >= promise.promise && found <= promise.promise_asked, "{}: promised {found}", what());
    let recovered = &opened.reports.first().expect("one").1;
    let start = usize::try_from(recovered.last_sequence.0 - recovered.entries).expect("small");
    assert!([promise.retired.0, promise.retired.1].contains(&start), "{}: it begins behind {start}", what());
    // What was retired is gone with everybody's knowledge: it counts as kept.
    let mut log = promise.written[..start].to_vec();
    log.extend(read_behind(&mut worker, start));
    assert!(log.len() <= promise.written.len(), "{}: {} entries", what(), log.len());
    assert!(same(&log, &promise.written[..log.len()]), "{}: nothing is invented", what());
    let least = promise.may_end_at.map_or(promise.acked.len(), |cut| cut.min(promise.acked.len()));
    assert!(log.len() >= least, "{}: {} of {least} acknowledged entries", what(), log.len());
    if let Some(cut) = promise.may_end_at {
        assert!(log.len() == cut || log.len() >= promise.acked.len(), "{}: half a cut, {}", what(), log.len());
    }
    assert_eq!(end, log.last().map_or(beginning(), Entry::position), "{}", what());
    drop(worker);
    let salvaged = salvaged(disk);
    let is_saved = |entries: &[Entry]| salvaged.iter().any(|found| found == &plain(entries));
    assert!(promise.salvaged.iter().all(|entries| is_saved(entries)), "{}: {} files", what(), salvaged.len());
    if promise.may_end_at.is_some_and(|cut| cut == log.len()) {
        assert!(is_saved(&promise.written[log.len()..]), "{}: cut before it was saved", what());
    }
    let after = disk.fork();
    let (mut worker, opened) = open(after, &script.options);
    let again: Option<(Position, _)> = match opened.events.first() {
        Some(Event::SpaceOpened(space)) => Some((space.end, space.history.clone())),
        _ => None,
    };
    assert_eq!(again, Some((end, history)), "{}: recovering twice gives the same log", what());
    let report = &opened.reports.first().expect("one").1;
    assert_eq!((&report.torn_tail, report.rewritten), (&None, 0), "{}: recovery ends durable", what());
    assert_eq!(read_behind(&mut worker, start), log[start..], "{}", what());
}

/// What the salvage files hold; none is ever half.
fn salvaged(disk: &SimDisk) -> Vec<Vec<Entry>> {
    let directory = Path::new("/node/salvage/orders");
    let named = disk.list(directory).unwrap_or_default();
    let opened = named.iter().map(|named| SalvageFile::open(disk, &directory.join(&named.name)).expect("whole"));
    opened.map(|file| file.entries().collect::<Result<_, _>>().expect("whole")).collect()
}

/// The entries as a salvage file has them.
fn plain(entries: &[Entry]) -> Vec<Entry> {
    let plain = |entry: &Entry| Entry { header: entry.header.with_node_local([0; 8]), payload: entry.payload.clone() };
    entries.iter().map(plain).collect()
}

/// Every crash that is tried at one point, with its name.
fn crashes_at(point: &CrashPoint, at: usize, byte_tears: bool) -> Vec<(String, Survivors)> {
    let (pieces, names) = (point.changes().len(), point.names().len());
    let mut crashes = Vec::new();
    // Names reach the disk in any order, too.
    for set in 0..1_u32 << names.min(8) {
        let names: Vec<usize> = (0..names).filter(|name| set >> name & 1 == 1).collect();
        crashes.push((
            format!("all bytes, names {names:?}"),
            Survivors { names: names.clone(), ..point.keeping(|_| true) },
        ));
        crashes.push((format!("no bytes, names {names:?}"), Survivors { names, ..point.keeping(|_| false) }));
    }
    if pieces > 1 {
        for one in 0..pieces {
            crashes.push((format!("only piece {one}"), point.keeping(|piece| piece == one)));
            crashes.push((format!("all but piece {one}"), point.keeping(|piece| piece != one)));
        }
        for n in 0..8_u64 {
            let drawn = |piece: usize, what: u64| draw(n * 4 + what, KEEP, at as u64, piece as u64);
            let mut some = point.keeping(|piece| drawn(piece, 0).is_multiple_of(2));
            crashes.push((format!("drawn {n}"), some.clone()));
            // The same in another order, and each torn somewhere: its beginning or its end is lost.
            some.changes.sort_by_key(|survivor| drawn(survivor.change, 1));
            for Survivor { change, bytes } in &mut some.changes {
                let cut = usize::try_from(drawn(*change, 2) % 512).expect("small");
                *bytes = if drawn(*change, 3).is_multiple_of(2) { 0..cut } else { cut..512 };
            }
            crashes.push((format!("drawn, reordered and torn {n}"), some));
        }
    }
    if byte_tears {
        crashes.extend(point.tears().enumerate().map(|(tear, survivors)| (format!("tear {tear}"), survivors)));
    }
    crashes
}

fn crash_everywhere(mode: FsyncMode, byte_tears: bool) -> u64 {
    let script = history(mode);
    let points = script.disk.take_crash_points();
    let mut crashes = 0_u64;
    for (at, (change, point)) in points.iter().enumerate() {
        let made = at + 1;
        // What was told and asked by the time this change was made.
        let told = script.promises.partition_point(|promise| promise.changes <= made).saturating_sub(1);
        for (how, survivors) in crashes_at(point, at, byte_tears) {
            let what = || format!("change {made} ({change:?}), {how}");
            check(&script, &script.promises[told], &point.disk(&survivors), &what);
            crashes += 1;
        }
    }
    println!("{mode:?}: {crashes} crashes at {} points", points.len());
    crashes
}

#[test]
fn no_crash_loses_or_invents_an_entry_per_batch() {
    let crashes = crash_everywhere(FsyncMode::PerBatch, true);
    assert!(crashes > 16_000, "{crashes}");
}

#[test]
fn no_crash_loses_or_invents_an_entry_per_write() {
    let crashes = crash_everywhere(FsyncMode::PerWrite, false);
    assert!(crashes > 500, "{crashes}");
}

/// What is told to be durable is only written here: what a crash leaves is still a whole prefix.
#[test]
fn no_crash_leaves_more_than_a_prefix_under_the_weak_modes() {
    for mode in [FsyncMode::Timer, FsyncMode::None] {
        let crashes = crash_everywhere(mode, false);
        assert!(crashes > 500, "{mode:?} {crashes}");
    }
}

/// After a kill the page cache shows entries that no disk holds. What recovery accepts of them it has told of, so a
/// power failure right afterwards may not take it back.
#[test]
fn recovery_ends_durable() {
    let options = options(Path::new("/node"), FsyncMode::PerBatch);
    let disk = fresh_disk();
    let (mut worker, _) = open(disk.clone(), &options);
    let entries = entries_after(beginning(), 1, 30, |_| 100);
    super::support::append(&mut worker, 1, &entries[..10]);
    let request = WalRequest::Append { space: space(), write: WriteId(2), entries: entries[10..].to_vec() };
    worker.submit(request);
    worker.write();
    drop(worker);
    let (worker, opened) = open(disk.clone(), &options);
    assert_eq!(super::support::end_of(&opened), entries[29].position());
    assert_eq!(opened.reports.first().expect("open").1.rewritten, 20);
    drop(worker);
    let (mut worker, opened) = open(disk.crash_point().disk(&Survivors::default()), &options);
    assert_eq!(super::support::end_of(&opened), entries[29].position());
    assert!(same(&read_all(&mut worker), &entries));
}

/// After a failed sync the kernel shows what was written and calls it clean, so a later sync writes nothing of it.
/// Only writing it again makes it durable.
#[test]
fn what_a_failed_sync_left_in_the_cache_is_written_again() {
    let options = options(Path::new("/node"), FsyncMode::PerBatch);
    let disk = fresh_disk();
    let (mut worker, _) = open(disk.clone(), &options);
    let entries = entries_after(beginning(), 1, 30, |_| 100);
    super::support::append(&mut worker, 1, &entries[..10]);
    disk.fail_next_sync();
    let events = super::support::append(&mut worker, 2, &entries[10..]);
    assert!(matches!(events.as_slice(), [Event::StorageFailed { .. }]), "{events:?}");
    drop(worker);
    let (worker, opened) = open(disk.clone(), &options);
    assert_eq!(super::support::end_of(&opened), entries[29].position(), "the cache shows them");
    drop(worker);
    let (mut worker, opened) = open(disk.crash_point().disk(&Survivors::default()), &options);
    assert_eq!(super::support::end_of(&opened), entries[29].position(), "and the disk holds them");
    assert!(same(&read_all(&mut worker), &entries));
}

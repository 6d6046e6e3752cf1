//! Random lives of a log against the simplest log there is, and random bytes through recovery.

use std::path::Path;

use engraft::core::Event;
use engraft::driver::wal_worker::{StorageOptions, WalRequest, WalWorker};
use engraft::types::{Entry, FsyncMode, ReadId, Sequence};
use engraft::wal::{Disk, inspect, verify};
use engraft_sim::disk::SimDisk;
use proptest::prelude::*;

use super::support::{
    append, beginning, bytes, entries_after, epoch, flip, fresh_disk, open, options, put, run, same, space, truncate,
};

#[derive(Debug, Clone)]
enum Step {
    Append { count: u64, size: usize },
    Promise(u32),
    Idle,
    Kill,
    Stop,
    Truncate(prop::sample::Index),
    Retire(prop::sample::Index),
    Read { from: prop::sample::Index, entries_max: u32, bytes_max: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..60_u64, 0..700_usize).prop_map(|(count, size)| Step::Append { count, size }),
        1 => (1..9_u32).prop_map(Step::Promise),
        1 => Just(Step::Idle),
        2 => Just(Step::Kill),
        1 => Just(Step::Stop),
        2 => any::<prop::sample::Index>().prop_map(Step::Truncate),
        1 => any::<prop::sample::Index>().prop_map(Step::Retire),
        4 => (any::<prop::sample::Index>(), 0..50_u32, 0..20_000_u64)
            .prop_map(|(from, entries_max, bytes_max)| Step::Read { from, entries_max, bytes_max }),
    ];
    prop::collection::vec(step, 1..40)
}

/// The log as a list; the entries before `start` are retired.
struct Model {
    entries: Vec<Entry>,
    start: usize,
    term: u32,
    promise: u32,
}

struct Life {
    options: StorageOptions,
    disk: SimDisk,
    worker: Option<WalWorker<SimDisk>>,
    model: Model,
}

impl Life {
    fn new(mode: FsyncMode) -> Self {
        let mut options = options(Path::new("/node"), mode);
        options.wal.segment_bytes_min = 4096;
        options.wal.segment_bytes_max = 16_384;
        options.wal.indexes_max = 1;
        options.wal.files_open_max = 2;
        options.wal.group_entries = 7;
        let disk = fresh_disk();
        let (worker, _) = open(disk.clone(), &options);
        let model = Model { entries: Vec::new(), start: 0, term: 1, promise: 0 };
        Self { options, disk, worker: Some(worker), model }
    }

    fn worker(&mut self) -> &mut WalWorker<SimDisk> {
        self.worker.as_mut().expect("it is open between the steps")
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append { count, size } => {
                let after = self.model.entries.last().map_or(beginning(), Entry::position);
                let added = entries_after(after, self.model.term, *count, |_| *size);
                let events = append(self.worker(), after.sequence.0, &added);
                assert!(matches!(events.as_slice(), [Event::WalAppended { .. }]), "{events:?}");
                self.model.entries.extend(added);
            }
            Step::Promise(term) => {
                self.worker().submit(WalRequest::SaveVote { space: space(), promise: epoch(*term) });
                run(self.worker());
                self.model.promise = self.model.promise.max(*term);
            }
            Step::Idle => self.worker().idle(),
            Step::Kill => {
                self.worker = None;
                self.reopen();
            }
            Step::Stop => {
                self.worker.take().expect("open").close().expect("a clean stop");
                let report = verify(&self.disk, Path::new("/node")).expect("readable");
                assert_eq!((report.damage, report.torn_tail), (vec![], None));
                assert_eq!(report.entries, (self.model.entries.len() - self.model.start) as u64);
                self.reopen();
            }
            Step::Truncate(index) => {
                let last = self.model.start + index.index(self.model.entries.len() - self.model.start + 1);
                truncate(self.worker(), Sequence(last as u64));
                self.model.entries.truncate(last);
                self.model.term += 1;
            }
            Step::Retire(index) => {
                let from = index.index(self.model.entries.len() + 1);
                self.worker().retire(space(), Sequence(from as u64)).expect("retired");
                let listed = self.disk.list(Path::new("/node/spaces/orders")).expect("listed");
                let first = listed.first().map(|entry| u64::from_str_radix(&entry.name[4..20], 16).expect("a name"));
                let start = usize::try_from(first.map_or(0, |first| first - 1)).expect("small");
                assert!(start == self.model.start || start < from, "only what lies below is retired");
                self.model.start = self.model.start.max(start);
            }
            Step::Read { from, entries_max, bytes_max } => {
                let from = from.index(self.model.entries.len() + 2);
                self.read(from, *entries_max, *bytes_max);
            }
        }
    }

    fn reopen(&mut self) {
        let (worker, opened) = open(self.disk.clone(), &self.options);
        let Some(Event::SpaceOpened(found)) = opened.events.first() else { panic!("{opened:?}") };
        assert_eq!(found.end, self.model.entries.last().map_or(beginning(), Entry::position));
        let promised = if self.model.promise == 0 { engraft::types::Epoch::ZERO } else { epoch(self.model.promise) };
        assert_eq!(found.promise, promised);
        self.worker = Some(worker);
    }

    fn read(&mut self, from: usize, entries_max: u32, bytes_max: u64) {
        let read = ReadId(1);
        let request = WalRequest::Read { space: space(), read, from: Sequence(from as u64), entries_max, bytes_max };
        self.worker().submit(request);
        let events = run(self.worker());
        let [Event::WalRead { entries, .. }] = events.as_slice() else { panic!("{events:?}") };
        let rest =
            if from > self.model.start { &self.model.entries[(from - 1).min(self.model.entries.len())..] } else { &[] };
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.size() as u64;
            bytes <= bytes_max
        };
        let count = rest.iter().take(entries_max as usize).take_while(fits).count().max(usize::from(!rest.is_empty()));
        assert!(same(entries, &rest[..count]), "from {from}: {} of {count}", entries.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_list_that_outlives_kills(steps in steps()) {
        for mode in [FsyncMode::PerBatch, FsyncMode::None] {
            let mut life = Life::new(mode);
            for step in &steps {
                life.step(step);
            }
            life.step(&Step::Kill);
            let from = life.model.start + 1;
            life.read(from, u32::MAX, u64::MAX);
        }
    }

    #[test]
    fn garbage_in_any_file_is_a_typed_answer(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 1..300),
        whole in any::<bool>(),
    ) {
        let mut life = Life::new(FsyncMode::PerBatch);
        life.step(&Step::Append { count: 40, size: 150 });
        life.step(&Step::Promise(3));
        drop(life.worker.take());
        let disk = life.disk.fork();
        let paths: Vec<_> = disk.paths().into_iter().map(|(path, _)| path).collect();
        let path = which.get(&paths);
        let mut file = bytes(&disk, path);
        if whole || file.is_empty() {
            file.clone_from(&garbage);
        } else {
            let at = at.index(file.len());
            for (byte, wrong) in file[at..].iter_mut().zip(&garbage) {
                *byte = *wrong;
            }
        }
        put(&disk, path, &file);
        let report = verify(&disk, Path::new("/node")).expect("readable");
        prop_assert!(report.entries <= 40);
        let items = inspect(disk.clone(), Path::new("/node/spaces/orders")).expect("readable").count();
        prop_assert!(items < 1_000);
        if let Ok((mut worker, opened)) = WalWorker::open(disk, &life.options)
            && let Some(Event::SpaceOpened(found)) = opened.events.first()
        {
            let entries = super::support::read_all(&mut worker);
            prop_assert_eq!(found.end.sequence.0, entries.len() as u64);
            prop_assert!(same(&entries, &life.model.entries[..entries.len()]), "nothing is invented");
        }
    }

    #[test]
    fn the_size_that_a_header_claims_is_not_believed(size in 1_000_000..u32::MAX, at in 0..40_usize) {
        let mut life = Life::new(FsyncMode::PerBatch);
        life.step(&Step::Append { count: 40, size: 36 });
        drop(life.worker.take());
        let path = Path::new("/node/spaces/orders/wal-0000000000000001.log");
        for (place, byte) in (at * 100 + 24..).zip(size.to_le_bytes()) {
            let old = bytes(&life.disk, path)[place];
            flip(&life.disk, path, place, old ^ byte);
        }
        let report = verify(&life.disk, Path::new("/node/spaces/orders")).expect("readable");
        prop_assert_eq!(report.entries, 39);
    }
}

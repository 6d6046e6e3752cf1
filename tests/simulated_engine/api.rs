//! What an embedder brings is what runs: invariants, topology, workload, storage.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::io::{self, IoSlice};
use std::path::Path;

use engraft::driver::wal_worker::WalWorker;
use engraft::types::NodeId;
use engraft::wal::{Access, Disk, DiskEntry, DiskFile};
use engraft::{ApplyError, Entry, Sequence, StateMachine};
use engraft_sim::disk::{SimDisk, SimFile};
use engraft_sim::embed::{Failure, Place};
use engraft_sim::scenario::{Fault, FaultKind};
use engraft_sim::{Engine, Invariant, Simulation, Watch};

use super::register::{Flaw, simulation};

#[test]
fn an_own_invariant_is_named_where_it_breaks() {
    let bounded = simulation(Flaw::None).invariant("small sums", |engines| {
        let large = engines.iter().find(|state| state.engine.sum > 1_000);
        large.map_or(Ok(()), |state| Err(format!("{} has {} after {}", state.node, state.engine.sum, state.applied)))
    });
    let Err(Failure::Broken(finding)) = bounded.sweep(0..3) else { panic!("300 numbers make more than 1000") };
    let violation = finding.violation();
    assert_eq!((violation.invariant, violation.name()), (Invariant::Own, "small sums"), "{finding}");
    assert!(finding.scenario().faults.is_empty(), "it needs no fault:\n{finding}");
    assert!(finding.to_string().contains("\"small sums\" is broken at "), "{finding}");
}

#[test]
fn an_own_invariant_may_panic() {
    let panics = simulation(Flaw::None).invariant("asserted", |engines| {
        assert!(engines.iter().all(|state| state.engine.sum < 500), "too much");
        Ok(())
    });
    let Err(Failure::Broken(finding)) = panics.sweep(0..1) else { panic!("300 numbers make more than 500") };
    assert_eq!(finding.violation().what, "panicked: too much");
}

#[test]
fn at_the_end_every_engine_has_everything() {
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let equal = simulation(Flaw::None).at_end("equal sums", move |engines| {
        counted.fetch_add(1, Ordering::Relaxed);
        let first = engines.first().ok_or("no engine runs")?;
        let same = engines.iter().all(|state| state.engine.sum == first.engine.sum && state.applied == first.applied);
        if same { Ok(()) } else { Err("they differ".to_owned()) }
    });
    equal.sweep(0..5).expect("they are equal");
    assert_eq!(asked.load(Ordering::Relaxed), 5, "it is asked once in each run");
    let broken = simulation(Flaw::None).at_end("never", |_| Err("as it says".to_owned()));
    let Err(Failure::Broken(finding)) = broken.sweep(0..1) else { panic!("it never holds") };
    assert_eq!(finding.violation().name(), "never");
}

#[test]
fn the_cluster_and_the_workload_are_those_that_were_asked_for() {
    let own = simulation(Flaw::None).nodes(5).topology(|scenario| {
        scenario.spaces.truncate(1);
        scenario.spaces[0].primary = NodeId(4);
        scenario.spaces[0].voters = vec![NodeId(2), NodeId(4), NodeId(5)];
        scenario.network.latency_max_us = 9_000;
        scenario.faults.push(Fault::new(200_000, FaultKind::Partition, NodeId(4)).lasting(10_000));
    });
    let scenario = own.scenario(3);
    assert_eq!((scenario.nodes, scenario.network.latency_max_us), (5, 9_000));
    assert!(scenario.faults.iter().any(|fault| fault.kind == FaultKind::Partition), "the own fault is there");
    let report = own.run(&scenario, Watch::default()).expect("it can be run");
    assert_eq!(report.violation, None);
    let nodes: Vec<u16> = report.engines.iter().map(|row| row.node.0).collect();
    assert_eq!(nodes, [2, 4, 5], "an engine runs where a voter is");
    assert!(report.engines.iter().all(|row| row.digest > 0 && row.digest == report.engines[0].digest));
}

#[test]
fn one_seed_is_one_run() {
    let own = simulation(Flaw::None);
    let (one, two) = (own.scenario(4), own.scenario(4));
    assert_eq!(one, two);
    let run = |watch| own.run(&one, watch).expect("it can be run");
    let (seen, unseen) = (run(Watch { trace: true }), run(Watch::default()));
    assert_eq!((seen.digest, seen.events, seen.engines), (unseen.digest, unseen.events, unseen.engines));
}

#[test]
fn an_engine_that_fails_once_only_is_told_to_depend_on_more_than_its_entries() {
    let failed = AtomicBool::new(false);
    let once = simulation(Flaw::None).invariant("fails once", move |_| {
        if failed.swap(true, Ordering::Relaxed) { Ok(()) } else { Err("the first time".to_owned()) }
    });
    let failure = once.sweep(0..1).expect_err("the first run breaks it");
    assert!(matches!(failure, Failure::Unsteady { seed: 0 }), "{failure}");
    assert!(failure.to_string().contains("depends on more than what it is given"), "{failure}");
}

/// A disk that passes everything on; of its files' syncs only where it is honest.
#[derive(Debug, Clone)]
struct Wrapped {
    disk: SimDisk,
    honest: bool,
}

#[derive(Debug)]
struct WrappedFile {
    file: SimFile,
    honest: bool,
}

impl Disk for Wrapped {
    type File = WrappedFile;

    fn create_dir_all(&self, directory: &Path) -> io::Result<()> {
        self.disk.create_dir_all(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DiskEntry>> {
        self.disk.list(directory)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<WrappedFile> {
        Ok(WrappedFile { file: self.disk.open(path, access)?, honest: self.honest })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.disk.sync_directory(directory)
    }
}

impl DiskFile for WrappedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.file.write_at(pieces, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.honest { self.file.sync() } else { Ok(()) }
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.file.set_size(size)
    }
}

#[test]
fn an_own_storage_runs_and_one_that_forgets_to_sync_is_found() {
    let on = |honest| {
        simulation(Flaw::None).storage(move |disk, options| {
            let (worker, opened) = WalWorker::open(Wrapped { disk, honest }, options)?;
            Ok((Box::new(worker), opened))
        })
    };
    on(true).sweep(0..3).expect("a disk that only passes on changes nothing");
    let Err(Failure::Broken(finding)) = on(false).sweep(0..3) else { panic!("nothing was synced") };
    assert_eq!(finding.violation().invariant, Invariant::S5, "{finding}");
}

/// An engine that would tidy up when it is dropped.
struct Tidy {
    place: Place,
    applied: Sequence,
    refused: Arc<AtomicU64>,
}

impl StateMachine for Tidy {
    fn applied(&self) -> Sequence {
        self.applied
    }

    fn apply(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        self.applied = entry.header.sequence();
        Ok(())
    }
}

impl Engine for Tidy {
    fn digest(&self) -> u64 {
        self.applied.0
    }
}

impl Drop for Tidy {
    fn drop(&mut self) {
        let refused = self.place.disk.create_dir_all(&self.place.directory).is_err();
        self.refused.fetch_add(u64::from(refused), Ordering::Relaxed);
    }
}

#[test]
fn a_process_that_dies_tidies_nothing_up() {
    let refused = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&refused);
    let open =
        move |place: &Place| Ok(Tidy { place: place.clone(), applied: Sequence::ZERO, refused: Arc::clone(&counted) });
    Simulation::new(open).faults(|kind| kind == FaultKind::Crash).sweep(0..4).expect("it keeps nothing, and may");
    assert!(refused.load(Ordering::Relaxed) > 0, "no crash kept an engine from its disk");
}

//! Which starts find a node that may have forgotten what it acknowledged.

use std::path::Path;

use engraft::core::Event;
use engraft::driver::wal_worker::{StorageOpened, StorageOptions, WalRequest, WalWorker};
use engraft::types::FsyncMode;
use engraft::wal::StdDisk;

use super::support::{append, beginning, entries_after, epoch, open, options, run, space};

fn booted(directory: &Path, mode: FsyncMode, boot: u8) -> StorageOptions {
    StorageOptions { boot_id: [boot; 16], ..options(directory, mode) }
}

fn is_recovering(opened: &StorageOpened) -> bool {
    let [Event::SpaceOpened(found)] = opened.events.as_slice() else { panic!("{opened:?}") };
    found.recovering
}

/// Opens in a boot, promises and appends; says whether it opened recovering.
fn work(directory: &Path, mode: FsyncMode, boot: u8) -> (WalWorker<StdDisk>, bool) {
    let (mut worker, opened) = open(StdDisk, &booted(directory, mode, boot));
    let recovering = is_recovering(&opened);
    if opened.fresh {
        worker.submit(WalRequest::SaveVote { space: space(), promise: epoch(1) });
        append(&mut worker, 1, &entries_after(beginning(), 1, 3, |_| 10));
    }
    (worker, recovering)
}

#[test]
fn another_boot_behind_an_unclean_stop_is_recovering_until_it_is_ended() {
    for mode in [FsyncMode::Timer, FsyncMode::None] {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        assert!(!work(directory, mode, 1).1, "a new directory has forgotten nothing");
        assert!(work(directory, mode, 2).1);
        assert!(work(directory, mode, 2).1, "a crash in the new boot ends nothing");
        let (worker, recovering) = work(directory, mode, 2);
        worker.close().expect("it closes");
        assert!(recovering);
        let (mut worker, recovering) = work(directory, mode, 3);
        assert!(recovering, "nor does a clean stop");
        worker.submit(WalRequest::EndRecovering { space: space() });
        worker.submit(WalRequest::SaveVote { space: space(), promise: epoch(2) });
        run(&mut worker);
        drop(worker);
        assert!(!work(directory, mode, 3).1, "it has everything again");
        assert!(work(directory, FsyncMode::PerBatch, 4).1, "what counts is the mode that was in force");
        let (mut worker, _) = work(directory, FsyncMode::PerBatch, 4);
        worker.submit(WalRequest::EndRecovering { space: space() });
        worker.idle();
        drop(worker);
        assert!(!work(directory, FsyncMode::PerBatch, 5).1);
    }
}

#[test]
fn nothing_else_is_recovering() {
    for mode in [FsyncMode::PerWrite, FsyncMode::PerBatch, FsyncMode::Timer, FsyncMode::None] {
        let directory = tempfile::tempdir().expect("a directory");
        let directory = directory.path();
        drop(work(directory, mode, 1));
        let (worker, recovering) = work(directory, mode, 1);
        assert!(!recovering, "{mode:?}: the page cache survived");
        worker.close().expect("it closes");
        let (worker, recovering) = work(directory, mode, 2);
        assert!(!recovering, "{mode:?}: it was stopped cleanly");
        drop(worker);
        assert_eq!(work(directory, mode, 3).1, mode.is_weak(), "{mode:?}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    drop(open(StdDisk, &booted(directory.path(), FsyncMode::None, 1)));
    let (_, opened) = open(StdDisk, &booted(directory.path(), FsyncMode::None, 2));
    assert!(!is_recovering(&opened), "who promised nothing acknowledged nothing");
}

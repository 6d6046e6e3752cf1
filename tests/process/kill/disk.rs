//! A disk of a node's own that can be filled: a file system in memory, where mounting is permitted.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The size while it is not full.
const SIZE: &str = "size=2g";

/// A file system of its own; unmounted when it is dropped.
pub(super) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts it over the directory, if that is permitted.
    pub(super) fn mount(path: &Path) -> Option<Self> {
        let mounted = run(Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "engraft-kill"]).arg(path));
        mounted.then(|| Self { path: path.to_owned() })
    }

    /// Leaves room for that many bytes more; whether that worked.
    pub(super) fn fill(&self, room: u64) -> bool {
        let output = Command::new("df").args(["-k", "--output=used"]).arg(&self.path).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let Some(used) = text.lines().nth(1).and_then(|line| line.trim().parse::<u64>().ok()) else { return false };
        self.resize(&format!("size={}k", used + room / 1024 + 4))
    }

    /// Gives all room back.
    pub(super) fn free(&self) {
        assert!(self.resize(SIZE), "{} cannot be made larger again", self.path.display());
    }

    /// Leaves a copy of what is on it beside where it is mounted.
    pub(super) fn keep(&self) {
        run(Command::new("cp").arg("-a").arg(&self.path).arg(self.path.with_extension("kept")));
    }

    fn resize(&self, size: &str) -> bool {
        run(Command::new("mount").args(["-o", &format!("remount,{size}")]).arg(&self.path))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.path));
    }
}

fn run(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn a_disk_that_is_full_takes_no_more_until_there_is_room() {
    let directory = tempfile::tempdir().expect("a directory");
    // Where mounting is not permitted there is nothing to show; runs then limit the size of files instead.
    let Some(disk) = SmallDisk::mount(directory.path()) else { return };
    std::fs::write(directory.path().join("a"), vec![1; 100_000]).expect("there is room");
    assert!(disk.fill(50_000));
    let error = std::fs::write(directory.path().join("b"), vec![1; 100_000]).expect_err("there is none");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    disk.free();
    std::fs::write(directory.path().join("b"), vec![1; 100_000]).expect("there is room again");
    disk.keep();
    drop(disk);
    assert!(!directory.path().join("b").exists(), "it is unmounted");
    let kept = directory.path().with_extension("kept");
    assert_eq!(std::fs::read(kept.join("b")).expect("a copy").len(), 100_000);
    std::fs::remove_dir_all(kept).expect("removed");
}

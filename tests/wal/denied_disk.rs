//! The real disk, on which nobody may open the files of one name: what a user without rights meets, whoever runs the test.

use std::io;
use std::path::Path;

use engraft::wal::{Access, Disk, DiskEntry, StdDisk, StdFile};

/// The real disk without the right to open files of this name.
#[derive(Debug, Clone)]
pub(super) struct DeniedDisk(pub(super) &'static str);

impl Disk for DeniedDisk {
    type File = StdFile;

    fn create_dir_all(&self, directory: &Path) -> io::Result<()> {
        StdDisk.create_dir_all(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DiskEntry>> {
        StdDisk.list(directory)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<StdFile> {
        if path.ends_with(self.0) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        StdDisk.open(path, access)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        StdDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        StdDisk.remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        StdDisk.sync_directory(directory)
    }
}

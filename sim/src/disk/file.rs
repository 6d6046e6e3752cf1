//! An open file of a simulated disk.

use std::io::{self, IoSlice};

use engraft::wal::DiskFile;

use super::{DiskChange, DiskState, FileNumber, SimDisk};

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) number: FileNumber,
    pub(super) generation: u64,
    pub(super) writable: bool,
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut DiskState) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.lock();
        if state.generation != self.generation {
            return Err(io::Error::other("the simulated process of this handle has died"));
        }
        state.step()?;
        act(&mut state)
    }

    fn for_writing<T>(&self, act: impl FnOnce(&mut DiskState) -> io::Result<T>) -> io::Result<T> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.with(|state| {
            state.writable()?;
            act(state)
        })
    }
}

/// Block by block: within one there is no early end, so that the compiler looks at many bytes at once.
fn all_zeros(bytes: &[u8]) -> bool {
    bytes.chunks(256).all(|block| block.iter().fold(0, |seen, byte| seen | byte) == 0)
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the file is gone")
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state| Ok(state.files.get(&self.number).ok_or_else(gone)?.read(buffer, offset)))
    }

    fn write_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.for_writing(|state| {
            let bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
            let size = state.files.get(&self.number).ok_or_else(gone)?.bytes().len() as u64;
            let growth = (offset + bytes).saturating_sub(size);
            let room = state.room(growth);
            let written = bytes - (growth - room).min(bytes);
            let change = state.number_change();
            if let Some(file) = state.files.get_mut(&self.number) {
                file.write(change, pieces, offset, written);
            }
            state.note(|| {
                let zeros = pieces.iter().all(|piece| all_zeros(piece));
                DiskChange::Written { file: self.number, offset, bytes: written, zeros }
            });
            if room < growth { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.for_writing(|state| {
            let (seed, node) = (state.seed, state.node);
            let file = state.files.get_mut(&self.number).ok_or_else(gone)?;
            if state.faults.syncs_to_fail > 0 {
                state.faults.syncs_to_fail -= 1;
                state.syncs_failed += 1;
                file.sync_failed(seed ^ (node << 48), self.number.0, state.syncs_failed);
                return Err(io::Error::other("simulated input/output error"));
            }
            let honest = !state.faults.lying;
            if honest {
                if state.faults.misdirect_next && file.misdirect(seed ^ (node << 48), self.number.0) {
                    state.faults.misdirect_next = false;
                }
                file.sync();
            }
            state.note(|| DiskChange::Synced { file: self.number, honest });
            Ok(())
        })
    }

    fn size(&self) -> io::Result<u64> {
        self.with(|state| Ok(state.files.get(&self.number).ok_or_else(gone)?.bytes().len() as u64))
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.for_writing(|state| {
            let found = state.files.get(&self.number).ok_or_else(gone)?.bytes().len() as u64;
            let growth = size.saturating_sub(found);
            if state.room(growth) < growth {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let (change, wanted) = (state.number_change(), usize::try_from(size));
            if let Some(file) = state.files.get_mut(&self.number) {
                file.set_size(change, wanted.map_err(|_| io::ErrorKind::FileTooLarge)?);
            }
            state.note(|| DiskChange::Resized { file: self.number, size });
            Ok(())
        })
    }
}

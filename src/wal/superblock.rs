//! Whose data directory it is, and how it was left: a small block, written twice.
//!
//! ```text
//! superblock = slot slot, 4096 bytes each; the holding slot with the higher number counts
//! slot | 0 "ENGRAFT1" | 8 version u32 | 12 flags u32 (1: stopped cleanly) | 16 number u64 | 24 cluster 16
//!      | 40 incarnation 16 | 56 boot id 16 | 72 node u16 | 74 zeros | 4092 CRC32C(0..4092) |
//! ```

use std::io::IoSlice;
use std::path::{Path, PathBuf};

use crate::types::{ClusterId, Incarnation, NodeId};

use super::disk::{Access, Disk, DiskFile};
use super::error::{StorageOpenError, WalError};

const FILE: &str = "superblock";
const FILE_NEW: &str = "superblock.new";
const SLOT: usize = 4096;
const MAGIC: &[u8; 8] = b"ENGRAFT1";
const VERSION: u32 = 1;

/// What the superblock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Superblock {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// Drawn when the directory was made.
    pub incarnation: Incarnation,
    /// The machine's boot id at the last start.
    pub boot_id: [u8; 16],
    /// Whether the node stopped cleanly and has not started since.
    pub clean: bool,
    /// Rises with each write.
    pub number: u64,
}

/// What was found of a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Found {
    /// The newer slot that holds.
    pub block: Superblock,
    /// Where a slot stands that does not hold.
    pub broken_slot: Option<u64>,
}

impl Superblock {
    /// Reads it; `None` where there is no such file.
    ///
    /// # Errors
    /// Where neither slot holds, or the version is a later one.
    pub fn load<D: Disk>(disk: &D, directory: &Path) -> Result<Option<Found>, StorageOpenError> {
        let path = directory.join(FILE);
        let file = match disk.open(&path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(WalError::io("open", &path)(error).into()),
        };
        let mut slots = [None, None];
        let mut broken_slot = None;
        for (slot, offset) in slots.iter_mut().zip([0, SLOT as u64]) {
            let mut bytes = [0; SLOT];
            let read = file.read_at(&mut bytes, offset).map_err(WalError::io("read", &path))?;
            *slot = if read == SLOT { decode(&bytes, &path)? } else { None };
            if slot.is_none() {
                broken_slot = Some(offset);
            }
        }
        let newest = slots.into_iter().flatten().max_by_key(|block| block.number);
        match newest {
            Some(block) => Ok(Some(Found { block, broken_slot })),
            None => Err(StorageOpenError::Superblock { path, reason: "neither of its two copies holds" }),
        }
    }

    /// Makes the file, both slots alike, durably.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn create<D: Disk>(&self, disk: &D, directory: &Path) -> Result<(), WalError> {
        let (path, new) = (directory.join(FILE), directory.join(FILE_NEW));
        match disk.remove_file(&new) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(WalError::io("remove", &new)(error)),
        }
        let file = disk.open(&new, Access::CreateNew).map_err(WalError::io("create", &new))?;
        let slot = encode(self);
        file.write_at(&[IoSlice::new(&slot), IoSlice::new(&slot)], 0).map_err(WalError::io("write", &new))?;
        file.sync().map_err(WalError::io("sync", &new))?;
        disk.rename(&new, &path).map_err(WalError::io("rename", &new))?;
        disk.sync_directory(directory).map_err(WalError::io("sync", directory))
    }

    /// Writes it over both slots, one after the other, each durable before the next is touched.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn save<D: Disk>(&mut self, disk: &D, directory: &Path) -> Result<(), WalError> {
        let path: PathBuf = directory.join(FILE);
        let file = disk.open(&path, Access::ReadWrite).map_err(WalError::io("open", &path))?;
        for _ in 0..2 {
            self.number += 1;
            let offset = if self.number.is_multiple_of(2) { 0 } else { SLOT as u64 };
            file.write_at(&[IoSlice::new(&encode(self))], offset).map_err(WalError::io("write", &path))?;
            file.sync().map_err(WalError::io("sync", &path))?;
        }
        Ok(())
    }
}

fn encode(block: &Superblock) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    put(&mut bytes, 0, MAGIC);
    put(&mut bytes, 8, &VERSION.to_le_bytes());
    put(&mut bytes, 12, &u32::from(block.clean).to_le_bytes());
    put(&mut bytes, 16, &block.number.to_le_bytes());
    put(&mut bytes, 24, &block.cluster.0);
    put(&mut bytes, 40, &block.incarnation.0);
    put(&mut bytes, 56, &block.boot_id);
    put(&mut bytes, 72, &block.node.0.to_le_bytes());
    let crc = crc32c::crc32c(bytes.get(..SLOT - 4).unwrap_or_default());
    put(&mut bytes, SLOT - 4, &crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; SLOT], path: &Path) -> Result<Option<Superblock>, StorageOpenError> {
    let crc = crc32c::crc32c(bytes.get(..SLOT - 4).unwrap_or_default());
    if get::<8>(bytes, 0) != *MAGIC || u32::from_le_bytes(get(bytes, SLOT - 4)) != crc {
        return Ok(None);
    }
    let version = u32::from_le_bytes(get(bytes, 8));
    if version != VERSION {
        return Err(StorageOpenError::Version { path: path.to_owned(), expected: VERSION, found: version });
    }
    Ok(Some(Superblock {
        cluster: ClusterId(get(bytes, 24)),
        node: NodeId(u16::from_le_bytes(get(bytes, 72))),
        incarnation: Incarnation(get(bytes, 40)),
        boot_id: get(bytes, 56),
        clean: u32::from_le_bytes(get(bytes, 12)) & 1 == 1,
        number: u64::from_le_bytes(get(bytes, 16)),
    }))
}

fn put<const N: usize>(bytes: &mut [u8; SLOT], offset: usize, value: &[u8; N]) {
    if let Some(place) = bytes.get_mut(offset..offset + N) {
        place.copy_from_slice(value);
    }
}

fn get<const N: usize>(bytes: &[u8; SLOT], offset: usize) -> [u8; N] {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

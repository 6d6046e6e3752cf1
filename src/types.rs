//! Ids, time, entries and messages: the base that every other module imports.

pub mod entry;
mod entry_lists;
pub mod epoch_history;
pub mod fsync_mode;
pub mod id;
mod list;
pub mod message;
pub mod time;

pub use entry::{Control, Entry, EntryError, HEADER_SIZE, WAL_MAGIC, WalEntryHeader, WalEntryType};
pub use entry_lists::EntryLists;
pub use epoch_history::{EpochHistory, EpochStart};
pub use fsync_mode::FsyncMode;
pub use id::{
    ClusterId, Epoch, Incarnation, LinkId, NodeId, Position, ReadId, RequestId, Sequence, SpaceId, SpaceName, Token,
    WriteId,
};
pub use time::Time;

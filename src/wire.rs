//! Frames and bodies: bytes to messages and back.
//!
//! A frame is a header of twelve bytes (u32 length of the body, u8 kind, three zeros, u32 CRC32C of those eight) and the
//! body. Nothing is believed, and no memory taken, before the checksum over it holds.

mod control;
mod decoder;
mod error;
mod frame;
pub mod wal_format;
mod write_buffer;

pub use control::{
    CONTROL_BYTES_MAX, HEARTBEAT_COMMITS_MAX, HISTORY_STARTS_MAX, PROBED_SPACES_MAX, SPACE_EPOCHS_MAX, TEXT_BYTES_MAX,
    VOTE_ASKS_MAX, VOTE_REPLIES_MAX,
};
pub use decoder::FrameDecoder;
pub use error::WireError;
pub use frame::{FRAME_HEADER_SIZE, WireLimits, batch_frame_size, encode};
pub use wal_format::BATCH_HEADER_SIZE;
pub use write_buffer::WriteBuffer;

//! Frames and bodies: bytes to messages and back.
//!
//! A frame is a header of twelve bytes (u32 length of the body, u8 kind, three zeros, u32 CRC32C of those eight) and the
//! body. Nothing is believed, and no memory taken, before the checksum over it holds.

pub mod error;
pub mod frame;
pub mod write_buffer;

pub use error::WireError;
pub use frame::{FRAME_HEADER_SIZE, FrameDecoder, WireLimits, batch_frame_size, encode};
pub use write_buffer::WriteBuffer;

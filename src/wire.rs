//! Frames and bodies: bytes to messages and back.

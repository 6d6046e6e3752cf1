//! The shell that moves bytes, files and time.

#[cfg(feature = "tokio")]
pub mod config;

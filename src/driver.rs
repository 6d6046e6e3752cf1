//! The shell that moves bytes, files and time.

pub mod wal_worker;

//! The driver on tokio: real sockets on the loopback, three nodes in one process.

mod appending;
mod cluster;
mod elections;
mod engine;
mod lifetime;
mod own_wal;
mod refused;
mod sources;
mod storage;
mod stranger;

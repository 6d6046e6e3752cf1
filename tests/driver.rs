//! The driver on tokio: real sockets.

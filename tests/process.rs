//! Real processes of the binary, and what the commands are made of.

mod bench;
mod config;
mod demo;
mod engram;
mod http;
mod kill;
mod support;
mod verdict;
mod wal;

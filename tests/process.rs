//! Real processes of the binary, and what the commands are made of.

mod config;
mod demo;
mod http;
mod kill;
mod support;
mod verdict;
mod wal;

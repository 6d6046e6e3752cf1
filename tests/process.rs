//! Real processes of the binary, and what the commands are made of.

mod append;
mod bench;
mod config;
mod connections;
mod demo;
mod diagnostics;
mod engram;
mod figures;
mod http;
mod kill;
mod promote;
mod read;
mod salvage;
mod status;
mod support;
mod trio;
mod upkeep;
mod verdict;
mod wal;

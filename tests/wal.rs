//! The log on disk.

mod attack;
mod bad_input;
mod crash;
mod engram;
mod engram_files;
mod engram_order;
mod engram_reader;
mod flips;
mod import;
mod kill_disk;
mod model;
mod own_wal;
mod recovering;
mod salvage;
mod support;
mod torn;
mod worker;

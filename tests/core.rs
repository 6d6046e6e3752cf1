//! The core by itself: three nodes whose disks and links do exactly what a test says, and nothing by chance.

#![expect(
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "the logs here have few entries, and a test names the one variant that it expects"
)]

mod alone;
mod appending;
mod catching_up;
mod chaos;
mod checks;
mod clients;
mod crowd;
mod diverging;
mod elections;
mod exposure;
mod forced;
mod forge;
mod hostile;
mod leases;
mod linking;
mod recovering;
mod rig;
mod safety;
mod steady;
mod work;

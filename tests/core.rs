//! The core by itself: three nodes whose disks and links do exactly what a test says, and nothing by chance.

mod appending;
mod catching_up;
mod chaos;
mod checks;
mod forge;
mod hostile;
mod linking;
mod rig;
mod safety;

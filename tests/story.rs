//! Stories: named scenarios, each with one snapshot that a reviewer reads.

mod first;

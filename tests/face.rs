//! The library's face: a node as a program holds it that embeds one.

mod appending;
mod blocking;
mod building;
mod cancelling;
mod ended;
mod engine;
mod engines;
mod examples;
mod forced;
mod leading;
mod newcomer;
mod reading;
mod rewinding;
mod trio;

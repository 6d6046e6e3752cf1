//! Real processes of the binary, and what the commands are made of.

mod config;
mod http;
mod support;

//! The driver on madsim: the same shell, links and log as in production, on simulated time, network and disks.

mod away;
mod cluster;
mod elections;
mod sweep;

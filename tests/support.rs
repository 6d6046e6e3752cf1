//! What all areas share.

/// Compares a text with the snapshot of that name under `snapshots/<folder>/`.
///
/// The only call of the snapshot macro: names are given, paths do not depend on the test's module.
pub(crate) fn snapshot(folder: &str, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("../snapshots/{folder}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Addresses that nobody listens on, and that stay so until the test does, however long that takes and however often it
/// stops meanwhile.
///
/// A free port of 127.0.0.1 would not: each connection of every other test takes one for its own end. Those ends are all on
/// 127.0.0.1, so on Linux, where the loopback has many addresses, each call gives ports of another one.
#[cfg(not(madsim))]
pub(crate) fn free_addresses<const COUNT: usize>() -> [core::net::SocketAddr; COUNT] {
    use core::net::Ipv4Addr;
    use core::sync::atomic::{AtomicU32, Ordering};
    use std::net::TcpListener;

    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed) % 1_023;
    let number = 0x7f80_0000 | (std::process::id() % 8_192) << 10 | call;
    let host = if cfg!(target_os = "linux") { Ipv4Addr::from_bits(number) } else { Ipv4Addr::LOCALHOST };
    // All are held until the last is chosen, so that no two are the same.
    let held = [(); COUNT].map(|()| TcpListener::bind((host, 0)).expect("a free port"));
    held.map(|listener| listener.local_addr().expect("it is bound"))
}

/// A client of the space `orders` that appends so many entries of 64 bytes, ten each millisecond, from 0.1 s on.
#[cfg(not(madsim))]
pub(crate) fn load(entries: u64) -> engraft_sim::scenario::Load {
    engraft_sim::scenario::Load {
        at_us: 100_000,
        space: engraft::types::SpaceName::new("orders").expect("a name"),
        to: None,
        entries,
        burst: 10,
        every_us: 1_000,
        in_flight: 1_000,
        bytes_min: 64,
        bytes_max: 64,
        ack: engraft_sim::scenario::LoadAck::Local,
        timeout_us: None,
        reads_permille: 0,
        waits_permille: 0,
        follows: false,
    }
}

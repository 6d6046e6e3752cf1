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
    }
}

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

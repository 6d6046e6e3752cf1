//! Which source files the ordinary build and the one for madsim compile: only the host modules differ.

use alloc::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The root modules of the two libraries and of the binary that has modules of its own.
const ROOTS: [&str; 3] = ["src/lib.rs", "sim/src/lib.rs", "sim/src/main.rs"];
/// The host module that a build has for itself, with its folder.
const MADSIM_HOST: &str = "sim/src/madsim_host";

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files that a build compiles, all features and unit tests being on.
fn compiled(madsim: bool) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for root in ROOTS {
        let folder = Path::new(root).parent().expect("a folder").to_path_buf();
        walk(Path::new(root), &folder, madsim, &mut files);
    }
    files
}

/// Adds a module's file and those of the modules that it declares, which lie in `folder`.
fn walk(file: &Path, folder: &Path, madsim: bool, files: &mut BTreeSet<String>) {
    let text = fs::read_to_string(package().join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    files.insert(file.display().to_string());
    // Of the item that comes next.
    let mut conditions = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(condition) = line.strip_prefix("#[cfg(").and_then(|rest| rest.strip_suffix(")]")) {
            conditions.push(condition);
        } else if let Some(name) = declared(line) {
            if conditions.drain(..).all(|condition| holds(condition, madsim)) {
                walk(&folder.join(format!("{name}.rs")), &folder.join(name), madsim, files);
            }
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            conditions.clear();
        }
    }
}

/// The name of the module that a line declares in a file of its own.
fn declared(line: &str) -> Option<&str> {
    let (visibility, name) = line.strip_suffix(';')?.split_once("mod ")?;
    let visible = visibility.is_empty() || visibility.starts_with("pub");
    (visible && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')).then_some(name)
}

/// Whether a condition of `cfg` holds.
fn holds(condition: &str, madsim: bool) -> bool {
    let inner = |name: &str| condition.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(inner) = inner("not") {
        return !holds(inner, madsim);
    }
    if let Some(inner) = inner("all") {
        return inner.split(", ").all(|part| holds(part, madsim));
    }
    match condition {
        "madsim" => madsim,
        "test" => true,
        feature if feature.starts_with("feature = ") => true,
        other => panic!("teach this test what `cfg({other})` means"),
    }
}

/// Every source file of the two libraries.
fn existing(folder: &Path, files: &mut BTreeSet<String>) {
    for entry in fs::read_dir(package().join(folder)).expect("a folder") {
        let entry = entry.expect("a folder's entry");
        let path: PathBuf = folder.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            existing(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(path.display().to_string());
        }
    }
}

#[test]
fn only_the_host_modules_differ_between_the_builds() {
    let (ordinary, madsim) = (compiled(false), compiled(true));
    let missing = ordinary.difference(&madsim).collect::<Vec<_>>();
    assert!(missing.is_empty(), "not in the build for madsim: {missing:?}");
    let added = madsim.difference(&ordinary).collect::<Vec<_>>();
    assert!(added.iter().any(|file| *file == &format!("{MADSIM_HOST}.rs")), "the host itself: {added:?}");
    let strangers = added.iter().filter(|file| !file.starts_with(MADSIM_HOST)).collect::<Vec<_>>();
    assert!(strangers.is_empty(), "in the build for madsim only: {strangers:?}");
    for shared in ["shell", "link", "link_table", "wal_job", "wal_worker", "node", "tokio_host"] {
        let file = format!("src/driver/{shared}.rs");
        assert!(ordinary.contains(&file) && madsim.contains(&file), "{file} is in both");
    }
}

/// The walk above would prove nothing if it missed files.
#[test]
fn every_source_file_is_in_a_build() {
    let mut files = BTreeSet::new();
    existing(Path::new("src"), &mut files);
    existing(Path::new("sim/src"), &mut files);
    let mains = ["src/main.rs", "sim/src/main.rs"].map(str::to_owned);
    let walked = compiled(true).into_iter().chain(mains).collect::<BTreeSet<_>>();
    let orphans = files.difference(&walked).collect::<Vec<_>>();
    assert!(orphans.is_empty(), "no module declares {orphans:?}");
}

//! The shape of the sources: sizes, who imports whom, and names that have no place.
//!
//! Each rule is a function of a path and a text, so that a bad sample shows that it can fail.

mod code;
mod rules;

use std::fs;
use std::path::Path;

use rules::Fault;

/// A file of the project.
struct Source {
    /// From the project's root, with `/` between the parts.
    path: String,
    text: String,
}

/// Files that may be longer than the limit, and why each is better off whole.
const LONG_FILES: &[(&str, &str)] = &[];

/// Functions that may be longer than the limit, and why each is better off whole.
const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// Words that the pure layers may use although they name the world, and why each is harmless there.
const HARMLESS: &[(&str, &str, &str)] = &[(
    "src/wire/write_buffer.rs",
    "std",
    "`IoSlice` is a pair of pointer and length; a vectored write wants it, and it is there under the feature std only",
)];

#[test]
fn files_are_short() {
    hold(|source| rules::file_length(&source.path, &source.text, LONG_FILES));
}

#[test]
fn functions_are_short() {
    hold(|source| rules::function_length(&source.path, &source.text, LONG_FUNCTIONS));
}

#[test]
fn layers_import_downwards_only() {
    hold(|source| rules::imports(&source.path, &source.text));
}

#[test]
fn the_core_knows_no_world() {
    hold(|source| rules::pure(&source.path, &source.text, HARMLESS));
}

#[test]
fn nothing_is_left_half_done() {
    hold(|source| rules::half_done(&source.path, &source.text));
}

#[test]
fn lints_are_lifted_with_a_reason() {
    hold(|source| rules::lifted_lints(&source.path, &source.text));
}

#[test]
fn what_is_fenced_in_stays_there() {
    hold(|source| rules::fences(&source.path, &source.text));
}

#[test]
fn modules_stand_beside_their_folders() {
    hold(|source| rules::module_files(&source.path));
}

#[test]
fn texts_stand_on_their_own() {
    hold(|source| rules::words_of_the_workshop(&source.path, &source.text));
}

#[test]
fn exceptions_are_still_needed() {
    let sources = sources();
    let text = |path: &str| sources.iter().find(|source| source.path == path).map_or("", |source| source.text.as_str());
    let mut stale = Vec::new();
    for (path, reason) in LONG_FILES {
        if rules::file_length(path, text(path), &[]).is_empty() {
            stale.push(format!("{path}: {reason}"));
        }
    }
    for (path, name, reason) in LONG_FUNCTIONS {
        if !rules::function_length(path, text(path), &[]).iter().any(|fault| fault.what.contains(&format!("`{name}`")))
        {
            stale.push(format!("{path} `{name}`: {reason}"));
        }
    }
    for (path, word, reason) in HARMLESS {
        if !rules::pure(path, text(path), &[]).iter().any(|fault| fault.what.contains(&format!("`{word}`"))) {
            stale.push(format!("{path} `{word}`: {reason}"));
        }
    }
    assert!(stale.is_empty(), "no longer needed, take the exception away:\n{}", stale.join("\n"));
}

#[test]
fn the_whole_tree_is_read() {
    let sources = sources();
    for expected in ["src/lib.rs", "src/core/coordinator.rs", "sim/src/lib.rs", "tests/tidy.rs", "README.md", ".ci/run"]
    {
        assert!(sources.iter().any(|source| source.path == expected), "{expected} is not read");
    }
}

fn hold(rule: impl Fn(&Source) -> Vec<Fault>) {
    let faults: Vec<String> = sources()
        .iter()
        .flat_map(|source| {
            rule(source).into_iter().map(|fault| format!("{}:{}: {}", source.path, fault.line, fault.what))
        })
        .collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// The project's own texts: sources, documents, configuration.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(root, root, &mut found);
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of the project can be read") {
        let path = entry.expect("an entry of the project can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != ".git" {
                collect(root, &path, found);
            }
            continue;
        }
        let extension = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        let known = matches!(extension.as_str(), "rs" | "md" | "toml" | "snap" | "sh");
        if known || matches!(name.as_str(), "Makefile" | "run") {
            let relative = path.strip_prefix(root).expect("the walk began at the root");
            let parts: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push(Source { path: parts.join("/"), text });
        }
    }
}

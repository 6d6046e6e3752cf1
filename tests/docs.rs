//! The documents say what is there: paths, names, numbers, commands.

mod markdown;
mod rules;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use engraft::core::{Ack, ReplicationConfig};
use engraft::driver::config::{NodeConfig, Overrides};
use engraft::types::{ClusterId, Incarnation, NodeId, time};

use rules::Tree;

/// The project as it lies on disk.
struct Project;

impl Project {
    fn path(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }

    /// A file that has to be there.
    fn read(path: &str) -> String {
        fs::read_to_string(Self::path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// All Rust sources below a folder.
    fn sources(folder: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(Self::path(folder)).expect("a folder of sources can be read") {
            let path = format!("{folder}/{}", entry.expect("its entries too").file_name().to_string_lossy());
            if Self::path(&path).is_dir() {
                found.extend(Self::sources(&path));
            } else if path.ends_with(".rs") {
                let text = Self::read(&path);
                found.push((path, text));
            }
        }
        found
    }

    /// All documents: those at the root, in `docs` and below.
    fn documents() -> Vec<(String, String)> {
        let mut paths = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
        for folder in ["docs", "docs/decisions"] {
            for entry in fs::read_dir(Self::path(folder)).expect("the folder of documents can be read") {
                let name = entry.expect("its entries too").file_name().to_string_lossy().into_owned();
                if name.ends_with(".md") {
                    paths.push(format!("{folder}/{name}"));
                }
            }
        }
        paths.sort();
        paths.into_iter().map(|path| (path.clone(), Self::read(&path))).collect()
    }
}

impl Tree for Project {
    fn text(&self, path: &str) -> Option<String> {
        let path = Self::path(path);
        if path.is_dir() { Some(String::new()) } else { fs::read_to_string(path).ok() }
    }
}

fn hold(rule: impl Fn(&str, &str) -> Vec<String>) {
    let faults: Vec<String> = Project::documents()
        .iter()
        .flat_map(|(path, text)| rule(path, text).into_iter().map(move |fault| format!("{path}: {fault}")))
        .collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn none(path: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{path}: {} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn links_lead_somewhere() {
    hold(|path, text| rules::dead_links(path, text, &Project));
}

#[test]
fn paths_in_documents_exist() {
    hold(|_, text| rules::dead_paths(text, &Project));
}

#[test]
fn a_line_holds_one_sentence() {
    hold(|_, text| rules::crowded_lines(text));
}

#[test]
fn names_of_engram_stand_where_the_table_says() {
    none("docs/engram.md", &rules::misplaced_names(&Project::read("docs/engram.md"), &Project));
}

#[test]
fn the_glossary_defines_each_word_once() {
    none("docs/glossary.md", &rules::glossary(&Project::read("docs/glossary.md")));
}

#[test]
fn invariants_are_listed_with_their_checks() {
    none("docs/invariants.md", &rules::invariants(&Project::read("docs/invariants.md")));
}

#[test]
fn every_check_of_the_simulator_stands_in_the_table() {
    let table = Project::read("docs/invariants.md");
    let sources = Project::sources("sim/src");
    let raised: Vec<(String, String)> = sources
        .iter()
        .filter(|(path, _)| path != "sim/src/check/invariant.rs")
        .flat_map(|(path, text)| rules::raised(text).into_iter().map(|number| (path.clone(), number)))
        .collect();
    assert!(raised.len() > 10, "the simulator checks something: {raised:?}");
    none("docs/invariants.md", &rules::unlisted_checks(&table, &raised));
}

#[test]
fn decisions_are_dated_and_say_what_was_rejected() {
    hold(|path, text| if path.starts_with("docs/decisions/") { rules::decision(text) } else { Vec::new() });
}

#[test]
fn the_protocol_names_every_reason_and_every_kind() {
    let (protocol, messages) = (Project::read("docs/protocol.md"), Project::read("src/types/message.rs"));
    let reasons = rules::variants(&messages, "CloseReason");
    let refusals = rules::variants(&messages, "RefusalReason");
    let kinds = rules::variants(&messages, "Message");
    assert!(reasons.len() > 9 && refusals.len() > 3 && kinds.len() > 8, "{reasons:?} {refusals:?} {kinds:?}");
    for reason in reasons.iter().chain(&refusals) {
        assert!(protocol.contains(&format!("`{reason}`")), "docs/protocol.md does not name `{reason}`");
    }
    for (index, kind) in kinds.iter().enumerate() {
        assert!(protocol.contains(&format!("| {} | {kind} |", index + 1)), "docs/protocol.md: kind {kind}");
    }
}

#[test]
fn the_architecture_names_every_module_of_the_core() {
    let architecture = Project::read("docs/architecture.md");
    let named: Vec<&str> =
        markdown::rows(&architecture).iter().flat_map(|row| markdown::spans_of(row.cell("module"))).collect();
    let mut modules: Vec<String> = fs::read_dir(Project::path("src/core"))
        .expect("the core's folder can be read")
        .filter_map(|entry| entry.ok()?.file_name().to_string_lossy().strip_suffix(".rs").map(str::to_owned))
        .collect();
    modules.sort();
    let missing: Vec<&String> = modules.iter().filter(|module| !named.contains(&module.as_str())).collect();
    assert!(missing.is_empty(), "docs/architecture.md does not say what these know: {missing:?}");
    let gone: Vec<&&str> = named.iter().filter(|name| !modules.iter().any(|module| module == *name)).collect();
    assert!(gone.is_empty(), "docs/architecture.md names modules that are not there: {gone:?}");
}

#[test]
fn layouts_are_those_of_the_sources() {
    let protocol = Project::read("docs/protocol.md");
    for path in ["src/wire/wal_format.rs", "src/types/entry/header.rs"] {
        let source = Project::read(path);
        let rows: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("//! | ")).collect();
        assert!(rows.len() > 10, "{path} shows its layout");
        for row in rows.iter().filter(|row| row.starts_with(|c: char| c.is_ascii_digit())) {
            // A document may explain more: offset, size and the first word of the field are the layout.
            let start: Vec<&str> = row.split_inclusive('|').take(2).collect();
            let word =
                row.split('|').nth(2).unwrap_or_default().trim().split([' ', ',', ':']).next().unwrap_or_default();
            let wanted = format!("| {} {word}", start.concat());
            assert!(protocol.contains(&wanted), "docs/protocol.md has no row {wanted:?} ({path})");
        }
    }
}

#[test]
fn numbers_in_the_protocol_are_the_defaults() {
    let protocol = Project::read("docs/protocol.md");
    let cluster = ClusterId::from_name("docs").expect("a name");
    let config = ReplicationConfig::new(NodeId(1), cluster, Incarnation([0; 16]), vec![NodeId(2)]);
    let in_time = |duration| match time::micros(duration) / 1_000 {
        millis if millis % 1_000 == 0 => format!("{} s", millis / 1_000),
        millis => format!("{millis} ms"),
    };
    let in_bytes = |bytes: u64| match bytes {
        bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes => format!("{} KiB", bytes >> 10),
    };
    for (key, default) in [
        ("batch_entries", config.batch_entries.to_string()),
        ("batch_bytes", in_bytes(config.batch_bytes)),
        ("batch_delay", in_time(config.batch_delay)),
        ("window_bytes", in_bytes(config.window_bytes)),
        ("window_batches", config.window_batches.to_string()),
        ("retransmit_after", in_time(config.retransmit_after)),
        ("tail_bytes", in_bytes(config.tail_bytes)),
        ("append_timeout", in_time(config.append_timeout)),
        ("lag_alert", in_time(config.lag_alert)),
        ("lag_critical", in_time(config.lag_critical)),
        ("status_hold", in_time(config.status_hold)),
        ("max_retries", config.pool.max_retries.to_string()),
    ] {
        let stated = format!("`{key}` ({default})");
        assert!(protocol.contains(&stated), "docs/protocol.md does not state {stated}");
    }
    assert!(protocol.contains(&format!("Each {} (`heartbeat_interval`)", in_time(config.heartbeat_interval))));
}

#[test]
fn the_example_configuration_holds() {
    let operating = Project::read("docs/operating.md");
    let example = markdown::fenced(&operating, "toml").expect("docs/operating.md shows a configuration");
    let config = NodeConfig::parse(Path::new("node.toml"), example, &Overrides::default())
        .unwrap_or_else(|error| panic!("docs/operating.md: {error}"));
    let space = config.space("orders").expect("it has a space");
    assert_eq!((space.config.primary, space.config.voters.len(), space.config.ack), (NodeId(1), 3, Ack::Quorum));
}

#[test]
fn the_embedders_line_names_this_version_and_a_feature_that_is_there() {
    let (readme, manifest) = (Project::read("README.md"), Project::read("Cargo.toml"));
    let line = markdown::fenced(&readme, "toml").expect("README.md shows an embedder's line");
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    let wanted =
        format!("engraft = {{ version = \"{major}.{minor}\", default-features = false, features = [\"tokio\"] }}");
    assert!(line.lines().any(|line| line == wanted), "README.md: expected {wanted}, found {line}");
    assert!(manifest.lines().any(|line| line.starts_with("tokio = [")), "Cargo.toml has no feature tokio");
}

#[test]
fn examples_in_documents_are_the_files() {
    let (smallest, own) = (Project::read("examples/smallest.rs"), Project::read("examples/own_state_machine.rs"));
    for (path, example) in [("README.md", &smallest), ("docs/embedding.md", &smallest), ("docs/embedding.md", &own)] {
        let whole = format!("```rust\n{example}```\n");
        assert!(Project::read(path).contains(&whole), "{path} shows another example than the file");
    }
    let (simulation, example) =
        (Project::read("docs/simulation.md"), Project::read("examples/simulate_your_engine.rs"));
    let (_, chapter) = simulation.split_once("\n## An engine of yours\n").expect("docs/simulation.md has the chapter");
    let part = markdown::fenced(chapter, "rust").expect("it shows how to simulate an engine");
    assert!(example.contains(part), "docs/simulation.md shows another part than the example has:\n{part}");
}

#[test]
fn the_table_of_append_errors_names_each() {
    let (embedding, errors) = (Project::read("docs/embedding.md"), Project::read("src/driver/face/error.rs"));
    let variants = rules::variants(&errors, "AppendError");
    assert!(variants.len() > 9, "{variants:?}");
    // These two are a caller's and a library's defect, and say so themselves.
    for variant in variants.iter().filter(|name| !matches!(name.as_str(), "AnsweredAlready" | "Defect")) {
        assert!(embedding.contains(&format!("| `{variant}")), "docs/embedding.md has no row for `{variant}`");
    }
}

#[test]
fn continuous_integration_runs_the_commands_of_the_readme() {
    let readme = Project::read("README.md");
    let listing = Command::new("bash").arg(Project::path(".ci/run")).arg("--list").output().expect("bash runs");
    assert!(listing.status.success(), "{}", String::from_utf8_lossy(&listing.stderr));
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    for (step, start) in [("tests", "cargo test"), ("demo", "cargo run --release -- demo")] {
        let commands: Vec<&str> = readme.lines().filter(|line| line.starts_with(start)).collect();
        assert_eq!(commands.len(), 1, "README.md has one line that begins with {start:?}: {commands:?}");
        let run = listing.lines().find(|line| line.starts_with(&format!("{step}: "))).unwrap_or_default();
        assert!(run.contains(commands[0]), "step {run:?} does not run {:?}", commands[0]);
    }
    for gate in ["--no-default-features", "cargo madsim", "cargo fmt --all --check", "clippy", "-D warnings"] {
        assert!(listing.contains(gate), ".ci/run has no {gate:?}:\n{listing}");
    }
}

#[test]
fn the_stated_rust_version_is_not_above_the_one_that_runs() {
    let stated = env!("CARGO_PKG_RUST_VERSION");
    let output = Command::new("rustc").arg("--version").output().expect("rustc runs");
    let running = String::from_utf8_lossy(&output.stdout).split(' ').nth(1).unwrap_or_default().to_owned();
    let parts =
        |version: &str| -> Vec<u32> { version.split(['.', '-']).take(2).filter_map(|n| n.parse().ok()).collect() };
    assert_eq!(parts(stated).len(), 2, "rust-version = {stated:?}");
    assert!(parts(stated) <= parts(&running), "rust-version = {stated:?}, rustc is {running:?}");
    let decision = Project::read("docs/decisions/0005-rust-version-is-what-is-tested.md");
    assert!(decision.contains(&format!("`rust-version` is {stated},")), "the decision states another version");
}

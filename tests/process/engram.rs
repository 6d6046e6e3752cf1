//! Directories of Engram's: imported into a node, and streamed through the demo.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use engraft::types::NodeId;
use engraft::wal::{Inspected, StdDisk, inspect};
use serde_json::Value;

use super::support::{Server, alone, code, engraft, stderr, stdout};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engram").join(name)
}

fn import(source: &Path, more: &[&str]) -> Output {
    let mut command = engraft();
    command.args(["wal", "import-engram", "--space", "orders"]).arg(source).args(more).output().expect("it runs")
}

fn object(output: &Output) -> Value {
    serde_json::from_str(stdout(output).trim()).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

/// Type and payload checksum of each entry, in order.
fn entries(directory: &Path) -> Vec<(u32, u32)> {
    let found = inspect(StdDisk, directory).expect("readable");
    found
        .filter_map(|item| match item.expect("readable") {
            Inspected::Entry(entry) => Some((entry.header.entry_type().number(), entry.header.payload_crc())),
            Inspected::Break { .. } => None,
        })
        .collect()
}

#[test]
fn a_node_serves_what_was_imported_and_goes_on_above_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("node.toml");
    fs::write(&config, alone(directory.path(), "")).expect("written");
    let config = config.to_string_lossy().into_owned();
    let output = import(&fixture("duplicate-seq"), &["--config", &config, "--json"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let report = object(&output);
    assert_eq!((&report["entries"], &report["last_sequence"]), (&50.into(), &50.into()));
    assert_eq!((&report["duplicates"], &report["epoch"]), (&20.into(), &"e1n1".into()));
    let file = report["report"].as_str().expect("a path");
    assert_eq!(fs::read_to_string(file).expect("the report").lines().count(), 1 + 50 + 1);

    let mut server = Server::start(directory.path(), &alone(directory.path(), ""));
    server.wait_for_primary();
    assert_eq!(server.post("/v1/spaces/orders/entries?ack=quorum", b"after").status, 200);
    let lines = server.get("/v1/spaces/orders/entries?from=1&max=1000").lines();
    let expected = entries(&fixture("duplicate-seq"));
    assert_eq!(lines.len(), 52, "the imported ones, the start of the epoch, and one more");
    for ((line, (kind, crc)), sequence) in lines.iter().zip(expected).zip(1_u64..) {
        assert_eq!(
            (&line["sequence"], &line["type"], &line["payload_crc"]),
            (&sequence.into(), &kind.into(), &crc.into())
        );
        assert_eq!(line["epoch"], "e1n1");
    }
    assert_eq!((&lines[50]["epoch"], &lines[51]["epoch"]), (&"e2n1".into(), &"e2n1".into()));
    server.close_stdin();
    assert_eq!(server.wait(), Some(0));

    let again = import(&fixture("duplicate-seq"), &["--config", &config]);
    assert_eq!(code(&again), Some(1));
    assert!(stderr(&again).contains("exists already"), "{}", stderr(&again));
}

#[test]
fn whose_space_it_is_has_to_be_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data").to_string_lossy().into_owned();
    let output = import(&fixture("torn-header"), &[]);
    assert_eq!(code(&output), Some(2));
    let output = import(&fixture("torn-header"), &["--data-dir", &data]);
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--cluster NAME and --node ID"), "{}", stderr(&output));
    assert!(!Path::new(&data).exists());
    let new = ["--data-dir", &data, "--cluster", "test", "--node", "1"];
    let output = import(&fixture("torn-header"), &new);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("wal-000000006920bab9.log at 35940, not imported"), "{}", stdout(&output));
    let other = ["--data-dir", &data, "--cluster", "test", "--node", "2"];
    assert_eq!(code(&import(&fixture("torn-header"), &other)), Some(3), "another node's directory");
    let nowhere = import(&directory.path().join("nowhere"), &new);
    assert_eq!(code(&nowhere), Some(2), "{}", stderr(&nowhere));

    let replica = directory.path().join("node.toml");
    let text = super::support::without_peers(directory.path(), 2, "");
    fs::write(&replica, text).expect("written");
    let output = import(&fixture("torn-header"), &["--config", &replica.to_string_lossy()]);
    assert_eq!(code(&output), Some(3));
    assert!(stderr(&output).contains("import on n1"), "{}", stderr(&output));
}

#[test]
fn the_demo_streams_a_directory_of_engrams_and_compares_every_node() {
    for (name, count, damage) in [("payload-bitflip", 99, 1), ("duplicate-seq", 50, 0)] {
        let directory = tempfile::tempdir().expect("a directory");
        let kept = directory.path().join("kept");
        let mut command = engraft();
        command.args(["demo", "--json", "--engram"]).arg(fixture(name)).arg("--keep").arg(&kept);
        let output = command.output().expect("it runs");
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        let report: Value = object(&output);
        let engram = &report["engram"];
        assert_eq!((&report["ok"], &engram["identical"], &report["lost"]), (&true.into(), &true.into(), &0.into()));
        assert_eq!((&report["entries"], &engram["entries"]), (&count.into(), &count.into()));
        assert_eq!(engram["damage"].as_array().map(Vec::len), Some(damage));
        // Not by the demo's own word alone: type, payload and order on every node's disk.
        let expected = entries(&fixture(name));
        for node in [1, 2, 3].map(NodeId) {
            let mut found = Vec::new();
            for item in inspect(StdDisk, &kept.join(node.to_string()).join("spaces/demo")).expect("readable") {
                let Inspected::Entry(entry) = item.expect("readable") else { panic!("damage on {node}") };
                if entry.header.control().kind == 0 {
                    found.push((entry.header.entry_type().number(), entry.header.payload_crc()));
                }
            }
            assert_eq!(found, expected, "{node}");
        }
    }
}

/// What no file of what is left can show is shown by the next one.
#[test]
fn a_missing_file_of_engrams_exits_4_and_a_gap_within_one_does_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, second) = ("wal-000000006920bab9.log", "wal-000000006920c8c9.log");
    let from = fixture("two-segments-contiguous");
    fs::copy(from.join(second), directory.path().join(second)).expect("copied");
    let verify = || engraft().args(["wal", "verify", "--json"]).arg(directory.path()).output().expect("it runs");
    let output = verify();
    assert_eq!(code(&output), Some(4));
    let damage = &object(&output)["damage"][0];
    assert_eq!((&damage["file"], &damage["offset"]), (&second.into(), &0.into()));

    let whole = fs::read(from.join(first)).expect("read");
    // Entries 1 and 2 are taken out of the middle.
    fs::write(directory.path().join(first), [&whole[..3_249], &whole[3_425..]].concat()).expect("written");
    let output = verify();
    assert_eq!(code(&output), Some(0), "{}", stdout(&output));
    let gap = serde_json::json!([{ "file": first, "offset": 3_249, "expected": 1, "found": 3 }]);
    assert_eq!(object(&output)["gaps"], gap);

    std::os::unix::fs::symlink(first, directory.path().join("wal-0000000069200000.log")).expect("linked");
    std::os::unix::fs::symlink("wal-0000000069200001.log", directory.path().join("wal-0000000069200001.log"))
        .expect("linked");
    let output = verify();
    assert_eq!(code(&output), Some(4), "{}", stdout(&output));
    assert_eq!(object(&output)["damage"][0]["file"], "wal-0000000069200001.log");
}

#[test]
fn the_demo_refuses_what_is_not_engrams() {
    let directory = tempfile::tempdir().expect("a directory");
    for (more, words) in [(None, "found none that checks out"), (Some("nowhere"), "give a directory of Engram's")] {
        let path = more.map_or(directory.path().to_owned(), |more| directory.path().join(more));
        let output = engraft().args(["demo", "--engram"]).arg(path).output().expect("it runs");
        assert_eq!(code(&output), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}

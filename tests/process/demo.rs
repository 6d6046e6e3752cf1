//! The demo, whole: its figures, its inputs, and what it does when something goes wrong.

use core::time::Duration;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use engraft::cli::demo::{Acknowledged, Found, UserEntries, digest, verdict_of};
use engraft::types::NodeId;
use engraft::wal::{Inspected, StdDisk, inspect};

use super::support::{code, engraft, stderr, stdout};

fn demo(arguments: &[&str]) -> Output {
    engraft().arg("demo").args(arguments).output().expect("it runs")
}

fn object(output: &Output) -> serde_json::Value {
    let text = stdout(output);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in {text:?}; {}", stderr(output)))
}

fn acknowledged(object: &serde_json::Value) -> u64 {
    object["acknowledged"].as_u64().expect("a count")
}

/// So many entries were answered; what was acknowledged is on every node, and the rest is unknown.
fn assert_all(object: &serde_json::Value, entries: u64) {
    let unknown = object["unknown"].as_u64().expect("a count");
    assert_eq!((acknowledged(object) + unknown, &object["lost"]), (entries, &0.into()), "{object}");
    assert_eq!(object["on_every_node"], object["acknowledged"]);
}

/// What the node's log has, in its order.
fn log(directory: &Path, node: u16) -> Vec<Acknowledged> {
    let directory = directory.join(format!("n{node}/spaces/demo"));
    UserEntries::open(&directory).expect("a log").map(|entry| entry.expect("an entry")).collect()
}

fn data_dirs(directory: &Path) -> Vec<(NodeId, PathBuf)> {
    [1, 2, 3].map(|node| (NodeId(node), directory.join(format!("n{node}")))).to_vec()
}

/// The processes whose command line names the directory.
fn processes(directory: &Path) -> Vec<u32> {
    let name = directory.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("a list").flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|id| id.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&name) {
            found.push(id);
        }
    }
    found
}

fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn signal(name: &str, process: u32) {
    let status = Command::new("kill").args([name, &process.to_string()]).status().expect("it runs");
    assert!(status.success(), "kill {name} {process}");
}

#[test]
fn nothing_acknowledged_is_lost_and_the_object_says_so() {
    let output = demo(&["--entries", "4000", "--json"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let object = object(&output);
    assert_all(&object, 4_000);
    assert!(acknowledged(&object) > 3_000, "only what is in flight when the primary dies is unknown: {object}");
    assert_eq!((&object["ok"], &object["exposed_at_crash"]), (&true.into(), &0.into()));
    assert!(object["promoted"] == 2 || object["promoted"] == 3, "{object}");
    assert_eq!(object["bytes"], 4_000 * 256);
    let figures = ["entries_per_sec", "ack_ms_p50", "ack_ms_p99", "lag_ms_p50", "lag_ms_p99", "catch_up_ms"];
    for key in figures.into_iter().chain(["promotion_ms", "client_pause_ms"]) {
        assert!(object[key].as_f64().is_some_and(|figure| figure > 0.0), "{key}: {}", object[key]);
    }
    assert!(object["catch_up_entries"].as_u64().is_some_and(|behind| behind >= 500), "{}", object["catch_up_entries"]);
    let killed: Vec<_> = object["replicas"].as_array().expect("a list").iter().map(|each| &each["killed"]).collect();
    assert_eq!(killed, [false, true]);
}

#[test]
fn the_table_tells_the_same_to_people() {
    let output = demo(&["--entries", "600", "--size", "10", "--ack", "local"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let table = stdout(&output);
    for part in [" acknowledged at local of 600", "found on n3", "promotion", "ok: "] {
        assert!(table.contains(part), "{part:?} is not in:\n{table}");
    }
    assert_eq!(stderr(&output), "", "a progress bar is for terminals");
}

#[test]
fn few_entries_are_enough_for_a_kill_and_a_return() {
    for entries in ["1", "2", "3"] {
        let output = demo(&["--entries", entries, "--size", "0", "--json"]);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        assert_eq!(object(&output)["on_every_node"].to_string(), entries);
    }
}

#[test]
fn the_lines_of_a_file_are_the_entries_to_the_byte() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, kept) = (directory.path().join("lines"), directory.path().join("kept"));
    let mut lines: Vec<Vec<u8>> = (0..500).map(|n| format!("line {n} ü").into_bytes()).collect();
    lines.extend([b"".to_vec(), b"".to_vec(), b"ends with\r".to_vec(), vec![0, 255, 13], b"no end".to_vec()]);
    fs::write(&file, lines.join(&b'\n')).expect("written");
    let output = demo(&["--json", "--input", &file.to_string_lossy(), "--keep", &kept.to_string_lossy()]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_all(&object(&output), 505);
    let mut expected: Vec<u64> = lines.iter().map(|line| digest(line)).collect();
    expected.sort_unstable();
    for node in [1, 2, 3] {
        let mut found: Vec<u64> = log(&kept, node).iter().map(|entry| entry.digest).collect();
        found.sort_unstable();
        assert!(found.len() as u64 >= acknowledged(&object(&output)), "n{node}: {}", found.len());
        let mut rest = expected.iter();
        assert!(found.iter().all(|digest| rest.any(|line| line == digest)), "n{node}: each line once at most");
    }
}

#[test]
fn the_lines_of_stdin_are_the_entries_too() {
    let mut child = engraft()
        .args(["demo", "--json", "--input", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines: String = (0..300).map(|n| format!("{n}\n")).collect();
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert_all(&object(&output), 300);
}

#[test]
fn at_all_entries_written_while_a_replica_is_away_are_unknown_and_not_lost() {
    let output = demo(&["--entries", "300", "--ack", "all", "--json", "--timeout", "300"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let object = object(&output);
    let (acknowledged, unknown) = (object["acknowledged"].as_u64(), object["unknown"].as_u64());
    assert_eq!(acknowledged.zip(unknown).map(|(acknowledged, unknown)| acknowledged + unknown), Some(300));
    assert!(unknown.is_some_and(|unknown| unknown > 0), "nothing is acknowledged by all while one is away");
}

#[test]
fn inputs_and_directories_that_cannot_be_are_usage_errors() {
    let directory = tempfile::tempdir().expect("a directory");
    let empty = directory.path().join("empty");
    fs::write(&empty, "").expect("written");
    let (directory, empty) = (directory.path().to_string_lossy(), empty.to_string_lossy());
    let cases: [(&[&str], &str); 8] = [
        (&["--input", "/nowhere/lines"], "/nowhere/lines"),
        (&["--input", &directory], "directory"),
        (&["--input", &empty], "one line or more"),
        (&["--input", "x", "--entries", "5"], "--entries"),
        (&["--keep", &directory], "expected an empty directory"),
        (&["--entries", "0"], "--entries"),
        (&["--size", "1048577"], "--size"),
        (&["--ack", "most"], "local, quorum or all"),
    ];
    for (arguments, says) in cases {
        let output = demo(arguments);
        assert_eq!(code(&output), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{says:?} is not in: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

/// A demo that would run for long, its nodes running.
fn long_demo(kept: &Path) -> Child {
    let child = engraft()
        .args(["demo", "--entries", "1000000000", "--keep"])
        .arg(kept)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    wait_until("three nodes and the demo run", || processes(kept).len() == 4);
    // The first segments of a replica are full: writing goes on.
    wait_until("entries are written", || log_size(kept, 2) > 1_000_000);
    child
}

fn log_size(directory: &Path, node: u16) -> u64 {
    let files = fs::read_dir(directory.join(format!("n{node}/spaces/demo"))).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[test]
fn an_interrupted_demo_leaves_no_process_behind() {
    for name in ["-INT", "-TERM"] {
        let directory = tempfile::tempdir().expect("a directory");
        let kept = directory.path().join("kept");
        let child = long_demo(&kept);
        signal(name, child.id());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(code(&output), Some(1), "{name}");
        assert!(stderr(&output).contains("interrupted"), "{name}: {}", stderr(&output));
        assert_eq!(processes(&kept), [0; 0], "{name}");
    }
}

#[test]
fn a_killed_demo_leaves_no_process_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let kept = directory.path().join("kept");
    let mut child = long_demo(&kept);
    child.kill().expect("killed");
    child.wait().expect("it ends");
    wait_until("the nodes end with the demo", || processes(&kept).is_empty());
}

#[test]
fn a_node_that_dies_ends_the_demo_with_its_last_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let kept = directory.path().join("kept");
    let child = long_demo(&kept);
    let line = |id: &u32| fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let second = processes(&kept).into_iter().find(|id| String::from_utf8_lossy(&line(id)).contains("n2.toml"));
    signal("-KILL", second.expect("it runs"));
    let output = child.wait_with_output().expect("it ends");
    let said = stderr(&output);
    assert_eq!(code(&output), Some(1), "{said}");
    assert!(said.contains("n2 ended (signal: 9") && said.contains("demo is replica"), "{said}");
    assert_eq!(processes(&kept), [0; 0]);
}

#[test]
fn the_verdict_finds_every_loss_that_is_planted() {
    let directory = tempfile::tempdir().expect("a directory");
    let kept = directory.path().join("kept");
    let output = demo(&["--entries", "1000", "--keep", &kept.to_string_lossy()]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let acknowledged = log(&kept, 1);
    let count = acknowledged.len() as u64;
    assert!(count > 700, "three quarters are there before the primary dies: {count}");
    let verdict = || verdict_of(acknowledged.clone(), &data_dirs(&kept), "demo");
    let whole = verdict();
    assert_eq!((whole.on_every_node, whole.lost), (count, 0));
    assert!(whole.losses.is_empty() && whole.damage.is_empty(), "{whole:?}");

    // One bit of one payload on a replica: that entry is lost, its neighbours are not.
    let (file, offset, sequence) = place_of(&kept, 2, 500);
    let mut bytes = fs::read(&file).expect("read");
    let intact = bytes.clone();
    bytes[offset + 64 + 10] ^= 1;
    fs::write(&file, &bytes).expect("written");
    let flipped = verdict();
    assert_eq!((flipped.on_every_node, flipped.lost, flipped.by_node[&NodeId(2)]), (count - 1, 1, count - 1));
    assert_eq!((flipped.losses[0].node, flipped.losses[0].found), (NodeId(2), Found::Nothing));
    assert_eq!(flipped.losses[0].entry.sequence.0, sequence);
    assert!(flipped.damage.iter().any(|(node, _)| *node == NodeId(2)), "{flipped:?}");

    // Everything from there to the end of the file.
    fs::write(&file, &intact[..offset]).expect("written");
    let cut = verdict();
    assert!(cut.lost > 1 && cut.by_node[&NodeId(2)] == count - cut.lost, "{cut:?}");
    fs::write(&file, &intact).expect("written");
    assert_eq!(verdict(), whole);

    // The primary's own copy counts as well, and so does a node without any log.
    fs::rename(kept.join("n1/spaces"), kept.join("n1/elsewhere")).expect("renamed");
    let gone = verdict();
    assert_eq!((gone.on_every_node, gone.lost, gone.by_node[&NodeId(3)]), (0, count, count));
    assert!(gone.damage.iter().any(|(node, _)| *node == NodeId(1)), "{gone:?}");
}

/// The file, the offset and the sequence of the `index`th entry of a node's log.
fn place_of(directory: &Path, node: u16, index: usize) -> (PathBuf, usize, u64) {
    let directory = directory.join(format!("n{node}/spaces/demo"));
    let found = inspect(StdDisk, &directory).expect("a log").nth(index).expect("an entry").expect("read");
    let Inspected::Entry(entry) = found else { panic!("{found:?}") };
    (directory.join(&entry.file), usize::try_from(entry.offset).expect("small"), entry.header.sequence().0)
}

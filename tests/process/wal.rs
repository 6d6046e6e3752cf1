//! The commands that look at a log's files.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use super::support::{Server, alone, code, engraft, stderr, stdout};

/// The payload of an epoch's first entry: its sequence and its limit of exposure.
const START: usize = 16;

/// The data directory of a node that took these entries and stopped cleanly.
fn written(directory: &Path, payloads: &[&[u8]]) -> PathBuf {
    let mut server = Server::start(directory, &alone(directory, ""));
    server.wait_for_primary();
    for payload in payloads {
        assert_eq!(server.post("/v1/spaces/orders/entries", payload).status, 200);
    }
    server.close_stdin();
    assert_eq!(server.wait(), Some(0));
    directory.join("data")
}

fn wal(arguments: &[&str], directory: &Path) -> Output {
    engraft().arg("wal").args(arguments).arg(directory).output().expect("it runs")
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"))).collect()
}

#[test]
fn a_clean_log_is_verified_as_one_object() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = written(directory.path(), &[b"a", b"bc", b""]);
    for directory in [data.clone(), data.join("spaces/orders")] {
        let output = wal(&["verify", "--json"], &directory);
        assert_eq!(code(&output), Some(0), "{}", stderr(&output));
        let expected = serde_json::json!([{
            "segments": 1, "entries": 4, "bytes": 4 * 64 + START + 3, "first_sequence": 1, "last_sequence": 4,
            "torn_tail": null, "damage": [], "duplicates": 0, "origin": "engraft",
        }]);
        assert_eq!(serde_json::Value::from(lines(&output)), expected);
    }
    let output = wal(&["verify"], &data);
    assert!(stdout(&output).contains("#1 to #4") && stdout(&output).ends_with("clean\n"), "{}", stdout(&output));
}

#[test]
fn a_damaged_log_exits_4_and_its_report_names_file_and_offset() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = written(directory.path(), &[b"first", b"second", b"third"]);
    let file = data.join("spaces/orders/wal-0000000000000001.log");
    let mut bytes = fs::read(&file).expect("read");
    let second = 64 + START + 64 + 5;
    bytes[second + 64] ^= 1;
    fs::write(&file, bytes).expect("written");
    let output = wal(&["verify", "--json"], &data);
    assert_eq!(code(&output), Some(4));
    let report = &lines(&output)[0];
    assert_eq!(report["entries"], 3, "the entry behind the damage counts");
    let damage = &report["damage"][0];
    assert_eq!(
        (&damage["file"], &damage["offset"]),
        (&"spaces/orders/wal-0000000000000001.log".into(), &second.into())
    );
    assert!(damage["reason"].as_str().is_some_and(|reason| reason.contains("payload")), "{damage}");
    assert!(stderr(&output).contains("nothing was changed"), "{}", stderr(&output));
    assert_eq!(code(&wal(&["verify"], &data)), Some(4));

    let output = wal(&["inspect", "--json"], &data);
    let found = lines(&output);
    assert_eq!(
        found.iter().map(|line| line["sequence"].as_u64()).collect::<Vec<_>>(),
        [Some(1), Some(2), None, Some(4)]
    );
    assert_eq!(found[2]["offset"], second);
    assert!(found[2]["break"].is_string());
    assert!(stdout(&wal(&["inspect"], &data)).contains(&format!(".log {second} BREAK the payload")));
}

#[test]
fn entries_are_inspected_one_a_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = written(directory.path(), &[b"a\n\"b\"\xff", b"c"]);
    let found = lines(&wal(&["inspect", "--json", "--payload"], &data));
    assert_eq!(found.len(), 3);
    let crc = u64::from(crc32c::crc32c(b"a\n\"b\"\xff"));
    let (mut second, file) = (found[1].clone(), "spaces/orders/wal-0000000000000001.log");
    assert!(second["timestamp"].take().as_u64().is_some_and(|nanoseconds| nanoseconds > 1_700_000_000_000_000_000));
    let expected = serde_json::json!({
        "file": file, "offset": 64 + START, "sequence": 2, "epoch": "e1n1", "type": 1, "timestamp": null, "size": 6,
        "payload_crc": crc, "payload": "YQoiYiL/",
    });
    assert_eq!(second, expected);
    assert_eq!((&found[0]["control"], &found[0]["type"]), (&1.into(), &5.into()), "an epoch's start is a checkpoint");

    let text = stdout(&wal(&["inspect", "--payload", "--from", "2"], &data));
    let expected = format!("{file} {} e1n1#2 type 1 6 bytes {crc:08x} \"a\\n\\\"b\\\"\\xff\"", 64 + START);
    assert_eq!(text.lines().next(), Some(expected.as_str()));
    assert_eq!(text.lines().count(), 2);
    assert_eq!(lines(&wal(&["inspect", "--json", "--space", "orders"], &data)).len(), 3);
    assert!(lines(&wal(&["inspect", "--json", "--from", "3"], &data.join("spaces/orders")))[0]["payload"].is_null());
}

#[test]
fn a_path_that_leads_nowhere_is_told_from_a_clean_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let (nowhere, file) = (directory.path().join("nowhere"), directory.path().join("file"));
    fs::write(&file, "x").expect("written");
    for command in ["verify", "inspect"] {
        for path in [&nowhere, &file] {
            let output = wal(&[command], path);
            assert_eq!(code(&output), Some(2), "{command} {}: {}", path.display(), stderr(&output));
            assert!(stderr(&output).contains("expected a data directory"), "{}", stderr(&output));
        }
        let output = wal(&[command], directory.path());
        assert!(stderr(&output).contains("nothing of a log"), "{command}: {}", stderr(&output));
    }
    let output = wal(&["inspect", "--space", "../../etc"], directory.path());
    assert_eq!(code(&output), Some(2), "a space's name is no path");
    assert_eq!(code(&wal(&["inspect", "--space", "orders"], directory.path())), Some(2));
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = written(directory.path(), &[&[7; 200_000], b"b"]);
    let mut child = engraft()
        .args(["wal", "inspect", "--payload"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    BufReader::with_capacity(64, child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((code(&output), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = engraft().args(["completions", shell]).output().expect("it runs");
        assert_eq!(code(&output), Some(0));
        assert!(stdout(&output).contains("inspect"), "{shell}");
    }
}

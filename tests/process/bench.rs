//! The bench, run for a moment: what it prints and that its numbers can be. How fast anything is has no place here.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::support::{code, engraft, stderr, stdout};

/// The figures of `all` that have a floor, and those whose floor is null.
const BESIDE_A_FLOOR: [&str; 8] = [
    "throughput_256b",
    "throughput_1k",
    "core_256b",
    "wal_256b",
    "ack_local_p99_ms",
    "ack_quorum_p99_ms",
    "lag_p99_ms",
    "catch_up_256b",
];
const ALONE: [&str; 1] = ["memory_per_stream_mb"];

fn bench(directory: &Path, arguments: &[&str]) -> Output {
    let short = ["--seconds", "0.1", "--rate", "1000", "--entries", "2000"];
    engraft().arg("bench").args(arguments).args(short).arg("--dir").arg(directory).output().expect("it runs")
}

fn object(output: &Output) -> serde_json::Map<String, Value> {
    assert_eq!(code(output), Some(0), "{}", stderr(output));
    let text = stdout(output);
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text:?}"));
    value.as_object().cloned().expect("an object")
}

fn number(figure: &Value, name: &str) -> f64 {
    figure[name].as_f64().unwrap_or_else(|| panic!("`{name}` is no number in {figure}"))
}

fn check_beside_a_floor(key: &str, figure: &Value) {
    let (value, floor, ratio) = (number(figure, "value"), number(figure, "floor"), number(figure, "ratio"));
    assert!(value > 0.0 && floor > 0.0 && ratio > 0.0, "{key}: {figure}");
}

#[test]
fn all_ends_with_one_object_of_the_nine_figures() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = bench(directory.path(), &["all", "--json"]);
    let figures = object(&output);
    let mut expected = [BESIDE_A_FLOOR.as_slice(), &ALONE].concat();
    expected.sort_unstable();
    assert_eq!(figures.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    for key in BESIDE_A_FLOOR {
        check_beside_a_floor(key, &figures[key]);
    }
    for key in ALONE {
        assert_eq!((&figures[key]["floor"], &figures[key]["ratio"]), (&Value::Null, &Value::Null), "{key}");
    }
    if cfg!(target_os = "linux") {
        assert!(number(&figures["memory_per_stream_mb"], "value") > 0.0);
    }
    assert_eq!(stderr(&output), "", "progress is for terminals only");
    assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 0, "files are left behind");
}

#[test]
fn the_ratio_of_a_latency_is_that_of_its_two_numbers() {
    let directory = tempfile::tempdir().expect("a directory");
    let figures = object(&bench(directory.path(), &["latency", "--json"]));
    assert_eq!(figures.len(), 6, "three quantiles at two levels: {figures:?}");
    for (key, figure) in &figures {
        let (value, floor, ratio) = (number(figure, "value"), number(figure, "floor"), number(figure, "ratio"));
        // Each of them is rounded to three digits behind the point.
        let widest = (value + 0.001) / (floor - 0.001).max(1e-9) + 0.001;
        let closest = (value - 0.001).max(0.0) / (floor + 0.001) - 0.001;
        assert!((closest..=widest).contains(&ratio), "{key}: {figure}");
    }
    for level in ["local", "quorum"] {
        let [p50, p99, p999] =
            ["p50", "p99", "p999"].map(|name| number(&figures[&format!("ack_{level}_{name}_ms")], "value"));
        assert!(p50 <= p99 && p99 <= p999, "{figures:?}");
    }
}

#[test]
fn a_size_of_ones_own_names_the_figure() {
    let directory = tempfile::tempdir().expect("a directory");
    let figures = object(&bench(directory.path(), &["wal", "--json", "--size", "100"]));
    check_beside_a_floor("wal_100b", &figures["wal_100b"]);
}

#[test]
fn the_table_has_a_line_per_figure() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = bench(directory.path(), &["core"]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    for column in ["value", "floor", "ratio", "the floor is"] {
        assert!(lines[0].contains(column), "{text}");
    }
    assert!(lines[5].starts_with("overhead per batch"), "{text}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing");
    let output = bench(&missing, &["wal"]);
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains(&missing.display().to_string()), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_length_that_cannot_be_is_a_matter_of_usage() {
    let output = engraft().args(["bench", "core", "--seconds", "-1"]).output().expect("it runs");
    assert_eq!(code(&output), Some(2), "{}", stderr(&output));
}

//! The commands as processes: what they print, where, and with which exit code.
#![cfg(feature = "cli")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use engraft_sim::scenario::SCENARIO_VERSION;
use serde_json::Value;

/// A bug that each of the first seeds shows.
const BUG: &str = "ack_before_sync";

fn sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_engraft-sim")).args(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// What a command printed as JSON: one value on stdout and nothing else.
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The words behind the last line that begins so.
fn behind<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let found = text.lines().rev().find_map(|line| line.strip_prefix(start));
    found.unwrap_or_else(|| panic!("no line begins with {start:?}:\n{text}")).split(' ').collect()
}

#[test]
fn a_run_tells_its_story_and_the_same_as_json() {
    let output = sim(&["run", "--seed", "4"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = text(&output.stdout);
    assert!(said.starts_with("swarm 4\n") && said.contains("\nevery check holds\n"), "{said}");
    assert!(output.stderr.is_empty(), "{output:?}");

    let report = json(&sim(&["run", "--seed", "4", "--json"]));
    let printed = format!("{} events, digest {}\n", report["events"], report["digest"].as_str().expect("text"));
    assert!(said.ends_with(&printed), "{said}");
    assert_eq!((report["violation"].is_null(), report["trace"].is_null()), (true, true));
    let clients = report["clients"].as_array().expect("a list");
    assert!(clients.iter().any(|client| client["answered"].as_u64() > Some(0)), "{report}");
}

#[test]
fn a_trace_has_every_event() {
    let short = text(&sim(&["run", "--seed", "4"]).stdout).lines().count();
    let output = sim(&["run", "--seed", "4", "--trace"]);
    assert!(text(&output.stdout).lines().count() > short * 10, "{short} lines without it");
    let report = json(&sim(&["run", "--seed", "4", "--trace", "--json"]));
    let lines = report["trace"].as_array().expect("lines").len();
    assert!(lines as u64 > report["events"].as_u64().expect("a number"), "{lines} lines");
}

#[test]
fn what_a_sweep_finds_is_minimised_and_both_commands_replay_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("text");
    let output = sim(&["sweep", "--seeds", "3..40", "--planted", BUG, "--directory", path, "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let swept = json(&output);
    assert_eq!((swept["violations"].as_u64(), swept["interrupted"].as_bool()), (Some(1), Some(false)), "{swept}");
    let found = swept["violation"]["invariant"].as_str().expect("a number").to_owned();
    let said = text(&output.stderr);
    let recent =
        said.lines().skip_while(|line| *line != "its last events:").take_while(|line| !line.starts_with("replay"));
    assert!(recent.count() > 10, "the last events are told:\n{said}");

    let replayed = |start: &str| {
        let words = behind(&said, start);
        assert_eq!(words[..2], ["cargo", "sim"]);
        let output = sim(&[&words[2..], &["--json"]].concat());
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        json(&output)
    };
    let seed = replayed("replay it: ");
    assert_eq!((&seed["violation"], &seed["seed"]), (&swept["violation"], &swept["failing_seed"]));
    let small = replayed("replay that: ");
    assert_eq!(small["violation"]["invariant"], found.as_str());
}

#[test]
fn a_scenario_file_is_minimised_shown_and_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("text").to_owned();
    let sweep = sim(&["sweep", "--seeds", "0..40", "--planted", BUG, "--directory", &path("found")]);
    let file = behind(&text(&sweep.stderr), "replay that: cargo sim run ").join(" ");

    let shown = sim(&["show", &file]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let (_, scenario) =
        text(&shown.stdout).split_once("\nversion = ").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("its text");
    let as_json = json(&sim(&["show", &file, "--json"]));
    assert_eq!(as_json["version"].as_u64(), Some(u64::from(SCENARIO_VERSION)));
    // What is shown is the scenario: it can be run as it is.
    std::fs::write(path("shown.toml"), format!("version = {scenario}")).expect("written");
    assert_eq!(sim(&["run", &path("shown.toml")]).status.code(), Some(1));

    let smaller = sim(&["minimise", &path("shown.toml"), "--to", &path("smaller.toml")]);
    assert_eq!(smaller.status.code(), Some(0), "{smaller:?}");
    let again =
        behind(&text(&smaller.stderr), "replay it: cargo sim ").iter().map(ToString::to_string).collect::<Vec<_>>();
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    assert_eq!(sim(&again).status.code(), Some(1));
    let counted = json(&sim(&["minimise", &path("shown.toml"), "--json"]));
    assert!(counted["faults"].as_u64() <= counted["faults_before"].as_u64(), "{counted}");
    assert!(
        counted["scenario"].as_str().is_some_and(|text| text.contains(&format!("version = {SCENARIO_VERSION}"))),
        "{counted}"
    );
}

#[test]
fn nothing_broken_is_nothing_to_minimise() {
    let output = sim(&["minimise", "seed:4"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr), "seed:4: nothing is broken, so there is nothing to minimise\n");
}

#[test]
fn a_sweep_ends_with_its_numbers() {
    let swept = json(&sim(&["sweep", "--seeds", "0..3", "--jobs", "2", "--json"]));
    let numbers =
        ["seeds", "events", "simulated_seconds", "violations", "seeds_per_sec", "events_per_sec", "next_seed"];
    assert!(numbers.iter().all(|number| swept[number].is_number()), "{swept}");
    assert_eq!((swept["seeds"].as_u64(), swept["next_seed"].as_u64()), (Some(3), Some(3)));
    assert!(swept["marks_missed"].is_array());
    let timed = json(&sim(&["sweep", "--minutes", "0.001", "--json"]));
    assert!(timed["seeds"].as_u64() > Some(0), "{timed}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_sweep_prints_what_it_found_and_where_to_go_on() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_engraft-sim"))
        .args(["sweep", "--seeds", "7..1000000000", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It listens for the interrupt before it says that it begins.
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("it says that it begins");
    assert!(said.starts_with("sweeping seeds 7..1000000000, "), "{said}");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    let rest: Vec<String> = stderr.lines().map(|line| line.expect("text")).collect();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{rest:?}");
    let swept = json(&output);
    let next = swept["next_seed"].as_u64().expect("a number");
    assert_eq!((swept["interrupted"].as_bool(), swept["seeds"].as_u64()), (Some(true), Some(next - 7)));
    let expected = format!("interrupted; go on with: cargo sim sweep --seeds {next}..1000000000");
    assert_eq!(rest.last(), Some(&expected));
}

#[test]
fn a_bad_command_line_is_told_apart_from_a_bad_scenario() {
    for wrong in [
        ["sweep", "--seeds", "9..3"],
        ["sweep", "--minutes", "-1"],
        ["sweep", "--jobs", "0"],
        ["run", "--seed", "x"],
        ["sweep", "--planted", "no_such_bug"],
    ] {
        assert_eq!(sim(&wrong).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(sim(&["run", "no/such/file.toml"]).status.code(), Some(3));
    assert_eq!(sim(&["show", "seed:x"]).status.code(), Some(3));
}

#[test]
fn a_bad_scenario_is_refused_with_the_place_and_the_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let good = text(&sim(&["show", "seed:4"]).stdout);
    let (_, good) = good.split_once("\nversion = ").expect("its text");
    let good = format!("version = {good}");
    let path = directory.path().join("bad.toml");
    for (from, to, place) in [
        ("version = 2\n", "version = 3\n", "version"),
        ("seed = 4\n", "seed = 4\nsead = 4\n", "sead"),
        ("chaos_us = ", "chaos_us = -", "chaos_us"),
        ("primary = ", "primary = 7", "primary"),
        ("[[faults]]\nat_us = ", "[[faults]]\nat_us = -", "at_us"),
        ("[[faults]]\n", "[[faults]]\nwhy = 1\n", "why"),
        ("kind = ", "kind = \"earthquake\" # ", "earthquake"),
        ("nodes = ", "nodes = 0 # ", "nodes"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        refused(&path, &bad, place);
    }
    refused(&path, "", "version");
}

fn refused(path: &Path, bad: &str, place: &str) {
    std::fs::write(path, bad).expect("written");
    let file = path.to_str().expect("text");
    for command in ["run", "show", "minimise"] {
        let output = sim(&[command, file]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{command} {place}: {said}");
        assert!(said.starts_with(file) && said.contains(place), "{command} does not name {place}:\n{said}");
    }
}

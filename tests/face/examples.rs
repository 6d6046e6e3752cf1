//! The examples are short, run, and say what they should.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs an example in a directory of its own, as often as asked; what each run said.
fn runs(name: &str, times: usize) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let program = built(name);
    let run = || {
        let output = Command::new(&program).arg(directory.path().join("data")).output().expect("the example starts");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    (0..times).map(|_| run()).collect()
}

/// The example's program, built as this test is; nothing is to be done where all was built together.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a program");
    let profile = test.ancestors().nth(2).expect("it lies in `deps` of a profile");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--example", name, "--target-dir"]);
    cargo.arg(profile.parent().expect("a profile lies in a target directory"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    profile.join("examples").join(name)
}

fn lines(name: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    std::fs::read_to_string(path).expect("the example is there").lines().count()
}

#[test]
fn the_examples_are_short() {
    assert!(lines("smallest.rs") < 25, "{} lines", lines("smallest.rs"));
    assert!(lines("own_state_machine.rs") < 60, "{} lines", lines("own_state_machine.rs"));
}

#[test]
fn the_smallest_example_runs_and_keeps_what_it_appended() {
    let said = runs("smallest", 2);
    assert_eq!(said[0], "committed as #2\n#2 two apples\n");
    assert_eq!(said[1], "committed as #4\n#2 two apples\n#4 two apples\n");
}

#[test]
fn the_example_with_a_state_machine_has_the_same_state_on_every_node() {
    let said = runs("own_state_machine", 1);
    assert_eq!(said, ["{\"apples\": 5, \"pears\": 3}\n".repeat(3)]);
}

#[test]
fn the_example_in_the_simulator_holds_and_finds_the_one_that_loses_count() {
    let program = built("simulate_your_engine");
    let output = Command::new(&program).output().expect("the example starts");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("the good one holds: "), "{said}");
    let (_, found) = said.split_once("the other one does not:\n\nseed ").unwrap_or_else(|| panic!("{said}"));
    assert!(found.contains(": S24 is broken at "), "{found}");
    assert!(found.contains("\nreplay it: simulation.sweep("), "{found}");

    let (_, rest) = found.split_once("`simulation.replay(text)`:\n\n").expect("the scenario is printed");
    let (scenario, _) = rest.split_once("\nreplay it: ").expect("behind it is how to replay it");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("found.toml");
    std::fs::write(&path, scenario).expect("it can be written");
    let output = Command::new(&program).arg(&path).output().expect("the example starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("S24 is broken at "), "what was printed breaks again: {said}");
}

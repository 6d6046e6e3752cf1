//! `engraft diagnostics`: enough to help, and nothing that is nobody else's business.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::{Server, alone, code, engraft, stderr, stdout};
use crate::support::free_addresses;

fn json(file: &Path) -> serde_json::Value {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// A node on a port that its configuration names, so that the configuration alone leads there.
fn node(directory: &Path) -> (String, Server) {
    let [http] = free_addresses().map(|address| address.to_string());
    let configuration = alone(directory, "").replace("http = \"127.0.0.1:0\"", &format!("http = \"{http}\""));
    let server = Server::start(directory, &configuration);
    server.wait_for_primary();
    (http, server)
}

#[test]
fn a_bundle_tells_versions_configuration_status_figures_logs_and_machine() {
    let directory = tempfile::tempdir().expect("a directory");
    let (http, server) = node(directory.path());
    assert_eq!(server.post("/v1/spaces/orders/entries", b"nobody-elses-business").status, 200);
    let log = directory.path().join("node.log");
    fs::write(&log, "INFO started\nWARN password=hunter2\n").expect("written");
    let out = directory.path().join("bundle");
    let output = engraft()
        .arg("diagnostics")
        .arg(&out)
        .arg("--config")
        .arg(directory.path().join("node.toml"))
        .arg("--log-file")
        .arg(&log)
        .output()
        .expect("it runs");
    assert_eq!((code(&output), stderr(&output).as_str()), (Some(0), ""));
    assert_eq!(stdout(&output).trim_end(), out.to_string_lossy());

    let about = json(&out.join("about.json"));
    assert_eq!((&about["engraft"], &about["missing"]), (&env!("CARGO_PKG_VERSION").into(), &serde_json::json!([])));
    assert_eq!(about["machine"]["os"], std::env::consts::OS);
    let status = json(&out.join("status.json"));
    assert_eq!((&status["nodes"][0]["http"], &status["nodes"][0]["status"]["node"]), (&http.into(), &1.into()));
    let wal = json(&out.join("wal.json"));
    assert_eq!((&wal["verify"]["entries"], &wal["verify"]["damage"]), (&2.into(), &serde_json::json!([])));
    let files = wal["files"].as_array().expect("a list");
    assert!(files.iter().any(|file| file["file"] == "spaces/orders/wal-0000000000000001.log"), "{wal}");
    let config = fs::read_to_string(out.join("config.toml")).expect("a configuration");
    assert!(config.contains("cluster = \"test\"") && config.contains("batch_delay = \"10ms\""), "{config}");
    let figures = fs::read_to_string(out.join("metrics-n1.txt")).expect("figures");
    assert!(figures.contains("engram_replication_role"), "{figures}");
    let log = fs::read_to_string(out.join("log-1.txt")).expect("a log");
    assert_eq!(log, "INFO started\nWARN password= [redacted]\n");
    for file in fs::read_dir(&out).expect("a list").flatten() {
        let text = fs::read_to_string(file.path()).expect("text");
        for secret in ["nobody-elses-business", "bm9ib2R5LWVsc2VzLWJ1c2luZXNz", "hunter2"] {
            assert!(!text.contains(secret), "{} tells {secret}", file.path().display());
        }
    }

    let again = engraft().arg("diagnostics").arg(&out).args(["--node", server.http()]).output().expect("it runs");
    assert_eq!(code(&again), Some(2), "what is there is not written over: {}", stderr(&again));
}

#[test]
fn what_cannot_be_had_is_told_and_the_rest_is_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, server) = node(directory.path());
    drop(server);
    let out = directory.path().join("bundle");
    let config = directory.path().join("node.toml");
    let output = engraft().arg("diagnostics").arg(&out).arg("--config").arg(&config).output().expect("it runs");
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    let about = json(&out.join("about.json"));
    assert!(about["missing"][0]["what"].as_str().is_some_and(|what| what.starts_with("the status of ")), "{about}");
    assert_eq!(json(&out.join("wal.json"))["verify"]["entries"], 1);

    fs::write(&config, "node = 0\n").expect("written");
    let out = directory.path().join("bundle2");
    let output = engraft().arg("diagnostics").arg(&out).arg("--config").arg(&config).output().expect("it runs");
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(json(&out.join("about.json"))["missing"][0]["why"].as_str().is_some_and(|why| why.contains("node.toml")));
}

#[test]
fn the_script_makes_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_, server) = node(directory.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/engram_diagnostics.sh");
    let out = directory.path().join("bundle");
    let run = |arguments: &[&str]| {
        let mut command = Command::new("bash");
        command.arg(&script).args(arguments).env("ENGRAFT", env!("CARGO_BIN_EXE_engraft"));
        command.env_remove("ENGRAFT_CONFIG").current_dir(directory.path()).output().expect("it runs")
    };
    let output = run(&[out.to_str().expect("text"), "--node", server.http()]);
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(out.join("status.json").exists());
    let output = run(&[]);
    assert_eq!(code(&output), Some(2), "the exit code is the command's: {}", stderr(&output));
}

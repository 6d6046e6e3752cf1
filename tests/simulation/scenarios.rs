//! Every committed scenario holds: each was a bug once.

use std::fs;
use std::path::Path;

use engraft_sim::{Scenario, Watch, render, run};

#[test]
fn committed_scenarios_hold() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut count = 0;
    for entry in fs::read_dir(&directory).expect("the directory is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        let scenario = Scenario::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let report = run(&scenario, Watch { trace: true }).expect("it can be run");
        let story = || render::story(&scenario, &report, render::MILESTONES);
        assert_eq!(report.violation, None, "{}\n{}", path.display(), story());
        count += 1;
    }
    assert!(count > 0, "no scenario in {}", directory.display());
}

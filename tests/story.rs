//! Stories: named scenarios, each with one snapshot that a reviewer reads.

mod acks;
mod disk;
mod elections;
mod first;
mod forced;
mod network;
mod recovering;
mod replicas;
mod two_nodes;

use engraft_sim::scenario::Scenario;
use engraft_sim::trace::LineKind;
use engraft_sim::{Watch, render, run};

use crate::support;

/// Runs a scenario, wants every check to hold, and holds its story against the snapshot.
fn story(name: &str, scenario: &Scenario) {
    story_of(name, scenario, render::MILESTONES);
}

/// The same with other kinds of lines than a story usually shows.
fn story_of(name: &str, scenario: &Scenario, kinds: &[LineKind]) {
    let report = run(scenario, Watch { trace: true }).expect("a scenario that can be run");
    let text = render::story(scenario, &report, kinds);
    assert_eq!(report.violation, None, "{text}");
    support::snapshot("story", name, &text);
}

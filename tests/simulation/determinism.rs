//! A seed is a run: byte for byte, in every process; and a fault that is taken out takes nothing else with it.

use std::env;
use std::process::Command;

use engraft::types::{NodeId, Time};
use engraft_sim::scenario::{Fault, FaultKind};
use engraft_sim::trace::LineKind;
use engraft_sim::{Scenario, Watch, render, run};

use crate::support::load;

/// Set for the other process.
const CHILD: &str = "ENGRAFT_SIM_TRACE_OF";

fn trace(seed: u64) -> String {
    let report = run(&Scenario::swarm(seed), Watch { trace: true }).expect("a scenario that can be run");
    format!("{}{:016x}\n", render::lines(&report.lines, render::EVERYTHING, false), report.digest)
}

#[test]
fn two_processes_give_the_same_trace_byte_for_byte() {
    if let Ok(seed) = env::var(CHILD) {
        print!("<trace>{}</trace>", trace(seed.parse().expect("a seed")));
        return;
    }
    for seed in [3, 12] {
        let name = "simulation::determinism::two_processes_give_the_same_trace_byte_for_byte";
        let program = env::current_exe().expect("this program");
        let output = Command::new(program)
            .args([name, "--exact", "--nocapture"])
            .env(CHILD, seed.to_string())
            .output()
            .expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let (_, rest) = text.split_once("<trace>").expect("a trace begins");
        let (theirs, _) = rest.split_once("</trace>").expect("it ends");
        let ours = trace(seed);
        assert!(ours.len() > 10_000, "a trace of {} bytes shows little", ours.len());
        assert_eq!(ours, theirs, "seed {seed}");
    }
}

/// Where the release build of `engraft-sim` is.
const RELEASE: &str = "ENGRAFT_SIM";

#[test]
#[ignore = "needs a release build of the simulator, named by ENGRAFT_SIM; `.ci/run` makes one"]
fn a_release_build_gives_the_same_trace_byte_for_byte() {
    let program = env::var(RELEASE).expect("ENGRAFT_SIM names the release build of `engraft-sim`");
    for seed in [3, 12, 25] {
        let arguments = ["run", "--trace", "--seed", &seed.to_string()];
        let output = Command::new(&program).args(arguments).output().expect("it runs");
        let theirs = String::from_utf8(output.stdout).expect("text");
        let scenario = Scenario::swarm(seed);
        let report = run(&scenario, Watch { trace: true }).expect("a scenario that can be run");
        let ours = format!(
            "{}\n{}\n{}{} events, digest {:016x}\n",
            render::header(&scenario),
            render::lines(&report.lines, render::EVERYTHING, false),
            render::table(&report),
            report.events,
            report.digest
        );
        assert!(ours.len() > 10_000, "a trace of {} bytes shows little", ours.len());
        assert!(
            ours == theirs,
            "seed {seed} gives another trace in a release build; compare `cargo sim {arguments:?}`"
        );
    }
}

#[test]
fn watching_a_run_changes_nothing() {
    for seed in 20..25 {
        let scenario = Scenario::swarm(seed);
        let seen = run(&scenario, Watch { trace: true }).expect("it can be run");
        let unseen = run(&scenario, Watch::default()).expect("it can be run");
        assert_eq!((seen.digest, seen.events), (unseen.digest, unseen.events), "seed {seed}");
    }
}

#[test]
fn a_fault_taken_out_leaves_the_rest_as_it_was() {
    let mut with = Scenario::quiet("two faults", 5, 3);
    with.loads.push(load(500));
    with.faults.push(Fault::new(150_000, FaultKind::FrameLoss, NodeId(1)).with(NodeId(2)).by(100).lasting(50_000));
    with.faults.push(Fault::new(400_000, FaultKind::Partition, NodeId(3)).lasting(200_000));
    let mut without = with.clone();
    without.faults.pop();
    let lines = |scenario: &Scenario| {
        let report = run(scenario, Watch { trace: true }).expect("it can be run");
        report.lines.into_iter().filter(|line| line.kind != LineKind::Turn).collect::<Vec<_>>()
    };
    let (with, without) = (lines(&with), lines(&without));
    let before = with.iter().zip(&without).take_while(|(one, other)| one == other).count();
    let differs = with.get(before).map(|line| line.at).expect("the partition shows");
    assert!(differs >= Time(400_000), "they differ from {differs} on");
    assert!(before > 1_000, "{before} lines say little");
}

#[test]
fn other_seeds_give_other_runs() {
    assert_ne!(trace(1), trace(2));
}

//! What the commands print.

use core::fmt::Write as _;

use engraft_sim::mark::Mark;
use engraft_sim::minimise::Minimised;
use engraft_sim::sweep::{Sweep, Times};
use engraft_sim::trace::Line;
use engraft_sim::{Report, Scenario, Violation, render};
use serde_json::{Value, json};

fn violation(violation: Option<&Violation>) -> Value {
    violation.map_or(Value::Null, |violation| {
        json!({
            "invariant": violation.name(),
            "says": violation.invariant.words(),
            "at_us": violation.at.0,
            "node": violation.node.map(|node| node.0),
            "space": violation.space.as_ref().map(ToString::to_string),
            "what": violation.what,
        })
    })
}

pub(crate) fn report(scenario: &Scenario, report: &Report, trace: bool) -> Value {
    let nodes: Vec<Value> = report
        .nodes
        .iter()
        .map(|row| {
            json!({
                "node": row.node.0, "space": row.space.as_str(), "role": row.role, "epoch": row.epoch.to_string(),
                "end": row.end.0, "durable": row.durable.0, "commit": row.commit.0, "chain": row.chain,
            })
        })
        .collect();
    let clients: Vec<Value> = report
        .clients
        .iter()
        .map(|row| {
            json!({
                "answered": row.answered, "unknown": row.unknown, "failed": row.failed, "reads": row.reads,
                "waiting": row.waiting,
            })
        })
        .collect();
    let line = |line: &Line| json!({"at_us": line.at.0, "subject": line.subject.to_string(), "text": line.text});
    let lines: Value = if trace { report.lines.iter().map(line).collect() } else { Value::Null };
    json!({
        "name": scenario.name,
        "seed": scenario.seed,
        "events": report.events,
        "simulated_seconds": seconds(report.ended.0),
        "digest": format!("{:016x}", report.digest),
        "violation": violation(report.violation.as_ref()),
        "nodes": nodes,
        "clients": clients,
        "trace": lines,
    })
}

fn seconds(micros: u64) -> f64 {
    core::time::Duration::from_micros(micros).as_secs_f64()
}

fn per_second(count: u64, sweep: &Sweep) -> u64 {
    let micros = u64::try_from(sweep.took.as_micros()).unwrap_or(u64::MAX).max(1);
    u64::try_from(u128::from(count) * 1_000_000 / u128::from(micros)).unwrap_or(u64::MAX)
}

fn seeds_per_second(sweep: &Sweep) -> f64 {
    // Tenths are enough, and an integer says them exactly.
    f64::from(u32::try_from(per_second(sweep.seeds * 10, sweep)).unwrap_or(u32::MAX)) / 10.0
}

fn percentiles(times: &Times) -> Value {
    json!({ "p50": times.within_ms(500), "p99": times.within_ms(990), "max": times.within_ms(1000) })
}

fn missed(sweep: &Sweep) -> Vec<&'static str> {
    sweep.marks.missed().into_iter().map(Mark::name).collect()
}

pub(crate) fn sweep(sweep: &Sweep, interrupted: bool) -> Value {
    let marks: serde_json::Map<String, Value> =
        Mark::ALL.iter().map(|mark| (mark.name().to_owned(), json!(sweep.marks.count(*mark)))).collect();
    json!({
        "seeds": sweep.seeds,
        "events": sweep.events,
        "simulated_seconds": seconds(sweep.simulated_us),
        "violations": u64::from(sweep.violation.is_some()),
        "violation": violation(sweep.violation.as_ref().map(|(_, violation)| violation)),
        "failing_seed": sweep.violation.as_ref().map(|(seed, _)| *seed),
        "marks_missed": missed(sweep),
        "marks": marks,
        "seeds_with_unsynced_loss": sweep.seeds_with_loss,
        "seeds_with_overlapping_faults": sweep.seeds_with_overlap,
        "commit_ms": percentiles(&sweep.commits),
        "converge_ms": percentiles(&sweep.convergences),
        "seeds_per_sec": seeds_per_second(sweep),
        "events_per_sec": per_second(sweep.events, sweep),
        "next_seed": sweep.next_seed,
        "interrupted": interrupted,
    })
}

pub(crate) fn sweep_table(sweep: &Sweep) -> String {
    let mut text = String::new();
    for mark in Mark::ALL {
        let rare = if mark.is_rare() { "  (rare)" } else { "" };
        let _ = writeln!(text, "{:>12}  {:<32}{}{rare}", sweep.marks.count(*mark), mark.name(), mark.words());
    }
    let _ = writeln!(
        text,
        "\n{} seeds ({:.1}/s), {} events ({}/s), {:.0} simulated seconds, {} violations\n{} seeds lost something unsynced, {} had faults that overlapped",
        sweep.seeds,
        seeds_per_second(sweep),
        sweep.events,
        per_second(sweep.events, sweep),
        seconds(sweep.simulated_us),
        u64::from(sweep.violation.is_some()),
        sweep.seeds_with_loss,
        sweep.seeds_with_overlap,
    );
    for (times, what) in
        [(&sweep.commits, "an append was committed"), (&sweep.convergences, "every replica had everything")]
    {
        let [half, most, worst] = [500, 990, 1000].map(|permille| times.within_ms(permille));
        let _ = writeln!(
            text,
            "after the healing, beyond the backlog, {what} within {half} ms in half of the seeds, {most} ms in 99 %, {worst} ms in all",
        );
    }
    let missed = missed(sweep);
    if !missed.is_empty() {
        let _ = writeln!(text, "never reached: {}", missed.join(" "));
    }
    text
}

pub(crate) fn minimised(scenario: &Scenario, small: &Minimised) -> Value {
    json!({
        "faults_before": scenario.faults.len(),
        "faults": small.scenario.faults.len(),
        "loads": small.scenario.loads.len(),
        "nodes": small.scenario.nodes,
        "runs": small.runs,
        "violation": violation(Some(&small.violation)),
        "scenario": small.scenario.to_text(),
    })
}

pub(crate) fn show(scenario: &Scenario, json: bool) {
    if json {
        println!("{}", serde_json::to_value(scenario).unwrap_or(Value::Null));
        return;
    }
    print!("{}", render::header(scenario));
    for fault in &scenario.faults {
        println!("{:>12} {}", engraft::types::Time(fault.at_us).to_string(), render::fault_words(fault));
    }
    print!("\n{}", scenario.to_text());
}

//! The one renderer: stories, failing seeds and full traces are printed by it.
//!
//! One line per event, subject first. Between two turns (faults and phases) lines of one subject that differ in
//! numbers only are folded into the first of them, with the last and their count behind.

use alloc::collections::BTreeMap;
use core::fmt::Write as _;

use engraft::types::Time;

use crate::run::Report;
use crate::scenario::{Fault, Scenario};
use crate::trace::{Line, LineKind, Subject};

/// The kinds of lines that a story shows unless it asks for others.
pub const MILESTONES: &[LineKind] =
    &[LineKind::Turn, LineKind::Milestone, LineKind::Link, LineKind::Commit, LineKind::Engine, LineKind::Client];

/// The kinds of lines of a full trace.
pub const EVERYTHING: &[LineKind] = &[
    LineKind::Turn,
    LineKind::Milestone,
    LineKind::Link,
    LineKind::Commit,
    LineKind::Engine,
    LineKind::Client,
    LineKind::Network,
    LineKind::Message,
    LineKind::Acked,
    LineKind::Event,
    LineKind::Action,
];

/// A story: header, milestones, final table.
#[must_use]
pub fn story(scenario: &Scenario, report: &Report, kinds: &[LineKind]) -> String {
    let mut text = header(scenario);
    text.push('\n');
    text.push_str(&lines(&report.lines, kinds, true));
    text.push('\n');
    text.push_str(&table(report));
    text
}

/// What a run was about: name, words, cluster, what was asked and what went wrong.
#[must_use]
pub fn header(scenario: &Scenario) -> String {
    let mut text = format!("{}\n", scenario.name);
    for sentence in scenario.about.lines() {
        let _ = writeln!(text, "  {sentence}");
    }
    let _ = writeln!(text, "  seed {}, {} nodes", scenario.seed, scenario.nodes);
    for space in &scenario.spaces {
        let voters: Vec<String> = space.voters.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "  space {}: primary {}, voters {}", space.name, space.primary, voters.join(" "));
    }
    for (index, load) in scenario.loads.iter().enumerate() {
        let _ = writeln!(
            text,
            "  client c{}: {} entries to {} from {}",
            index + 1,
            load.entries,
            load.space,
            Time(load.at_us)
        );
    }
    text
}

/// A fault in words.
#[must_use]
pub fn fault_words(fault: &Fault) -> String {
    let mut text = format!("{:?} {}", fault.kind, fault.node);
    if let Some(peer) = fault.peer {
        let _ = write!(text, " {peer}");
    }
    if let Some(amount) = fault.amount {
        let _ = write!(text, " by {amount}");
    }
    if let Some(for_us) = fault.for_us {
        let _ = write!(text, " for {} ms", for_us / 1000);
        if for_us % 1000 != 0 {
            let _ = write!(text, " {} us", for_us % 1000);
        }
    }
    text
}

/// Lines of the chosen kinds; folded where that is wanted.
#[must_use]
pub fn lines(lines: &[Line], kinds: &[LineKind], fold: bool) -> String {
    let mut text = String::new();
    let mut paragraph = Paragraph::default();
    for line in lines.iter().filter(|line| kinds.contains(&line.kind)) {
        if line.kind == LineKind::Turn || !fold {
            paragraph.print(&mut text);
            print(&mut text, line);
        } else {
            paragraph.add(line);
        }
    }
    paragraph.print(&mut text);
    text
}

fn print(text: &mut String, line: &Line) {
    let _ = writeln!(text, "{:>12} {} {}", line.at.to_string(), line.subject, line.text);
}

/// The lines between two turns.
#[derive(Default)]
struct Paragraph<'a> {
    folds: Vec<Fold<'a>>,
    places: BTreeMap<(Subject, String), usize>,
}

struct Fold<'a> {
    first: &'a Line,
    last: &'a Line,
    count: u64,
}

impl<'a> Paragraph<'a> {
    fn add(&mut self, line: &'a Line) {
        let place = *self.places.entry((line.subject, shape(&line.text))).or_insert(self.folds.len());
        match self.folds.get_mut(place) {
            Some(fold) => {
                fold.last = line;
                fold.count += 1;
            }
            None => self.folds.push(Fold { first: line, last: line, count: 1 }),
        }
    }

    fn print(&mut self, text: &mut String) {
        self.places.clear();
        for fold in self.folds.drain(..) {
            if fold.count == 1 {
                print(text, fold.first);
                continue;
            }
            let first = fold.first;
            let _ = writeln!(
                text,
                "{:>12} {} {} .. {} (x{} until {})",
                first.at.to_string(),
                first.subject,
                first.text,
                changed(&first.text, &fold.last.text),
                fold.count,
                fold.last.at
            );
        }
    }
}

/// The text with every run of digits made one: lines of one shape differ in numbers only.
fn shape(text: &str) -> String {
    let mut shape = String::with_capacity(text.len());
    let mut in_digits = false;
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            if !in_digits {
                shape.push('0');
            }
            in_digits = true;
        } else {
            in_digits = false;
            shape.push(letter);
        }
    }
    shape
}

/// The words of `last` from the first to the last one that differ from `first`.
fn changed(first: &str, last: &str) -> String {
    let pairs: Vec<(&str, &str)> = first.split(' ').zip(last.split(' ')).collect();
    let differs = |(one, other): &(&str, &str)| one != other;
    let Some(from) = pairs.iter().position(differs) else { return "the same".to_owned() };
    let to = pairs.iter().rposition(differs).unwrap_or(from);
    let words: Vec<&str> = pairs.iter().skip(from).take(to + 1 - from).map(|(_, word)| *word).collect();
    words.join(" ")
}

/// The final table: what each node has, what each client was told.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut rows = vec![["node", "space", "role", "epoch", "end", "durable", "commit", "chain"].map(str::to_owned)];
    for row in &report.nodes {
        rows.push([
            row.node.to_string(),
            row.space.to_string(),
            row.role.clone(),
            row.epoch.to_string(),
            row.end.to_string(),
            row.durable.to_string(),
            row.commit.to_string(),
            format!("{:08x}", row.chain),
        ]);
    }
    let mut text = aligned(&rows);
    text.push('\n');
    let mut rows = vec![["client", "answered", "unknown", "failed", "reads", "waiting"].map(str::to_owned)];
    for (index, client) in report.clients.iter().enumerate() {
        rows.push([
            format!("c{}", index + 1),
            client.answered.to_string(),
            client.unknown.to_string(),
            client.failed.to_string(),
            client.reads.to_string(),
            client.waiting.to_string(),
        ]);
    }
    text.push_str(&aligned(&rows));
    if !report.engines.is_empty() {
        let mut rows = vec![["engine", "space", "applied", "digest"].map(str::to_owned)];
        for row in &report.engines {
            let digest = format!("{:016x}", row.digest);
            rows.push([row.node.to_string(), row.space.to_string(), row.applied.to_string(), digest]);
        }
        text.push('\n');
        text.push_str(&aligned(&rows));
    }
    match &report.violation {
        Some(violation) => {
            let _ = writeln!(text, "\n{violation}");
        }
        None => text.push_str("\nevery check holds\n"),
    }
    text
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use engraft::types::NodeId;

    fn line(at: u64, node: u16, kind: LineKind, text: &str) -> Line {
        Line { at: Time(at), subject: Subject::Node(NodeId(node)), kind, text: text.to_owned() }
    }

    #[test]
    fn lines_that_differ_in_numbers_fold_between_turns() {
        let all = [
            line(1, 1, LineKind::Commit, "orders committed #1"),
            line(2, 2, LineKind::Commit, "orders committed #1"),
            line(3, 1, LineKind::Commit, "orders committed #20"),
            line(4, 1, LineKind::Turn, "Crash n2"),
            line(5, 1, LineKind::Commit, "orders committed #21"),
        ];
        let expected = "    0.000001 n1 orders committed #1 .. #20 (x2 until 0.000003)
    0.000002 n2 orders committed #1
    0.000004 n1 Crash n2
    0.000005 n1 orders committed #21
";
        assert_eq!(lines(&all, MILESTONES, true), expected);
    }

    #[test]
    fn kinds_that_were_not_asked_for_are_left_out() {
        let all = [line(1, 1, LineKind::Event, "TimerFired"), line(2, 1, LineKind::Turn, "Crash n2")];
        assert_eq!(lines(&all, MILESTONES, true).lines().count(), 1);
        assert_eq!(lines(&all, EVERYTHING, true).lines().count(), 2);
    }
}

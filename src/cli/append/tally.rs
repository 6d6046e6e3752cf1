//! What became of the lines.

use ::core::fmt::Write;
use std::time::Instant;

use serde::Serialize;

use crate::driver::http::AnswerLine;

use super::super::exit::Failure;
use super::super::output::Output;

/// Counts what became of the lines, and prints each where that was asked for.
#[derive(Debug)]
pub(super) struct Tally {
    json: bool,
    began: Instant,
    /// Lines that were told so far.
    lines: u64,
    pub(super) appended: u64,
    pub(super) unknown: u64,
    pub(super) failed: u64,
    first: Option<u64>,
    last: u64,
    epochs: Vec<String>,
}

/// A line as it is printed.
#[derive(Debug, Serialize)]
struct TallyLine<'a> {
    line: u64,
    #[serde(flatten)]
    answer: &'a AnswerLine<'a>,
}

impl Tally {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            began: Instant::now(),
            lines: 0,
            appended: 0,
            unknown: 0,
            failed: 0,
            first: None,
            last: 0,
            epochs: Vec::new(),
        }
    }

    /// The number of the line that is told next, from 1.
    pub(super) const fn next_line(&self) -> u64 {
        self.lines + 1
    }

    /// Takes the answers to the next lines.
    pub(super) fn take(&mut self, answers: &[AnswerLine<'_>]) -> Result<(), Failure> {
        let mut output = Output::new();
        for answer in answers {
            self.lines += 1;
            match answer {
                AnswerLine::Appended { sequence, epoch, .. } => {
                    self.appended += 1;
                    self.first.get_or_insert(*sequence);
                    self.last = *sequence;
                    if self.epochs.last().is_none_or(|last| last != epoch) {
                        self.epochs.push(epoch.to_string());
                    }
                }
                AnswerLine::Unknown { .. } => self.unknown += 1,
                AnswerLine::Failed { .. } => self.failed += 1,
            }
            if self.json {
                let line = serde_json::to_string(&TallyLine { line: self.lines, answer });
                output.line(&line.map_err(|error| Failure::failed(error.to_string()))?)?;
            }
        }
        output.finish()
    }

    /// Takes lines that were sent and of which nobody told what became.
    pub(super) fn lose(&mut self, count: usize) -> Result<(), Failure> {
        let mut output = Output::new();
        for _ in 0..count {
            self.lines += 1;
            self.unknown += 1;
            if self.json {
                output.line(&serde_json::json!({ "line": self.lines, "outcome": "unknown" }).to_string())?;
            }
        }
        output.finish()
    }

    /// The summary for people; nothing where each line was printed.
    pub(super) fn summary(&self, space: &str) -> Option<String> {
        if self.json {
            return None;
        }
        let noun = if self.appended == 1 { "entry" } else { "entries" };
        let mut text = format!("appended {} {noun} to {space}", self.appended);
        // Writing into a string cannot fail.
        if let Some(first) = self.first {
            let _ = write!(text, ": #{first} to #{} in {}", self.last, self.epochs.join(", "));
        }
        if self.unknown > 0 {
            let _ = write!(text, "; {} unknown", self.unknown);
        }
        if self.failed > 0 {
            let _ = write!(text, "; {} failed", self.failed);
        }
        let _ = writeln!(text, "; {:.3} s", self.began.elapsed().as_secs_f64());
        Some(text)
    }
}

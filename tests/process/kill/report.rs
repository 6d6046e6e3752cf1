//! What a run did and what it found.

use alloc::collections::BTreeMap;
use core::fmt;

use super::history::{Operation, Told};
use super::proxy::Done;

/// Findings that are shown.
const SHOWN: usize = 30;

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) seconds: f64,
    pub(super) steps: u64,
    /// Those of black-outs included.
    pub(super) kills: usize,
    pub(super) stops: usize,
    pub(super) restarts: usize,
    pub(super) black_outs: usize,
    pub(super) weathers: usize,
    pub(super) full_disks: usize,
    pub(super) short_files: usize,
    pub(super) ended_by_file_size: usize,
    /// Starts that failed for want of room.
    pub(super) refused_starts: usize,
    pub(super) weather: Done,
    pub(super) entries: usize,
    pub(super) reads: usize,
    pub(super) converged_ms: u128,
    /// Appends by level and outcome.
    pub(super) outcomes: BTreeMap<String, usize>,
    findings: Vec<String>,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(super) fn found(&mut self, rule: &str, words: String) {
        self.findings.push(format!("{rule}: {words}"));
    }

    pub(super) fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Counts the history anew.
    pub(super) fn count(&mut self, operations: &[Operation], reads: usize) {
        self.reads = reads;
        self.outcomes.clear();
        for operation in operations {
            let outcome = match &operation.told {
                Told::Appended(_) => format!("appended at {}", operation.level.name()),
                Told::Unknown { .. } => "unknown".to_owned(),
                Told::Failed(kind) => format!("failed: {kind}"),
                Told::Nothing => "no answer".to_owned(),
            };
            *self.outcomes.entry(outcome).or_default() += 1;
        }
    }

    pub(super) fn operations(&self) -> usize {
        self.outcomes.values().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, seconds, steps, kills, stops, restarts, black_outs, .. } = self;
        writeln!(formatter, "seed {seed}: {steps} steps in {seconds:.1} s")?;
        writeln!(
            formatter,
            "  {kills} SIGKILLs ({black_outs} times all nodes), {stops} SIGSTOPs, {restarts} SIGTERMs, {} times other \
             weather, {} full disks, {} limits on files ({} nodes ended, {} starts failed by them)",
            self.weathers, self.full_disks, self.short_files, self.ended_by_file_size, self.refused_starts
        )?;
        let Done { corrupted, reset, swallowed } = self.weather;
        writeln!(formatter, "  proxies: {corrupted} bytes corrupted, {reset} resets, {swallowed} bytes swallowed")?;
        let outcomes: Vec<String> = self.outcomes.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(formatter, "  {} appends: {}", self.operations(), outcomes.join(", "))?;
        writeln!(
            formatter,
            "  {} entries in the logs, {} reads, the same on all nodes after {} ms",
            self.entries, self.reads, self.converged_ms
        )?;
        for finding in self.findings.iter().take(SHOWN) {
            writeln!(formatter, "  FOUND {finding}")?;
        }
        if self.findings.len() > SHOWN {
            writeln!(formatter, "  and {} more", self.findings.len() - SHOWN)?;
        }
        Ok(())
    }
}

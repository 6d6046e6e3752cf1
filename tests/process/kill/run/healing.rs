//! The end of a run: everything is undone, the logs become the same, and the nodes end in good order.

use core::time::Duration;
use std::net::TcpStream;
use std::sync::PoisonError;
use std::time::Instant;

use serde_json::Value;

use super::super::clients::{Target, exchange};
use super::super::cluster::{Manner, nodes};
use super::super::history::{Level, Told};
use super::super::judge::When;
use super::{Run, TARGETS};

/// How long healed nodes may take until their logs are the same.
const CONVERGED_WITHIN: Duration = Duration::from_secs(20);

impl Run {
    /// Undoes everything, and waits until the clients that go on are answered at All again.
    pub(super) fn heal(&mut self) {
        for (_, undo) in core::mem::take(&mut self.undo) {
            self.undo_one(undo);
        }
        for node in nodes() {
            self.start(node, Manner::Plain);
        }
        let begun = Instant::now();
        for (index, target) in TARGETS.iter().enumerate() {
            while !self.is_answered_at_all(index) {
                if begun.elapsed() > CONVERGED_WITHIN {
                    let words = format!("{} is not answered at all levels\n{}", target.name, self.states());
                    return self.report.found("heal", words);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Whether an append that was sent in the last second was answered at All.
    fn is_answered_at_all(&self, space: usize) -> bool {
        let since = self.begun.elapsed().saturating_sub(Duration::from_secs(1));
        let operations = self.shared.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.iter().rev().take(500).any(|operation| {
            operation.space == space
                && operation.sent > since
                && operation.level == Level::All
                && matches!(operation.told, Told::Appended(_))
        })
    }

    /// Waits until all logs are the same, ends the nodes in good order, and judges.
    pub(super) fn finish(&mut self) {
        let begun = Instant::now();
        while !self.has_converged() {
            if begun.elapsed() > CONVERGED_WITHIN {
                let words = format!("the logs are not the same after {CONVERGED_WITHIN:?}\n{}", self.states());
                return self.report.found("convergence", words);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.report.converged_ms = begun.elapsed().as_millis();
        for node in nodes() {
            self.terminate(node);
            let logged = self.cluster.logged(node);
            for line in logged.lines().filter(|line| line.contains("panicked at") || line.contains("the log diverged"))
            {
                self.report.found("log", format!("n{node}: {line}"));
            }
        }
        self.judge(When::Healed);
    }

    fn has_converged(&self) -> bool {
        let states: Vec<Value> = nodes().map(|node| self.status(node)).collect();
        let of = |space: &Target, key: &str| -> Vec<Value> {
            let spaces = states.iter().flat_map(|state| state["spaces"].as_array().into_iter().flatten());
            spaces.filter(|state| state["name"] == space.name).map(|state| state[key].clone()).collect()
        };
        TARGETS.iter().all(|space| {
            let ends = of(space, "end");
            ends.len() == 3
                && ["durable", "commit", "end"].into_iter().all(|key| of(space, key).iter().all(|at| *at == ends[0]))
        })
    }

    fn status(&self, node: u16) -> Value {
        let Some(Ok(stream)) = self.shared.door(node).map(TcpStream::connect) else { return Value::Null };
        let answer = exchange(stream, "GET", "/v1/status", "text/plain", b"", Duration::from_secs(2));
        answer.and_then(|(_, text)| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    fn states(&self) -> String {
        nodes().map(|node| format!("n{node}: {}\n{}\n", self.status(node), self.cluster.last_words(node))).collect()
    }
}

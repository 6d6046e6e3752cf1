//! What the demo says at its end.

use ::core::fmt;
use ::core::time::Duration;

use serde_json::{Value, json};

use crate::core::Ack;

use super::super::client::StatusReply;
use super::super::exit::{Exit, Failure};
use super::cluster::SPACE;
use super::engram::EngramVerdict;
use super::failover::Failover;
use super::load::Written;
use super::verdict::Verdict;
use super::{CatchUp, KILLED};

/// How many damaged places of a directory of Engram's are shown.
const SHOWN: usize = 5;

/// What the demo measured and found.
#[derive(Debug)]
pub(super) struct Report {
    ack: Ack,
    entries: u64,
    written: Figures,
    lag: Vec<ReplicaLag>,
    catch_up: CatchUp,
    verdict: Verdict,
    engram: Option<EngramVerdict>,
    failover: Option<Failover>,
}

/// The figures of the writing.
#[derive(Debug)]
struct Figures {
    unknown: u64,
    payload_bytes: u64,
    seconds: f64,
    ack_ms_p50: f64,
    ack_ms_p99: f64,
}

/// The lag of one replica over all its acknowledgements.
#[derive(Debug)]
struct ReplicaLag {
    node: u16,
    ms_p50: f64,
    ms_p99: f64,
}

impl Report {
    pub(super) fn new(
        ack: Ack,
        entries: u64,
        written: Written,
        status: &StatusReply,
        catch_up: CatchUp,
        verdict: Verdict,
    ) -> Self {
        let ms = |quantile| milliseconds(Duration::from_micros(written.ack_us.value_at_quantile(quantile)));
        let lag = status.lag.iter().filter(|lag| lag.space == SPACE).map(|lag| ReplicaLag {
            node: lag.replica,
            ms_p50: lag.percentiles.ms_p50,
            ms_p99: lag.percentiles.ms_p99,
        });
        Self {
            ack,
            entries,
            lag: lag.collect(),
            catch_up,
            verdict,
            engram: None,
            failover: None,
            written: Figures {
                unknown: written.unknown,
                payload_bytes: written.payload_bytes,
                seconds: written.elapsed.as_secs_f64(),
                ack_ms_p50: ms(0.5),
                ack_ms_p99: ms(0.99),
            },
        }
    }

    /// The same report, with what came of streaming a directory of Engram's.
    pub(super) fn with_engram(self, engram: Option<EngramVerdict>) -> Self {
        Self { engram, ..self }
    }

    /// The same report, with what the death of the primary cost.
    pub(super) fn with_failover(self, failover: Option<Failover>) -> Self {
        Self { failover, ..self }
    }

    /// Whether nothing is lost but what was answered at local and exposed when the primary died.
    fn is_whole(&self) -> bool {
        let exposed = self.failover.map_or(0, |failover| failover.exposed);
        self.verdict.lost <= exposed
    }

    /// Whether every node has exactly what the directory of Engram's has, where there is one.
    fn is_identical(&self) -> bool {
        self.engram.as_ref().is_none_or(|engram| engram.identical)
    }

    /// Whether all is well: every entry answered, none lost, no file damaged, and the killed replica level again.
    fn is_ok(&self) -> bool {
        let answered = self.verdict.acknowledged + self.written.unknown;
        let whole = self.is_whole() && self.verdict.damage.is_empty();
        whole && self.is_identical() && answered == self.entries && self.catch_up.level.is_some()
    }

    /// An error where it is not.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        if self.is_ok() {
            return Ok(());
        }
        if !self.is_whole() {
            return Err(Failure::failed(format!("{} acknowledged entries are lost", self.verdict.lost)));
        }
        if let Some((node, damage)) = self.verdict.damage.first() {
            return Err(Failure::new(
                Exit::Corruption,
                format!("nothing is lost, but files are damaged: {node}: {damage}"),
            ));
        }
        if !self.is_identical() {
            return Err(Failure::failed("nothing is lost, but a node's log differs from the directory of Engram's"));
        }
        Err(Failure::failed("nothing is lost, but not everything was answered, or the replica did not catch up"))
    }

    /// The lag of the replica that ran all the time.
    fn steady_lag(&self) -> Option<&ReplicaLag> {
        self.lag.iter().find(|lag| lag.node != KILLED.0)
    }

    fn per_second(&self, count: u64) -> f64 {
        if self.written.seconds > 0.0 { as_f64(count) / self.written.seconds } else { 0.0 }
    }

    /// One object. The lag in it is that of the replica that ran all the time; `replicas` has both.
    pub(super) fn to_json(&self) -> Value {
        let catch_up_ms = |duration: Option<Duration>| duration.map(milliseconds);
        let steady = self.steady_lag();
        let replicas: Vec<Value> = self.lag.iter().map(|lag| {
            json!({ "node": lag.node, "killed": lag.node == KILLED.0, "lag_ms_p50": lag.ms_p50, "lag_ms_p99": lag.ms_p99 })
        }).collect();
        let mut object = json!({
            "ack": self.ack.to_string(),
            "entries": self.entries,
            "acknowledged": self.verdict.acknowledged,
            "unknown": self.written.unknown,
            "on_every_node": self.verdict.on_every_node,
            "lost": self.verdict.lost,
            "losses": self.verdict.losses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "damage": self.verdict.damage.iter().map(|(node, what)| format!("{node}: {what}")).collect::<Vec<_>>(),
            "bytes": self.written.payload_bytes,
            "seconds": self.written.seconds,
            "entries_per_sec": self.per_second(self.verdict.acknowledged).round(),
            "ack_ms_p50": self.written.ack_ms_p50,
            "ack_ms_p99": self.written.ack_ms_p99,
            "lag_ms_p50": steady.map(|lag| lag.ms_p50),
            "lag_ms_p99": steady.map(|lag| lag.ms_p99),
            "replicas": replicas,
            "catch_up_entries": self.catch_up.behind,
            "catch_up_backlog_ms": catch_up_ms(self.catch_up.backlog),
            "catch_up_ms": catch_up_ms(self.catch_up.level),
            "promoted": self.failover.map(|failover| failover.promoted),
            "promotion_ms": self.failover.map(|failover| milliseconds(failover.promotion)),
            "client_pause_ms": self.failover.and_then(|failover| failover.pause).map(milliseconds),
            "exposed_at_crash": self.failover.map(|failover| failover.exposed),
            "ok": self.is_ok(),
        });
        if let (Some(engram), Some(object)) = (&self.engram, object.as_object_mut()) {
            object.insert("engram".to_owned(), json!(engram));
        }
        object
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.written;
        let mut row = |name: &str, value: String| writeln!(formatter, "{name:<22}{value}");
        let acknowledged = self.verdict.acknowledged;
        row(
            "entries",
            format!("{acknowledged} acknowledged at {} of {}, {} unknown", self.ack, self.entries, figures.unknown),
        )?;
        row("payload", format!("{:.1} MB in {:.2} s", as_f64(figures.payload_bytes) / 1e6, figures.seconds))?;
        let (rate, bytes) = (self.per_second(acknowledged), self.per_second(figures.payload_bytes));
        row("rate", format!("{rate:.0} entries/s, {:.1} MB/s", bytes / 1e6))?;
        row("ack", format!("p50 {:.1} ms, p99 {:.1} ms", figures.ack_ms_p50, figures.ack_ms_p99))?;
        for lag in &self.lag {
            let part = if lag.node == KILLED.0 { "killed" } else { "stayed" };
            let name = format!("lag of n{} ({part})", lag.node);
            row(&name, format!("p50 {:.1} ms, p99 {:.1} ms", lag.ms_p50, lag.ms_p99))?;
        }
        let words = |duration: Option<Duration>| {
            duration.map_or("never".to_owned(), |duration| format!("{:.0} ms", milliseconds(duration)))
        };
        let CatchUp { behind, backlog, level } = self.catch_up;
        row("catch-up", format!("{} entries in {}, level after {}", behind, words(backlog), words(level)))?;
        if let Some(Failover { promoted, promotion, pause, exposed }) = self.failover {
            let (promotion, pause) = (words(Some(promotion)), words(pause));
            row("promotion", format!("{promoted} after {promotion}, clients paused {pause}, {exposed} exposed"))?;
        }
        for (node, held) in &self.verdict.by_node {
            row(&format!("found on {node}"), format!("{held} of {acknowledged}"))?;
        }
        if let Some(engram) = &self.engram {
            write_engram(engram, &mut row)?;
        }
        let verdict = if self.is_ok() { "ok" } else { "FAILED" };
        row("verdict", format!("{verdict}: {} on every node, {} lost", self.verdict.on_every_node, self.verdict.lost))?;
        for loss in &self.verdict.losses {
            row("  lost", loss.to_string())?;
        }
        for (node, damage) in &self.verdict.damage {
            row("  damage", format!("{node}: {damage}"))?;
        }
        Ok(())
    }
}

/// The rows about a directory of Engram's.
fn write_engram(engram: &EngramVerdict, row: &mut impl FnMut(&str, String) -> fmt::Result) -> fmt::Result {
    let EngramVerdict { entries, segments, duplicates, .. } = engram;
    row("engram", format!("{entries} entries from {segments} segments, {duplicates} numbers repeated"))?;
    if let Some(torn) = &engram.torn_tail {
        row("  torn tail", format!("{} at {}, not streamed", torn.file, torn.offset))?;
    }
    for damage in engram.damage.iter().take(SHOWN) {
        row("  damage in it", format!("{} at {}: {}", damage.file, damage.offset, damage.reason))?;
    }
    for node in &engram.nodes {
        let difference = node.difference.as_ref().map_or(String::new(), |difference| format!("; {difference}"));
        row(&format!("identical on n{}", node.node), format!("{} of {entries}{difference}", node.identical))?;
    }
    Ok(())
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "figures for people; counts are far below 2^53")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

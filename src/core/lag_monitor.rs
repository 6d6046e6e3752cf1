//! How far each replica is behind, and what is said of it.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

use crate::types::{NodeId, Sequence, SpaceId, Time};

use super::action::{Action, Actions};
use super::config::ReplicationConfig;
use super::notice::Notice;
use super::status::{ReplicaLag, ReplicaStatus};

/// Marks kept at most; past it neighbours are joined, which makes ages older than they are, never younger.
const MARKS_MAX: usize = 4_096;
/// The size that an entry is taken to have while none was seen.
const ENTRY_BYTES_GUESS: u64 = 320;

/// When the entries of a log became durable on the primary, group by group.
///
/// Lag is counted from there: before, an entry is not shipped. Only the primary's own clock is read.
#[derive(Debug, Clone, Hash)]
pub(crate) struct DurableMarks {
    /// The last entry before the first mark.
    base: Sequence,
    /// Bytes since the start, up to and including the base.
    base_bytes: u64,
    /// When the primary opened: the age that is known of everything up to the base.
    opened: Time,
    marks: VecDeque<Mark>,
    /// Entries and bytes since the start.
    entries: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy, Hash)]
struct Mark {
    last: Sequence,
    at: Time,
    /// Bytes since the start, up to and including `last`.
    bytes: u64,
}

impl DurableMarks {
    pub(crate) fn new(base: Sequence, opened: Time) -> Self {
        Self { base, base_bytes: 0, opened, marks: VecDeque::new(), entries: 0, bytes: 0 }
    }

    /// The entries up to `last` are durable from now on; they have `bytes` bytes.
    pub(crate) fn push(&mut self, last: Sequence, bytes: u64, now: Time) {
        let before = self.marks.back().map_or(self.base, |mark| mark.last);
        self.entries += last.above(before);
        self.bytes += bytes;
        self.marks.push_back(Mark { last, at: now, bytes: self.bytes });
        if self.marks.len() > MARKS_MAX {
            self.join_neighbours();
        }
    }

    /// Halves the marks: each pair becomes one that is as old as its elder.
    fn join_neighbours(&mut self) {
        let count = self.marks.len();
        let mut index = 0;
        let mut elder = None;
        self.marks.retain_mut(|mark| {
            index += 1;
            match elder.take() {
                Some(at) => mark.at = at,
                None if index < count => {
                    elder = Some(mark.at);
                    return false;
                }
                None => {}
            }
            true
        });
    }

    /// Drops what every replica has.
    pub(crate) fn trim(&mut self, needless: Sequence) {
        while let Some(mark) = self.marks.front()
            && mark.last <= needless
            && self.marks.len() > 1
        {
            self.base = mark.last;
            self.base_bytes = mark.bytes;
            self.marks.pop_front();
        }
    }

    /// When the entry at `sequence` became durable.
    pub(crate) fn at(&self, sequence: Sequence) -> Time {
        if sequence <= self.base {
            return self.opened;
        }
        let index = self.marks.partition_point(|mark| mark.last < sequence);
        self.marks.get(index).map_or(self.opened, |mark| mark.at)
    }

    /// How far one that has everything up to `acked` is behind.
    pub(crate) fn lag(&self, acked: Sequence, durable: Sequence, now: Time) -> ReplicaLag {
        let entries = durable.above(acked);
        if entries == 0 {
            return ReplicaLag::default();
        }
        let mean = self.bytes.checked_div(self.entries).unwrap_or(ENTRY_BYTES_GUESS);
        let index = self.marks.partition_point(|mark| mark.last <= acked);
        let before = index.checked_sub(1).and_then(|index| self.marks.get(index));
        let (known_from, bytes_from) = before.map_or((self.base, self.base_bytes), |mark| (mark.last, mark.bytes));
        // Between two marks, and before the first, entries are taken to be of the mean size.
        let bytes = if acked >= known_from {
            (self.bytes - bytes_from).saturating_sub(acked.above(known_from).saturating_mul(mean)).max(entries)
        } else {
            (self.bytes - bytes_from).saturating_add(known_from.above(acked).saturating_mul(mean))
        };
        ReplicaLag { entries, bytes, ms: crate::types::time::micros(now.since(self.at(acked.next()))) / 1_000 }
    }
}

/// What a replica's status follows from.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) lag: ReplicaLag,
    /// When the oldest entry that it lacks became durable.
    pub(crate) oldest: Time,
    /// Why it counts as failed, if it does.
    pub(crate) failed: Option<String>,
}

/// A replica's status with its hysteresis: it worsens at once and improves once it held for `status_hold`.
#[derive(Debug, Clone, Hash)]
pub(crate) struct LagMonitor {
    status: ReplicaStatus,
    /// Since when it has been better than the status, and the worst that was measured since.
    improving: Option<(Time, ReplicaStatus)>,
    /// How many of the two alerts were raised.
    alerts: u8,
    /// When time alone makes a difference.
    wake: Option<Time>,
}

impl Default for LagMonitor {
    fn default() -> Self {
        Self { status: ReplicaStatus::Healthy, improving: None, alerts: 0, wake: None }
    }
}

impl LagMonitor {
    pub(crate) fn status(&self) -> ReplicaStatus {
        self.status
    }

    pub(crate) fn wake(&self) -> Option<Time> {
        self.wake
    }

    /// Judges what was measured.
    pub(crate) fn update(
        &mut self,
        now: Time,
        space: SpaceId,
        replica: NodeId,
        measured: &Measured,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) {
        let target = judge(measured, config);
        let mut change = None;
        if target <= self.status {
            self.improving = None;
            change = (target < self.status).then(|| (target, reason(measured)));
        } else {
            let (since, worst) = self.improving.map_or((now, target), |(since, worst)| (since, worst.min(target)));
            self.improving = Some((since, worst));
            if now >= since + config.status_hold {
                // What is better still has to hold in its turn: without a wake for it, a quiet space would stay as it is.
                self.improving = (worst < target).then_some((now, target));
                change = Some((worst, held(worst, target, measured, config)));
            }
        }
        if let Some((to, reason)) = change {
            let from = core::mem::replace(&mut self.status, to);
            actions.push(Action::Notify(Notice::ReplicaStatusChanged { space, replica, from, to, reason }));
        }
        self.alert(space, replica, measured, config, actions);
        self.wake = self.next_wake(now, measured, config);
    }

    fn alert(
        &mut self,
        space: SpaceId,
        replica: NodeId,
        measured: &Measured,
        config: &ReplicationConfig,
        actions: &mut Actions,
    ) {
        let lag_ms = measured.lag.ms;
        let lag = Duration::from_millis(lag_ms);
        for (number, threshold) in [(1, config.lag_alert), (2, config.lag_critical)] {
            if measured.lag.entries > 0 && lag >= threshold && self.alerts < number {
                self.alerts = number;
                let critical = number == 2;
                actions.push(Action::Notify(Notice::LagAlert { space, replica, lag_ms, critical }));
            }
        }
        if self.status > ReplicaStatus::Degraded {
            self.alerts = 0;
        }
    }

    fn next_wake(&self, now: Time, measured: &Measured, config: &ReplicationConfig) -> Option<Time> {
        let thresholds = [(1, config.lag_alert), (2, config.lag_critical)];
        let alert = thresholds
            .into_iter()
            .filter(|&(number, _)| measured.lag.entries > 0 && self.alerts < number)
            .map(|(_, threshold)| measured.oldest + threshold)
            .find(|&at| at > now);
        let improvement = self.improving.map(|(since, _)| since + config.status_hold);
        alert.into_iter().chain(improvement).min()
    }
}

fn judge(measured: &Measured, config: &ReplicationConfig) -> ReplicaStatus {
    if measured.failed.is_some() {
        ReplicaStatus::Failed
    } else if measured.lag.entries == 0 {
        ReplicaStatus::Healthy
    } else if Duration::from_millis(measured.lag.ms) >= config.lag_alert {
        ReplicaStatus::Degraded
    } else {
        ReplicaStatus::Lagging
    }
}

/// The reason that stands beside a status.
pub(crate) fn reason(measured: &Measured) -> String {
    match &measured.failed {
        Some(failed) => failed.clone(),
        None if measured.lag.entries == 0 => String::from("has everything"),
        None => {
            format!("{} entries behind, {} bytes, {} ms", measured.lag.entries, measured.lag.bytes, measured.lag.ms)
        }
    }
}

/// The reason of an improvement: where it is less than what is measured now, the worst that was measured on the way.
fn held(worst: ReplicaStatus, now: ReplicaStatus, measured: &Measured, config: &ReplicationConfig) -> String {
    let reason = reason(measured);
    if worst == now { reason } else { format!("no worse for {} ms; now {reason}", config.status_hold.as_millis()) }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::types::{ClusterId, Incarnation, SpaceName};

    #[test]
    fn a_status_that_improves_in_steps_comes_to_the_top_by_time_alone() {
        let cluster = ClusterId::from_name("test").expect("a name");
        let config = ReplicationConfig::new(NodeId(1), cluster, Incarnation([0; 16]), vec![NodeId(2)]);
        let space = SpaceName::new("orders").expect("a name").id();
        let mut monitor = LagMonitor::default();
        let mut judge = |now: u64, entries: u64, failed: Option<String>| {
            let lag = ReplicaLag { entries, bytes: entries, ms: if entries > 0 { 2_000 } else { 0 } };
            let measured = Measured { lag, oldest: Time(0), failed };
            monitor.update(Time(now), space, NodeId(2), &measured, &config, &mut Actions::new());
            (monitor.status(), monitor.wake())
        };
        assert_eq!(judge(10_000_000, 1, Some("away".into())).0, ReplicaStatus::Failed);
        // It is back and catches up within the time that a better status has to hold.
        assert_eq!(judge(10_100_000, 1, None).0, ReplicaStatus::Failed);
        assert_eq!(judge(10_200_000, 0, None), (ReplicaStatus::Failed, Some(Time(11_100_000))));
        assert_eq!(judge(11_100_000, 0, None), (ReplicaStatus::Degraded, Some(Time(12_100_000))));
        assert_eq!(judge(12_100_000, 0, None), (ReplicaStatus::Healthy, None));
    }
}

//! What a primary of a past epoch may not answer, and how much of what it answered may be lost.

mod samples;

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use engraft::types::Epoch;

use super::super::history::{Level, Operation, Place, Told};
use super::super::judge::{LogEntry, Written};
use super::super::payload::PayloadId;

/// The limit on the exposure that the nodes were configured with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) bytes: u64,
    pub(super) age: Duration,
}

/// Entries of one epoch that were acknowledged at Local and are in no log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// How many.
    pub(super) entries: usize,
    /// Of their payloads.
    pub(super) bytes: u64,
    /// When the first of them was answered, and when the last of them was sent.
    first_answered: Duration,
    last_sent: Duration,
}

fn acknowledged(operations: &[Operation]) -> impl Iterator<Item = (&Operation, Place)> {
    operations.iter().filter_map(|operation| match operation.told {
        Told::Appended(place) => Some((operation, place)),
        Told::Unknown { .. } | Told::Failed(_) | Told::Nothing => None,
    })
}

/// What was lost of each epoch, where this is what all logs have in the end.
pub(super) fn lost(operations: &[Operation], log: &[LogEntry], seed: u64) -> BTreeMap<Epoch, Lost> {
    let kept: BTreeSet<(PayloadId, Place)> = log
        .iter()
        .filter_map(|entry| match entry.written {
            Written::Client(id) => Some((id, entry.place)),
            Written::Start | Written::Nobody => None,
        })
        .collect();
    let mut lost = BTreeMap::new();
    for (operation, place) in acknowledged(operations) {
        let Operation { id, level, sent, answered, .. } = *operation;
        if level == Level::Local && !kept.contains(&(id, place)) {
            let none = Lost { entries: 0, bytes: 0, first_answered: answered, last_sent: sent };
            let of_epoch = lost.entry(place.epoch).or_insert(none);
            of_epoch.entries += 1;
            of_epoch.bytes += id.bytes(seed).len() as u64;
            of_epoch.first_answered = of_epoch.first_answered.min(answered);
            of_epoch.last_sent = of_epoch.last_sent.max(sent);
        }
    }
    lost
}

/// Where more was lost than the limit allows.
///
/// What is lost was never committed, so all of it was exposed when the last of it was answered. An answer comes after
/// its request and an entry has its place before its answer: so the times are right however late an answer is read.
pub(super) fn beyond(lost: &BTreeMap<Epoch, Lost>, limit: Limit) -> Vec<String> {
    let mut findings = Vec::new();
    for (epoch, Lost { entries, bytes, first_answered, last_sent }) in lost {
        if *bytes > limit.bytes {
            findings
                .push(format!("{entries} entries of {epoch} are lost, {bytes} bytes: the limit is {}", limit.bytes));
        }
        let age = last_sent.saturating_sub(*first_answered);
        if age > limit.age {
            findings.push(format!(
                "of the lost entries of {epoch} one was sent {age:?} after the answer to another, and answered: the \
                 limit is {:?}",
                limit.age
            ));
        }
    }
    findings
}

/// Answers at Quorum and All to what was sent when a later epoch had already been heard of: its primary was elected by
/// a majority that takes nothing of an earlier one any more.
pub(super) fn outdated(operations: &[Operation]) -> Vec<String> {
    let mut first: BTreeMap<Epoch, Duration> = BTreeMap::new();
    for (operation, place) in acknowledged(operations) {
        let when = first.entry(place.epoch).or_insert(operation.answered);
        *when = (*when).min(operation.answered);
    }
    let mut findings = Vec::new();
    for (operation, place) in acknowledged(operations).filter(|(operation, _)| operation.level != Level::Local) {
        let mut later = first.iter().filter(|(epoch, when)| **epoch > place.epoch && **when < operation.sent);
        if let Some((epoch, when)) = later.next() {
            let Operation { id, level, sent, .. } = operation;
            let name = level.name();
            findings.push(format!(
                "{id} was sent at {sent:?} and acknowledged at {name} as {place}, {epoch} had answered at {when:?}"
            ));
        }
    }
    findings
}

/// Answers at All to what was sent and answered while a node was away: it has nothing of that.
pub(super) fn incomplete(operations: &[Operation], away: &[(Duration, Duration)]) -> Vec<String> {
    let at_all = acknowledged(operations).filter(|(operation, _)| operation.level == Level::All);
    let incomplete = at_all.filter_map(|(Operation { id, sent, answered, .. }, place)| {
        let (since, until) = away.iter().find(|(since, until)| since < sent && answered < until)?;
        Some(format!(
            "{id} was sent at {sent:?} and acknowledged at all as {place} at {answered:?}, a node was away from \
             {since:?} to {until:?}"
        ))
    });
    incomplete.collect()
}

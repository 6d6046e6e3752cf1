//! The judge: what the files of all nodes must hold of what the clients were told.

mod samples;

use alloc::collections::BTreeMap;

use engraft::types::Epoch;

use super::history::{Level, Operation, Place, Seen, Told};
use super::payload::PayloadId;

/// Findings of one rule that are put into words; the others are counted.
const SHOWN: usize = 5;

/// Whose bytes an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// A client's, as that client sent them.
    Client(PayloadId),
    /// The start of an epoch.
    Start,
    /// Nobody sent them.
    Nobody,
}

/// An entry as a node's files have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogEntry {
    pub(super) place: Place,
    pub(super) written: Written,
    pub(super) payload_crc: u32,
    /// Of every byte that is to be the same on every node.
    pub(super) digest: u64,
}

/// The logs of one space by node, each up to its first break.
#[derive(Debug, Clone, Default)]
pub(super) struct SpaceLogs {
    pub(super) logs: BTreeMap<u16, Vec<LogEntry>>,
    /// What each node truncated, and kept in salvage files.
    pub(super) salvaged: BTreeMap<u16, Vec<LogEntry>>,
}

/// What was asked of the nodes before their files were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Every node was killed in the middle of its work.
    Killed,
    /// They had time to agree, and ended in good order.
    Healed,
}

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    /// Sequences are contiguous from 1, and epochs never go back.
    Contiguous,
    /// Every entry is one that a client sent, byte for byte, or the start of an epoch.
    Sent,
    /// No payload stands twice in a log.
    Once,
    /// Equal places hold equal bytes on every node.
    SameBytes,
    /// Where two logs have the same place, all before it is the same.
    Matching,
    /// What was acknowledged at Local is on the primary that took it: in its log, or in a salvage file.
    Local,
    /// What was acknowledged at Quorum is on a majority.
    Quorum,
    /// What was acknowledged at All is on every voter.
    All,
    /// What is unknown is on the nodes that were named, or was salvaged there, and nowhere but in its place.
    Unknown,
    /// What failed is nowhere.
    Failed,
    /// What was sent after another's answer stands behind it, where both are of one epoch, or both are committed.
    Order,
    /// What a reader was shown as committed is on a majority.
    Read,
    /// After healing, all logs are the same.
    Converged,
}

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) rule: Rule,
    pub(super) words: String,
}

/// Judges the logs of all spaces by what clients were told until then.
pub(super) fn judge(spaces: &[SpaceLogs], operations: &[Operation], seen: &[Seen], when: When) -> Vec<Finding> {
    let mut findings = Findings::default();
    for (index, space) in spaces.iter().enumerate() {
        let own: Vec<&Operation> = operations.iter().filter(|operation| operation.space == index).collect();
        let (places, salvaged) = (places(&space.logs), places(&space.salvaged));
        let docket = Docket { index, space, places, salvaged, when };
        docket.logs(&mut findings);
        for operation in &own {
            docket.operation(operation, &mut findings);
        }
        docket.order(&own, &mut findings);
        for each in seen.iter().filter(|each| each.space == index) {
            docket.seen(each, &mut findings);
        }
    }
    findings.close()
}

/// Where each payload stands on each node.
fn places(logs: &BTreeMap<u16, Vec<LogEntry>>) -> BTreeMap<PayloadId, Vec<(u16, Place)>> {
    let mut places: BTreeMap<PayloadId, Vec<(u16, Place)>> = BTreeMap::new();
    for (node, log) in logs {
        for entry in log {
            if let Written::Client(id) = entry.written {
                places.entry(id).or_default().push((*node, entry.place));
            }
        }
    }
    places
}

#[derive(Default)]
struct Findings {
    found: Vec<Finding>,
    counts: BTreeMap<Rule, usize>,
}

impl Findings {
    fn add(&mut self, rule: Rule, words: impl FnOnce() -> String) {
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count <= SHOWN {
            self.found.push(Finding { rule, words: words() });
        }
    }

    fn close(mut self) -> Vec<Finding> {
        for (rule, count) in self.counts {
            if count > SHOWN {
                self.found.push(Finding { rule, words: format!("and {} more", count - SHOWN) });
            }
        }
        self.found
    }
}

/// One space and its logs.
struct Docket<'a> {
    index: usize,
    space: &'a SpaceLogs,
    places: BTreeMap<PayloadId, Vec<(u16, Place)>>,
    salvaged: BTreeMap<PayloadId, Vec<(u16, Place)>>,
    when: When,
}

impl Docket<'_> {
    fn majority(&self) -> usize {
        self.space.logs.len() / 2 + 1
    }

    fn logs(&self, findings: &mut Findings) {
        let index = self.index;
        let logs: Vec<(&u16, &Vec<LogEntry>)> = self.space.logs.iter().collect();
        for (at, (node, log)) in logs.iter().enumerate() {
            self.contiguous(**node, log, findings);
            for (other, theirs) in &logs[..at] {
                self.matching((**other, theirs), (**node, log), findings);
            }
        }
        let mut bytes: BTreeMap<Place, (u16, u64)> = BTreeMap::new();
        for (node, log) in &self.space.logs {
            for entry in log {
                let (first, digest) = *bytes.entry(entry.place).or_insert((*node, entry.digest));
                if digest != entry.digest {
                    let place = entry.place;
                    findings.add(Rule::SameBytes, || format!("space {index}: {place} differs on n{first} and n{node}"));
                }
            }
        }
        for (id, places) in &self.places {
            for node in self.space.logs.keys() {
                let count = places.iter().filter(|(other, _)| other == node).count();
                if count > 1 {
                    findings.add(Rule::Once, || format!("space {index} n{node}: {id} stands there {count} times"));
                }
            }
        }
    }

    /// Two logs that part never meet again, and after healing they do not part.
    fn matching(&self, (other, theirs): (u16, &[LogEntry]), (node, log): (u16, &[LogEntry]), findings: &mut Findings) {
        let index = self.index;
        let differs = |(ours, theirs): &(&LogEntry, &LogEntry)| ours.place != theirs.place;
        let mut behind = log.iter().zip(theirs).skip_while(|pair| !differs(pair));
        let parted = behind.next().map(|(ours, theirs)| (ours.place, theirs.place));
        if let Some((ours, _)) = behind.find(|pair| !differs(pair)) {
            let place = ours.place;
            findings.add(Rule::Matching, || format!("space {index}: n{other} and n{node} differ before {place}"));
        }
        if self.when == When::Healed && (parted.is_some() || log.len() != theirs.len()) {
            let (had, has) = (log.len(), theirs.len());
            let at = parted.map_or(String::new(), |(ours, theirs)| format!(", {ours} where there is {theirs}"));
            findings
                .add(Rule::Converged, || format!("space {index}: n{node} has {had} entries, n{other} has {has}{at}"));
        }
    }

    fn contiguous(&self, node: u16, log: &[LogEntry], findings: &mut Findings) {
        let index = self.index;
        let mut epoch = Epoch::ZERO;
        for (entry, expected) in log.iter().zip(1..) {
            let place = entry.place;
            if place.sequence != expected || place.epoch < epoch {
                findings.add(Rule::Contiguous, || {
                    format!("space {index} n{node}: {place} stands where #{expected} of {epoch} or later is expected")
                });
                break;
            }
            epoch = place.epoch;
            if entry.written == Written::Nobody {
                findings.add(Rule::Sent, || format!("space {index} n{node}: {place} holds what nobody sent"));
            }
        }
    }

    /// The nodes that have the payload in that place.
    fn holders(&self, id: PayloadId, place: Place) -> Vec<u16> {
        let standing = self.places.get(&id).map(Vec::as_slice).unwrap_or_default();
        standing.iter().filter(|(_, at)| *at == place).map(|(node, _)| *node).collect()
    }

    /// The nodes that have the payload in that place, or kept it when they truncated it.
    fn keepers(&self, id: PayloadId, place: Place) -> Vec<u16> {
        let salvaged = self.salvaged.get(&id).map(Vec::as_slice).unwrap_or_default();
        let salvaged = salvaged.iter().filter(|(_, at)| *at == place).map(|(node, _)| *node);
        self.holders(id, place).into_iter().chain(salvaged).collect()
    }

    fn operation(&self, operation: &Operation, findings: &mut Findings) {
        let (index, id, level) = (self.index, operation.id, operation.level);
        let standing = [&self.places, &self.salvaged].into_iter().filter_map(|places| places.get(&id)).flatten();
        let standing: Vec<(u16, Place)> = standing.copied().collect();
        match &operation.told {
            Told::Appended(place) => {
                let holders = self.holders(id, *place);
                let (rule, holds) = match level {
                    Level::Local => (Rule::Local, self.keepers(id, *place).contains(&place.epoch.owner().0)),
                    Level::Quorum => (Rule::Quorum, holders.len() >= self.majority()),
                    Level::All => (Rule::All, holders.len() == self.space.logs.len()),
                };
                if !holds {
                    findings.add(rule, || {
                        let name = level.name();
                        format!("space {index}: {id} was acknowledged at {name} as {place}, found {}", list(&standing))
                    });
                }
            }
            Told::Unknown { place, acked_by } => {
                let holders = self.keepers(id, *place);
                let missing = acked_by.iter().any(|node| !holders.contains(node));
                if missing || standing.iter().any(|(_, at)| at != place) {
                    findings.add(Rule::Unknown, || {
                        format!(
                            "space {index}: {id} as {place} is on {acked_by:?}, it was said; found {}",
                            list(&standing)
                        )
                    });
                }
            }
            Told::Failed(kind) => {
                if !standing.is_empty() {
                    findings.add(Rule::Failed, || {
                        format!("space {index}: {id} failed ({kind}), found {}", list(&standing))
                    });
                }
            }
            Told::Nothing => {}
        }
    }

    /// In the order of time: what was sent after an answer stands behind what was answered.
    fn order(&self, operations: &[&Operation], findings: &mut Findings) {
        let placed = |operation: &Operation| match &operation.told {
            Told::Appended(place) | Told::Unknown { place, .. } => Some(*place),
            Told::Failed(_) | Told::Nothing => None,
        };
        let known: Vec<(&Operation, Place)> =
            operations.iter().filter_map(|operation| placed(operation).map(|place| (*operation, place))).collect();
        // What is unknown may have died with its node before it was written; its place is then given anew.
        let stands = |(operation, place): &(&Operation, Place)| !self.holders(operation.id, *place).is_empty();
        let mut by_answer: Vec<(&Operation, Place)> = known.iter().copied().filter(stands).collect();
        by_answer.sort_by_key(|(operation, _)| operation.answered);
        let mut by_sending = known.clone();
        by_sending.sort_by_key(|(operation, _)| operation.sent);
        let mut answered = by_answer.into_iter().peekable();
        // Of each epoch, and of what was acknowledged as committed.
        let mut highest: BTreeMap<Option<Epoch>, (PayloadId, Place)> = BTreeMap::new();
        let is_committed =
            |operation: &Operation| operation.level != Level::Local && matches!(operation.told, Told::Appended(_));
        for (operation, place) in by_sending {
            while let Some((earlier, at)) = answered.next_if(|(earlier, _)| earlier.answered < operation.sent) {
                for key in [Some(at.epoch)].into_iter().chain(is_committed(earlier).then_some(None)) {
                    let high = highest.entry(key).or_insert((earlier.id, at));
                    if high.1.sequence < at.sequence {
                        *high = (earlier.id, at);
                    }
                }
            }
            let keys = [Some(place.epoch)].into_iter().chain(is_committed(operation).then_some(None));
            let behind = keys.filter_map(|key| highest.get(&key)).find(|(_, high)| high.sequence >= place.sequence);
            if let Some((id, high)) = behind {
                findings.add(Rule::Order, || {
                    format!(
                        "space {}: {} as {place} was sent after {id} was answered as {high}",
                        self.index, operation.id
                    )
                });
            }
        }
        self.order_of_lines(known, findings);
    }

    /// The lines of one request stand in their order.
    fn order_of_lines(&self, mut known: Vec<(&Operation, Place)>, findings: &mut Findings) {
        known.sort_by_key(|(operation, _)| operation.id);
        for pair in known.windows(2) {
            let [(before, low), (after, high)] = pair else { continue };
            let same_request =
                before.id.client == after.id.client && before.sent == after.sent && before.line < after.line;
            if same_request && low.epoch == high.epoch && low.sequence >= high.sequence {
                findings.add(Rule::Order, || {
                    format!("space {}: {} as {low} came before {} as {high}", self.index, before.id, after.id)
                });
            }
        }
    }

    fn seen(&self, seen: &Seen, findings: &mut Findings) {
        let at = usize::try_from(seen.place.sequence).unwrap_or(usize::MAX).wrapping_sub(1);
        let has = |log: &&Vec<LogEntry>| {
            log.get(at).is_some_and(|entry| entry.place == seen.place && entry.payload_crc == seen.payload_crc)
        };
        let holders = self.space.logs.values().filter(has).count();
        if holders < self.majority() {
            findings.add(Rule::Read, || {
                format!(
                    "space {}: n{} showed {} as committed, {holders} nodes have it",
                    self.index, seen.node, seen.place
                )
            });
        }
    }
}

fn list(standing: &[(u16, Place)]) -> String {
    if standing.is_empty() {
        return "nowhere".to_owned();
    }
    standing.iter().map(|(node, place)| format!("n{node} {place}")).collect::<Vec<_>>().join(", ")
}

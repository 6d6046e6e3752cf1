//! The verdict: what the logs of all nodes hold of what was acknowledged.
//!
//! It is computed from files, after the processes that wrote them have ended; nobody is asked.

use ::core::fmt;
use alloc::collections::BTreeMap;

use crate::types::{Epoch, NodeId, Sequence};

/// How many losses, and how many damaged places, are described one by one for each node.
const SHOWN: usize = 5;

/// An entry that was acknowledged, as the client recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acknowledged {
    /// Its place, by the answer.
    pub sequence: Sequence,
    /// Its epoch, by the answer.
    pub epoch: Epoch,
    /// The digest of the payload that was sent: [`digest`](super::digest).
    pub digest: u64,
}

/// What is wrong with an acknowledged entry on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The entry.
    pub entry: Acknowledged,
    /// The node.
    pub node: NodeId,
    /// What its log has in that place.
    pub found: Found,
}

/// What a log has in the place of an acknowledged entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// That entry.
    Same,
    /// Nothing.
    Nothing,
    /// An entry of that epoch with other bytes, or one that belongs to another acknowledgement.
    OtherBytes,
    /// An entry of another epoch.
    OtherEpoch(Epoch),
}

/// What became of the acknowledged entries.
///
/// An acknowledged entry is *lost* when one node or more does not have it: the log has nothing at its sequence, or an
/// entry of another epoch, or one whose payload has another digest. Two acknowledgements need two entries.
/// So `acknowledged` = `on_every_node` + `lost`, always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Entries that were acknowledged.
    pub acknowledged: u64,
    /// Those of them that every node has, with the sequence, epoch and digest that the client recorded.
    pub on_every_node: u64,
    /// The others.
    pub lost: u64,
    /// How many of the acknowledged entries each node has.
    pub by_node: BTreeMap<NodeId, u64>,
    /// The first losses of each node, by sequence.
    pub losses: Vec<Loss>,
    /// What of the nodes' files is not as it was written, whether it was acknowledged or not; the first places of
    /// each node.
    pub damage: Vec<(NodeId, String)>,
}

/// Adds up what the nodes have.
#[derive(Debug)]
pub struct Tally {
    acknowledged: Vec<Acknowledged>,
    lost: Vec<bool>,
    by_node: BTreeMap<NodeId, u64>,
    losses: Vec<Loss>,
    damage: Vec<(NodeId, String)>,
}

impl Tally {
    /// A tally of these entries, in any order.
    #[must_use]
    pub fn new(mut acknowledged: Vec<Acknowledged>) -> Self {
        acknowledged.sort_unstable();
        let lost = vec![false; acknowledged.len()];
        Self { acknowledged, lost, by_node: BTreeMap::new(), losses: Vec::new(), damage: Vec::new() }
    }

    /// Adds a node: every entry that can be read in its log, in any order. Once per node.
    pub fn add_node(&mut self, node: NodeId, log: impl IntoIterator<Item = Acknowledged>) {
        let mut found = vec![Found::Nothing; self.acknowledged.len()];
        for entry in log {
            let first = self.acknowledged.partition_point(|each| each.sequence < entry.sequence);
            let rivals = self.acknowledged.iter().zip(&mut found).skip(first);
            let rivals = rivals.take_while(|(each, _)| each.sequence == entry.sequence);
            let mut claimed = false;
            for (each, found) in rivals {
                if *found == Found::Same {
                    continue;
                }
                *found = if *each == entry && !claimed {
                    claimed = true;
                    Found::Same
                } else if each.epoch == entry.epoch {
                    Found::OtherBytes
                } else {
                    Found::OtherEpoch(entry.epoch)
                };
            }
        }
        let mut held = 0;
        for ((entry, found), lost) in self.acknowledged.iter().zip(found).zip(&mut self.lost) {
            if found == Found::Same {
                held += 1;
                continue;
            }
            *lost = true;
            if self.losses.iter().filter(|loss| loss.node == node).count() < SHOWN {
                self.losses.push(Loss { entry: *entry, node, found });
            }
        }
        self.by_node.insert(node, held);
    }

    /// Adds what is wrong with a node's files.
    pub fn add_damage(&mut self, node: NodeId, what: &dyn fmt::Display) {
        if self.damage.iter().filter(|(damaged, _)| *damaged == node).count() < SHOWN {
            self.damage.push((node, what.to_string()));
        }
    }

    /// The verdict over all nodes that were added; with none of them, everything is lost.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        let acknowledged = self.acknowledged.len() as u64;
        let lost = self.lost.iter().filter(|lost| **lost).count() as u64;
        let lost = if self.by_node.is_empty() { acknowledged } else { lost };
        Verdict {
            acknowledged,
            on_every_node: acknowledged - lost,
            lost,
            by_node: self.by_node,
            losses: self.losses,
            damage: self.damage,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Acknowledged { sequence, epoch, .. } = self.entry;
        write!(formatter, "{}: {epoch}{sequence} was acknowledged, the log has ", self.node)?;
        match self.found {
            Found::Same => write!(formatter, "it"),
            Found::Nothing => write!(formatter, "nothing there"),
            Found::OtherBytes => write!(formatter, "other bytes there"),
            Found::OtherEpoch(other) => write!(formatter, "an entry of {other} there"),
        }
    }
}

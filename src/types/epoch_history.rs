//! Which epoch each entry of a log is of.

use alloc::vec::Vec;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Epoch, Sequence, list};

/// Where an epoch begins in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first entry in this log.
    pub first: Sequence,
}

/// Which epoch each sequence of a log is of: the starts, rising in both fields.
///
/// Two logs have a common point that follows from their histories and ends alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize)]
pub struct EpochHistory(Vec<EpochStart>);

impl EpochHistory {
    /// A history of these starts.
    ///
    /// # Errors
    /// The index of the first start that does not rise above the one before it.
    pub fn from_starts(starts: Vec<EpochStart>) -> Result<Self, usize> {
        for (index, pair) in starts.windows(2).enumerate() {
            if let [lower, upper] = pair
                && (upper.epoch <= lower.epoch || upper.first <= lower.first)
            {
                return Err(index + 1);
            }
        }
        Ok(Self(starts))
    }

    /// The starts, oldest first.
    #[must_use]
    pub fn starts(&self) -> &[EpochStart] {
        &self.0
    }

    /// The epoch of the entry at `sequence` ([`Epoch::ZERO`] before the first start); the caller knows the end.
    #[must_use]
    pub fn epoch_at(&self, sequence: Sequence) -> Epoch {
        let after = self.0.partition_point(|start| start.first <= sequence);
        after.checked_sub(1).and_then(|index| self.0.get(index)).map_or(Epoch::ZERO, |start| start.epoch)
    }

    /// Notes that the entry at `sequence` is of `epoch`. Call it for each entry in order.
    pub fn note(&mut self, epoch: Epoch, sequence: Sequence) {
        if self.0.last().is_none_or(|last| last.epoch < epoch) {
            self.0.push(EpochStart { epoch, first: sequence });
        }
    }

    /// The last sequence of `epoch` in a log that ends at `end`; `None` where it has no entry of it.
    #[must_use]
    pub fn last_of(&self, epoch: Epoch, end: Sequence) -> Option<Sequence> {
        let index = self.0.iter().position(|start| start.epoch == epoch)?;
        Some(self.0.get(index + 1).map_or(end, |next| next.first.previous()))
    }

    /// Forgets everything above `end`.
    pub fn truncate(&mut self, end: Sequence) {
        let kept = self.0.partition_point(|start| start.first <= end);
        self.0.truncate(kept);
    }

    /// The last sequence at which this log (ending at `end`) and the other agree: the common point.
    #[must_use]
    pub fn common_point(&self, end: Sequence, other: &Self, other_end: Sequence) -> Sequence {
        let mut candidate = end.min(other_end);
        while candidate > Sequence::ZERO {
            let (ours, theirs) = (self.epoch_at(candidate), other.epoch_at(candidate));
            if ours == theirs {
                return candidate;
            }
            // Entries of the higher epoch are not in the other log: step before its start there.
            let (history, epoch) = if ours > theirs { (self, ours) } else { (other, theirs) };
            let start = history.0.iter().rev().find(|start| start.epoch == epoch);
            candidate = start.map_or(Sequence::ZERO, |start| start.first.previous());
        }
        Sequence::ZERO
    }
}

impl<'de> Deserialize<'de> for EpochHistory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_starts(list::deserialize(deserializer)?).map_err(|index| {
            D::Error::custom(format_args!("start {index} of the epoch history does not rise above the one before it"))
        })
    }
}

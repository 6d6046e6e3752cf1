//! Which sequences were seen, in little memory where most of them are neighbours.

use alloc::collections::BTreeMap;

/// Runs that are kept at most; what lies beyond them is not remembered, so its repeats are not counted.
const RUNS_MAX: usize = 1 << 20;

/// A set of numbers, kept as runs: 16 bytes and a node's share for each, one run for all that is contiguous.
#[derive(Debug, Clone, Default)]
pub(crate) struct SequenceSet {
    /// First to last, both in it.
    runs: BTreeMap<u64, u64>,
}

impl SequenceSet {
    pub(crate) const fn new() -> Self {
        Self { runs: BTreeMap::new() }
    }

    /// Adds a number; `false` where it is in the set already.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        let below = self.runs.range(..=number).next_back().map(|(first, last)| (*first, *last));
        if below.is_some_and(|(_, last)| number <= last) {
            return false;
        }
        let joins_below = below.filter(|(_, last)| last.checked_add(1) == Some(number));
        let above = number.checked_add(1).and_then(|next| self.runs.remove(&next));
        let last = above.unwrap_or(number);
        match joins_below {
            Some((first, _)) => {
                self.runs.insert(first, last);
            }
            None if self.runs.len() < RUNS_MAX => {
                self.runs.insert(number, last);
            }
            None => {}
        }
        true
    }

    /// Whether the number is in the set.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.runs.range(..=number).next_back().is_some_and(|(_, last)| number <= *last)
    }

    /// The highest number in the set that is lower than this one.
    pub(crate) fn highest_below(&self, number: u64) -> Option<u64> {
        self.runs.range(..number).next_back().map(|(_, last)| (*last).min(number.saturating_sub(1)))
    }

    /// The lowest and the highest number.
    pub(crate) fn bounds(&self) -> Option<(u64, u64)> {
        Some((*self.runs.first_key_value()?.0, *self.runs.last_key_value()?.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_seen_and_neighbours_join() {
        let mut set = SequenceSet::default();
        for number in [5, 7, 6, 0, u64::MAX] {
            assert!(set.insert(number), "{number}");
        }
        for number in [5, 6, 7, 0, u64::MAX] {
            assert!(!set.insert(number), "{number}");
        }
        assert_eq!(set.runs.len(), 3);
        assert_eq!(set.bounds(), Some((0, u64::MAX)));
        assert_eq!(
            [0, 1, 4, 5, 7, 8, u64::MAX].map(|number| set.contains(number)),
            [true, false, false, true, true, false, true]
        );
        assert_eq!(
            [0, 5, 6, 8, u64::MAX].map(|number| set.highest_below(number)),
            [None, Some(0), Some(5), Some(7), Some(7)]
        );
    }
}

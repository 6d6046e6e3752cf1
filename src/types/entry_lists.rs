//! Lists of entries whose memory is used again.

use ::core::fmt;
use alloc::vec::Vec;

use super::Entry;

/// Entries that all kept lists have room for together; 3 MiB. What is under way at once in one space takes less.
const ROOM_MAX: usize = 32_768;
/// Lists that are kept at most; all are looked at when one is taken.
const LISTS_MAX: usize = 64;

/// Empty lists that whoever made lists of entries got back, so that the steady path allocates none.
///
/// They hold no entry: a payload is let go when its list is given back. A clone begins without any.
#[derive(Default)]
pub struct EntryLists {
    lists: Vec<Vec<Entry>>,
    /// Entries that they have room for together.
    room: usize,
}

impl EntryLists {
    /// An empty list with room for `count` entries: the smallest that fits, or the largest, grown.
    #[must_use]
    pub fn take(&mut self, count: usize) -> Vec<Entry> {
        // One that is too small counts as larger than any that fits, and the least so where it lacks least.
        let fit = |list: &Vec<Entry>| (list.capacity() < count, list.capacity().abs_diff(count));
        // Of equals the one that came back last: its memory is the warmest.
        let best = self.lists.iter().enumerate().rev().min_by_key(|(_, list)| fit(list)).map(|(index, _)| index);
        let mut list = best.map_or_else(Vec::new, |index| self.lists.swap_remove(index));
        self.room -= list.capacity();
        list.reserve(count);
        list
    }

    /// Takes back a list that nobody needs any more. Its entries are dropped, and its memory too where enough is kept.
    pub fn give_back(&mut self, mut list: Vec<Entry>) {
        list.clear();
        let room = self.room.saturating_add(list.capacity());
        if list.capacity() > 0 && room <= ROOM_MAX && self.lists.len() < LISTS_MAX {
            self.room = room;
            self.lists.push(list);
        }
    }
}

impl Extend<Vec<Entry>> for EntryLists {
    fn extend<I: IntoIterator<Item = Vec<Entry>>>(&mut self, lists: I) {
        lists.into_iter().for_each(|list| self.give_back(list));
    }
}

impl IntoIterator for EntryLists {
    type Item = Vec<Entry>;
    type IntoIter = alloc::vec::IntoIter<Vec<Entry>>;

    fn into_iter(self) -> Self::IntoIter {
        self.lists.into_iter()
    }
}

impl Clone for EntryLists {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for EntryLists {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("EntryLists").field("lists", &self.lists.len()).field("room", &self.room).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_list_that_fits_is_taken_and_the_largest_grows_where_none_does() {
        let mut lists = EntryLists::default();
        for room in [10, 1_000, 100] {
            lists.give_back(Vec::with_capacity(room));
        }
        let mut taken = |count| lists.take(count).capacity();
        assert_eq!(taken(50), 100);
        assert_eq!(taken(1), 10);
        assert!(taken(1_001) > 1_000);
        assert_eq!(taken(7), 7, "none is left");
        assert_eq!((lists.lists.len(), lists.room), (0, 0));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut lists = EntryLists::default();
        for _ in 0..10 {
            lists.give_back(Vec::with_capacity(ROOM_MAX / 4));
        }
        assert_eq!(lists.lists.len(), 4);
        lists.give_back(Vec::with_capacity(1));
        assert_eq!(lists.room, ROOM_MAX);
        let mut small = EntryLists::default();
        small.extend((0..100).map(|_| Vec::with_capacity(1)));
        assert_eq!((small.lists.len(), small.room), (LISTS_MAX, LISTS_MAX));
    }
}

//! Lists from outside, whose claimed length is not believed.

use ::core::fmt;
use ::core::marker::PhantomData;
use alloc::vec::Vec;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A list whose memory grows with the elements that really come.
///
/// A plain `Vec` takes memory for the claimed length first, up to a megabyte, before a single element is read.
pub(super) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(ListVisitor(PhantomData))
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use serde::de::value::{Error, SeqDeserializer};

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let deserializer = SeqDeserializer::<_, Error>::new(Claim([1_u64, 2, 3].into_iter()));
        let list: Vec<u64> = super::deserialize(deserializer).unwrap_or_default();
        assert_eq!(list, [1, 2, 3]);
        assert!(list.capacity() < 16, "room for {} elements", list.capacity());
    }

    /// An iterator that claims more than it has.
    struct Claim<I>(I);

    impl<I: Iterator> Iterator for Claim<I> {
        type Item = I::Item;

        fn next(&mut self) -> Option<I::Item> {
            self.0.next()
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            (1 << 40, Some(1 << 40))
        }
    }
}

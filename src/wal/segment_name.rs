//! The names of segment files.

use core::fmt;

use crate::types::Sequence;

/// The bytes of a segment's name: `wal-`, sixteen hex digits, `.log`.
pub(crate) const NAME_SIZE: usize = 24;

/// `wal-<16 hex digits>.log`: the number is the sequence of the first entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName(pub Sequence);

impl SegmentName {
    /// The segment of that name; `None` where it is not one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("wal-")?.strip_suffix(".log")?;
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() != 16 || !digits.bytes().all(lower) {
            return None;
        }
        u64::from_str_radix(digits, 16).ok().map(|number| Self(Sequence(number)))
    }

    /// The name's bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; NAME_SIZE] {
        let mut bytes = *b"wal-0000000000000000.log";
        let digits = bytes.iter_mut().skip(4).take(16);
        for (shift, digit) in (0..16_u32).rev().zip(digits) {
            let value = u8::try_from(self.0.0 >> (shift * 4) & 0xf).unwrap_or_default();
            *digit = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        }
        bytes
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "wal-{:016x}.log", self.0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_text_are_the_same_name() {
        for number in [0, 1, 0x6920_bab9, u64::MAX] {
            let name = SegmentName(Sequence(number));
            assert_eq!(name.to_bytes(), name.to_string().as_bytes());
            assert_eq!(SegmentName::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn other_names_are_no_segments() {
        for name in
            ["wal-1.log", "wal-000000006920BAB9.log", "wal-000000006920bab9.log.new", "wal-+00000006920bab9.log"]
        {
            assert_eq!(SegmentName::parse(name), None, "{name}");
        }
    }
}

//! What clients write: each payload is made of who wrote it and of a counter, so that no two are alike.

use engraft::core::draw::draw_below;

const SIZE: u64 = 110;

/// Who wrote a payload, and its how-manieth of that client it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PayloadId {
    pub(super) client: u32,
    pub(super) counter: u32,
}

impl core::fmt::Display for PayloadId {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "c{}-{}", self.client, self.counter)
    }
}

impl PayloadId {
    /// The bytes: the same for the same seed. One in sixty is large.
    pub(super) fn bytes(self, seed: u64) -> Vec<u8> {
        let (subject, n) = (u64::from(self.client), u64::from(self.counter));
        let bound = if draw_below(seed, SIZE, subject, n * 2, 60) == 0 { 40_000 } else { 400 };
        let size = usize::try_from(draw_below(seed, SIZE, subject, n * 2 + 1, bound)).unwrap_or(0);
        let mut bytes = format!("{self};").into_bytes();
        let mut state = seed ^ (subject << 32) ^ n ^ 0x9e37_79b9_7f4a_7c15;
        bytes.extend(
            core::iter::repeat_with(|| {
                // Marsaglia's xorshift: what it gives need only differ.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .take(size),
        );
        bytes
    }

    /// Whose payload these bytes are, if they are exactly those that were sent.
    pub(super) fn of(seed: u64, bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().take(32).position(|byte| *byte == b';')?;
        let (client, counter) = core::str::from_utf8(&bytes[..end]).ok()?.strip_prefix('c')?.split_once('-')?;
        let id = Self { client: client.parse().ok()?, counter: counter.parse().ok()? };
        (id.bytes(seed) == bytes).then_some(id)
    }
}

#[test]
fn a_payload_tells_whose_it_is_and_that_no_byte_of_it_changed() {
    for counter in 0..500 {
        let id = PayloadId { client: 3, counter };
        let mut bytes = id.bytes(9);
        assert_eq!(PayloadId::of(9, &bytes), Some(id));
        assert_eq!(PayloadId::of(8, &bytes).filter(|_| bytes.len() > 20), None);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(PayloadId::of(9, &bytes), None);
    }
    assert_eq!(PayloadId::of(9, b"hello"), None);
}

//! Keyed randomness: each draw is a pure function of what it is for.
//!
//! No stream is shared, so taking one draw away leaves every other as it was:
//! a fault removed from a scenario leaves the rest of the run alone.

use rand::Rng;
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// The `n`th draw for `subject` of `purpose` under `seed`.
///
/// The key is mixed with the finaliser of SplitMix64 (Steele, Lea and Flood 2014) and seeds a PCG-64, whose stream
/// does not change between versions of its crate.
#[must_use]
pub fn draw(seed: u64, purpose: u64, subject: u64, n: u64) -> u64 {
    let mut key = [0_u8; 32];
    let mut state = 0_u64;
    for (part, place) in [seed, purpose, subject, n].into_iter().zip(key.chunks_exact_mut(8)) {
        state = mix(state ^ part);
        place.copy_from_slice(&state.to_le_bytes());
    }
    Pcg64::from_seed(key).next_u64()
}

/// A draw scaled to `0..bound`; 0 where the bound is 0.
#[must_use]
pub fn draw_below(seed: u64, purpose: u64, subject: u64, n: u64, bound: u64) -> u64 {
    // The high half of the product: the bias is below 2^-64 times the bound.
    let product = u128::from(draw(seed, purpose, subject, n)) * u128::from(bound);
    u64::try_from(product >> 64).unwrap_or(0)
}

const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// What draws of the core are for. The numbers never change: they are part of every recorded run.
pub mod purpose {
    /// The part taken off a back-off; subject: the peer.
    pub const BACKOFF: u64 = 1;
    /// An election time-out; subject: space and node.
    pub const ELECTION: u64 = 2;
}

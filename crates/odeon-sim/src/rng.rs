//! Randomness from one seed: small, fast, and with a stream of its own for each purpose.
//!
//! The generator is `SplitMix64`. It is no secret keeper, which a simulation does not need; that one stream does
//! not shift when another is asked more often is what it needs, hence [`SimRng::fork`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use odeon_core::seam::Rng;

/// `SplitMix64`'s step: the golden ratio, as an odd number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A seeded stream of random numbers.
pub struct SimRng {
    state: AtomicU64,
}

impl SimRng {
    /// The stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(mix(seed)) }
    }

    /// A stream for `purpose`: it depends on where this stream began or stands, and on the purpose alone.
    #[must_use]
    pub fn fork(&self, purpose: &str) -> Self {
        let mut state = self.state.load(Ordering::Relaxed);
        for byte in purpose.bytes() {
            state = mix(state ^ u64::from(byte)).wrapping_add(STEP);
        }
        Self::new(state)
    }

    /// A number below `bound`; 0 if that is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        // The bias is below one in a billion for the bounds of a simulation.
        self.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    #[must_use]
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// A time from `low` to `high` milliseconds.
    #[must_use]
    pub fn millis(&self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// Whether something happens that does so `times` in `of` cases.
    #[must_use]
    pub fn chance(&self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }
}

impl Rng for SimRng {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }

    fn next_u64(&self) -> u64 {
        mix(self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP))
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Debug for SimRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimRng").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(rng: &SimRng) -> Vec<u64> {
        (0..8).map(|_| rng.next_u64()).collect()
    }

    #[test]
    fn a_seed_gives_one_stream_and_a_purpose_another() {
        assert_eq!(first(&SimRng::new(7)), first(&SimRng::new(7)));
        assert_ne!(first(&SimRng::new(7)), first(&SimRng::new(8)));
        let (one, two) = (SimRng::new(7), SimRng::new(7));
        let early = one.fork("net");
        assert_eq!(first(&early), first(&two.fork("net")));
        assert_ne!(first(&one.fork("net")), first(&one.fork("disk")));
    }

    #[test]
    fn numbers_keep_to_their_bounds_and_reach_them() {
        let rng = SimRng::new(1);
        let seen: std::collections::BTreeSet<u64> = (0..1_000).map(|_| rng.between(3, 6)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(rng.below(0), 0);
        assert!(!rng.chance(0, 10) && rng.chance(10, 10));
    }
}

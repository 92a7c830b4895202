//! Seeds: where they come from, and the streams of numbers they become.
//!
//! The generator is `SplitMix64`, as in the simulator: small, and one seed is one stream on every machine.

use std::fmt;

/// The variable that says which seed to take.
pub const SEED_VARIABLE: &str = "ODEON_TEST_SEED";

/// The seed where none is given.
pub(super) const SEED_DEFAULT: u64 = 0;

/// `SplitMix64`'s step: the golden ratio, as an odd number.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of numbers.
pub(super) struct Stream(u64);

impl Stream {
    /// The stream of `seed` for one purpose: streams do not shift when another is asked more often.
    pub(super) const fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(mix(seed).wrapping_add(STEP.wrapping_mul(purpose))))
    }

    /// A number below `bound`; 0 if that is 0. The bias does not matter for the bounds of a schedule.
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        match mix(self.0).checked_rem(bound) {
            Some(number) => number,
            None => 0,
        }
    }

    /// An index into something of that length.
    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }
}

pub(super) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream(..)")
    }
}

/// The seed that the environment names, if it does.
///
/// # Panics
/// When what it names is no number: a replay that silently plays something else helps nobody.
pub(super) fn seed_from_env() -> Option<u64> {
    let text = std::env::var_os(SEED_VARIABLE)?;
    let text = text.to_string_lossy();
    match parse(text.trim()) {
        Some(seed) => Some(seed),
        None => panic!("{SEED_VARIABLE}={text} is no seed: write a number from 0 to {}", u64::MAX),
    }
}

fn parse(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(mut stream: Stream) -> Vec<u64> {
        (0..8).map(|_| stream.below(u64::MAX)).collect()
    }

    #[test]
    fn a_seed_gives_one_stream_and_a_purpose_another() {
        assert_eq!(first(Stream::new(7, 0)), first(Stream::new(7, 0)));
        assert_ne!(first(Stream::new(7, 0)), first(Stream::new(8, 0)));
        assert_ne!(first(Stream::new(7, 0)), first(Stream::new(7, 1)));
        assert_eq!(Stream::new(1, 0).below(0), 0);
    }

    #[test]
    fn a_seed_is_a_number() {
        assert_eq!(
            (parse("17"), parse("0x11"), parse("18446744073709551615")),
            (Some(17), Some(17), Some(u64::MAX))
        );
        for wrong in ["", "-1", "seventeen", "18446744073709551616", "0x"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

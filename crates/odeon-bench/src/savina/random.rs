//! Random numbers: one congruential generator, so that all peers, Erlang's module included, draw the same.

/// The generator's state: 32 bits.
pub(crate) struct Random(u64);

impl Random {
    /// A generator for actor number `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed & 0xFFFF_FFFF)
    }

    /// A number below `limit`, which is at most 65,536: the upper half of the state is the random one.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = (self.0 * 69_069 + 1) & 0xFFFF_FFFF;
        (self.0 >> 16) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_draws_everything_below_the_limit() {
        let mut random = Random::new(7);
        let mut drawn = [0; 10];
        for _ in 0..10_000 {
            drawn[usize::try_from(random.below(10)).expect("it is below ten")] += 1;
        }
        assert!(drawn.iter().all(|&times| (800..1_200).contains(&times)), "{drawn:?}");
    }
}

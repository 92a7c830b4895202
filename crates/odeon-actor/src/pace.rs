//! How fast an actor handles messages, as far as it decides whether an ask may run on the asker's stack.

use std::time::Duration;

/// A handler that takes longer does not run on somebody else's stack: what it holds up there is not its own.
pub(crate) const INLINE_TIME_MAX: Duration = Duration::from_micros(2);

/// Timings that have to be short again after one was not.
const PENALTY: i8 = -32;

/// What timings of an actor's handlers have shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace(i8);

impl Pace {
    /// Whether the handlers timed so far were short. Before the first timing: no.
    pub(crate) const fn is_short(self) -> bool {
        self.0 > 0
    }

    /// One more timing.
    pub(crate) fn record(&mut self, took: Duration) {
        self.0 = if took < INLINE_TIME_MAX { self.0.saturating_add(1).min(1) } else { PENALTY };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_overrun_costs_many_short_timings() {
        let mut pace = Pace::default();
        assert!(!pace.is_short(), "nothing is known");
        pace.record(INLINE_TIME_MAX - Duration::from_nanos(1));
        assert!(pace.is_short());
        pace.record(INLINE_TIME_MAX);
        assert!(!pace.is_short());
        for _ in 0..32 {
            pace.record(Duration::ZERO);
            assert!(!pace.is_short());
        }
        pace.record(Duration::ZERO);
        assert!(pace.is_short());
    }
}

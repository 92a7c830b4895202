//! How long to leave an unreachable server alone.
//!
//! Each failed attempt doubles the pause, up to a limit; each pause is drawn at random between half of it and all,
//! so that many who lost the same server do not come back as one.

use std::time::Duration;

use odeon_core::Instant;

/// The pause after the first failure.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(20);

/// The longest pause: a server that is back is found again within this.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// The pauses between attempts to reach one server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Takes note of a failed attempt; `random` is any number.
    pub(crate) fn failed(&mut self, now: Instant, random: u32) {
        let whole = BACKOFF_MIN.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_MAX);
        let half = whole / 2;
        let part = half.mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + half + part);
    }

    /// Whether the next attempt may be made.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(backoff: &mut Backoff, random: u32) -> Duration {
        let now = Instant::from_nanos(77);
        backoff.failed(now, random);
        backoff.until.expect("a pause") - now
    }

    #[test]
    fn pauses_double_up_to_the_limit() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..10).map(|_| pause(&mut backoff, u32::MAX)).collect();
        for pair in pauses.windows(2) {
            assert_eq!(pair[1], (pair[0] * 2).min(BACKOFF_MAX));
        }
        assert_eq!((pauses[0], pauses[9]), (BACKOFF_MIN, BACKOFF_MAX));
        assert_eq!(pause(&mut Backoff { failures: u32::MAX, until: None }, u32::MAX), BACKOFF_MAX);
    }

    #[test]
    fn a_pause_is_over_at_its_end_and_not_before() {
        let now = Instant::ZERO;
        let mut backoff = Backoff::default();
        assert!(backoff.is_over(now));
        backoff.failed(now, u32::MAX);
        assert!(!backoff.is_over(now) && backoff.is_over(now + BACKOFF_MIN));
    }

    #[test]
    fn a_pause_is_drawn_between_half_and_all() {
        for random in [0, 1, u32::MAX / 2, u32::MAX] {
            let drawn = pause(&mut Backoff::default(), random);
            assert!((BACKOFF_MIN / 2..=BACKOFF_MIN).contains(&drawn), "{drawn:?}");
        }
        assert!(pause(&mut Backoff::default(), 0) < pause(&mut Backoff::default(), u32::MAX));
    }
}

//! Simulated time: the runtime's paused clock, seen from one host.
//!
//! Time stands still while anything can run and jumps to the next timer when nothing can. Each host's clock began
//! at another moment, so that an instant which crosses the network unnoticed comes out wrong, and each has its
//! own idea of the date.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use odeon_core::Instant;
use odeon_core::seam::{BoxFuture, Clock};

/// The date at which every simulation begins, in milliseconds since 1970: 2030-01-01.
const EPOCH_UNIX_MS: u64 = 1_893_456_000_000;

/// One host's clock.
#[derive(Debug)]
pub struct SimClock {
    began: tokio::time::Instant,
    ahead: Duration,
    skew_ms: AtomicI64,
}

impl SimClock {
    /// A clock that showed `ahead` when the simulation began, at `began`.
    #[must_use]
    pub const fn new(began: tokio::time::Instant, ahead: Duration) -> Self {
        Self { began, ahead, skew_ms: AtomicI64::new(0) }
    }

    /// Sets by how much the host's idea of the date is off, in milliseconds.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        Instant::ZERO + (self.began.elapsed() + self.ahead)
    }

    fn unix_ms(&self) -> u64 {
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        EPOCH_UNIX_MS.saturating_add(passed).saturating_add_signed(self.skew_ms.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let from_beginning = (at - Instant::ZERO).saturating_sub(self.ahead);
        Box::pin(tokio::time::sleep_until(self.began + from_beginning))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_jumps_and_hosts_disagree_about_it_but_not_about_how_much_passed() {
        let began = tokio::time::Instant::now();
        let clocks = [0, 500].map(|ahead| SimClock::new(began, Duration::from_secs(ahead)));
        clocks[1].set_skew_ms(-2_000);
        let before = clocks.each_ref().map(|clock| (clock.now(), clock.unix_ms()));
        clocks[1].sleep_until(before[1].0 + Duration::from_secs(3_600)).await;
        for (clock, (now, unix_ms)) in clocks.iter().zip(before) {
            assert_eq!(clock.now() - now, Duration::from_secs(3_600));
            assert_eq!(clock.unix_ms() - unix_ms, 3_600_000);
        }
        assert_eq!(clocks[0].unix_ms() - clocks[1].unix_ms(), 2_000);
    }
}

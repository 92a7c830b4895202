//! Simulated time: the runtime's paused clock, seen from one host.
//!
//! Time stands still while anything can run and jumps to the next timer when nothing can. Each host's clock began
//! at another moment, so that an instant which crosses the network unnoticed comes out wrong, and each has its
//! own idea of the date. A clock may run faster or slower than the world, and jump ahead, as that of a host does
//! which was frozen for a while; it never goes back, but its idea of the date may.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use odeon_core::Instant;
use odeon_core::seam::{BoxFuture, Clock};
use tokio::sync::Notify;

/// The date at which every simulation begins, in milliseconds since 1970: 2030-01-01.
const EPOCH_UNIX_MS: u64 = 1_893_456_000_000;

/// The rate of a clock that is right, in millionths.
pub(crate) const RATE_USUAL_PPM: u64 = 1_000_000;

/// The slowest rate that can be set, in millionths: a clock that stands still would stop the simulation.
const RATE_PPM_MIN: u64 = 1_000;

/// One host's clock. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct SimClock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    began: tokio::time::Instant,
    skew_ms: AtomicI64,
    reading: Mutex<Reading>,
    /// The rate is another, or the clock has jumped: whoever sleeps reckons anew.
    changed: Notify,
}

/// What the clock showed at a moment, and how it runs from then on.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: tokio::time::Instant,
    shown: Instant,
    rate_ppm: u64,
}

impl Reading {
    fn now(&self) -> Instant {
        let passed = u64::try_from(self.at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.shown + Duration::from_nanos(scaled(passed, self.rate_ppm, RATE_USUAL_PPM))
    }

    /// How long the world takes until the clock shows `at`.
    fn until(&self, at: Instant) -> Duration {
        let left = u64::try_from((at - self.now()).as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(scaled(left, RATE_USUAL_PPM, self.rate_ppm))
    }
}

/// `nanos` × `times` ÷ `by`, rounded up: whoever is woken must not be early.
fn scaled(nanos: u64, times: u64, by: u64) -> u64 {
    let scaled = (u128::from(nanos) * u128::from(times)).div_ceil(u128::from(by));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

impl SimClock {
    /// A clock that showed `ahead` when the simulation began, at `began`.
    #[must_use]
    pub fn new(began: tokio::time::Instant, ahead: Duration) -> Self {
        let reading = Reading { at: began, shown: Instant::ZERO + ahead, rate_ppm: RATE_USUAL_PPM };
        let (skew_ms, changed) = (AtomicI64::new(0), Notify::new());
        Self(Arc::new(Shared { began, skew_ms, reading: Mutex::new(reading), changed }))
    }

    /// Sets by how much the host's idea of the date is off, in milliseconds.
    pub fn set_skew_ms(&self, skew_ms: i64) {
        self.0.skew_ms.store(skew_ms, Ordering::Relaxed);
    }

    /// Has the clock run so many millionths as fast as the world from now on; at least a thousandth.
    pub fn set_rate_ppm(&self, rate_ppm: u64) {
        self.change(|reading| reading.rate_ppm = rate_ppm.max(RATE_PPM_MIN));
    }

    /// Has the clock jump ahead.
    pub fn jump(&self, by: Duration) {
        self.change(|reading| reading.shown = reading.shown + by);
    }

    fn change(&self, change: impl FnOnce(&mut Reading)) {
        let mut reading = self.reading();
        let shown = reading.now();
        *reading = Reading { at: tokio::time::Instant::now(), shown, ..*reading };
        change(&mut reading);
        drop(reading);
        self.0.changed.notify_waiters();
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.0.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        self.reading().now()
    }

    fn unix_ms(&self) -> u64 {
        let passed = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        EPOCH_UNIX_MS.saturating_add(passed).saturating_add_signed(self.0.skew_ms.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            loop {
                // Made before the look, so that no change in between is missed.
                let changed = clock.0.changed.notified();
                let left = clock.reading().until(at);
                if left.is_zero() {
                    return;
                }
                tokio::select! {
                    biased;
                    () = changed => {}
                    () = tokio::time::sleep(left) => {}
                }
            }
        })
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

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_runs_fast_shows_more_and_wakes_its_sleepers_earlier() {
        let began = tokio::time::Instant::now();
        let clock = SimClock::new(began, Duration::ZERO);
        clock.set_rate_ppm(2_000_000);
        clock.sleep_until(Instant::ZERO + Duration::from_secs(10)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(5));
        clock.set_rate_ppm(500_000);
        clock.sleep_until(Instant::ZERO + Duration::from_secs(12)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(9));
        clock.set_rate_ppm(0);
        let before = clock.now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(clock.now() - before, Duration::from_millis(1), "it never stands still");
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_wakes_those_who_slept_until_then() {
        let began = tokio::time::Instant::now();
        let clock = SimClock::new(began, Duration::ZERO);
        let sleeping = clock.sleep_until(Instant::ZERO + Duration::from_secs(3_600));
        let jumping = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            clock.jump(Duration::from_secs(7_200));
        };
        tokio::join!(sleeping, jumping);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        assert_eq!(clock.now(), Instant::ZERO + Duration::from_secs(7_201));
    }
}

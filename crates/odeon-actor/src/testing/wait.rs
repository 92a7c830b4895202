//! Waiting for a condition.

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use crate::system::System;

/// Between two looks at a condition: as fine as clocks are promised to be.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Ready once `condition` holds. It is looked at every millisecond of the system's clock.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// # use std::time::Duration;
/// use odeon::testing::{TestWorld, wait_for};
///
/// let world = TestWorld::from_env();
/// let started = world.now();
/// world.block_on(async {
///     let passed = || world.now() - started >= Duration::from_millis(20);
///     wait_for(world.system(), "20 ms have passed", Duration::from_secs(1), passed).await;
/// });
/// ```
///
/// # Panics
/// When it does not hold `within` that time. `what` says what did not come, and where it was waited for.
///
/// # Cancel safety
/// Nothing is lost with the future.
#[track_caller]
pub fn wait_for(
    system: &System,
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> bool,
) -> impl Future<Output = ()> {
    let place = Location::caller();
    async move {
        let clock = system.clock();
        let until = clock.now() + within;
        while !condition() {
            let now = clock.now();
            assert!(now < until, "{place}: within {within:?} this did not come: {what}");
            clock.sleep_until(until.min(now + LOOK_EVERY)).await;
        }
    }
}

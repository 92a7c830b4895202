//! One test under many schedules.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use super::seed::{SEED_VARIABLE, seed_from_env};
use super::world::TestWorld;

/// Steps that are shown of a run that failed, the last ones.
const STEPS_SHOWN: usize = 20;

/// What `explore` has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// Runs, one per seed.
    pub runs: u64,
    /// Schedules that differ.
    pub schedules: usize,
}

/// Runs `test` once for each seed, in a world of its own. With `ODEON_TEST_SEED` set, for that seed alone.
///
/// ```
/// # extern crate odeon_actor as odeon;
/// use odeon::{actor, testing};
///
/// #[derive(Default)]
/// struct Counter(i64);
///
/// #[actor]
/// impl Counter {
///     #[handle]
///     fn add(&mut self, by: i64) -> i64 {
///         self.0 += by;
///         self.0
///     }
/// }
///
/// let explored = testing::explore(0..50, |world| async move {
///     let counter = world.system().spawn(Counter::default());
///     let other = counter.clone();
///     let beside = world.spawn("beside", async move { other.add(1).await.unwrap() });
///     let sums = (counter.add(2).await.unwrap(), beside.await);
///     assert!(sums == (2, 3) || sums == (3, 1), "{sums:?}");
/// });
/// assert!(explored.schedules > 1);
/// ```
///
/// # Panics
/// As the test does, under the first seed under which it does. The seed, how to replay it, and what ran last go to
/// standard error.
#[track_caller]
pub fn explore<F: Future<Output = ()>>(seeds: Range<u64>, test: impl Fn(TestWorld) -> F) -> Explored {
    let seeds = match seed_from_env() {
        Some(seed) => Seeds::One(seed),
        None => Seeds::Each(seeds),
    };
    let mut schedules = BTreeSet::new();
    let mut runs = 0;
    for seed in seeds.iter() {
        let world = TestWorld::seeded(seed);
        let run = catch_unwind(AssertUnwindSafe(|| world.block_on(test(world.clone()))));
        if let Err(panic) = run {
            report(&world, runs, &seeds);
            drop(world);
            resume_unwind(panic);
        }
        schedules.insert(world.trace().hash());
        runs += 1;
    }
    Explored { runs, schedules: schedules.len() }
}

/// Which seeds are run.
enum Seeds {
    One(u64),
    Each(Range<u64>),
}

impl Seeds {
    fn iter(&self) -> Range<u64> {
        match self {
            // The last seed of all has none behind it.
            Self::One(u64::MAX) => u64::MAX - 1..u64::MAX,
            Self::One(seed) => *seed..seed + 1,
            Self::Each(seeds) => seeds.clone(),
        }
    }
}

fn report(world: &TestWorld, passed: u64, seeds: &Seeds) {
    let seed = world.seed();
    let before = match seeds {
        Seeds::One(_) => format!("as {SEED_VARIABLE} says"),
        Seeds::Each(seeds) => format!("after {passed} of {}..{} that passed", seeds.start, seeds.end),
    };
    // The test's own thread has its name.
    let test = thread::current()
        .name()
        .filter(|name| *name != "main")
        .map_or_else(String::new, |name| format!(" {name}"));
    eprintln!(
        "explore: the test fails under seed {seed}, {before}.\nTo replay it: {SEED_VARIABLE}={seed} cargo test{test}\n\
         What ran last:{}",
        world.trace().tail(STEPS_SHOWN)
    );
}

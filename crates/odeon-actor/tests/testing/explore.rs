//! Exploring: the planted bug is found, shown with its seed, and replayed from it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};

use odeon::testing::{SEED_VARIABLE, TestWorld, explore};

use crate::support::{program, two_tellers};

/// Seeds within which the planted bug has to be found.
const SEEDS_MAX: u64 = 50;

fn is_found_by(seed: u64) -> bool {
    let world = TestWorld::seeded(seed);
    catch_unwind(AssertUnwindSafe(|| world.block_on(two_tellers(world.clone())))).is_err()
}

#[test]
fn a_bug_of_ordering_is_found_by_some_seeds_and_not_by_all() {
    let found = (0..SEEDS_MAX).filter(|seed| is_found_by(*seed)).count();
    assert!(found > 0 && found < 50, "{found} of {SEEDS_MAX} seeds find it");
}

#[test]
fn what_is_right_passes_under_many_schedules() {
    let explored = explore(0..SEEDS_MAX, |world| async move {
        assert_eq!(program(&world).await.len(), 27);
    });
    assert!(explored.runs == SEEDS_MAX || explored.runs == 1, "{explored:?}");
    assert!(explored.schedules as u64 > explored.runs / 2, "{explored:?}");
}

/// Set where the planted bug is to be met.
const PLANTED: &str = "ODEON_TEST_PLANTED";

/// Fails in the processes that the test below starts.
#[test]
fn tellers_are_explored() {
    if std::env::var_os(PLANTED).is_some() {
        explore(0..SEEDS_MAX, two_tellers);
    }
}

/// Runs the test above, perhaps under one seed alone.
#[expect(clippy::disallowed_methods, reason = "the environment of this process belongs to all its tests")]
fn run(seed: Option<&str>) -> Output {
    let this = std::env::current_exe().expect("this program is a file");
    let mut command = Command::new(this);
    command.args(["--exact", "explore::tellers_are_explored", "--nocapture", "--test-threads=2"]);
    command.env(PLANTED, "1").env_remove(SEED_VARIABLE);
    command.envs(seed.map(|seed| (SEED_VARIABLE, seed)));
    command.output().expect("it runs")
}

#[test]
fn a_failure_shows_the_seed_that_replays_it() {
    let failed = run(None);
    let shown = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && shown.contains("money was lost"), "{shown}");
    let replay = shown.lines().find_map(|line| line.strip_prefix("To replay it: ODEON_TEST_SEED="));
    let (seed, command) = replay.and_then(|line| line.split_once(' ')).unwrap_or_else(|| panic!("{shown}"));
    assert_eq!(command, "cargo test explore::tellers_are_explored");
    assert!(is_found_by(seed.parse().expect("a seed")));

    let replayed = run(Some(seed));
    let shown_again = String::from_utf8_lossy(&replayed.stderr);
    assert!(!replayed.status.success(), "{shown_again}");
    let last = |shown: &str| shown.split_once("What ran last:").map(|(_, last)| last.to_owned());
    assert_eq!(last(&shown), last(&shown_again), "the same steps came last");

    let passing = (0..SEEDS_MAX).find(|seed| !is_found_by(*seed)).expect("some pass");
    assert!(run(Some(&passing.to_string())).status.success());
    let refused = run(Some("seventeen"));
    let shown = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && shown.contains("ODEON_TEST_SEED=seventeen is no seed"), "{shown}");
}

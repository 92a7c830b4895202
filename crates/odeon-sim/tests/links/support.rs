//! Runs the scenario with one kind of fault.

use std::collections::BTreeMap;
use std::time::Duration;

use odeon_sim::faults::Kind;
use odeon_sim::{Keep, scenario};

/// Seeds for each kind of fault.
const SEEDS: u64 = 4;

/// Runs a few seeds with faults of `kind` alone. None may break a promise, and at least one must have been touched
/// by them, in the way that the network or the scenario calls `bite`. Says how long healing took at most.
#[track_caller]
pub(crate) fn survives(kind: Kind, bite: &str) -> Duration {
    survives_in(SEEDS, kind, bite)
}

/// The same with so many seeds, where the first few would pass without what holds.
#[track_caller]
pub(crate) fn survives_in(seeds: u64, kind: Kind, bite: &str) -> Duration {
    let mut bites: BTreeMap<&str, u64> = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    for seed in 1..=seeds {
        let report = scenario::run_with(seed, &[kind], Keep::Hash).expect("a runtime");
        let replay = format!("replay: cargo run -p odeon-sim -- --seed {seed} --faults {kind} --trace");
        assert_eq!(report.broken, Vec::<String>::new(), "seed {seed}; {replay}");
        slowest = slowest.max(report.healed.expect("the history says so too"));
        for (what, count) in report.bites {
            *bites.entry(what).or_default() += count;
        }
    }
    println!("{kind}: healed within {slowest:?}; {bites:?}");
    assert!(bites.get(bite).is_some_and(|count| *count > 0), "nothing was {bite}: {bites:?}");
    slowest
}

//! The simulator finds every bug that is planted in the links, each within a few seeds. A check that cannot fail is no
//! check: `cargo test -p odeon-sim --features planted-bugs --test planted`.

#![cfg(feature = "planted-bugs")]

use odeon_sim::faults::Kind;
use odeon_sim::{Keep, scenario};
use odeon_wire::bugs::plant;

/// In so many seeds each bug must be found. All but one are found in 8: a length that is broken is past the limit but
/// once in 256 times, so there is seldom a link that waits for the rest of a frame which bytes could keep alive.
const SEEDS: u64 = 16;

/// Every bug, and the faults under which it must show itself; none, where it shows itself without.
const BUGS: [(&str, &[Kind]); 16] = [
    ("accept-any-proof", &[Kind::Replay]),
    ("accept-stale-epoch", &[Kind::EpochChange]),
    ("bare-lengths", &[Kind::Stray]),
    ("believe-in-silence", &[Kind::BlackHole]),
    ("count-bytes-as-life", &[Kind::Stray]),
    // Of an older incarnation, and of the same one over an older link.
    ("deliver-over-superseded-link", &[Kind::EpochChange]),
    ("deliver-over-superseded-link", &[Kind::HalfOpen]),
    ("drop-control", &[]),
    ("forget-asks-of-lost-link", &[Kind::Reset]),
    ("forget-credit", &[Kind::HourOld]),
    ("forget-down", &[Kind::Quit]),
    ("forget-monitors-of-lost-link", &[Kind::Reset]),
    ("forget-what-may-be-lost", &[Kind::BlackHole]),
    ("overtake-chunks", &[]),
    ("reuse-ask-id", &[]),
    ("skip-sequence-check", &[Kind::Duplication]),
];

#[test]
fn every_planted_bug_is_found_and_none_is_seen_without() {
    let mut missed = Vec::new();
    for (name, kinds) in BUGS {
        plant(Some(name));
        let broken = (1..=SEEDS).find_map(|seed| {
            let report = scenario::run_with(seed, kinds, Keep::Hash).expect("a runtime");
            report.broken.into_iter().next().map(|broken| (seed, broken))
        });
        plant(None);
        match broken {
            Some((seed, broken)) => {
                println!("{name}: found with seed {seed}: {broken}");
                let sound = scenario::run_with(seed, kinds, Keep::Hash).expect("a runtime");
                assert_eq!(sound.broken, Vec::<String>::new(), "seed {seed}, without any bug");
            }
            None => missed.push(name),
        }
    }
    assert!(missed.is_empty(), "not found in {SEEDS} seeds: {missed:?}");
}

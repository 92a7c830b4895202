//! One seed, one run: the trace of every event has the same hash each time, and another one for another seed.

use std::collections::BTreeSet;

use odeon_sim::{Keep, scenario};

const SEEDS: u64 = 20;

#[test]
fn twenty_seeds_run_twice_give_the_same_traces_and_break_nothing() {
    let mut hashes = BTreeSet::new();
    for seed in 1..=SEEDS {
        let first = scenario::run(seed, Keep::Hash).expect("a runtime");
        let again = scenario::run(seed, Keep::Hash).expect("a runtime");
        let replay = format!("replay: cargo run -p odeon-sim -- --seed {seed} --trace");
        assert_eq!(first, again, "seed {seed} is not deterministic; {replay}");
        assert_eq!(first.broken, Vec::<String>::new(), "seed {seed}; {replay}");
        assert!(first.events > 1_000, "seed {seed} had {} events only", first.events);
        hashes.insert(first.hash);
    }
    assert_eq!(hashes.len() as u64, SEEDS, "different seeds run differently");
}

#[test]
fn the_lines_of_a_trace_do_not_change_its_hash() {
    let bare = scenario::run(3, Keep::Hash).expect("a runtime");
    let full = scenario::run(3, Keep::Lines).expect("a runtime");
    assert_eq!(bare.hash, full.hash);
    assert_eq!(full.lines.len() as u64, full.events);
    let all = full.lines.join("\n");
    for what in ["listens at", "connection from", "bytes", "received at", "watch", "told"] {
        assert!(all.contains(what), "no `{what}` in the trace");
    }
}

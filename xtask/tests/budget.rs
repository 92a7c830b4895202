//! The weight of local actors: the facade without default features brings few crates along (`docs/versions.md`).
//!
//! Cargo is asked, since a lock file knows neither features nor targets. It needs no network: whatever it looks at was
//! fetched to build the workspace.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Crates of `odeon` without default features, itself included.
const CRATES_MAX: usize = 35;

fn crates(arguments: &[&str]) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "-p", "odeon", "-e", "normal"])
        .args(["--no-dedupe", "--prefix", "none", "--format", "{p}"])
        .args(arguments)
        .current_dir(root)
        .output()
        .expect("cargo runs");
    let (crates, problems) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{problems}");
    crates.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn local_actors_bring_at_most_35_crates() {
    let crates = crates(&["--no-default-features"]);
    assert!(crates.iter().any(|name| name.starts_with("odeon-actor ")), "this is not the tree: {crates:?}");
    assert!(
        crates.len() <= CRATES_MAX,
        "{} crates, {CRATES_MAX} is the limit; see docs/versions.md. They are {crates:#?}",
        crates.len()
    );
}

#[test]
fn the_kit_for_tests_brings_none() {
    let without = crates(&["--no-default-features"]);
    assert_eq!(crates(&["--no-default-features", "--features", "testing"]), without);
}

//! Every input that is kept in `fuzz/corpus` is given to its target, on the stable compiler, in every run.

use std::fs;
use std::path::{Path, PathBuf};

use odeon_sim::targets::{INPUT_BYTES_MAX, TARGETS, target};

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn listed(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// Gives a target all that is kept for it, and what begins like that.
#[expect(clippy::print_stdout, reason = "the last line names the input over which a target panics")]
fn replay(name: &str) {
    let target = target(name).expect("a target");
    let inputs = listed(&corpora().join(name));
    assert!(inputs.len() >= 10, "the corpus of {name} has {} inputs only", inputs.len());
    for input in inputs {
        let bytes = fs::read(&input).expect("a file");
        assert!(bytes.len() <= INPUT_BYTES_MAX, "{} is too long to be kept", input.display());
        // Shown when the target panics.
        println!("{}", input.display());
        target(&bytes);
        for end in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
            target(&bytes[..end]);
        }
    }
}

#[test]
fn every_corpus_has_a_target_and_every_target_a_corpus_and_a_binary() {
    let corpora: Vec<_> = listed(&corpora())
        .iter()
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(corpora, TARGETS.map(|(name, _)| name));
    for (name, _) in TARGETS {
        let binary = corpora_binary(name);
        assert!(
            fs::read_to_string(&binary).is_ok_and(|text| text.contains(&format!("\"{name}\""))),
            "{name}"
        );
    }
}

fn corpora_binary(name: &str) -> PathBuf {
    corpora().join("../fuzz_targets").join(format!("{name}.rs"))
}

#[test]
fn certificate() {
    replay("certificate");
}

#[test]
fn grant() {
    replay("grant");
}

#[test]
fn config() {
    replay("config");
}

#[test]
fn frame() {
    replay("frame");
}

#[test]
fn handshake() {
    replay("handshake");
}

#[test]
fn names() {
    replay("names");
}

#[test]
fn payload() {
    replay("payload");
}

#[test]
fn session() {
    replay("session");
}

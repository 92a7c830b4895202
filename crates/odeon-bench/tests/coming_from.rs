//! The page for those who come from other libraries shows programs that compile and run.

use std::process::Command;

const PAGE: &str = include_str!("../../../docs/coming-from.md");

/// The part of an example that the page shows.
fn shown(example: &str) -> &str {
    example.split_once("// page\n").expect("every example says where its page begins").1.trim()
}

#[test]
fn the_page_shows_the_examples_as_they_are() {
    for example in [
        include_str!("../examples/counter_odeon.rs"),
        include_str!("../examples/counter_ractor.rs"),
        include_str!("../examples/counter_kameo.rs"),
        include_str!("../examples/counter_actix.rs"),
    ] {
        assert!(PAGE.contains(&format!("```rust\n{}\n```", shown(example))), "not on the page:\n{example}");
    }
}

#[test]
fn the_examples_count_to_five() {
    let this = std::env::current_exe().expect("a test is a file");
    // Examples are built with the tests, one directory up.
    let examples = this.parent().and_then(|deps| deps.parent()).expect("target/…/deps").join("examples");
    for name in ["counter_odeon", "counter_ractor", "counter_kameo", "counter_actix"] {
        let status = Command::new(examples.join(name)).status().expect("built with the tests");
        assert!(status.success(), "{name}: {status}");
    }
}

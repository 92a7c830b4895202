//! What the macros refuse, as the compiler shows it: at the user's line, saying what to do.
//!
//! `TRYBUILD=overwrite cargo test -p odeon-actor --test ui` writes the expected texts anew.

#[test]
fn mistakes_are_shown_where_they_were_made() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

/// What travels in its place is tried in `contract/io.rs`.
#[test]
fn io_2_a_live_handle_in_a_message_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/ui/handle_in_a_message.rs");
}

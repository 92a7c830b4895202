//! What a fuzzer feeds: for everything that reads bytes of strangers or files of people, a function that takes any
//! bytes and panics if what must hold of them does not.
//!
//! The workspace `fuzz/` looks for inputs that reach new code; what it found is kept in `fuzz/corpus`, and
//! `tests/corpora.rs` gives all of it to these functions in every run of the tests.

mod certificates;
mod frames;
mod grants;
mod payloads;
mod sessions;
mod texts;

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its corpus and its binary in `fuzz/`.
pub const TARGETS: [(&str, Target); 8] = [
    ("certificate", certificates::certificate),
    ("config", texts::config),
    ("frame", frames::frame),
    ("grant", grants::grant),
    ("handshake", sessions::handshake),
    ("names", texts::names),
    ("payload", payloads::payload),
    ("session", sessions::session),
];

/// Longest input worth trying: long enough for several frames, short enough for thousands of runs a second.
pub const INPUT_BYTES_MAX: usize = 4 * 1024;

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|(known, _)| *known == name).map(|(_, target)| target)
}

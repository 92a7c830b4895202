//! Bugs that are planted on purpose, to see that the simulator finds them. A check that cannot fail is no check.
//!
//! With the feature `planted-bugs`, which no build but that of one test has, the bug that a thread has chosen shows
//! itself where the code asks for it. Without the feature [`bug`] is `false`, and nothing of this is compiled.

#[cfg(feature = "planted-bugs")]
use std::cell::Cell;

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Plants the bug of this name in all that runs on this thread, instead of the one before.
#[cfg(feature = "planted-bugs")]
pub fn plant(name: Option<&'static str>) {
    PLANTED.set(name);
}

/// Whether the bug of this name is planted on this thread.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn bug(name: &str) -> bool {
    PLANTED.get() == Some(name)
}

/// Whether the bug of this name is planted on this thread.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn bug(_: &str) -> bool {
    false
}

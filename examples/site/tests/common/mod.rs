//! What both groups of tests wait by, and what a command comes to.

use std::thread;
use std::time::{Duration, Instant};

/// Nothing here takes a tenth of this; it only ends a test that would hang.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Pause between two looks at a condition.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// Waits until `look` has found something; fails after the deadline, naming `what`.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(LOOK);
    }
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

//! The trace: everything that happened, in order, as one hash. Two runs of one seed have the same.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odeon_core::Instant;
use sha2::{Digest, Sha256};

/// Most events of one run. The scenarios stay far below it; a run that gets here goes in circles.
pub const EVENTS_MAX: u64 = 2_000_000;

/// What a trace keeps beside the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: memory stays small.
    Hash,
    /// Every event as a line, for people.
    Lines,
}

/// What happened in one run. Clones are the same trace.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    hasher: Sha256,
    events: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            hasher: Sha256::new(),
            events: 0,
            lines: (keep == Keep::Lines).then(Vec::new),
        })))
    }

    /// Adds an event: when, in nanoseconds of virtual time, at which host, and what. Past [`EVENTS_MAX`] events
    /// are counted only.
    pub fn record(&self, at: Instant, host: &str, what: fmt::Arguments<'_>) {
        let mut inner = self.inner();
        inner.events += 1;
        if inner.events > EVENTS_MAX {
            return;
        }
        let line = format!("{} {host} {what}", at.as_nanos());
        inner.hasher.update(line.as_bytes());
        inner.hasher.update(b"\n");
        if let Some(lines) = &mut inner.lines {
            lines.push(line);
        }
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.inner().events
    }

    /// The hash of all events so far, in hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> String {
        hex(&self.inner().hasher.clone().finalize())
    }

    /// The lines kept, if any.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.inner().lines.clone().unwrap_or_default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first four bytes of the hash of `bytes`: enough to tell two deliveries apart in a trace.
#[must_use]
pub(crate) fn short_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..4])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("events", &self.events()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_when_where_and_what() {
        let hash = |at, host: &str, what: &str| {
            let trace = Trace::new(Keep::Hash);
            trace.record(Instant::from_nanos(at), host, format_args!("{what}"));
            trace.hash()
        };
        let one = hash(1, "a", "x");
        assert_eq!(one, hash(1, "a", "x"));
        for other in [hash(2, "a", "x"), hash(1, "b", "x"), hash(1, "a", "y")] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn past_the_limit_events_are_counted_only() {
        let trace = Trace::new(Keep::Hash);
        trace.0.lock().expect("not poisoned").events = EVENTS_MAX - 1;
        let before = trace.hash();
        trace.record(Instant::ZERO, "a", format_args!("the last"));
        let last = trace.hash();
        assert_ne!(before, last);
        trace.record(Instant::ZERO, "a", format_args!("one more"));
        assert_eq!((trace.hash(), trace.events()), (last, EVENTS_MAX + 1));
    }
}

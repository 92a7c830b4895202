//! Traces: what ran in a world, in order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use odeon_core::Instant;

use super::seed::mix;

/// Events that a trace keeps, the last ones; the hash covers all.
pub(super) const EVENTS_KEPT_MAX: usize = 16_384;

/// What ran, in order: each turn of an actor, each ask answered on its asker's stack, each poll of a task.
///
/// Two runs with equal traces took the same schedule. Neither hash nor text is the same for every version of Odeon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    hash: u64,
    count: u64,
    last: VecDeque<Event>,
}

/// Something that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    at: Instant,
    ran: Ran,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ran {
    /// The test itself: the future given to `block_on`.
    Test,
    Task(Arc<str>),
    /// A turn of an actor.
    Turn(u64, &'static str),
    /// An actor that was asked, on the stack of its asker.
    Asked(u64, &'static str),
}

impl Trace {
    pub(super) const fn new() -> Self {
        Self { hash: 0, count: 0, last: VecDeque::new() }
    }

    pub(super) fn record(&mut self, at: Instant, ran: Ran) {
        let (kind, number, name) = match &ran {
            Ran::Test => (0, 0, ""),
            Ran::Task(name) => (1, 0, &**name),
            Ran::Turn(number, name) => (2, *number, *name),
            Ran::Asked(number, name) => (3, *number, *name),
        };
        for part in [at.as_nanos(), kind, number] {
            self.add(part);
        }
        name.bytes().for_each(|byte| self.add(u64::from(byte)));
        self.count += 1;
        if self.last.len() == EVENTS_KEPT_MAX {
            self.last.pop_front();
        }
        self.last.push_back(Event { at, ran });
    }

    fn add(&mut self, part: u64) {
        self.hash = mix(self.hash.rotate_left(5) ^ part).wrapping_add(1);
    }

    /// A number for the whole schedule: equal for equal ones, else different, as far as a hash can tell.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The last events, 16,384 at most.
    pub fn last(&self) -> impl DoubleEndedIterator<Item = &Event> + ExactSizeIterator {
        self.last.iter()
    }

    /// The last so many events, as lines to be shown.
    pub(super) fn tail(&self, lines: usize) -> String {
        let skipped = self.last.len().saturating_sub(lines);
        self.last.iter().skip(skipped).map(|event| format!("\n  {event}")).collect()
    }
}

impl Event {
    /// The virtual time at which it ran.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// The number of the actor that ran, if one did.
    #[must_use]
    pub const fn actor(&self) -> Option<u64> {
        match &self.ran {
            Ran::Test | Ran::Task(_) => None,
            Ran::Turn(number, _) | Ran::Asked(number, _) => Some(*number),
        }
    }

    /// Whether it was an ask answered on its asker's stack.
    #[must_use]
    pub const fn is_inline(&self) -> bool {
        matches!(self.ran, Ran::Asked(..))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ", self.at - Instant::ZERO)?;
        match &self.ran {
            Ran::Test => f.write_str("the test"),
            Ran::Task(name) => write!(f, "task `{name}`"),
            Ran::Turn(number, kind) => write!(f, "actor {number}, {kind}"),
            Ran::Asked(number, kind) => write!(f, "actor {number}, {kind}, on the stack of its asker"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_when_who_and_how() {
        let hash = |at, ran| {
            let mut trace = Trace::new();
            trace.record(Instant::from_nanos(at), ran);
            trace.hash()
        };
        let one = hash(1, Ran::Turn(1, "a"));
        assert_eq!(one, hash(1, Ran::Turn(1, "a")));
        let others =
            [(2, Ran::Turn(1, "a")), (1, Ran::Turn(2, "a")), (1, Ran::Turn(1, "b")), (1, Ran::Asked(1, "a"))];
        for (at, ran) in others {
            assert_ne!(one, hash(at, ran));
        }
    }

    #[test]
    fn past_the_limit_the_first_events_go_and_the_hash_stays() {
        let mut trace = Trace::new();
        for number in 0..=EVENTS_KEPT_MAX as u64 {
            trace.record(Instant::ZERO, Ran::Turn(number, "a"));
        }
        let kept = trace.last();
        assert_eq!((kept.len(), trace.count()), (EVENTS_KEPT_MAX, EVENTS_KEPT_MAX as u64 + 1));
        assert_eq!(trace.last().next().and_then(Event::actor), Some(1));
        assert_eq!(trace.tail(1), "\n  0ns actor 16384, a");
    }
}

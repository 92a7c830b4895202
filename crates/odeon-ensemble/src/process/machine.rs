//! When a shim terminates, kills, records and ends: the decisions, without the process.
//!
//! A sans-I/O state machine: times are milliseconds since the shim's start, what is to be done comes back as
//! [`Action`]s. It owns the phase of the child and the right of the shim to end.
//!
//! Invariants: a stop's deadline only ever comes nearer; the group is killed once the child has ended, before
//! the record; the shim ends only after the record was written (or given up) or a supervisor released it.

use super::control::ChildState;

/// How long the pipe is read, and descendants are reaped, after the child's end. A descendant that was killed
/// closes its end at once; one that hangs in the kernel must not hold the record back.
pub(crate) const DRAIN_MS_MAX: u64 = 1000;
/// How long a shim without a watching supervisor stays after the child's end. Its record is on disk.
pub(crate) const LINGER_MS_MAX: u64 = 10_000;
/// Pause between attempts to write the exit record, say on a full disk.
pub(crate) const RECORD_RETRY_MS: u64 = 1000;
/// Attempts to write it: ten minutes, for somebody to make room.
pub(crate) const RECORD_TRIES_MAX: u32 = 600;

/// What the shim is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// TERM to the process group.
    Terminate,
    /// KILL to the process group.
    Kill,
    /// Write the exit record and tell those who watch, then report with [`Machine::recorded`].
    Record,
    /// End the shim.
    Quit,
}

#[derive(Debug)]
enum Phase {
    Running,
    Stopping { kill_at: u64 },
    Killed,
    Draining { until: u64 },
    Ended { written: bool, tries: u32, next_try: u64, idle_since: u64 },
}

/// The state of one child as its shim sees it.
#[derive(Debug)]
pub(crate) struct Machine {
    phase: Phase,
    watchers: usize,
    released: bool,
}

impl Machine {
    /// A child that has just been started.
    pub(crate) fn new() -> Self {
        Self { phase: Phase::Running, watchers: 0, released: false }
    }

    /// The child's state, in the words of the control socket.
    pub(crate) fn state(&self) -> ChildState {
        match self.phase {
            Phase::Running => ChildState::Running,
            Phase::Stopping { .. } | Phase::Killed => ChildState::Stopping,
            Phase::Draining { .. } | Phase::Ended { .. } => ChildState::Exited,
        }
    }

    /// Whether the child has ended and its last output is being read.
    pub(crate) fn is_draining(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. })
    }

    /// A supervisor wants the child to end within `grace_ms`.
    #[must_use]
    pub(crate) fn stop(&mut self, now: u64, grace_ms: u64) -> Option<Action> {
        let asked = now.saturating_add(grace_ms);
        match &mut self.phase {
            Phase::Running => {
                self.phase = Phase::Stopping { kill_at: asked };
                Some(Action::Terminate)
            }
            Phase::Stopping { kill_at } => {
                *kill_at = asked.min(*kill_at);
                None
            }
            _ => None,
        }
    }

    /// The child has ended (and is not reaped yet): its group must not outlive it.
    #[must_use]
    pub(crate) fn ended(&mut self, now: u64) -> Option<Action> {
        match self.phase {
            Phase::Draining { .. } | Phase::Ended { .. } => None,
            _ => {
                self.phase = Phase::Draining { until: now.saturating_add(DRAIN_MS_MAX) };
                Some(Action::Kill)
            }
        }
    }

    /// All output is read and all descendants are reaped.
    #[must_use]
    pub(crate) fn drained(&mut self, now: u64) -> Option<Action> {
        self.is_draining().then(|| self.begin_record(now))
    }

    /// How the attempt to write the record went.
    pub(crate) fn recorded(&mut self, now: u64, success: bool) {
        if let Phase::Ended { written, tries, next_try, idle_since } = &mut self.phase {
            *written = success;
            *tries += 1;
            *next_try = now.saturating_add(RECORD_RETRY_MS);
            *idle_since = now;
        }
    }

    /// How many supervisors watch.
    pub(crate) fn watched_by(&mut self, now: u64, watchers: usize) {
        if let Phase::Ended { idle_since, .. } = &mut self.phase
            && self.watchers > 0
        {
            *idle_since = now;
        }
        self.watchers = watchers;
    }

    /// A supervisor has what it wants: the shim may end with the child.
    pub(crate) fn release(&mut self) {
        self.released = true;
    }

    /// What is due at `now`.
    #[must_use]
    pub(crate) fn poll(&mut self, now: u64) -> Option<Action> {
        match self.phase {
            Phase::Stopping { kill_at } if now >= kill_at => {
                self.phase = Phase::Killed;
                Some(Action::Kill)
            }
            Phase::Draining { until } if now >= until => Some(self.begin_record(now)),
            Phase::Ended { tries, .. } if tries > 0 && self.released => Some(Action::Quit),
            Phase::Ended { written: false, tries, next_try, .. } if tries < RECORD_TRIES_MAX => {
                (now >= next_try).then_some(Action::Record)
            }
            Phase::Ended { idle_since, .. } => (self.watchers == 0
                && now >= idle_since.saturating_add(LINGER_MS_MAX))
            .then_some(Action::Quit),
            _ => None,
        }
    }

    /// When [`Machine::poll`] will next have something, if nothing else happens.
    pub(crate) fn deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Running | Phase::Killed => None,
            Phase::Stopping { kill_at } => Some(kill_at),
            Phase::Draining { until } => Some(until),
            Phase::Ended { tries, .. } if tries > 0 && self.released => Some(0),
            Phase::Ended { written: false, tries, next_try, .. } if tries < RECORD_TRIES_MAX => {
                Some(next_try)
            }
            Phase::Ended { .. } if self.watchers > 0 => None,
            Phase::Ended { idle_since, .. } => Some(idle_since.saturating_add(LINGER_MS_MAX)),
        }
    }

    fn begin_record(&mut self, now: u64) -> Action {
        self.phase = Phase::Ended { written: false, tries: 0, next_try: now, idle_since: now };
        Action::Record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended_at(now: u64) -> Machine {
        let mut machine = Machine::new();
        assert_eq!(machine.ended(now), Some(Action::Kill));
        assert_eq!(machine.drained(now), Some(Action::Record));
        machine.recorded(now, true);
        machine
    }

    #[test]
    fn stop_terminates_once_and_kills_at_the_grace_not_before() {
        let mut machine = Machine::new();
        assert_eq!(machine.deadline(), None);
        assert_eq!(machine.stop(100, 50), Some(Action::Terminate));
        assert_eq!(machine.deadline(), Some(150));
        assert_eq!(machine.poll(149), None);
        assert_eq!(machine.poll(150), Some(Action::Kill));
        assert_eq!(machine.poll(151), None);
        assert_eq!(machine.state(), ChildState::Stopping);
    }

    #[test]
    fn a_second_stop_can_only_shorten_the_grace() {
        let mut machine = Machine::new();
        assert_eq!(machine.stop(0, 100), Some(Action::Terminate));
        assert_eq!(machine.stop(10, 500), None);
        assert_eq!(machine.deadline(), Some(100));
        assert_eq!(machine.stop(20, 0), None);
        assert_eq!(machine.poll(20), Some(Action::Kill));
        assert_eq!(machine.stop(30, 0), None);
        assert_eq!(machine.stop(u64::MAX, u64::MAX), None);
    }

    #[test]
    fn the_end_kills_the_group_then_drains_for_a_bounded_time() {
        let mut machine = Machine::new();
        assert_eq!(machine.ended(5), Some(Action::Kill));
        assert_eq!(machine.ended(6), None);
        assert_eq!(machine.stop(6, 0), None);
        assert_eq!(machine.poll(5 + DRAIN_MS_MAX - 1), None);
        assert_eq!(machine.poll(5 + DRAIN_MS_MAX), Some(Action::Record));
        assert_eq!(machine.drained(9), None);
        assert_eq!(machine.state(), ChildState::Exited);
    }

    #[test]
    fn unwatched_it_lingers_ten_seconds() {
        let mut machine = ended_at(7);
        assert_eq!(machine.poll(7 + LINGER_MS_MAX - 1), None);
        assert_eq!(machine.deadline(), Some(7 + LINGER_MS_MAX));
        assert_eq!(machine.poll(7 + LINGER_MS_MAX), Some(Action::Quit));
    }

    #[test]
    fn watched_it_stays_until_the_last_has_gone_for_ten_seconds() {
        let mut machine = ended_at(0);
        machine.watched_by(1, 1);
        assert_eq!(machine.deadline(), None);
        assert_eq!(machine.poll(LINGER_MS_MAX * 9), None);
        machine.watched_by(LINGER_MS_MAX * 9, 0);
        assert_eq!(machine.poll(LINGER_MS_MAX * 10 - 1), None);
        assert_eq!(machine.poll(LINGER_MS_MAX * 10), Some(Action::Quit));
    }

    #[test]
    fn release_ends_the_shim_with_the_child_and_not_before() {
        let mut machine = Machine::new();
        machine.release();
        assert_eq!(machine.poll(1), None);
        assert_eq!(machine.ended(2), Some(Action::Kill));
        assert_eq!(machine.poll(3), None);
        assert_eq!(machine.drained(4), Some(Action::Record));
        machine.recorded(4, false);
        assert_eq!(machine.poll(4), Some(Action::Quit));
    }

    #[test]
    fn a_record_that_cannot_be_written_is_retried_a_bounded_number_of_times() {
        let mut machine = Machine::new();
        assert_eq!(machine.ended(0), Some(Action::Kill));
        assert_eq!(machine.drained(0), Some(Action::Record));
        let mut now = 0;
        machine.recorded(now, false);
        for _ in 1..RECORD_TRIES_MAX {
            assert_eq!(machine.poll(now), None);
            now += RECORD_RETRY_MS;
            assert_eq!(machine.poll(now), Some(Action::Record));
            machine.recorded(now, false);
        }
        assert_eq!(machine.poll(now + RECORD_RETRY_MS), None);
        assert_eq!(machine.poll(now + LINGER_MS_MAX), Some(Action::Quit));
    }
}

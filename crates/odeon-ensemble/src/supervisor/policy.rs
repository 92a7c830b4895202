//! The life of one supervised server: when it is started, restarted, given up, stopped.
//!
//! [`Process`] is a pure state machine. The caller feeds in what happens, carries out the [`Action`]s it gets
//! back, and calls [`Process::tick`] at [`Process::poll_timeout`]. Time and chance are arguments.
//! Invariants: no two spawns without an end between them; a server that is wanted down is never resurrected;
//! one that has failed stays down until somebody starts it by hand.

use std::collections::VecDeque;
use std::time::Duration;

use odeon_core::Instant;

use super::state::{ExitStatus, ProcessStatus, State, StateChange, Why};
use crate::config::{Policy, Restart};

/// How long to wait between two kills of a process that is still there; the kernel needs no more as a rule.
pub const KILL_RETRY: Duration = Duration::from_secs(1);

/// Most last lines kept of a server that ended: a backtrace's head.
pub const LAST_LINES_MAX: usize = 20;

/// Longest such line, in characters; the rest is in the log.
pub const LAST_LINE_CHARS_MAX: usize = 1000;

/// What the caller must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start the process; answer with [`Process::spawned`], or [`Process::exited`] if it cannot be started.
    Spawn,
    /// Ask the process group to end, and kill what is left after `grace`; at once if that is zero.
    Kill {
        /// How long it may take.
        grace: Duration,
    },
    /// Tell whoever watches.
    Notify(StateChange),
}

/// What follows when a stopping process has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// It stays down: it was stopped.
    Stay,
    /// It starts again: it was restarted by hand.
    Spawn,
    /// Policy decides: the supervisor stopped it for this reason.
    Policy(Why),
}

/// The supervision of one server.
#[derive(Debug)]
pub struct Process {
    policy: Policy,
    state: State,
    entered: Instant,
    pid: Option<i32>,
    next: Next,
    /// Restarts by policy within the window, oldest first; [`Policy::restart_max`] at most.
    recent: VecDeque<Instant>,
    /// Restarts by policy since it was last sound.
    streak: u32,
    restarts: u64,
    last_exit: Option<ExitStatus>,
}

impl Process {
    /// A server that was not started yet.
    #[must_use]
    pub const fn new(policy: Policy, now: Instant) -> Self {
        Self {
            policy,
            state: State::Idle,
            entered: now,
            pid: None,
            next: Next::Stay,
            recent: VecDeque::new(),
            streak: 0,
            restarts: 0,
            last_exit: None,
        }
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Its process id, while there is a process.
    #[must_use]
    pub const fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// How often policy has restarted it.
    #[must_use]
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// What to show of it.
    #[must_use]
    pub fn status(&self, now: Instant) -> ProcessStatus {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        ProcessStatus {
            state: self.state.phase(),
            state_age_ms: millis(now - self.entered),
            pid: self.pid,
            restarts: self.restarts,
            restart_in_ms: match self.state {
                State::Backoff { until, .. } => Some(millis(until - now)),
                _ => None,
            },
            why: self.state.why().map(ToString::to_string),
            last_exit: self.last_exit.as_ref().map(ToString::to_string),
            last_lines: match &self.state {
                State::Failed { last_lines, .. } => last_lines.clone(),
                _ => Vec::new(),
            },
        }
    }

    /// Takes another policy, from the next decision on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// It is wanted up. Its past is forgiven.
    #[must_use]
    pub fn start(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Starting { .. } | State::Ready { .. } => Vec::new(),
            State::Stopping { .. } => {
                self.next = Next::Spawn;
                Vec::new()
            }
            State::Idle | State::Backoff { .. } | State::Stopped | State::Failed { .. } => {
                self.forgive();
                self.spawn(None, now)
            }
        }
    }

    /// A process of an earlier supervisor is taken over, instead of a start; it still has to say that it is up.
    #[must_use]
    pub fn adopted(&mut self, pid: i32, now: Instant) -> Vec<Action> {
        if self.state != State::Idle {
            return Vec::new();
        }
        self.pid = Some(pid);
        self.enter(State::Starting { since: now }, None, now)
    }

    /// The process that was to be spawned is there.
    #[must_use]
    pub fn spawned(&mut self, pid: i32, now: Instant) -> Vec<Action> {
        match self.state {
            State::Starting { .. } => {
                self.pid = Some(pid);
                Vec::new()
            }
            State::Stopping { since, .. } => {
                // It was stopped before it was there: there was nothing to kill until now.
                self.pid = Some(pid);
                let grace = self.policy.stop_grace;
                self.state = State::Stopping { since, deadline: now + grace };
                vec![Action::Kill { grace }]
            }
            _ => Vec::new(),
        }
    }

    /// It said that it is up.
    #[must_use]
    pub fn became_ready(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Starting { .. } => self.enter(State::Ready { since: now }, None, now),
            _ => Vec::new(),
        }
    }

    /// It has ended, or could not be started. `last_lines` are the last it wrote; `random` spreads restarts.
    #[must_use]
    pub fn exited(
        &mut self,
        status: ExitStatus,
        last_lines: Vec<String>,
        random: u64,
        now: Instant,
    ) -> Vec<Action> {
        let (why, ready_for) = match self.state {
            State::Starting { .. } => (Why::Exited(status.clone()), None),
            State::Ready { since } => (Why::Exited(status.clone()), Some(now - since)),
            State::Stopping { .. } => match std::mem::replace(&mut self.next, Next::Stay) {
                Next::Policy(why) => (why, None),
                Next::Spawn => {
                    self.ended(&status);
                    return self.spawn(Some(status), now);
                }
                Next::Stay => {
                    self.ended(&status);
                    return self.enter(State::Stopped, Some(status), now);
                }
            },
            State::Idle | State::Backoff { .. } | State::Stopped | State::Failed { .. } => return Vec::new(),
        };
        self.ended(&status);
        let end = End {
            failed: !status.is_success() || matches!(why, Why::NotReady { .. }),
            status,
            why,
            ready_for,
        };
        self.decide(end, last_lines, random, now)
    }

    /// It is wanted down, and stays so.
    #[must_use]
    pub fn stop(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Starting { .. } | State::Ready { .. } => self.end(Next::Stay, now),
            State::Stopping { .. } => {
                self.next = Next::Stay;
                Vec::new()
            }
            State::Idle | State::Backoff { .. } | State::Failed { .. } => {
                self.enter(State::Stopped, None, now)
            }
            State::Stopped => Vec::new(),
        }
    }

    /// It is wanted up anew: stopped if it runs, then started. Its past is forgiven.
    #[must_use]
    pub fn restart(&mut self, now: Instant) -> Vec<Action> {
        match self.state {
            State::Starting { .. } | State::Ready { .. } => {
                self.forgive();
                self.end(Next::Spawn, now)
            }
            _ => self.start(now),
        }
    }

    /// Time has passed: spawns what waited long enough, stops what is not ready in time, kills what lingers.
    #[must_use]
    pub fn tick(&mut self, now: Instant) -> Vec<Action> {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return Vec::new();
        }
        match self.state {
            State::Backoff { .. } => {
                self.restarts += 1;
                self.spawn(None, now)
            }
            State::Starting { .. } => {
                let within = self.policy.ready_timeout;
                self.end(Next::Policy(Why::NotReady { within }), now)
            }
            State::Stopping { since, .. } => {
                self.state = State::Stopping { since, deadline: now + KILL_RETRY };
                let kill = Action::Kill { grace: Duration::ZERO };
                self.pid.map(|_| kill).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// When [`Process::tick`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Starting { since } => Some(since + self.policy.ready_timeout),
            State::Backoff { until, .. } => Some(until),
            State::Stopping { deadline, .. } => Some(deadline),
            _ => None,
        }
    }

    /// Decides what follows an end nobody asked for by hand.
    fn decide(&mut self, end: End, last_lines: Vec<String>, random: u64, now: Instant) -> Vec<Action> {
        let wanted = match self.policy.restart {
            Restart::Always => true,
            Restart::OnFailure => end.failed,
            Restart::Never => false,
        };
        if !wanted {
            let state = if end.failed { failed(end.why, last_lines) } else { State::Stopped };
            return self.enter(state, Some(end.status), now);
        }
        let window = self.policy.restart_window;
        if end.ready_for.is_some_and(|time| time >= window) {
            self.streak = 0;
        }
        self.recent.retain(|at| now - *at < window);
        if self.recent.len() >= self.policy.restart_max as usize {
            let why = Why::TooManyRestarts { restarts: self.recent.len(), window, last: Box::new(end.why) };
            return self.enter(failed(why, last_lines), Some(end.status), now);
        }
        self.recent.push_back(now);
        self.streak = self.streak.saturating_add(1);
        // One that had been up is missed by somebody and most likely comes up again: it does not wait.
        if self.streak == 1 && end.ready_for.is_some() {
            self.restarts += 1;
            return self.spawn(Some(end.status), now);
        }
        let until = now + backoff(&self.policy, self.streak, random);
        let state = State::Backoff { until, why: end.why };
        self.enter(state, Some(end.status), now)
    }

    fn forgive(&mut self) {
        self.recent.clear();
        self.streak = 0;
    }

    fn ended(&mut self, status: &ExitStatus) {
        self.pid = None;
        self.last_exit = Some(status.clone());
    }

    fn spawn(&mut self, exit: Option<ExitStatus>, now: Instant) -> Vec<Action> {
        let mut actions = self.enter(State::Starting { since: now }, exit, now);
        actions.push(Action::Spawn);
        actions
    }

    /// Asks the running process to end.
    fn end(&mut self, next: Next, now: Instant) -> Vec<Action> {
        self.next = next;
        let grace = self.policy.stop_grace;
        let deadline = now + grace;
        let mut actions = self.enter(State::Stopping { since: now, deadline }, None, now);
        actions.extend(self.pid.map(|_| Action::Kill { grace }));
        actions
    }

    fn enter(&mut self, state: State, exit: Option<ExitStatus>, now: Instant) -> Vec<Action> {
        let from = std::mem::replace(&mut self.state, state.clone()).phase();
        self.entered = now;
        vec![Action::Notify(StateChange { from, to: state, exit })]
    }
}

/// An end that policy decides about.
#[derive(Debug)]
struct End {
    status: ExitStatus,
    why: Why,
    failed: bool,
    /// How long it had been up, if it was.
    ready_for: Option<Duration>,
}

/// The failed state, with its last lines cut to their limits.
fn failed(why: Why, last_lines: Vec<String>) -> State {
    let skipped = last_lines.len().saturating_sub(LAST_LINES_MAX);
    let lines = last_lines.into_iter().skip(skipped);
    let clipped = lines.map(|line| line.chars().take(LAST_LINE_CHARS_MAX).collect());
    State::Failed { why, last_lines: clipped.collect() }
}

/// The wait before the restart with number `streak`, from 1: doubled each time, capped, and spread over its upper
/// half by `random`, so that servers that died together do not come back together.
fn backoff(policy: &Policy, streak: u32, random: u64) -> Duration {
    let doubled = 2_u32.saturating_pow(streak);
    let ceiling = policy.backoff_min.saturating_mul(doubled).min(policy.backoff_max);
    let floor = policy.backoff_min.max(ceiling / 2);
    let spread = ceiling.saturating_sub(floor).as_nanos();
    let share = spread * u128::from(random) / u128::from(u64::MAX);
    floor + Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;

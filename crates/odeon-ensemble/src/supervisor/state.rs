//! The states of a supervised server, why it is in them, and how they are told to people and programs.

use std::fmt;
use std::time::Duration;

use odeon_actor::Shape;
use odeon_core::Instant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExitStatus {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started at all.
    NotStarted(String),
    /// Nobody was there to see it.
    Unknown,
}

impl ExitStatus {
    /// Whether it ended by itself with exit code 0.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Code(0))
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "killed by signal {signal} ({name})"),
                None => write!(f, "killed by signal {signal}"),
            },
            Self::NotStarted(reason) => write!(f, "could not be started: {reason}"),
            Self::Unknown => f.write_str("ended unseen"),
        }
    }
}

/// The signals that end servers, by their Linux numbers.
const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// Why a server waits, or has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It ended.
    Exited(ExitStatus),
    /// It was not ready in time.
    NotReady {
        /// How long it was given.
        within: Duration,
    },
    /// It has been restarted as often as its window allows.
    TooManyRestarts {
        /// How often.
        restarts: usize,
        /// Within how long.
        window: Duration,
        /// What happened last.
        last: Box<Self>,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => status.fmt(f),
            Self::NotReady { within } => write!(f, "not ready within {within:?}"),
            Self::TooManyRestarts { restarts, window, last } => {
                write!(f, "{last}, after {restarts} restarts within {window:?}")
            }
        }
    }
}

/// Where a supervised server is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Never started.
    Idle,
    /// Being started, or adopted and not yet heard from.
    Starting {
        /// Since when.
        since: Instant,
    },
    /// It said that it is up.
    Ready {
        /// Since when.
        since: Instant,
    },
    /// Waiting to be restarted.
    Backoff {
        /// Until when.
        until: Instant,
        /// What happened.
        why: Why,
    },
    /// Asked to end.
    Stopping {
        /// Since when.
        since: Instant,
        /// When it is killed, or killed again.
        deadline: Instant,
    },
    /// Down, as wanted.
    Stopped,
    /// Down for good, until it is started by hand.
    Failed {
        /// What happened.
        why: Why,
        /// The last lines it wrote.
        last_lines: Vec<String>,
    },
}

impl State {
    /// Which state, without its particulars.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Idle => Phase::Idle,
            Self::Starting { .. } => Phase::Starting,
            Self::Ready { .. } => Phase::Ready,
            Self::Backoff { .. } => Phase::Backoff,
            Self::Stopping { .. } => Phase::Stopping,
            Self::Stopped => Phase::Stopped,
            Self::Failed { .. } => Phase::Failed,
        }
    }

    /// Why it waits or has failed.
    #[must_use]
    pub const fn why(&self) -> Option<&Why> {
        match self {
            Self::Backoff { why, .. } | Self::Failed { why, .. } => Some(why),
            _ => None,
        }
    }
}

/// The name of a [`State`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Shape,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Never started.
    Idle,
    /// Being started.
    Starting,
    /// Up.
    Ready,
    /// Waiting to be restarted.
    Backoff,
    /// Asked to end.
    Stopping,
    /// Down, as wanted.
    Stopped,
    /// Down for good.
    Failed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        })
    }
}

/// A step from one state to the next; its text is a line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Where it was.
    pub from: Phase,
    /// Where it is now.
    pub to: State,
    /// What brought it about, if it was the end of the process.
    pub exit: Option<ExitStatus>,
}

impl fmt::Display for StateChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to.phase())?;
        match (self.to.why(), &self.exit) {
            (Some(why), _) => write!(f, ": {why}"),
            (None, Some(exit)) => write!(f, ": {exit}"),
            (None, None) => Ok(()),
        }
    }
}

/// What `ps` and `status` show of one server's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Shape)]
pub struct ProcessStatus {
    /// Its state.
    pub state: Phase,
    /// How long it has been in it, in milliseconds.
    pub state_age_ms: u64,
    /// Its process id, while there is a process.
    pub pid: Option<i32>,
    /// How often policy has restarted it; restarts by hand are not counted.
    pub restarts: u64,
    /// In how many milliseconds it is restarted, while it waits.
    pub restart_in_ms: Option<u64>,
    /// Why it waits or has failed.
    pub why: Option<String>,
    /// How its process ended the last time.
    pub last_exit: Option<String>,
    /// The last lines of a failed server.
    pub last_lines: Vec<String>,
}

//! How a supervisor and its children are set up: plain values, and the few sums over them.
//!
//! The names are OTP's where the meaning is OTP's.

use std::time::Duration;

use crate::ExitReason;

/// Most restarts that an [`Intensity`] can allow; more count as this many. The time of each is kept.
pub const RESTARTS_MAX: u32 = 1_024;

/// Longest wait before a restart; a longer one counts as this. Whoever is away for longer is missed by nobody,
/// and is started by hand.
pub const BACKOFF_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Most that chance can take off a wait, in percent; more count as this much.
pub const JITTER_PERCENT_MAX: u8 = 100;

/// Which children an end concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// The one that ended. The others neither stop nor wait for it.
    #[default]
    OneForOne,
    /// All: none of them is of use without the others.
    OneForAll,
    /// That one and those after it: each child relies on those before it.
    RestForOne,
    /// That one. Children come and go at run time, as a rule all alike: they start at once, whatever the others
    /// do, and one that ends for good is forgotten. As everywhere, the first added is the last to be stopped.
    Dynamic,
}

/// Whether a child that ended by itself is started again.
///
/// An end is normal if the child or its operator wanted it: [`ExitReason::Normal`], [`ExitReason::Stopped`] and
/// [`ExitReason::Drained`]. Any other is abnormal, and so is one before the child had started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// After an abnormal end. After a normal one it is [finished](super::ChildState::Finished), and comes back
    /// with its group or by hand.
    Transient,
    /// Never: an end, even one for the sake of the others, is for good, and it is forgotten.
    Temporary,
}

impl Restart {
    /// Whether it is started again after that end of a life that had begun.
    pub(super) const fn is_due_after(self, reason: &ExitReason) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => reason.is_abnormal(),
            Self::Temporary => false,
        }
    }
}

/// How a child is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It is asked, and killed if it is still there after this time.
    Within(Duration),
    /// It is killed at once.
    Kill,
    /// It is asked, and waited for: right for a supervisor, whose children have a patience each.
    Wait,
}

impl Default for Shutdown {
    /// Five seconds, as in OTP.
    fn default() -> Self {
        Self::Within(Duration::from_secs(5))
    }
}

/// Whether the supervisor ends, normally, when [significant](ChildOptions::significant) children have ended for
/// good by themselves. One that was removed, or stopped for the sake of others, does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoShutdown {
    /// No.
    #[default]
    Never,
    /// When one has.
    Any,
    /// When one has, and no significant child is left that has not.
    All,
}

/// How many restarts are too many. All children count together; a restart of a group counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// So many are carried out, at most [`RESTARTS_MAX`]; the supervisor gives up instead of the next.
    pub restarts: u32,
    /// If they fall within this time. Zero means that it never gives up, unless no restart is allowed at all.
    pub within: Duration,
}

impl Default for Intensity {
    /// Three in five seconds. OTP's one in five gives up a whole supervisor for two unlucky messages; here the
    /// restarts after the first wait, so that three cost little and still end a loop in less than a second.
    fn default() -> Self {
        Self { restarts: 3, within: Duration::from_secs(5) }
    }
}

/// How long a child waits for its restart: not at all the first time, then `first`, then twice as long each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait before the second restart.
    pub first: Duration,
    /// The longest wait, at most [`BACKOFF_MAX`].
    pub cap: Duration,
    /// Up to this much of a wait, at most [`JITTER_PERCENT_MAX`], is taken off by chance, so that those who died
    /// together do not come back together.
    pub jitter_percent: u8,
    /// A child that was up for this long is forgiven: its next restart is its first.
    pub quiet: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            cap: Duration::from_secs(30),
            jitter_percent: 50,
            quiet: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The wait before a restart that `streak` others preceded.
    pub(super) fn wait(&self, streak: u32, random: u64) -> Duration {
        let Some(doublings) = streak.checked_sub(1) else {
            return Duration::ZERO;
        };
        let full = self.first.saturating_mul(2_u32.saturating_pow(doublings)).min(self.cap).min(BACKOFF_MAX);
        let percent = u128::from(self.jitter_percent.min(JITTER_PERCENT_MAX));
        // A day has less than 2^47 nanoseconds: this stays far below 2^128.
        let off = full.as_nanos() * percent * u128::from(random) / (100 * u128::from(u64::MAX));
        full.saturating_sub(Duration::from_nanos(u64::try_from(off).unwrap_or(u64::MAX)))
    }
}

/// How one child is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChildOptions {
    /// Whether it is started again.
    pub restart: Restart,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// Whether its end counts for [`AutoShutdown`]. That of a permanent child never does: it has none for good.
    pub significant: bool,
}

impl ChildOptions {
    pub(super) const fn is_significant(&self) -> bool {
        self.significant && !matches!(self.restart, Restart::Permanent)
    }
}

/// How a supervisor works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeOptions {
    /// Which children an end concerns.
    pub strategy: Strategy,
    /// When to give up.
    pub intensity: Intensity,
    /// How long to wait before a restart.
    pub backoff: Backoff,
    /// Whether the ends of children end the supervisor.
    pub auto_shutdown: AutoShutdown,
}

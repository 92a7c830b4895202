//! Errors as people and scripts see them: a code, a sentence, what to try, an exit status.

use std::fmt;
use std::path::Path;

use odeon_actor::{AskError, TellError};
use odeon_core::{Refusal, RefusalCode, chain};
use serde_json::json;

/// The exit status of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// It failed.
    Failed = 1,
    /// It was called wrongly.
    Usage = 2,
    /// The caller may not do this.
    NotAuthorised = 3,
    /// A server cannot be reached.
    Unreachable = 4,
    /// No answer came in time.
    TimedOut = 5,
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    /// A stable word for scripts.
    pub(crate) code: String,
    /// What went wrong, and where.
    pub(crate) message: String,
    /// What to try, if there is something.
    pub(crate) help: Option<String>,
    /// The exit status.
    pub(crate) status: ExitStatus,
    /// More for scripts, as further members of the JSON document.
    pub(crate) details: serde_json::Map<String, serde_json::Value>,
}

impl CliError {
    pub(crate) fn new(status: ExitStatus, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            help: None,
            status,
            details: serde_json::Map::new(),
        }
    }

    pub(crate) fn failed(code: &str, message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Failed, code, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Usage, "usage", message)
    }

    /// Any error with its causes.
    pub(crate) fn of(code: &str, error: &dyn std::error::Error) -> Self {
        Self::failed(code, chain(error))
    }

    /// A file cannot be read.
    pub(crate) fn unreadable(path: &Path, error: &dyn std::error::Error) -> Self {
        Self::failed("unreadable", format!("{} cannot be read: {}", path.display(), chain(error)))
    }

    /// A file cannot be written.
    pub(crate) fn unwritable(path: &Path, error: &dyn std::error::Error) -> Self {
        Self::failed("unwritable", format!("{} cannot be written: {}", path.display(), chain(error)))
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The error as a document.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut error = self.details.clone();
        error.extend([
            ("code".to_owned(), json!(self.code)),
            ("message".to_owned(), json!(self.message)),
            ("help".to_owned(), json!(self.help)),
        ]);
        json!({ "error": error })
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// What whoever is refused can do. Where the file says `strict`, that is everybody at first.
const TO_BE_ALLOWED: &str = "`can me CAPABILITY --on SERVER` says what you hold there; more is given by \
    `admin authorize SERVER key:KEY CAPABILITY`, with the console's KEY of `admin keys --view`, or by `auth` of odeon.toml. \
    With `strict = true`, being the same user gives nothing";

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            RefusalCode::NotAuthorised => ExitStatus::NotAuthorised,
            RefusalCode::Expired => ExitStatus::TimedOut,
            RefusalCode::Unreachable => ExitStatus::Unreachable,
            _ => ExitStatus::Failed,
        };
        let error = Self::new(status, refusal.code.as_str(), refusal.detail);
        if status == ExitStatus::NotAuthorised { error.help(TO_BE_ALLOWED) } else { error }
    }
}

impl From<AskError> for CliError {
    fn from(error: AskError) -> Self {
        let (status, code) = match &error {
            AskError::Refused(refusal) => return refusal.clone().into(),
            AskError::Timeout { .. } => (ExitStatus::TimedOut, "timed-out"),
            AskError::Unreachable { .. } => (ExitStatus::Unreachable, "unreachable"),
            AskError::NoReply => (ExitStatus::Failed, "no-reply"),
            AskError::Full { .. } | AskError::Displaced => (ExitStatus::Failed, "full"),
            AskError::Cycle { .. } => (ExitStatus::Failed, "cycle"),
            _ => (ExitStatus::Failed, "dead"),
        };
        let message = match &error {
            AskError::Unreachable { why, .. } => why.clone(),
            other => other.to_string(),
        };
        let error = Self::new(status, code, message);
        if status == ExitStatus::TimedOut { error.help("allow more time with --timeout") } else { error }
    }
}

impl From<TellError> for CliError {
    fn from(error: TellError) -> Self {
        AskError::from(error).into()
    }
}

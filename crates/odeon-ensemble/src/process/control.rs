//! The words between a supervisor and a shim: one JSON line each way on the control socket.
//!
//! | request | answer |
//! |---|---|
//! | `{"op":"status"}` | `status` |
//! | `{"op":"watch"}` | `status` at once; `exited` when the child has ended; the connection keeps the shim up |
//! | `{"op":"signal","signo":15,"group":true}` | `done` |
//! | `{"op":"stop","grace_ms":5000}` | `done` at once; TERM to the group, KILL after the grace |
//! | `{"op":"sockets"}` | `sockets`, with the descriptors attached to the line |
//! | `{"op":"release"}` | `done`; the shim ends when the child has |
//!
//! Anything else is answered by `error`, and the connection is closed after a line that is too long.

use serde::{Deserialize, Serialize};

use super::record::ExitRecord;

/// Longest request, its newline included.
pub(crate) const REQUEST_BYTES_MAX: usize = 4 * 1024;
/// Longest answer that a supervisor reads: an exit record with its last lines, escaped, fits.
pub(crate) const RESPONSE_BYTES_MAX: usize = 256 * 1024;

/// To whom a signal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// To the child process alone.
    Child,
    /// To its whole process group.
    Group,
}

/// What a supervisor asks of a shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Request {
    Status,
    Watch,
    Signal {
        signo: i32,
        #[serde(default)]
        group: bool,
    },
    Stop {
        #[serde(default)]
        grace_ms: Option<u64>,
    },
    Sockets,
    Release,
}

/// What a shim answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum Response {
    Status {
        child_pid: i32,
        child_start: u64,
        state: ChildState,
        exit: Option<ExitRecord>,
        dropped_bytes: u64,
    },
    Exited {
        exit: ExitRecord,
    },
    Sockets {
        names: Vec<String>,
    },
    Done,
    Error {
        reason: String,
    },
}

/// Where a child is between start and end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChildState {
    Running,
    Stopping,
    Exited,
}

/// What a shim says once after it was launched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "launch", rename_all = "snake_case")]
pub(crate) enum Launch {
    Started { state: super::record::ShimState },
    Occupied,
    Exec { errno: i32 },
    Failed { reason: String },
}

/// A message as one line.
pub(crate) fn line<T: Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Request>) {
        assert_eq!(serde_json::from_str(text).ok(), expected, "{text}");
    }

    #[test]
    fn requests_read_as_documented() {
        check(r#"{"op":"status"}"#, Some(Request::Status));
        check(r#"{"op":"signal","signo":15}"#, Some(Request::Signal { signo: 15, group: false }));
        check(r#"{"op":"stop"}"#, Some(Request::Stop { grace_ms: None }));
        check(r#"{"op":"stop","grace_ms":5}"#, Some(Request::Stop { grace_ms: Some(5) }));
        check(r#"{"op":"explode"}"#, None);
        check("[]", None);
    }
}

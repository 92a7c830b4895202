//! The child between its fork and its program: what must be done in the child itself.
//!
//! The shim has set the environment, the working directory, the process group and the descriptors. What is left
//! needs the child's own pid. Standard input is a socket to the shim: it closes by itself when the program has
//! begun, and carries the error number if it could not.

#![expect(clippy::disallowed_methods, reason = "the shim is what starts processes")]

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};

use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::super::spec::LISTEN_MAX;

/// Exit code of a child whose program could not be started, as shells have it.
const NOT_STARTED: u8 = 127;
/// Above the passed sockets, which stand at 3, 4, ….
const STATUS_FD_MIN: i32 = 100;
const _: () = assert!(LISTEN_MAX < 97, "the sockets end below the status descriptor");

/// Becomes the program named by `args`.
pub(super) fn main(args: &[OsString]) -> ExitCode {
    // A copy, because standard input is the program's own by the time that starting it can fail.
    let Ok(status) = fcntl_dupfd_cloexec(io::stdin(), STATUS_FD_MIN) else {
        return ExitCode::from(NOT_STARTED);
    };
    let error = become_program(args);
    let errno = error.raw_os_error().unwrap_or(Errno::IO.raw_os_error());
    // Nobody is left to tell if this fails; the exit code remains.
    let _ = UnixStream::from(status).write_all(&errno.to_le_bytes());
    ExitCode::from(NOT_STARTED)
}

/// Returns only if it could not.
fn become_program(args: &[OsString]) -> io::Error {
    let Some((exe, args)) = args.split_first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    // A child without its shim has no supervision: it is not to live.
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    let mut command = Command::new(exe);
    command.args(args).stdin(Stdio::null());
    if std::env::var_os("LISTEN_FDS").is_some() {
        command.env("LISTEN_PID", std::process::id().to_string());
    }
    command.exec()
}

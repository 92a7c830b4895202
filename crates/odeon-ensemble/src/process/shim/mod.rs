//! The shim: the small resident parent of one child. It runs in a process of its own.
//!
//! Single-threaded and without an async runtime, so that it stays small and may set up its child in safe code.
//! [`launch`] receives the order and starts the child, [`exec`] is the child's last step before it becomes the
//! program, [`serve`] is the loop around the child's life, [`conn`] one connection of the control socket.

mod conn;
mod exec;
mod launch;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

/// The hidden subcommand of the shim; its argument is the child's directory.
pub const SHIM_COMMAND: &str = "__shim";
/// The hidden subcommand of a child that is about to become its program.
pub const EXEC_COMMAND: &str = "__exec";

/// Runs a hidden subcommand, if the program's arguments name one.
///
/// `main` calls this before it does anything else: before a thread is started, a file opened, an argument
/// parsed. On `Some` it returns that code.
#[must_use]
pub fn run_hidden() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next()?;
    let rest: Vec<OsString> = args.collect();
    match command.to_str()? {
        SHIM_COMMAND => Some(launch::main(&rest)),
        EXEC_COMMAND => Some(exec::main(&rest)),
        _ => None,
    }
}

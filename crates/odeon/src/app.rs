//! A program's roles, and with them its whole command line.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use odeon_cli::Program;
use odeon_ensemble::{Node, RoleError, Roles};

/// A program that names its roles. [`run`](Self::run) is all its `main` does.
#[derive(Debug, Clone)]
pub struct App {
    name: String,
    version: String,
    roles: Roles,
}

impl App {
    /// A program called `name`, as people type it.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), version: env!("CARGO_PKG_VERSION").to_owned(), roles: Roles::new() }
    }

    /// With this version, shown by `version`; Odeon's own by default.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Has `function` run the servers of `role`. It should call [`Node::ready`] when it can do its work, and
    /// return when [`Node::shutdown_requested`] is.
    ///
    /// # Panics
    /// When `role` is not a role name, or is `registry`, which every program has: a mistake in the program,
    /// found by its first run.
    #[must_use]
    pub fn role<F>(mut self, role: &str, function: impl Fn(Node) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), RoleError>> + Send + 'static,
    {
        assert!(role != "registry", "the role `registry` is Odeon's own");
        match role.parse() {
            Ok(role) => self.roles.insert(role, function),
            Err(error) => panic!("{error}"),
        }
        self
    }

    /// Runs the command line with the process' arguments.
    #[must_use]
    pub fn run(self) -> ExitCode {
        self.run_with(std::env::args_os())
    }

    /// Runs the command line with these arguments, the program's own name first.
    #[must_use]
    pub fn run_with(self, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
        odeon_cli::run(Program { name: self.name, version: self.version, roles: self.roles }, arguments)
    }
}

//! The ensemble's file, `odeon.toml`: read, checked and resolved before anything starts.
//!
//! [`Ensemble`] is plain data without a trace of the text it came from, but for the positions needed to report
//! a role the program does not have. Every error is reported, each with its place, what was expected and, where
//! something is near, a suggestion. Nothing here starts, binds or looks anything up.

mod check;
mod code;
mod ensemble;
mod limits;
mod network;
mod reader;
mod report;
mod role;
mod role_reader;
mod units;

#[cfg(test)]
mod error_tests;
#[cfg(test)]
mod tests;

pub use code::ErrorCode;
pub use ensemble::{Ensemble, ScaleError, ServerSpec};
pub use limits::{
    COMMAND_BYTES_MAX, CONFIG_BYTES_MAX, DURATION_MAX, ENSEMBLE_SERVERS_MAX, ERRORS_MAX, LIST_ITEMS_MAX,
    LISTEN_MAX, LOG_BYTES_MIN, LOG_FILES_MAX, RESTARTS_MAX, ROLES_MAX, SERVER_ADDRESSES_MAX, SIZE_BYTES_MAX,
    STOP_GRACE_MAX, WORKERS_MAX,
};
pub(crate) use network::announced;
pub use network::{Place, RegistryConfig, TlsUse};
pub use report::{ConfigError, ConfigErrors, Position};
pub use role::{Executable, Numbering, Policy, Restart, RoleConfig};

//! One role: what its servers run, how many there are, and how they are kept alive.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use odeon_core::{Address, Role, ServerId};
use serde::{Serialize, Serializer};

use super::units::serialize_duration;

/// Everything about the servers of one role, resolved. In JSON the keys are those of the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RoleConfig {
    /// What is run.
    pub exe: Executable,
    /// Arguments after the entry words.
    pub args: Vec<String>,
    /// Variables of the environment, beside those every server gets.
    pub env: BTreeMap<String, String>,
    /// The servers, in order of their index.
    pub servers: Vec<ServerId>,
    /// Whether the file counts the servers (`workers`) or names them (`servers`).
    pub numbering: Numbering,
    /// Listening sockets held by the supervisor and shared by the role's servers; `tcp:` only.
    pub listen: Vec<Address>,
    /// Further addresses of the actor servers themselves: `tcp:` and `tls:`.
    pub address: Vec<Address>,
    /// Addresses told to the registry instead, where others reach the servers by other ones.
    pub announce: Vec<Address>,
    /// Roles whose servers must be ready first.
    pub needs: BTreeSet<Role>,
    /// How the servers are kept alive and stopped.
    #[serde(flatten)]
    pub policy: Policy,
    /// Size at which a log file is rotated, in bytes.
    pub log_bytes_max: u64,
    /// How many log files are kept, the current one included.
    pub log_files_max: u32,
    /// What the role is given as JSON.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// How the servers of a role came by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numbering {
    /// `workers = N`: role-0, role-1 and so on; the number can be changed while they run.
    Counted,
    /// `servers = [..]`: each has its own name.
    Named,
}

/// What a role runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Executable {
    /// The running program itself.
    Program,
    /// Another file; absolute if the configuration was loaded from a file.
    File(PathBuf),
}

impl fmt::Display for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("self"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Serialize for Executable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// When a server that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Whatever the end was.
    Always,
    /// Unless it ended by itself with exit code 0.
    OnFailure,
    /// Not by itself.
    Never,
}

/// How a server is kept alive and stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    /// When it is started again.
    pub restart: Restart,
    /// The time over which restarts are counted, and after which a ready server counts as sound again.
    #[serde(serialize_with = "serialize_duration")]
    pub restart_window: Duration,
    /// How many restarts the window allows; one more and the server has failed.
    pub restart_max: u32,
    /// The shortest wait before a restart that waits.
    #[serde(serialize_with = "serialize_duration")]
    pub backoff_min: Duration,
    /// The longest wait before a restart.
    #[serde(serialize_with = "serialize_duration")]
    pub backoff_max: Duration,
    /// How long it may take to become ready.
    #[serde(serialize_with = "serialize_duration")]
    pub ready_timeout: Duration,
    /// How long it may take to stop before it is killed; zero kills at once.
    #[serde(serialize_with = "serialize_duration")]
    pub stop_grace: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            restart: Restart::Always,
            restart_window: Duration::from_secs(60),
            restart_max: 5,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            ready_timeout: Duration::from_secs(10),
            stop_grace: Duration::from_secs(5),
        }
    }
}

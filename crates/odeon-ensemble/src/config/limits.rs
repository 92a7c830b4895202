//! Every limit of the configuration, with its reason.

use std::time::Duration;

/// Largest configuration file, in bytes: thousands of roles' worth, and small enough to read at once.
pub const CONFIG_BYTES_MAX: usize = 1024 * 1024;

/// Most errors that are reported one by one; the rest are counted. A screen or five is all anybody reads.
pub const ERRORS_MAX: usize = 100;

/// Most roles of one ensemble: a role is a program, and nobody runs more kinds than this on one host.
pub const ROLES_MAX: usize = 256;

/// Most servers of one role.
pub const WORKERS_MAX: usize = 1024;

/// Most servers of one file, over all roles: each costs a shim, a process and descriptors of the supervisor.
pub const ENSEMBLE_SERVERS_MAX: usize = 4096;

/// Most items of one list (`args`, `env`, `needs`): more than a command line may hold.
pub const LIST_ITEMS_MAX: usize = 1024;

/// Most listening sockets of one role: the descriptors of one start travel to the shim in one message.
pub const LISTEN_MAX: usize = 64;

/// Most addresses of a server beside its unix socket.
pub const SERVER_ADDRESSES_MAX: usize = odeon_core::limits::ADDRESSES_MAX - 1;

/// Most bytes of a role's `args`, `env` and `settings` together: the kernel takes 128 KiB in one argument or
/// variable, and the settings are one.
pub const COMMAND_BYTES_MAX: usize = 120 * 1024;

/// Most bytes of one table `auth`: a server gets the file's and its role's in one variable, of which the kernel takes
/// 128 KiB.
pub const AUTH_BYTES_MAX: usize = 60 * 1024;

/// Longest `stop-grace`: whoever wants to wait longer than an hour wants no kill at all.
pub const STOP_GRACE_MAX: Duration = Duration::from_secs(60 * 60);

/// Longest duration that can be written: a week; a longer one is a slip of the unit.
pub const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Largest size that can be written, in bytes: 1 TiB.
pub const SIZE_BYTES_MAX: u64 = 1 << 40;

/// Most restarts an intensity window may allow; the supervisor remembers one point in time for each.
pub const RESTARTS_MAX: u32 = 1000;

/// Most log files kept for one server.
pub const LOG_FILES_MAX: u32 = 100;

/// Smallest log file before it is rotated, in bytes: below a page, rotation is all a shim would do.
pub const LOG_BYTES_MIN: u64 = 4096;

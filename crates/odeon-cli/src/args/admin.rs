//! The arguments of `admin`, `can` and `audit`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use odeon_core::{ActorId, Capability, Mark, PathPrefix, Role};

use super::parse_duration;

/// `admin`.
#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Make the ensemble's cookie, the secret its servers share
    Cookie {
        /// Replace one that is there; running servers keep the old one until they restart
        #[arg(long)]
        force: bool,
        /// Print the cookie that is there, in hexadecimal
        #[arg(long, conflicts_with = "force")]
        view: bool,
    },
    /// Make the ensemble's admin key, with which grants begin
    #[command(after_help = PASSPHRASE)]
    Keys {
        /// Replace one that is there; grants of the old one count no more once servers have restarted
        #[arg(long)]
        force: bool,
        /// Print the public key that is there, and this user's own
        #[arg(long, conflicts_with = "force")]
        view: bool,
        /// Read the passphrase from this open file descriptor instead of the terminal
        #[arg(long, value_name = "N")]
        passphrase_fd: Option<u32>,
    },
    /// Grant capabilities at a server, by the admin key
    #[command(after_help = PASSPHRASE)]
    Authorize(Authorize),
    /// Make a narrower grant from one that is held, for oneself or for somebody else
    Narrow(Narrow),
    /// Retract grants at a server
    Retract {
        /// The server at which they count
        server: String,
        /// The server they are for, or the id of one grant
        what: String,
    },
    /// Show the grants that count at a server, or those that are kept here
    Grants {
        /// The server [default: what this home keeps]
        server: Option<String>,
    },
}

const PASSPHRASE: &str = "\
The admin key is kept under a passphrase, which is asked for on the terminal; a new
one twice. From a file descriptor it is read as one line. There is no other way.";

/// `admin authorize`.
#[derive(Debug, Args)]
pub(crate) struct Authorize {
    /// The server at which it counts
    pub(crate) server: String,
    /// Whom it is for: a server, or `key:` and a public key in hexadecimal
    pub(crate) grantee: String,
    /// What may be done
    #[arg(required = true)]
    pub(crate) capabilities: Vec<Capability>,
    /// How long it counts, such as 5m, 1h or 90d
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = parse_duration)]
    pub(crate) expires: Duration,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Make the grant and do not present it
    #[arg(long)]
    pub(crate) offline: bool,
    /// Read the passphrase from this open file descriptor instead of the terminal
    #[arg(long, value_name = "N")]
    pub(crate) passphrase_fd: Option<u32>,
}

/// `admin narrow`.
#[derive(Debug, Args)]
pub(crate) struct Narrow {
    /// The grant: its id, a file that holds it, or the text itself
    pub(crate) grant: String,
    /// Only these of its capabilities
    #[arg(long = "only", value_name = "CAPABILITY")]
    pub(crate) capabilities: Vec<Capability>,
    /// How long it counts at most, such as 5m, 1h or 90d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) expires: Option<Duration>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Whom it is for: a server, or `key:` and a public key [default: who holds it]
    #[arg(long, value_name = "NEXT")]
    pub(crate) to: Option<String>,
}

/// What a grant can be limited to.
#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Only for this actor; 0 is the server itself
    #[arg(long, value_name = "ACTOR")]
    pub(crate) actor: Vec<ActorId>,
    /// Only at servers of this role
    #[arg(long = "at-role", visible_alias = "role", value_name = "ROLE")]
    pub(crate) role: Vec<Role>,
    /// Only below this path
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<PathPrefix>,
    /// Only for this message, or the messages of this protocol
    #[arg(long, value_name = "MARK")]
    pub(crate) mark: Vec<Mark>,
}

/// `can`.
#[derive(Debug, Args)]
pub(crate) struct Can {
    /// The server that would do it; `me` is this command
    pub(crate) who: String,
    /// The capability that it needs
    pub(crate) what: Capability,
    /// Where: the server, or server:actor [default: the supervisor]
    #[arg(long, value_name = "SERVER")]
    pub(crate) on: Option<String>,
    /// The path that it reaches for
    #[arg(long)]
    pub(crate) path: Option<String>,
    /// The message that it sends
    #[arg(long)]
    pub(crate) mark: Option<Mark>,
}

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// The server [default: the supervisor]
    pub(crate) server: Option<String>,
    /// How many of the last acts
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N")]
    pub(crate) lines: u32,
    /// Another file of the kind, such as one from a backup
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub(crate) file: Option<PathBuf>,
}

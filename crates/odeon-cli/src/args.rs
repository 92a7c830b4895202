//! The arguments of every command.

mod admin;
mod ca;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use odeon_core::{DURATION_EXPECTED, Domain, Role, read_duration};

pub(crate) use self::admin::{Admin, AuditArgs, Authorize, Can, Limits, Narrow};
pub(crate) use self::ca::{Ca, Cert, PassphraseFd, Renew, Setup, SubjectArgs};

/// Starts, shows, steers and stops an ensemble of actor servers.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_STATUS)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What scripts may rely on.
const EXIT_STATUS: &str = "\
Exit status: 0 done, 1 failed, 2 wrong usage, 3 not authorised, 4 unreachable,
5 timed out. Data goes to standard output, everything else to standard error.";

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The ensemble's directory [default: $ODEON_HOME, else .odeon beside odeon.toml, else ~/.odeon]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// The domain that completes bare names [default: that of odeon.toml, else /]
    #[arg(long, global = true, value_name = "D")]
    pub(crate) domain: Option<Domain>,
    /// How long to wait for an answer, such as 250ms, 5s, 2m or 1h [default: 5s; 2m where servers start or stop]
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Print JSON: one document, or one line per event
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the ensemble of odeon.toml: supervisor, registry and every server
    Up(Up),
    /// Stop every server, in reverse order of start, and the supervisor
    Down,
    /// List the supervised servers with their processes
    Ps(Select),
    /// Show what a server says of itself
    Status {
        /// The server
        id: String,
        /// Print what it has counted, as monitoring reads it (OpenMetrics)
        #[arg(long)]
        metrics: bool,
    },
    /// Print what a server has written
    Logs(Logs),
    /// Ask a server, or an actor, for a sign of life
    Ping {
        /// The server, or server:actor
        target: String,
    },
    /// List servers, actors or connections
    #[command(subcommand)]
    List(List),
    /// Show where a server is, or the living servers of a role
    Lookup {
        /// The server
        #[arg(required_unless_present = "role")]
        id: Option<String>,
        /// The servers of this role
        #[arg(long, conflicts_with = "id")]
        role: Option<Role>,
    },
    /// Show what an actor understands, with JSON Schemas
    Describe {
        /// The server, or server:actor
        target: String,
    },
    /// Send a message to an actor, without waiting for an answer
    Tell(Message),
    /// Send a message to an actor and print its answer
    #[command(after_help = "An answer `Err` is printed like any other; the exit status is then 1.")]
    Ask(Message),
    /// Start a server of a role
    Start {
        /// The role
        role: Role,
        /// The server
        id: String,
    },
    /// Stop servers; policy does not bring them back
    Stop(Chosen),
    /// Restart servers
    Restart(Chosen),
    /// Set how many servers a counted role has
    Scale {
        /// The role
        role: Role,
        /// How many
        workers: u32,
    },
    /// Ask a server to end by itself, or stop an actor; policy applies afterwards
    Shutdown {
        /// The server, or server:actor
        target: String,
    },
    /// Link one server to another
    Connect {
        /// The server that connects
        from: String,
        /// The server it connects to
        to: String,
        /// Where that is; looked up if not given
        addresses: Vec<odeon_core::Address>,
    },
    /// Say whether a server may do something, before it is tried
    #[command(after_help = "The exit status is 0 if it may, and 3 if it may not.")]
    Can(Can),
    /// Show who did what by which right, and who was refused
    Audit(AuditArgs),
    /// Keys, secrets and grants of the ensemble
    #[command(subcommand)]
    Admin(Admin),
    /// The ensemble's authorities, and the servers' certificates
    #[command(subcommand)]
    Ca(Ca),
    /// Gather what a new host needs: its file, what it trusts, its servers' certificates and keys
    #[command(after_help = PACKAGE)]
    Package(Package),
    /// Put the content of a package where `up` finds it
    Unpack(Unpack),
    /// The ensemble's file
    #[command(subcommand)]
    Config(Config),
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
    /// Run the supervisor in the foreground, without showing its events
    #[command(hide = true)]
    Supervisor {
        /// The directory of odeon.toml
        dir: Option<PathBuf>,
        /// Standard input is a socket: write there, as lines of JSON, how far the servers are
        #[arg(long)]
        report: bool,
    },
    /// Run one server, as the supervisor does
    #[command(hide = true)]
    Serve {
        /// The server
        id: String,
        /// Arguments of the role
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The directory of odeon.toml [default: the nearest one above]
    pub(crate) dir: Option<PathBuf>,
    /// Return once every server is ready, leaving the ensemble in the background
    #[arg(long, short)]
    pub(crate) detach: bool,
}

/// A selection of servers, all by default.
#[derive(Debug, Args)]
pub(crate) struct Select {
    /// The servers
    pub(crate) ids: Vec<String>,
    /// Servers of this role
    #[arg(long)]
    pub(crate) role: Option<Role>,
}

/// A selection of servers that must be said.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Chosen {
    /// The servers
    pub(crate) ids: Vec<String>,
    /// Servers of this role
    #[arg(long)]
    pub(crate) role: Option<Role>,
    /// Servers of this domain and below; `/` means every one, the registry included
    #[arg(long = "in", value_name = "DOMAIN")]
    pub(crate) within: Option<Domain>,
}

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The server
    pub(crate) id: String,
    /// How many of the last lines
    #[arg(long, short = 'n', default_value_t = 100, value_name = "N")]
    pub(crate) lines: usize,
    /// Go on as lines are written
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only lines that contain this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
}

/// `list`.
#[derive(Debug, Subcommand)]
pub(crate) enum List {
    /// The servers that the registry knows
    Servers,
    /// The registered actors of a server
    Actors {
        /// The server
        id: String,
    },
    /// The links of a server
    Connections {
        /// The server
        id: String,
    },
}

/// `tell` and `ask`.
#[derive(Debug, Args)]
pub(crate) struct Message {
    /// The actor, as server:actor
    pub(crate) target: String,
    /// The message: a mark such as greeter/1#set-greeting, or its bare name
    pub(crate) mark: String,
    /// Its arguments, a JSON object
    #[arg(default_value = "{}", value_name = "JSON")]
    pub(crate) arguments: String,
}

const PACKAGE: &str = "\
A supervisor takes along the servers of its file and its domain's console. Never in a
package: the authorities' keys, the administrator's key, and the cookie, which links
between hosts do not use.";

/// `package`.
#[derive(Debug, Args)]
pub(crate) struct Package {
    /// The servers that will run there; a supervisor stands for all that it starts
    #[arg(required = true, value_name = "SERVER")]
    pub(crate) servers: Vec<String>,
    /// The file of that host [default: the nearest odeon.toml above]
    #[arg(long, short = 'C', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the package is written [default: package.tar]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace a package that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// `unpack`.
#[derive(Debug, Args)]
pub(crate) struct Unpack {
    /// The package
    pub(crate) file: PathBuf,
    /// The directory for odeon.toml and the home [default: here]
    pub(crate) directory: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check odeon.toml and report every mistake
    Check {
        /// The file [default: the nearest odeon.toml above]
        file: Option<PathBuf>,
    },
}

/// A duration as everywhere; without a unit, seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit());
    let read = if is_bare { read_duration(&format!("{text}s")) } else { read_duration(text) };
    read.ok_or_else(|| format!("expected {DURATION_EXPECTED}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3_600)));
        assert_eq!(parse_duration("90d"), Ok(Duration::from_secs(7_776_000)));
        assert!(parse_duration("5 parsecs").is_err());
        assert!(parse_duration("-5s").is_err());
    }
}

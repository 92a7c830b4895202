//! What people read, word for word: the help, the tables, the errors. `SNAPSHOTS=overwrite cargo test` writes
//! these down anew after a change that is wanted.

use clap::CommandFactory;
use odeon_auth::ca::Issued;
use odeon_core::Domain;
use odeon_ensemble::Roles;
use odeon_ensemble::supervisor::ServerRow;
use odeon_ensemble::supervisor::plan::StepKind;
use odeon_ensemble::supervisor::state::{Phase, ProcessStatus};
use snapbox::{assert_data_eq, str};

use crate::args::{Cli, Global};
use crate::commands::{certificates, config, see};
use crate::context::Context;
use crate::program::Program;

/// A narrow terminal, as the help must bear it.
const WIDTH: usize = 80;

/// What clap prints for these arguments.
fn said(arguments: &[&str]) -> String {
    let command = Cli::command().name("site").bin_name("site").term_width(WIDTH);
    command.try_get_matches_from(arguments).expect_err("help and errors end the parsing").to_string()
}

#[test]
fn the_help_of_the_program() {
    assert_data_eq!(
        said(&["site", "--help"]),
        str![[r#"
Starts, shows, steers and stops an ensemble of actor servers

Usage: site [OPTIONS] <COMMAND>

Commands:
  up           Start the ensemble of odeon.toml: supervisor, registry and every
               server
  down         Stop every server, in reverse order of start, and the supervisor
  ps           List the supervised servers with their processes
  status       Show what a server says of itself
  logs         Print what a server has written
  ping         Ask a server, or an actor, for a sign of life
  list         List servers, actors or connections
  lookup       Show where a server is, or the living servers of a role
  describe     Show what an actor understands, with JSON Schemas
  tell         Send a message to an actor, without waiting for an answer
  ask          Send a message to an actor and print its answer
  start        Start a server of a role
  stop         Stop servers; policy does not bring them back
  restart      Restart servers
  scale        Set how many servers a counted role has
  shutdown     Ask a server to end by itself, or stop an actor; policy applies
               afterwards
  connect      Link one server to another
  can          Say whether a server may do something, before it is tried
  audit        Show who did what by which right, and who was refused
  admin        Keys, secrets and grants of the ensemble
  ca           The ensemble's authorities, and the servers' certificates
  package      Gather what a new host needs: its file, what it trusts, its
               servers' certificates and keys
  unpack       Put the content of a package where `up` finds it
  config       The ensemble's file
  completions  Print a completion script
  version      Print the version
  help         Print this message or the help of the given subcommand(s)

Options:
  -h, --help     Print help
  -V, --version  Print version

Options of every command:
      --home <DIR>      The ensemble's directory [default: $ODEON_HOME, else
                        .odeon beside odeon.toml, else ~/.odeon]
      --domain <D>      The domain that completes bare names [default: that of
                        odeon.toml, else /]
      --timeout <TIME>  How long to wait for an answer, such as 250ms, 5s, 2m or
                        1h [default: 5s; 2m where servers start or stop]
      --json            Print JSON: one document, or one line per event

Exit status: 0 done, 1 failed, 2 wrong usage, 3 not authorised, 4 unreachable,
5 timed out. Data goes to standard output, everything else to standard error.

"#]]
    );
}

#[test]
fn the_help_of_up() {
    assert_data_eq!(
        said(&["site", "up", "--help"]),
        str![[r#"
Start the ensemble of odeon.toml: supervisor, registry and every server

Usage: site up [OPTIONS] [DIR]

Arguments:
  [DIR]  The directory of odeon.toml [default: the nearest one above]

Options:
  -d, --detach  Return once every server is ready, leaving the ensemble in the
                background
  -h, --help    Print help

Options of every command:
      --home <DIR>      The ensemble's directory [default: $ODEON_HOME, else
                        .odeon beside odeon.toml, else ~/.odeon]
      --domain <D>      The domain that completes bare names [default: that of
                        odeon.toml, else /]
      --timeout <TIME>  How long to wait for an answer, such as 250ms, 5s, 2m or
                        1h [default: 5s; 2m where servers start or stop]
      --json            Print JSON: one document, or one line per event

"#]]
    );
}

#[test]
fn the_help_of_ask() {
    assert_data_eq!(
        said(&["site", "ask", "--help"]),
        str![[r#"
Send a message to an actor and print its answer

Usage: site ask [OPTIONS] <TARGET> <MARK> [JSON]

Arguments:
  <TARGET>  The actor, as server:actor
  <MARK>    The message: a mark such as greeter/1#set-greeting, or its bare name
  [JSON]    Its arguments, a JSON object [default: {}]

Options:
  -h, --help  Print help

Options of every command:
      --home <DIR>      The ensemble's directory [default: $ODEON_HOME, else
                        .odeon beside odeon.toml, else ~/.odeon]
      --domain <D>      The domain that completes bare names [default: that of
                        odeon.toml, else /]
      --timeout <TIME>  How long to wait for an answer, such as 250ms, 5s, 2m or
                        1h [default: 5s; 2m where servers start or stop]
      --json            Print JSON: one document, or one line per event

An answer `Err` is printed like any other; the exit status is then 1.

"#]]
    );
}

#[test]
fn a_mistyped_command() {
    assert_data_eq!(
        said(&["site", "strat", "web", "web-0"]),
        str![[r#"
error: unrecognized subcommand 'strat'

  tip: some similar subcommands exist: 'status', 'restart', 'start'

Usage: site [OPTIONS] <COMMAND>

For more information, try '--help'.

"#]]
    );
}

#[test]
fn a_selection_that_must_be_said() {
    assert_data_eq!(
        said(&["site", "restart"]),
        str![[r#"
error: the following required arguments were not provided:
  <IDS|--role <ROLE>|--in <DOMAIN>>

Usage: site restart <IDS|--role <ROLE>|--in <DOMAIN>>

For more information, try '--help'.

"#]]
    );
}

fn row(id: &str, role: &str, state: Phase, pid: Option<i32>) -> ServerRow {
    let process = ProcessStatus {
        state,
        state_age_ms: 5,
        pid,
        restarts: 0,
        restart_in_ms: None,
        why: None,
        last_exit: None,
        last_lines: Vec::new(),
    };
    ServerRow {
        id: id.parse().expect("an id"),
        role: role.parse().expect("a role"),
        process,
        uptime_ms: pid.map(|_| 7_530_000),
        listen: vec!["tcp:127.0.0.1:8080".to_owned()],
        origin: StepKind::Start,
    }
}

/// One of each kind.
fn rows() -> Vec<ServerRow> {
    let mut killed = row("web-1@/", "web", Phase::Ready, Some(45));
    killed.process.restarts = 1;
    killed.process.last_exit = Some("killed by signal 9 (SIGKILL)".to_owned());
    let mut waiting = row("web-2@/", "web", Phase::Backoff, None);
    waiting.process.why = Some("exited with code 3".to_owned());
    waiting.process.restart_in_ms = Some(1_250);
    let mut failed = row("db@/eu", "database", Phase::Failed, None);
    failed.listen = Vec::new();
    failed.process.why = Some("5 restarts within 60s, the last one: exited with code 1".to_owned());
    failed.process.last_lines = vec!["opening the journal".to_owned(), "error: no space".to_owned()];
    vec![row("web-0@/", "web", Phase::Ready, Some(44)), killed, waiting, failed]
}

#[test]
fn the_table_of_ps() {
    assert_data_eq!(
        see::ps_table(&rows(), &Domain::root(), usize::MAX),
        str![[r#"
ID      ROLE      STATE    PID  RESTARTS  UPTIME  LISTEN
web-0   web       ready    44   0         2h 5m   tcp:127.0.0.1:8080
web-1   web       ready    45   1         2h 5m   tcp:127.0.0.1:8080
web-2   web       backoff  -    0         -       tcp:127.0.0.1:8080
db@/eu  database  failed   -    0         -       -

web-1: the process before: killed by signal 9 (SIGKILL)
web-2: exited with code 3; again in 1.2s
db@/eu: 5 restarts within 60s, the last one: exited with code 1

last lines of db@/eu:
  opening the journal
  error: no space
"#]]
    );
}

#[test]
fn the_table_of_ps_in_a_narrow_terminal() {
    assert_data_eq!(
        see::ps_table(&rows()[..1], &Domain::root(), 50),
        str![[r#"
ID     ROLE  STATE  PID  RESTARTS  UPTIME  LISTEN
web-0  web   ready  44   0         2h 5m   tcp:12…
"#]]
    );
}

#[test]
fn a_wrong_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("odeon.toml");
    let text = "[roles.web]\nwokers = 2\nlisten = 8080\n\n[roles.wob]\nneeds = [\"wbe\"]\n";
    #[expect(clippy::disallowed_methods, reason = "the test writes a file for the command")]
    std::fs::write(&file, text).expect("written");
    let program = Program { name: "site".to_owned(), version: "1.0.0".to_owned(), roles: Roles::new() };
    let global = Global { home: None, domain: None, timeout: None, json: false };
    let error = config::load(&Context::new(program, global), &file).expect_err("refused").to_string();
    let place = directory.path().to_str().expect("a readable path");
    assert_data_eq!(
        error.replace(place, "DIR"),
        str![[r#"
error[config]: the ensemble's file is refused; nothing was started
error[unknown-key]: unknown key `wokers` in `[roles.web]`
 --> DIR/odeon.toml:2:1
  |
2 | wokers = 2
  | ^^^^^^
  = help: did you mean `workers`?

error[bad-type]: `listen` is a whole number
 --> DIR/odeon.toml:3:10
  |
3 | listen = 8080
  |          ^^^^
  = help: expected a list of strings such as `["a", "b"]`

error[unknown-role]: role `wob` needs `wbe`, which is not described
 --> DIR/odeon.toml:6:10
  |
6 | needs = ["wbe"]
  |          ^^^^^
  = help: did you mean `web`?
"#]]
    );
}

#[test]
fn the_help_of_the_authorities() {
    assert_data_eq!(
        said(&["site", "ca", "--help"]),
        str![[r#"
The ensemble's authorities, and the servers' certificates

Usage: site ca [OPTIONS] <COMMAND>

Commands:
  setup    Make the ensemble's authorities, and the console's certificate with
           `admin`
  cert     Issue a server's certificate with a new key
  renew    Renew certificates: the same names and key, for longer
  revoke   Revoke certificates; servers refuse them once they have loaded the
           new list
  publish  Bring the revocation list of this home to every known server
  view     Show what has been issued, or one certificate, revocation list,
           package or grant
  help     Print this message or the help of the given subcommand(s)

Options:
  -h, --help  Print help

Options of every command:
      --home <DIR>      The ensemble's directory [default: $ODEON_HOME, else
                        .odeon beside odeon.toml, else ~/.odeon]
      --domain <D>      The domain that completes bare names [default: that of
                        odeon.toml, else /]
      --timeout <TIME>  How long to wait for an answer, such as 250ms, 5s, 2m or
                        1h [default: 5s; 2m where servers start or stop]
      --json            Print JSON: one document, or one line per event

"#]]
    );
    assert_data_eq!(
        said(&["site", "ca", "setup", "--help"]),
        str![[r#"
Make the ensemble's authorities, and the console's certificate with `admin`

Usage: site ca setup [OPTIONS]

Options:
      --country <COUNTRY>
          Two letters [default: UN, or as the authority's]
      --organization <ORGANIZATION>
          Who stands behind it [default: Odeon, or as the authority's]
      --location <LOCATION>
          Where that is [default: Internet, or as the authority's]
      --name <NAME>
          What the authorities are called, as in `NAME Root CA` [default: the
          organization]
      --days <DAYS>
          How many days the root is valid; the subordinate at most half of that
          [default: 3650]
      --key <KEY>
          The kind of the keys: ed25519 or p256 [default: ed25519]
      --passphrase-fd <N>
          Read passphrases from this open file descriptor instead of the
          terminal
  -h, --help
          Print help

Options of every command:
      --home <DIR>      The ensemble's directory [default: $ODEON_HOME, else
                        .odeon beside odeon.toml, else ~/.odeon]
      --domain <D>      The domain that completes bare names [default: that of
                        odeon.toml, else /]
      --timeout <TIME>  How long to wait for an answer, such as 250ms, 5s, 2m or
                        1h [default: 5s; 2m where servers start or stop]
      --json            Print JSON: one document, or one line per event

Both authorities' keys are kept under passphrases, which are asked for on the
terminal, twice each. From a file descriptor they are read one line each: first
the root's, then the subordinate's. There is no other way to give them.

"#]]
    );
    assert_data_eq!(
        said(&["site", "ca", "renew", "--help"]),
        str![[r#"
Renew certificates: the same names and key, for longer

Usage: site ca renew [OPTIONS] [SERVER]...

Arguments:
  [SERVER]...  The servers

Options:
      --all                Every server with a certificate in force, whose files
                           are in this home
      --days <DAYS>        How many days they are valid, from now [default: 90]
      --new-key <KEY>      Make new keys as well, of this kind: ed25519 or p256
      --passphrase-fd <N>  Read passphrases from this open file descriptor
                           instead of the terminal
  -h, --help               Print help

Options of every command:
      --home <DIR>      The ensemble's directory [default: $ODEON_HOME, else
                        .odeon beside odeon.toml, else ~/.odeon]
      --domain <D>      The domain that completes bare names [default: that of
                        odeon.toml, else /]
      --timeout <TIME>  How long to wait for an answer, such as 250ms, 5s, 2m or
                        1h [default: 5s; 2m where servers start or stop]
      --json            Print JSON: one document, or one line per event

The subordinate's passphrase is asked for on the terminal. From a file
descriptor it is read as one line. There is no other way to give it.

"#]]
    );
}

#[test]
fn the_certificates_in_force() {
    let issued = |server: &str, days: u64, held: &[&str]| Issued {
        serial: format!("{days:032x}"),
        issued: 1_785_000_000,
        not_after: 1_785_000_000 + days * 86_400,
        revoked: None,
        server: server.parse().expect("an id"),
        capabilities: held.iter().map(|capability| capability.parse().expect("a capability")).collect(),
    };
    let all = [
        issued("console@/", 90, &["admin"]),
        issued("web-0@/shop", 6, &["loader", "watch:cart"]),
        issued("db-0@/", 31, &[]),
    ];
    let all: Vec<&Issued> = all.iter().collect();
    assert_data_eq!(
        certificates::issued_table(&all, 1_785_000_000, usize::MAX),
        str![[r#"
SERVER       MAY                ENDS                                     SERIAL
console@/    admin              2026-10-23T17:20:00Z                     0000000000000000000000000000005a
web-0@/shop  loader watch:cart  ends in 6 days, at 2026-07-31T17:20:00Z  00000000000000000000000000000006
db-0@/       -                  2026-08-25T17:20:00Z                     0000000000000000000000000000001f
"#]]
    );
    assert_data_eq!(certificates::issued_table(&[], 1_785_000_000, usize::MAX), str!["nothing is in force"]);
}

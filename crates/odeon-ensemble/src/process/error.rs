//! What can go wrong between a supervisor and a shim: one error per operation.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::spec::SpecError;

/// A child that was not started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The specification cannot be run.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// As many sockets as names are expected.
    #[error("server {id} names {names} sockets and was given {sockets}")]
    Sockets {
        /// The server.
        id: String,
        /// How many names the specification has.
        names: usize,
        /// How many sockets were passed.
        sockets: usize,
    },
    /// The shim's process could not be started.
    #[error("cannot start the shim of server {id} from `{}`", exe.display())]
    Shim {
        /// The server.
        id: String,
        /// The shim's program.
        exe: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The shim ended or stalled before it answered.
    #[error("the shim of server {id} did not report a start; see `{}`", log.display())]
    NoAnswer {
        /// The server.
        id: String,
        /// The shim's own log.
        log: PathBuf,
        /// What the connection said.
        #[source]
        source: io::Error,
    },
    /// Another shim serves this directory: adopt its child.
    #[error("server {id} already runs under another shim in `{}`", dir.display())]
    Occupied {
        /// The server.
        id: String,
        /// Its directory.
        dir: PathBuf,
    },
    /// The program could not be executed.
    #[error("cannot execute `{}` of server {id}", exe.display())]
    Exec {
        /// The server.
        id: String,
        /// The program.
        exe: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The shim could not prepare the start.
    #[error("the shim of server {id} could not start its child: {reason}")]
    Refused {
        /// The server.
        id: String,
        /// The shim's words.
        reason: String,
    },
}

/// A directory whose child could not be told to be running, ended or absent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// A record cannot be read.
    #[error("cannot read the records in `{}`; if no process of that server runs, remove shim.json and exit.json there", dir.display())]
    Record {
        /// The child's directory.
        dir: PathBuf,
        /// What reading said.
        #[source]
        source: io::Error,
    },
    /// The shim lives and does not answer.
    #[error(
        "the shim of server {id} (process {pid}) does not answer; it may be stopped or its socket removed; kill it to replace the server"
    )]
    Unreachable {
        /// The server.
        id: String,
        /// The shim's process.
        pid: i32,
        /// What the connection said.
        #[source]
        source: io::Error,
    },
}

/// A question that a shim did not answer as it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It could not be asked.
    #[error("the shim of server {id} cannot be reached")]
    Unreachable {
        /// The server.
        id: String,
        /// What the connection said.
        #[source]
        source: io::Error,
    },
    /// It refused.
    #[error("the shim of server {id} refused: {reason}")]
    Refused {
        /// The server.
        id: String,
        /// The shim's words.
        reason: String,
    },
}

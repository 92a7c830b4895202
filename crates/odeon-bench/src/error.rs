//! What can go wrong in a measurement.

use std::{io, path::PathBuf};

use thiserror::Error;

/// The actor is not there any more: the library lost it, which no workload asks for.
#[derive(Debug, Error)]
#[error("the actor stopped answering")]
pub(crate) struct Gone;

/// Why one measurement of one peer failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum JobError {
    /// The peer lost an actor.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The peer answered something else than it was asked.
    #[error("the actor answered {got}, expected {expected}: messages were lost or repeated")]
    Answer {
        /// What the workload implies.
        expected: u64,
        /// What came back.
        got: u64,
    },
    /// The workload is not one that the peer does.
    #[error("the peer does not do {workload}")]
    Unfit {
        /// The workload's name.
        workload: &'static str,
    },
    /// A program waits for a message that does not come.
    #[error("no verdict within {seconds} s: a message was lost")]
    Endless {
        /// How long the driver waited.
        seconds: u64,
    },
    /// The far process ended before it said where it can be reached; it has said why on stderr.
    #[error("the far process ended before it was ready")]
    FarEnd,
    /// The two processes lost each other.
    #[error("the connection between the two processes failed")]
    Link(#[source] io::Error),
    /// A library refused or failed.
    #[error("the library failed: {0}")]
    Library(String),
    /// A producer's task ended without a result.
    #[error("a producer's task panicked")]
    Producer(#[source] tokio::task::JoinError),
    /// The runtime did not start.
    #[error("the runtime did not start")]
    Runtime(#[source] io::Error),
    /// The operating system did not say how much memory is resident.
    #[error("cannot read VmRSS from /proc (Linux only)")]
    Memory(#[source] io::Error),
    /// A directory for the code of a peer in another language could not be made or used.
    #[error("cannot use a temporary directory")]
    Directory(#[source] io::Error),
    /// The process that measures did not start.
    #[error("cannot start the measuring process")]
    ChildStart(#[source] io::Error),
    /// The process that measures failed; it has said why on stderr.
    #[error("the measuring process ended with {0}")]
    ChildEnd(std::process::ExitStatus),
    /// The process that measures printed something else than a sample.
    #[error("the measuring process printed no sample")]
    ChildOutput(#[source] serde_json::Error),
}

/// Why a run failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum BenchError {
    /// One measurement failed.
    #[error("{workload} on {runtime} failed for {peer}")]
    Job {
        /// The workload's name.
        workload: &'static str,
        /// The runtime's label.
        runtime: &'static str,
        /// The peer's name.
        peer: &'static str,
        /// Why.
        #[source]
        source: JobError,
    },
    /// One measurement between two processes failed.
    #[error("{point} on {runtime} failed for {peer}")]
    Remote {
        /// The question and the transport.
        point: String,
        /// The runtime's label.
        runtime: &'static str,
        /// The peer's name.
        peer: &'static str,
        /// Why.
        #[source]
        source: JobError,
    },
    /// The figures could not be written as JSON.
    #[error("the figures could not be written as JSON")]
    Json(#[source] serde_json::Error),
    /// A report could not be written.
    #[error("cannot write {}; check that its directory exists and is writable", path.display())]
    Write {
        /// The file that was named.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The table could not be printed.
    #[error("cannot print to the standard output")]
    Print(#[source] io::Error),
}

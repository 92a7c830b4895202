//! The command line of Odeon, as a library: every program made with `odeon::App` carries all of it.
//!
//! Only this crate knows `clap`, tables and exit codes. It decides nothing about ensembles: each command reads its
//! arguments, asks a server, a supervisor or the registry, and shows the answer. Data goes to standard output,
//! everything else to standard error; `--json` gives one document, or one line per event.

mod args;
mod commands;
mod context;
mod error;
#[cfg(feature = "otlp")]
mod otlp;
mod output;
mod passphrases;
mod program;
mod reach;
mod schema;
#[cfg(test)]
mod snapshots;

pub use program::{Program, run};

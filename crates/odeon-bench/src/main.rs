//! Odeon beside its peers: the same workloads, the same harness, one run, and the ratio between them.
//!
//! Absolute figures drift by a factor of two on shared machines; ratios inside one run do not. So all peers take
//! turns inside every repetition, and the median of the repetitions is shown. The state is one [`session::Plan`]
//! per run; a peer is one file in `peers/` and one row of [`peers::REGISTRY`].

// The macros' output says `::odeon`; actors alone need no more than this crate.
extern crate odeon_actor as odeon;

mod cli;
mod drive;
mod error;
mod figure;
mod host;
mod machine;
mod peers;
mod remote;
mod report;
mod savina;
mod session;
mod stages;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}

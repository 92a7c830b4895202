//! The whole of an ensemble, end to end: the real program in real processes, steered from its command line.
//!
//! Every test has a project of its own, in a directory of its own, at a port that the operating system chose;
//! what it started is gone when it ends, however it ends.

mod authority;
mod certificates;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod configs;
mod crashes;
mod failures;
mod foreground;
mod http;
mod load;
mod refusals;
mod steering;
mod support;

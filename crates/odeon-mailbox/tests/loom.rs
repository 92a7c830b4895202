//! Every interleaving of small cases, by loom; of the largest cases, those with few preemptions. A message that is
//! stranded leaves its model without what it expects; a wake that is lost is a deadlock, which loom reports.
//!
//! ```sh
//! RUSTFLAGS='--cfg loom' cargo test -p odeon-mailbox --release --test loom
//! ```
#![cfg(loom)]

mod models;

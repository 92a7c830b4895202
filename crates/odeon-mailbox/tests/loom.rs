//! Every interleaving of small cases, up to a number of preemptions, by loom: `RUSTFLAGS="--cfg loom" cargo test -p
//! odeon-mailbox --release --test loom`. A message that is stranded leaves its model without what it expects; a wake
//! that is lost is a deadlock, which loom reports.
#![cfg(loom)]

mod models;

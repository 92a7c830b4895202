//! Links between real processes while their network breaks: namespaces with a bridge and packet filters where there is
//! permission to make them, and a forwarder that breaks connections where there is none.
//!
//! In each, what the processes print must show order and no message twice, nothing lost in silence, a loss noticed in
//! bounded time, and healing by itself. The times are printed.

#![expect(clippy::disallowed_methods, reason = "the tests own their clocks, threads and processes")]
#![expect(
    clippy::print_stdout,
    reason = "the processes print what they see, and the tests what they measure"
)]

// The macros' output says `::odeon`; below the facade that is the actor crate.
extern crate odeon_actor as odeon;

mod forwarder;
mod namespaces;
mod network;
mod peers;
mod process;
mod proxy;

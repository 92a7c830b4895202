//! Distributed actors, supervised ensembles of servers, and one command line for both.
//!
//! A program names its roles and gets everything else: a supervisor, a registry, and commands to start, show,
//! steer and stop its servers.
//!
//! ```no_run
//! use odeon::prelude::*;
//!
//! #[derive(Debug, Default)]
//! struct Counter {
//!     n: i64,
//! }
//!
//! /// Counts.
//! #[actor(mark = "counter/1")]
//! impl Counter {
//!     /// Adds, and returns the sum.
//!     #[handle]
//!     fn add(&mut self, by: i64) -> i64 {
//!         self.n += by;
//!         self.n
//!     }
//! }
//!
//! async fn serve(node: Node) -> Result<(), RoleError> {
//!     node.spawn("counter", Counter::default())?;
//!     node.ready().await;
//!     node.shutdown_requested().await;
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     odeon::App::new("counting").role("counter", serve).run()
//! }
//! ```
//!
//! Features: `cli` (default) brings `App` and the `odeon` binary; `ensemble` brings registry, supervisor and
//! configuration; `server` brings actors that reach each other between processes; `testing` brings
//! a kit for tests, `odeon::testing`. Without default features the crate is local actors alone.

// The macros' output says `::odeon`, in this crate's own tests too.
extern crate self as odeon;

#[cfg(feature = "cli")]
mod app;
pub mod prelude;

#[cfg(feature = "cli")]
pub use app::App;
pub use odeon_actor::*;
/// Names, addresses, marks, capabilities, and the seams.
pub use odeon_core as core;
#[cfg(feature = "ensemble")]
pub use odeon_ensemble::{self as ensemble, Node, NodeConfig, NodeError, RoleError, Roles};
#[cfg(feature = "server")]
pub use odeon_server::{self as server, Home, Server, ServerConfig, World};

//! A kit for testing actors: worlds with virtual time and a schedule from a seed, probes, and small helpers.
//!
//! - [`TestWorld`] runs a system on one thread, deterministically; [`explore`] runs a test under many schedules.
//! - [`Probe`] stands for an actor, and shows what it is sent.
//! - [`wait_for`] waits for a condition, [`DeadLetters`] collects what reached nobody.
//!
//! Probes and helpers take time from the clock of their system: they work in a world, under tokio's paused time, and in
//! real time alike.
//!
//! It is there with the feature `testing`, which belongs into `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! odeon = { version = "0.1", features = ["testing"] }
//! ```

mod core;
mod explore;
mod letters;
mod probe;
mod said;
mod seed;
mod stand_in;
mod trace;
mod wait;
mod world;

pub(crate) use self::core::note;
pub use explore::{Explored, explore};
pub use letters::DeadLetters;
pub use probe::{Probe, Received, Stand};
pub use seed::SEED_VARIABLE;
pub use trace::{Event, Trace};
pub use wait::wait_for;
pub use world::{STEPS_MAX_DEFAULT, Spawned, TestWorld};

//! Deterministic simulation of ensembles: network, clock, disk, tasks and faults from one seed.
//!
//! A [`Simulation`] is one world on one thread: a tokio runtime whose clock is paused, a [`Network`] of byte
//! streams with delays, cuts, resets and black holes, and [`Host`]s that give real servers their seams and crash
//! with all their tasks. Everything that happens goes into a [`Trace`]; one seed gives one trace, bit for bit.
//! [`scenario::run`] plays two servers and a registry under the faults of a seed and has [`history::check`] judge
//! what they saw.
//!
//! Nothing of the operating system gets in: no time, thread, socket, file or random state.

// The macros' output says `::odeon`; below the facade that is the actor crate.
extern crate odeon_actor as odeon;

mod actors;
mod clock;
mod disk;
mod fabric;
pub mod faults;
pub mod history;
mod middlebox;
mod net;
mod nodes;
mod path;
mod rng;
pub mod scenario;
mod spawn;
mod stream;
pub mod targets;
mod trace;
mod workload;
mod world;

pub use clock::SimClock;
pub use disk::{FILE_BYTES_MAX, SimDisk};
pub use fabric::{BACKLOG_MAX, WINDOW_BYTES};
pub use net::{Network, Power, SimNet};
pub use path::{Emerges, Mangling, Pace};
pub use rng::SimRng;
pub use spawn::SimSpawn;
pub use trace::{EVENTS_MAX, Keep, Trace};
pub use world::{Host, Simulation};

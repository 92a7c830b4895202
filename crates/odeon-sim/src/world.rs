//! One simulated world: a runtime with a paused clock on one thread, a network, and hosts, all from one seed.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use odeon_core::Instant;
use odeon_core::seam::{Clock, Disk, Net, Rng, Spawn};
use odeon_server::World;

use crate::clock::SimClock;
use crate::disk::SimDisk;
use crate::net::{Network, Power, SimNet};
use crate::rng::SimRng;
use crate::spawn::SimSpawn;
use crate::trace::{Keep, Trace};

/// By how much a host's clock may be ahead when the world begins, in milliseconds.
const AHEAD_MS_MAX: u64 = 3_600_000;

/// By how much a host's idea of the date may be off in either direction, in milliseconds.
const SKEW_MS_MAX: u64 = 600_000;

/// A world. Clones are the same world.
#[derive(Debug, Clone)]
pub struct Simulation {
    began: tokio::time::Instant,
    rng: Arc<SimRng>,
    trace: Trace,
    network: Network,
}

impl Simulation {
    /// Runs `body` in a new world made of `seed` and nothing else.
    ///
    /// # Errors
    /// When the operating system has no room for one more runtime.
    pub fn run<T, F>(seed: u64, keep: Keep, body: impl FnOnce(Self) -> F) -> io::Result<T>
    where
        F: Future<Output = T>,
    {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        Ok(runtime.block_on(async {
            let began = tokio::time::Instant::now();
            let rng = SimRng::new(seed);
            let trace = Trace::new(keep);
            let network = Network::new(began, rng.fork("network"), trace.clone());
            // Goes with the runtime.
            tokio::runtime::Handle::current().spawn(network.clone().run());
            let world = Self { began, rng: Arc::new(rng), trace, network };
            body(world).await
        }))
    }

    /// Boots a host: it has power, no tasks, and `disk`. A host of that name must have crashed before.
    #[must_use]
    pub fn boot(&self, name: &str, disk: &SimDisk) -> Host {
        let name: Arc<str> = name.into();
        self.network.boot(&name);
        let rng = self.rng.fork(&format!("host {name} at {}", self.now().as_nanos()));
        let clock = SimClock::new(self.began, rng.millis(0, AHEAD_MS_MAX));
        let skew = i64::try_from(rng.between(0, 2 * SKEW_MS_MAX)).unwrap_or(0);
        clock.set_skew_ms(skew - SKEW_MS_MAX as i64);
        Host {
            clock: Arc::new(clock),
            spawn: Arc::new(SimSpawn::new(Arc::clone(&name))),
            net: Arc::new(SimNet::new(Arc::clone(&name), self.network.clone())),
            disk: Arc::new(disk.clone()),
            rng: Arc::new(rng),
            network: self.network.clone(),
            name,
        }
    }

    /// The network, and the ways to break it.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// A stream of random numbers for one purpose.
    #[must_use]
    pub fn rng(&self, purpose: &str) -> SimRng {
        self.rng.fork(purpose)
    }

    /// What has happened.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Virtual time since the world began.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    /// Adds an event of the application to the trace.
    pub fn note(&self, host: &str, what: std::fmt::Arguments<'_>) {
        self.trace.record(self.now(), host, what);
    }

    /// Waits in virtual time.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the timer.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// One host in one of its lives, from boot to crash.
#[derive(Debug, Clone)]
pub struct Host {
    name: Arc<str>,
    clock: Arc<SimClock>,
    spawn: Arc<SimSpawn>,
    rng: Arc<SimRng>,
    net: Arc<SimNet>,
    disk: Arc<SimDisk>,
    network: Network,
}

impl Host {
    /// Its name in addresses.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The seams for a server on it.
    #[must_use]
    pub fn world(&self) -> World {
        World {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            spawn: Arc::clone(&self.spawn) as Arc<dyn Spawn>,
            rng: Arc::clone(&self.rng) as Arc<dyn Rng>,
            net: Arc::clone(&self.net) as Arc<dyn Net>,
            disk: Arc::clone(&self.disk) as Arc<dyn Disk>,
        }
    }

    /// Its tasks.
    #[must_use]
    pub const fn tasks(&self) -> &Arc<SimSpawn> {
        &self.spawn
    }

    /// Its clock.
    #[must_use]
    pub const fn clock(&self) -> &Arc<SimClock> {
        &self.clock
    }

    /// Its files.
    #[must_use]
    pub const fn disk(&self) -> &Arc<SimDisk> {
        &self.disk
    }

    /// Ends it: every task and connection is gone at once.
    pub fn crash(&self, power: Power) {
        self.network.crash(&self.name, power);
        self.spawn.crash();
    }
}

//! The scenario's servers: each with a disk that outlives it, and a host per life.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use odeon_actor::{DeadReason, Failure};
use odeon_auth::Cookie;
use odeon_core::seam::{Disk, Spawn, TaskKind};
use odeon_core::{Address, Domain, Epoch, ServerId};
use odeon_ensemble::registry::{REGISTRY, RegistryActor, RegistryActorCalls, RegistryClient};
use odeon_server::{Server, ServerConfig};

use crate::actors::{Worker, WorkerCalls};
use crate::disk::SimDisk;
use crate::history::{Flow, Life, Recorder, What};
use crate::net::Power;
use crate::workload::{Habits, Lane, Place, WORKER, Workload};
use crate::world::Simulation;

/// The servers. The first is the registry.
pub(crate) const NAMES: [&str; 3] = [REGISTRY, "a", "b"];

/// The port of every server.
const PORT: u16 = 7_000;

/// How long a server may take to stop its actors.
const GRACE: Duration = Duration::from_secs(2);

/// How long one attempt of a probe may take, and the pause after it.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
const PROBE_PAUSE: Duration = Duration::from_millis(100);

/// The servers of one run.
pub(crate) struct Nodes {
    world: Simulation,
    pub(crate) load: Workload,
    nodes: [Node; NAMES.len()],
    /// The next number of each flow of probes.
    probes: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Node {
    disk: SimDisk,
    running: Option<Place>,
    /// The host of the present life, or the next one.
    host: Option<String>,
    ghosts: Vec<Place>,
    moves: u32,
}

/// Something that must work again: an ask from one server to another, or a lookup.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    from: usize,
    to: usize,
    by_registry: bool,
}

impl Probe {
    fn what(&self) -> String {
        let way = if self.by_registry { "looks up" } else { "asks" };
        format!("{} {way} {}", NAMES[self.from], NAMES[self.to])
    }
}

fn id(name: &str) -> ServerId {
    ServerId::new(name, Domain::root()).expect("the scenario's names are names")
}

fn address(host: &str) -> Address {
    Address::Tcp(format!("{host}:{PORT}"))
}

impl Nodes {
    pub(crate) fn new(world: Simulation, history: Recorder, habits: Habits) -> Self {
        let load = Workload {
            world: world.clone(),
            history,
            habits,
            watches: Arc::default(),
            quiet: Arc::default(),
        };
        Self { load, world, nodes: Default::default(), probes: BTreeMap::new() }
    }

    /// The host of a server, or the one it had last.
    pub(crate) fn host(&self, node: usize) -> String {
        self.nodes[node].host.clone().unwrap_or_else(|| NAMES[node].to_owned())
    }

    pub(crate) fn disk(&self, node: usize) -> &SimDisk {
        &self.nodes[node].disk
    }

    /// Starts a server in a new life, unless it runs.
    pub(crate) async fn start(&mut self, node: usize) -> Result<(), Failure> {
        if self.nodes[node].running.is_some() {
            return Ok(());
        }
        let epoch = raise_epoch(&self.nodes[node].disk)?;
        let host = self.world.boot(&self.host(node), &self.nodes[node].disk);
        let cookie = Cookie::from_bytes([7; 32]);
        let mut config = ServerConfig::new(id(NAMES[node]), cookie, host.world())
            .epoch(epoch)
            .listen(address(host.name()));
        if node != 0 {
            config = config.known(id(REGISTRY), vec![address(REGISTRY)]);
        }
        let server = Server::start(config).await?;
        let life = Life { server: NAMES[node].to_owned(), epoch: epoch.0 };
        let (history, by) = (self.load.history.clone(), life.clone());
        server.system().on_dead_letter(move |letter| {
            if let DeadReason::MaybeLost { to, .. } = &letter.reason {
                history.record(What::MaybeLost(by.clone(), to.server.name().to_owned()));
            }
        });
        let place = Place { life, server, host };
        if node == 0 {
            let disk = Arc::clone(place.host.disk()) as Arc<dyn Disk>;
            let registry = RegistryActor::new(disk, PathBuf::from("/registry.json"));
            place.server.spawn_named(REGISTRY.parse()?, registry)?;
        } else {
            let client = RegistryClient::new(place.server.clone(), id(REGISTRY));
            client.announce(vec!["worker".parse()?]);
            place.server.set_locator(Arc::new(client));
            let keeping = keep_worker(self.load.clone(), place.clone());
            place.host.tasks().spawn(TaskKind::Service, "keep-worker", Box::pin(keeping));
            for target in NAMES.iter().skip(1).filter(|target| **target != NAMES[node]) {
                self.load.begin(&place, target);
            }
        }
        place.server.set_ready().await;
        self.nodes[node].running = Some(place);
        Ok(())
    }

    /// Crashes a server; whether it ran.
    pub(crate) fn crash(&mut self, node: usize, power: Power) -> bool {
        let running = self.nodes[node].running.take();
        running.inspect(|place| self.gone(place, power)).is_some()
    }

    fn gone(&self, place: &Place, power: Power) {
        place.host.crash(power);
        self.load.history.record(What::Crashed(place.life.clone()));
    }

    /// Makes the running server a ghost: the next life is on another host. Returns the ghost's host.
    pub(crate) fn make_ghost(&mut self, node: usize) -> Option<String> {
        let state = &mut self.nodes[node];
        let place = state.running.take()?;
        let host = place.host.name().to_owned();
        state.ghosts.push(place);
        state.moves += 1;
        state.host = Some(format!("{}-{}", NAMES[node], state.moves));
        Some(host)
    }

    pub(crate) fn end_ghosts(&mut self, node: usize, power: Power) {
        for ghost in std::mem::take(&mut self.nodes[node].ghosts) {
            self.gone(&ghost, power);
        }
    }

    /// Has a server's clock jump ahead and run at this rate, and its date be off by so much.
    pub(crate) fn set_clock(&self, node: usize, jump: Duration, date_ms: i64, rate_ppm: u64) {
        let Some(place) = &self.nodes[node].running else { return };
        let clock = place.host.clock();
        clock.jump(jump);
        clock.set_skew_ms(date_ms);
        clock.set_rate_ppm(rate_ppm);
    }

    /// Has a server's worker end.
    pub(crate) fn quit(&self, node: usize) {
        let Some(place) = &self.nodes[node].running else { return };
        let worker = place.worker_of(NAMES[node]);
        let quitting = async move {
            // Dead already, it need not be told.
            let _ = worker.quit().tell().await;
        };
        place.host.tasks().spawn(TaskKind::Service, "quit", Box::pin(quitting));
    }

    /// What must work within `max` from now on.
    pub(crate) fn probes(&self, max: Duration) -> Vec<Probe> {
        let pairs = [(1, 2), (2, 1)];
        let probes: Vec<_> = pairs
            .into_iter()
            .flat_map(|(from, to)| [true, false].map(|by_registry| Probe { from, to, by_registry }))
            .collect();
        for probe in &probes {
            self.load.history.record(What::Wanted(probe.what(), max));
        }
        probes
    }

    /// Tries once.
    pub(crate) async fn probe(&mut self, probe: &Probe) -> bool {
        let Some(place) = self.nodes[probe.from].running.clone() else { return false };
        let works = if probe.by_registry {
            let registry = RegistryClient::new(place.server.clone(), id(REGISTRY)).handle();
            let found = registry.lookup(id(NAMES[probe.to])).within(PROBE_WITHIN).await;
            let wanted = address(&self.host(probe.to));
            matches!(found, Ok(Ok(entry)) if entry.addresses.contains(&wanted))
        } else {
            let flow = Flow {
                sender: place.life.clone(),
                lane: "probe".to_owned(),
                target: NAMES[probe.to].to_owned(),
            };
            let seq = self.probes.entry(flow.to_string()).or_default();
            let mut lane = Lane {
                worker: place.worker_of(NAMES[probe.to]),
                seq: *seq,
                load: self.load.clone(),
                rng: self.world.rng("probe"),
                flow,
            };
            *seq += 1;
            lane.ask(PROBE_WITHIN).await
        };
        if works {
            self.load.history.record(What::Works(probe.what()));
        } else {
            self.world.sleep(PROBE_PAUSE).await;
        }
        works
    }

    /// Ends every server in order, the registry last, and gives their places back.
    pub(crate) async fn shut_down(&mut self) -> Vec<Place> {
        let mut places = Vec::new();
        for node in (0..NAMES.len()).rev() {
            if let Some(place) = self.nodes[node].running.take() {
                place.server.shutdown(GRACE).await;
                places.push(place);
            }
        }
        places
    }
}

/// Starts the worker, and again whenever it has ended, until all is quiet.
async fn keep_worker(load: Workload, place: Place) {
    while !load.is_quiet() {
        let worker = Worker::new(place.life.clone(), load.history.clone());
        let name = WORKER.parse().expect("`worker` is a name");
        match place.server.spawn_named(name, worker) {
            Ok(handle) => drop(handle.ended().await),
            // The server is over.
            Err(_) => return,
        }
    }
}

fn raise_epoch(disk: &SimDisk) -> io::Result<Epoch> {
    let path = Path::new("/epoch");
    let last = match disk.read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).parse().map_err(io::Error::other)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let epoch: u64 = last + 1;
    disk.replace(path, epoch.to_string().as_bytes())?;
    Ok(Epoch(epoch))
}

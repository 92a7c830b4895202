//! The server: one process' place in an ensemble.

mod admission;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use odeon_actor::{Actor, Handle, Inbox, NameTaken, SpawnOptions, System};
use odeon_auth::{Cookie, TlsContext};
use odeon_core::seam::{Clock, Net, TaskKind};
use odeon_core::{
    ActorId, ActorName, Address, Epoch, Fingerprints, Instant, Reference, Refusal, RefusalCode, ServerId,
};
use tokio::sync::watch;

use crate::addresses::Addresses;
use crate::admin::GrantFiles;
use crate::audit::Audit;
use crate::authority::Authority;
use crate::config::{Limits, Locate, ServerConfig, World};
use crate::control::{ConnectionEntry, ConnectionPage, Control, ControlCalls, ServerStatus};
use crate::grants::Grants;
use crate::link::Link;
use crate::linking::Linking;
use crate::listener::accept;
use crate::metrics::Counters;
use crate::monitors::Monitors;
use crate::os::blocking;
use crate::pauses::Pauses;
use crate::peers::Peers;
use crate::route::ServerRoute;
use crate::secure::{Transport, Turns, refresh};
use crate::strangers::Strangers;

/// Most names with which an unknown one is compared.
const COMPARED_NAMES_MAX: usize = 256;

/// How long the listeners, and then the links, may take to end.
const LINKS_GRACE: Duration = Duration::from_secs(2);

/// One process' place in an ensemble. Cheap to clone: all clones are one server.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    id: ServerId,
    epoch: Epoch,
    cookie: Cookie,
    tls: Option<TlsContext>,
    authority: Authority,
    grants: Mutex<Grants>,
    grant_files: GrantFiles,
    audit: Audit,
    links_begun: AtomicU64,
    limits: Limits,
    fingerprints: Fingerprints,
    world: World,
    system: System,
    started_at: Instant,
    peers: Mutex<Peers>,
    strangers: Strangers,
    turns: Arc<Turns>,
    monitors: Monitors,
    linking: Linking,
    counters: Counters,
    pauses: Pauses,
    known: Mutex<Addresses>,
    locator: OnceLock<Arc<dyn Locate>>,
    addresses: OnceLock<Vec<Address>>,
    control: OnceLock<(Handle<Control>, Arc<dyn Inbox>)>,
    ready: AtomicBool,
    /// Somebody asked for the end.
    shutdown: watch::Sender<bool>,
    /// The end has begun. Listeners and attempts to connect subscribe for as long as they last.
    stopping: watch::Sender<bool>,
    /// How many links run.
    links: watch::Sender<usize>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A `tls:` address, and no certificate.
    #[error("cannot listen at {address}: this server has no certificate; issue one with `ca cert`")]
    NoCertificate {
        /// The address.
        address: Address,
    },
    /// An address could not be bound.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: Address,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// What is kept of grants could not be read.
    #[error("cannot read {}", .path.display())]
    Grants {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file of retractions is not as it was written. Without it, what was retracted would count again.
    #[error(
        "line {line} of {} is not as it was written: restore it from a backup; or remove it and retract again what was, since until then it counts",
        .path.display()
    )]
    Retractions {
        /// The file.
        path: PathBuf,
        /// The first line that makes no sense.
        line: usize,
    },
    /// A file of grants is of an earlier build, which knew grants by other ids.
    #[error("{} was written by an earlier build, whose grants count no longer: remove it, and {again}", .path.display())]
    OldGrants {
        /// The file.
        path: PathBuf,
        /// What is to be done once more.
        again: &'static str,
    },
    /// The file of delegated grants is not as it was written.
    #[error(
        "line {line} of {} is not as it was written: remove it, and authorise again whom `admin grants` lacks",
        .path.display()
    )]
    Delegated {
        /// The file.
        path: PathBuf,
        /// The first line that makes no sense.
        line: usize,
    },
}

impl Server {
    /// Starts a server: binds every address first, or none.
    ///
    /// # Errors
    /// When an address cannot be bound, or is a `tls:` one and there is no certificate; those bound before are free
    /// again.
    pub async fn start(config: ServerConfig) -> Result<Self, StartError> {
        let ServerConfig {
            id,
            epoch,
            cookie,
            tls,
            listen,
            known,
            authority,
            limits,
            reply_timeout,
            fingerprints,
            world,
        } = config;
        let mut listeners = Vec::new();
        for address in listen {
            if tls.is_none() && Transport::of(&address) == Transport::Tls {
                return Err(StartError::NoCertificate { address });
            }
            match world.net.listen(&address).await {
                Ok(listener) => listeners.push(listener),
                Err(source) => return Err(StartError::Listen { address, source }),
            }
        }
        let system = System::with(Arc::clone(&world.clock), Arc::clone(&world.spawn));
        system.set_reply_timeout(reply_timeout);
        let known = Addresses::new(known, limits.address_cache_ttl);
        let turns = Turns::new(limits.handshakes_at_once.unwrap_or_else(|| world.spawn.threads() / 2));
        let server = Self(Arc::new(Inner {
            id,
            epoch,
            cookie,
            grants: Mutex::default(),
            grant_files: GrantFiles::default(),
            audit: Audit::new(Arc::clone(&world.disk), authority.directory.as_deref()),
            links_begun: AtomicU64::new(0),
            tls,
            authority,
            limits,
            fingerprints,
            system,
            started_at: world.clock.now(),
            world,
            peers: Mutex::default(),
            strangers: Strangers::default(),
            turns,
            monitors: Monitors::default(),
            linking: Linking::default(),
            counters: Counters::default(),
            pauses: Pauses::default(),
            known: Mutex::new(known),
            locator: OnceLock::new(),
            addresses: OnceLock::new(),
            control: OnceLock::new(),
            ready: AtomicBool::new(false),
            shutdown: watch::Sender::new(false),
            stopping: watch::Sender::new(false),
            links: watch::Sender::new(0),
        }));
        server.load_grants()?;
        server.start_control();
        server.start_audit();
        server.system().set_route(Arc::new(ServerRoute::new(server.clone())));
        let _ = server.0.addresses.set(listeners.iter().map(|listener| listener.address()).collect());
        for listener in listeners {
            let accepting = accept(server.clone(), listener, server.0.stopping.subscribe());
            server.system().tasks().spawn(TaskKind::Listener, "listener", Box::pin(accepting));
        }
        if let Some(context) = server.0.tls.clone() {
            let refreshing = refresh(server.clone(), context);
            server.spawn_service("certificates", async move |_| refreshing.await);
        }
        Ok(server)
    }

    fn start_control(&self) {
        let handle = self.system().spawn(Control::new(self.clone()));
        let ActorId::Number(number) = handle.id() else {
            return;
        };
        if let Some(inbox) = self.system().inbox_by_number(number) {
            let _ = self.0.control.set((handle, inbox));
        }
    }

    fn start_audit(&self) {
        if !self.0.audit.has_file() {
            return;
        }
        let server = self.clone();
        let mut stopping = self.stopping();
        self.spawn_service("audit", async move |_| {
            loop {
                let is_over = tokio::select! {
                    biased;
                    _ = stopping.wait_for(|stopping| *stopping) => true,
                    () = server.audit().wait() => false,
                };
                blocking(|| server.audit().flush());
                if is_over {
                    break;
                }
            }
        });
    }

    /// Who the server is.
    #[must_use]
    pub fn id(&self) -> &ServerId {
        &self.0.id
    }

    /// Which incarnation of it.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.epoch
    }

    /// Where it listens; ports are resolved.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        self.0.addresses.get().map_or(&[], Vec::as_slice)
    }

    /// Its actors.
    #[must_use]
    pub fn system(&self) -> &System {
        &self.0.system
    }

    /// Starts an actor that is reached by number only.
    pub fn spawn<A: Actor>(&self, actor: A) -> Handle<A> {
        self.system().spawn(actor)
    }

    /// Starts an actor under a name.
    ///
    /// # Errors
    /// When another actor has the name.
    pub fn spawn_named<A: Actor>(&self, name: ActorName, actor: A) -> Result<Handle<A>, NameTaken> {
        self.system().spawn_with(SpawnOptions::named(name), actor)
    }

    /// A handle to the actor meant by `reference`, here or on another server. Nothing is sent: naming a server
    /// is enough to reach it, and whether the actor exists shows at the first call.
    #[must_use]
    pub fn actor<A: Actor>(&self, reference: Reference) -> Handle<A> {
        if reference.server == self.0.id
            && let ActorId::Name(name) = &reference.actor
            && let Some(handle) = self.system().lookup(name)
        {
            return handle;
        }
        Handle::remote(reference, Arc::new(ServerRoute::new(self.clone())))
    }

    /// Remembers where a server is; what was known of it before is forgotten.
    pub fn know(&self, server: ServerId, addresses: Vec<Address>) {
        self.pauses().forget(&server);
        self.addresses_known().know(server, addresses);
    }

    /// The servers whose addresses were said beforehand, by [`know`](Self::know) or in the configuration; these are
    /// never looked up.
    #[must_use]
    pub fn known_servers(&self) -> BTreeMap<ServerId, Vec<Address>> {
        self.addresses_known().all_known().clone()
    }

    /// How long an address that was looked up is believed.
    #[must_use]
    pub fn address_cache_ttl(&self) -> Duration {
        self.addresses_known().ttl()
    }

    /// Sets how long an address that was looked up is believed, also for what has been looked up already.
    pub fn set_address_cache_ttl(&self, ttl: Duration) {
        self.addresses_known().set_ttl(ttl);
    }

    /// Says where servers are that this one does not know. Once; a second locator is ignored.
    pub fn set_locator(&self, locator: Arc<dyn Locate>) {
        let _ = self.0.locator.set(locator);
    }

    /// Says that the server is ready to work: whoever waits for it is told.
    pub async fn set_ready(&self) {
        self.0.ready.store(true, Ordering::Release);
        if let Some((control, _)) = self.0.control.get() {
            // Only a server that is over has no control plane, and then nobody waits.
            let _ = control.now_ready().tell().await;
        }
    }

    /// Whether the server has said that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    /// Asks for the server's end, from anywhere. Whoever runs the server sees it by
    /// [`shutdown_requested`](Self::shutdown_requested) and calls [`shutdown`](Self::shutdown).
    pub fn request_shutdown(&self) {
        self.0.shutdown.send_replace(true);
    }

    /// Ready once somebody has asked for the server's end.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn shutdown_requested(&self) {
        // The sender lives in `self`.
        let _ = self.0.shutdown.subscribe().wait_for(|asked| *asked).await;
    }

    /// Ends the server: listeners close, actors stop (those that do not within `grace` are killed), links say
    /// good-bye.
    ///
    /// # Cancel safety
    /// Dropped half way, what has ended stays ended; call it again.
    pub async fn shutdown(&self, grace: Duration) {
        self.request_shutdown();
        self.0.stopping.send_replace(true);
        self.within_links_grace(self.0.stopping.closed()).await;
        self.system().shutdown(grace).await;
        let links = self.peers().all();
        for link in links.into_iter().chain(self.strangers().all()) {
            link.close("the server is stopping");
        }
        let mut links = self.0.links.subscribe();
        self.within_links_grace(links.wait_for(|links| *links == 0)).await;
        blocking(|| self.audit().flush());
        self.system().close();
    }

    async fn within_links_grace<T>(&self, ended: impl Future<Output = T>) {
        tokio::select! {
            biased;
            _ = ended => {}
            () = self.clock().sleep_until(self.clock().now() + LINKS_GRACE) => {}
        }
    }

    /// The links, by server.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionEntry> {
        entries(&self.peers().all())
    }

    /// The links to the next servers after one, to at most so many; which servers those are is one page.
    pub(crate) fn connections_after(&self, after: Option<&ServerId>, servers: usize) -> ConnectionPage {
        let (links, next) = self.peers().after(after, servers);
        ConnectionPage { connections: entries(&links), next }
    }

    /// What the server says of itself.
    #[must_use]
    pub fn status(&self) -> ServerStatus {
        let uptime = self.clock().now() - self.0.started_at;
        ServerStatus {
            server: self.id().clone(),
            epoch: self.epoch(),
            pid: std::process::id(),
            ready: self.is_ready(),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            addresses: self.addresses().to_vec(),
            actors: self.system().live() as u64,
            links: self.peers().count() as u64,
            dead_letters: self.system().dead_letters(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// An actor of this server, its type erased; 0 is the server itself.
    ///
    /// # Errors
    /// [`RefusalCode::UnknownActor`], naming a near miss.
    pub fn local_inbox(&self, actor: &ActorId) -> Result<Arc<dyn Inbox>, Refusal> {
        self.find_inbox(actor).ok_or_else(|| self.unknown(actor, true))
    }

    /// The same, for whoever hears of it or not.
    pub(crate) fn find_inbox(&self, actor: &ActorId) -> Option<Arc<dyn Inbox>> {
        match actor {
            ActorId::Number(0) => self.0.control.get().map(|(_, inbox)| Arc::clone(inbox)),
            ActorId::Number(number) => self.system().inbox_by_number(*number),
            ActorId::NumberOf(number, epoch) if *epoch == self.epoch() => {
                self.find_inbox(&ActorId::Number(*number))
            }
            ActorId::NumberOf(..) => None,
            ActorId::Name(name) => self.system().inbox(name),
        }
    }

    /// That there is no such actor; with a near miss, if anybody reads it. The comparison is work that a peer causes,
    /// so there is a limit to it.
    pub(crate) fn unknown(&self, actor: &ActorId, is_read: bool) -> Refusal {
        let near = match actor {
            ActorId::NumberOf(number, epoch) if *epoch != self.epoch() => {
                let detail = format!(
                    "{} is incarnation {} by now: actor {number} of incarnation {epoch} is gone",
                    self.id(),
                    self.epoch()
                );
                return Refusal::new(RefusalCode::StaleNumber, detail);
            }
            ActorId::Name(name) if is_read => {
                let (compared, _) = self.system().registered_after(None, COMPARED_NAMES_MAX);
                let names = compared.iter().map(|actor| actor.name.as_str());
                odeon_core::suggest(name.as_str(), names).map(|near| format!("; {near}"))
            }
            _ => None,
        };
        let detail = format!("{} has no actor `{actor}`{}", self.id(), near.unwrap_or_default());
        Refusal::new(RefusalCode::UnknownActor, detail)
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.world.clock
    }

    /// The seams the server stands on.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.0.world
    }

    pub(crate) fn net(&self) -> &Arc<dyn Net> {
        &self.0.world.net
    }

    pub(crate) fn fingerprints(&self) -> &Fingerprints {
        &self.0.fingerprints
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn tls(&self) -> Option<&TlsContext> {
        self.0.tls.as_ref()
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    pub(crate) fn grants(&self) -> MutexGuard<'_, Grants> {
        lock(&self.0.grants)
    }

    pub(crate) fn grant_files(&self) -> &GrantFiles {
        &self.0.grant_files
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.0.audit
    }

    pub(crate) fn next_link(&self) -> u64 {
        self.0.links_begun.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether the actor of that number is the server itself.
    pub(crate) fn is_control(&self, number: u64) -> bool {
        self.0.control.get().is_some_and(|(_, inbox)| inbox.number() == number)
    }

    pub(crate) fn locator(&self) -> Option<&Arc<dyn Locate>> {
        self.0.locator.get()
    }

    pub(crate) fn addresses_known(&self) -> MutexGuard<'_, Addresses> {
        lock(&self.0.known)
    }

    pub(crate) fn monitors(&self) -> &Monitors {
        &self.0.monitors
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    pub(crate) fn started_at(&self) -> Instant {
        self.0.started_at
    }

    pub(crate) fn linking(&self) -> &Linking {
        &self.0.linking
    }

    pub(crate) fn pauses(&self) -> &Pauses {
        &self.0.pauses
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    pub(crate) fn strangers(&self) -> &Strangers {
        &self.0.strangers
    }

    pub(crate) fn turns(&self) -> &Arc<Turns> {
        &self.0.turns
    }

    pub(crate) fn peers(&self) -> MutexGuard<'_, Peers> {
        lock(&self.0.peers)
    }

    pub(crate) fn spawn_link(&self, link: impl Future<Output = ()> + Send + 'static) {
        self.0.links.send_modify(|links| *links += 1);
        self.system().tasks().spawn(TaskKind::Link, "link", Box::pin(link));
    }

    /// Runs something for the server beside its actors.
    pub(crate) fn spawn_service<F, T>(&self, name: &'static str, service: F)
    where
        F: FnOnce(Arc<dyn Clock>) -> T,
        T: Future<Output = ()> + Send + 'static,
    {
        let service = service(Arc::clone(self.clock()));
        self.system().tasks().spawn(TaskKind::Service, name, Box::pin(service));
    }
}

/// The open links as rows of a list.
fn entries(links: &[Arc<Link>]) -> Vec<ConnectionEntry> {
    links.iter().filter(|link| link.is_open()).filter_map(|link| link.entry()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("id", self.id()).field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

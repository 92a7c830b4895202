//! What a server is started with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use odeon_actor::{TokioClock, TokioSpawn};
use odeon_auth::{Cookie, TlsContext};
use odeon_core::limits::{ADDRESS_CACHE_TTL, FRAME_BYTES_MAX, HANDSHAKE_TIMEOUT, REPLY_TIMEOUT_DEFAULT};
use odeon_core::seam::{BoxFuture, Clock, Disk, Net, Rng, Spawn};
use odeon_core::{Address, Domain, Epoch, Fingerprints, HostId, ServerId};
use odeon_wire::{IDLE_AFTER, OUTBOUND_BYTES_MAX};

use crate::authority::Authority;
use crate::defaults::ServerDefaults;
use crate::os::{OsDisk, OsNet, OsRng};

/// The seams a server stands on.
#[derive(Debug, Clone)]
pub struct World {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Tasks.
    pub spawn: Arc<dyn Spawn>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// Network.
    pub net: Arc<dyn Net>,
    /// Files.
    pub disk: Arc<dyn Disk>,
}

impl World {
    /// The real one: tokio and the operating system of the host with this id.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn real(host: HostId) -> Self {
        Self {
            clock: Arc::new(TokioClock::new()),
            spawn: Arc::new(TokioSpawn::current()),
            rng: Arc::new(OsRng),
            net: Arc::new(OsNet::new(host)),
            disk: Arc::new(OsDisk),
        }
    }
}

/// Where servers are, when the server itself does not know: a registry, for instance.
pub trait Locate: fmt::Debug + Send + Sync + 'static {
    /// The addresses of `server`, or a sentence that says why there are none.
    fn locate<'a>(&'a self, server: &'a ServerId) -> BoxFuture<'a, Result<Vec<Address>, String>>;
}

/// The limits of one server. The defaults suit a host with thousands of peers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest frame on a link, in bytes.
    pub frame_bytes_max: usize,
    /// Most bytes that wait on one link for a peer to read them. A message beyond waits with its sender; a peer
    /// that leaves more answers than this unread, and 1 MiB, loses the link.
    pub outbound_bytes_max: usize,
    /// Time for a handshake.
    pub handshake_timeout: Duration,
    /// Most connections that have not proven themselves. When one more comes, one of the address from which there are
    /// most goes, the oldest of them: a handshake takes milliseconds, so whoever has waited longest is the least
    /// likely to be honest.
    pub handshakes_max: usize,
    /// Most of them from one address, or one IPv6 network of 64 bits; unix sockets do not count. When one more comes,
    /// the oldest of that address goes, so nobody can take all places.
    pub handshakes_per_source_max: usize,
    /// How many handshakes of TLS compute at once; the others wait in order of arrival, their addresses in turn. By
    /// default half of the threads, and at least one: some are always left to the links that stand.
    pub handshakes_at_once: Option<usize>,
    /// Most links.
    pub links_max: usize,
    /// Most links with one peer: each side may have connected, and the old may not have noticed its end.
    pub links_per_peer_max: usize,
    /// How long a link may carry nothing, with nothing open, before it is closed. The next message makes a new one.
    pub link_idle_after: Duration,
    /// How long a looked-up address is believed.
    pub address_cache_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_MAX,
            outbound_bytes_max: OUTBOUND_BYTES_MAX,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            handshakes_max: 512,
            handshakes_per_source_max: 256,
            handshakes_at_once: None,
            links_max: 4_096,
            links_per_peer_max: 4,
            link_idle_after: IDLE_AFTER,
            address_cache_ttl: ADDRESS_CACHE_TTL,
        }
    }
}

/// What a server is started with.
#[derive(Debug)]
pub struct ServerConfig {
    /// Who it is.
    pub id: ServerId,
    /// Which incarnation; 0 for a transient server with a random id.
    pub epoch: Epoch,
    /// The ensemble's secret.
    pub cookie: Cookie,
    /// Its certificate, what it trusts, and whom it does not trust any more; without one there is no `tls:`.
    pub tls: Option<TlsContext>,
    /// Where it listens; nowhere, for a transient server.
    pub listen: Vec<Address>,
    /// Servers whose addresses are known beforehand.
    pub known: BTreeMap<ServerId, Vec<Address>>,
    /// Who may do what.
    pub authority: Authority,
    /// The limits.
    pub limits: Limits,
    /// How long its actors' asks wait when they do not say.
    pub reply_timeout: Duration,
    /// By what it knows message types that can travel without names.
    pub fingerprints: Fingerprints,
    /// The seams.
    pub world: World,
}

impl ServerConfig {
    /// A transient server in `world`, that listens nowhere.
    #[must_use]
    pub fn new(id: ServerId, cookie: Cookie, world: World) -> Self {
        Self {
            id,
            epoch: Epoch(0),
            cookie,
            tls: None,
            listen: Vec::new(),
            known: BTreeMap::new(),
            authority: Authority::default(),
            limits: Limits::default(),
            reply_timeout: REPLY_TIMEOUT_DEFAULT,
            fingerprints: Fingerprints::linked(),
            world,
        }
    }

    /// A server that nobody will look for by name: its id is `transient-` and 128 random bits.
    ///
    /// # Panics
    /// Never: the id is well-formed.
    #[must_use]
    pub fn transient(domain: &Domain, cookie: Cookie, world: World) -> Self {
        let id = ServerId::transient("transient", domain, &*world.rng).expect("a short prefix makes a name");
        Self::new(id, cookie, world)
    }

    /// With what `defaults` hold at this moment: the known servers that this configuration does not name itself, how
    /// long asks wait, and how long looked-up addresses are believed.
    #[must_use]
    pub fn with_defaults(mut self, defaults: &ServerDefaults) -> Self {
        defaults.apply(&mut self);
        self
    }

    /// Knowing other message types than those its program links: [`Fingerprints::none`] has everything travel with
    /// its names.
    #[must_use]
    pub fn fingerprints(mut self, fingerprints: Fingerprints) -> Self {
        self.fingerprints = fingerprints;
        self
    }

    /// In this incarnation.
    #[must_use]
    pub const fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = epoch;
        self
    }

    /// With this certificate. It must be the server's own, or no peer will believe it.
    #[must_use]
    pub fn tls(mut self, tls: TlsContext) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Listening at `address` too.
    #[must_use]
    pub fn listen(mut self, address: Address) -> Self {
        self.listen.push(address);
        self
    }

    /// Knowing that `server` is at `addresses`.
    #[must_use]
    pub fn known(mut self, server: ServerId, addresses: Vec<Address>) -> Self {
        self.known.insert(server, addresses);
        self
    }
}

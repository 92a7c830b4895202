//! Servers over a network and disks in memory, so that time can be virtual.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use odeon_actor::{TokioClock, TokioSpawn};
use odeon_auth::Cookie;
use odeon_core::seam::{BoxFuture, Connection, Disk, Listener, Net, PeerCredentials};
use odeon_core::{Address, Domain, Epoch, Fingerprints, ServerId};
use odeon_ensemble::registry::{REGISTRY, RegistryActor, RegistryClient};
use odeon_server::{OsRng, Server, ServerConfig, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::{mpsc, watch};

/// Bytes under way in one direction of a connection.
const PIPE_BYTES: usize = 64 * 1024;

/// Within this time a server has noticed that a link is dead and has another one.
pub(crate) const LINK_LOST_MAX: Duration = Duration::from_secs(60);

/// One network, and the disks.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    network: Arc<Network>,
    disks: Mutex<BTreeMap<String, Arc<MemDisk>>>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A server on a host of its own name that looks others up in the registry.
    pub(crate) async fn server(&self, name: &str, epoch: u64) -> (Server, RegistryClient) {
        self.server_of(name, epoch, Fingerprints::linked()).await
    }

    /// The same of a build that knows these types.
    pub(crate) async fn server_of(
        &self,
        name: &str,
        epoch: u64,
        types: Fingerprints,
    ) -> (Server, RegistryClient) {
        let world = World {
            clock: Arc::new(TokioClock::new()),
            spawn: Arc::new(TokioSpawn::current()),
            rng: Arc::new(OsRng),
            net: Arc::new(MemNet { host: name.to_owned(), network: Arc::clone(&self.network) }),
            disk: self.disk(name),
        };
        let mut config = ServerConfig::new(id(name), Cookie::from_bytes([7; 32]), world)
            .epoch(Epoch(epoch))
            .fingerprints(types)
            .listen(address(name));
        if name != REGISTRY {
            config = config.known(id(REGISTRY), vec![address(REGISTRY)]);
        }
        let server = Server::start(config).await.expect("starts");
        let client = RegistryClient::new(server.clone(), id(REGISTRY));
        server.set_locator(Arc::new(client.clone()));
        (server, client)
    }

    /// The registry on a disk of that name.
    pub(crate) async fn registry(&self, disk: &str) -> (Server, RegistryClient) {
        // Each life is a later incarnation.
        let epoch = self.network.lives.lock().map_or(1, |mut lives| {
            *lives += 1;
            *lives
        });
        let (server, client) = self.server(REGISTRY, epoch).await;
        let actor = RegistryActor::new(self.disk(disk), "/registry.json".into());
        let name = REGISTRY.parse().expect("a name");
        let _ = server.spawn_named(name, actor).expect("nobody has the name");
        (server, client)
    }

    pub(crate) fn disk(&self, name: &str) -> Arc<MemDisk> {
        Arc::clone(lock(&self.disks).entry(name.to_owned()).or_default())
    }

    /// Nothing gets to or from the host any more, and nobody is told.
    pub(crate) fn cut(&self, host: &str) {
        self.network.cut.send_if_modified(|cut| cut.insert(host.to_owned()));
    }

    /// What waited gets there.
    pub(crate) fn mend(&self, host: &str) {
        self.network.cut.send_if_modified(|cut| cut.remove(host));
    }

    /// Lets virtual time pass.
    pub(crate) async fn wait_virtually(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

pub(crate) fn id(name: &str) -> ServerId {
    ServerId::new(name, Domain::root()).expect("a name")
}

fn address(host: &str) -> Address {
    Address::Tcp(format!("{host}:7000"))
}

#[derive(Debug, Default)]
struct Network {
    listening: Mutex<BTreeMap<Address, mpsc::Sender<Connection>>>,
    cut: watch::Sender<BTreeSet<String>>,
    lives: Mutex<u64>,
}

/// The network as one host sees it.
#[derive(Debug)]
struct MemNet {
    host: String,
    network: Arc<Network>,
}

impl Net for MemNet {
    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let there = lock(&self.network.listening).get(address).cloned();
            let there = there.ok_or(io::ErrorKind::ConnectionRefused)?;
            let hosts = [self.host.clone(), host_of(address)];
            until_joined(&mut self.network.cut.subscribe(), &hosts).await;
            let (near, far) = self.network.wire(hosts);
            let connection = |stream: DuplexStream, remote: &str| Connection {
                stream: Box::new(stream),
                // As over tcp: nobody vouches for anybody.
                credentials: PeerCredentials::default(),
                remote: remote.to_owned(),
            };
            there.send(connection(far, &self.host)).await.map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(connection(near, &address.to_string()))
        })
    }

    fn listen<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let (sender, incoming) = mpsc::channel(16);
            lock(&self.network.listening).insert(address.clone(), sender);
            Ok(Box::new(MemListener { address: address.clone(), incoming }) as Box<dyn Listener>)
        })
    }
}

impl Network {
    /// The two ends of a connection that carries nothing while one of the hosts is cut off.
    fn wire(&self, hosts: [String; 2]) -> (DuplexStream, DuplexStream) {
        let ((near, left), (right, far)) = (duplex(PIPE_BYTES), duplex(PIPE_BYTES));
        let ((left_in, left_out), (right_in, right_out)) = (split(left), split(right));
        for (from, to) in [(left_in, right_out), (right_in, left_out)] {
            let (cut, hosts) = (self.cut.subscribe(), hosts.clone());
            tokio::spawn(carry(from, to, cut, hosts));
        }
        (near, far)
    }
}

/// Carries bytes one way, as long as neither host is cut off.
async fn carry(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    mut cut: watch::Receiver<BTreeSet<String>>,
    hosts: [String; 2],
) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        until_joined(&mut cut, &hosts).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    // The end of the stream arrives like anything else.
    until_joined(&mut cut, &hosts).await;
    let _ = to.shutdown().await;
}

async fn until_joined(cut: &mut watch::Receiver<BTreeSet<String>>, hosts: &[String; 2]) {
    // The network outlives whoever uses it.
    let _ = cut.wait_for(|cut| !hosts.iter().any(|host| cut.contains(host))).await;
}

fn host_of(address: &Address) -> String {
    match address {
        Address::Tcp(host_port) => host_port.rsplit_once(':').map_or("", |(host, _)| host).to_owned(),
        other => panic!("{other} is not of this network"),
    }
}

#[derive(Debug)]
struct MemListener {
    address: Address,
    incoming: mpsc::Receiver<Connection>,
}

impl Listener for MemListener {
    fn address(&self) -> Address {
        self.address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async { self.incoming.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into()) })
    }
}

/// A disk with room for one file.
#[derive(Debug, Default)]
pub(crate) struct MemDisk {
    state: Mutex<(Option<Vec<u8>>, bool)>,
}

impl MemDisk {
    pub(crate) fn put(&self, bytes: &[u8]) {
        lock(&self.state).0 = Some(bytes.to_vec());
    }

    pub(crate) fn content(&self) -> Option<Vec<u8>> {
        lock(&self.state).0.clone()
    }

    /// Whether the disk has no room.
    pub(crate) fn fill(&self, full: bool) {
        lock(&self.state).1 = full;
    }
}

impl Disk for MemDisk {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        self.content().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn replace(&self, _: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.0 = Some(bytes.to_vec());
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

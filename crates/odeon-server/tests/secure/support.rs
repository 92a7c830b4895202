//! An ensemble's home with authorities, and servers with certificates.

use std::path::Path;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use odeon_actor::{Cx, actor};
use odeon_auth::ca::{CaFiles, CaOptions, CertificateAuthority, Issuer, ServerFiles, ServerOrder, Target};
use odeon_auth::{Cookie, Existing, Passphrase, TlsContext, TlsFiles};
use odeon_core::{Address, Epoch, Reference, ServerId};
use odeon_server::{Home, Limits, OsRng, Server, ServerConfig, World};
use odeon_wire::{Hello, LINK_WINDOW_BYTES, MAGIC, VERSION_MAX, VERSION_MIN, Windows};
use zeroize::Zeroizing;

pub(crate) use crate::common::wait_until;

/// No condition needs a tenth of this; a hang becomes a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Default)]
pub(crate) struct Echo;

/// Says it back.
#[actor(mark = "echo/1")]
impl Echo {
    /// Says it back.
    #[handle]
    fn say(&self, text: String) -> String {
        text
    }

    /// Who asks?
    #[handle]
    fn whoami(&self, cx: &mut Cx<Self>) -> String {
        cx.sender().server().map_or_else(String::new, ToString::to_string)
    }
}

pub(crate) fn id(text: &str) -> ServerId {
    text.parse().expect("a server id")
}

pub(crate) fn tls(port: u16) -> Address {
    format!("tls:127.0.0.1:{port}").parse().expect("an address")
}

pub(crate) fn at(server: &ServerId, actor: &str) -> Reference {
    Reference::new(server.clone(), actor.parse().expect("an actor"))
}

pub(crate) fn words() -> Passphrase {
    Passphrase::new(Zeroizing::new("the words of a test".to_owned())).expect("long enough")
}

pub(crate) fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Authorities, and certificates of these servers, made once: each scrypt takes half a second.
static AUTHORITIES: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    make_authorities(directory.path());
    let home = Home::open(directory.path()).expect("a home");
    certify(&home, &["a@/", "b@/", "b@/h2", "c@/", "console@/"]);
    directory
});

fn make_authorities(home: &Path) {
    let ca = CertificateAuthority::new(CaFiles::below(home), &OsRng, unix_now());
    ca.generate_root(&words(), &CaOptions::default()).expect("a root");
    ca.generate_sub(&words(), &words(), &CaOptions::default()).expect("a subordinate");
    ca.generate_ca_files(Existing::Keep).expect("files");
}

fn operator<T>(home: &Home, act: impl FnOnce(&mut Issuer<'_>) -> T) -> T {
    let ca = CertificateAuthority::new(CaFiles::below(home.root()), &OsRng, unix_now());
    act(&mut ca.unlock(&words()).expect("unlocked"))
}

fn certify(home: &Home, servers: &[&str]) {
    operator(home, |issuer| {
        for server in servers {
            let order = ServerOrder::new(id(server), Default::default());
            let place = ServerFiles::below(&home.server(&id(server)));
            issuer.issue(&order, &place, Existing::Keep).expect("issued");
        }
    });
}

pub(crate) fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let (from, to) = {
            let entry = entry.expect("an entry");
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() {
            copy_all(&from, &to)
        } else {
            std::fs::copy(&from, &to).map(|_| ()).expect("copied")
        }
    }
}

/// A home with its own copy of all that, and a clock for certificates that a test can move.
pub(crate) struct Site {
    _directory: tempfile::TempDir,
    pub(crate) home: Home,
    pub(crate) seconds_ahead: Arc<AtomicU64>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        copy_all(AUTHORITIES.path(), directory.path());
        let home = Home::open(directory.path()).expect("a home");
        Self { _directory: directory, home, seconds_ahead: Arc::default() }
    }

    /// One whose authorities are its own.
    pub(crate) fn other() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        make_authorities(directory.path());
        let home = Home::open(directory.path()).expect("a home");
        certify(&home, &["a@/"]);
        Self { _directory: directory, home, seconds_ahead: Arc::default() }
    }

    /// Has the subordinate do something.
    pub(crate) fn operator<T>(&self, act: impl FnOnce(&mut Issuer<'_>) -> T) -> T {
        operator(&self.home, act)
    }

    pub(crate) fn revoke(&self, server: &str) {
        self.operator(|issuer| issuer.revoke(&Target::Server(id(server))).expect("revoked"));
    }

    /// The certificate of `server`.
    pub(crate) fn context(&self, server: &str) -> TlsContext {
        let ahead = Arc::clone(&self.seconds_ahead);
        let files = TlsFiles::of(self.home.root(), &self.home.server(&id(server)));
        TlsContext::load(&files, move || unix_now() + ahead.load(Ordering::Relaxed)).expect("loaded")
    }

    pub(crate) fn world(&self) -> World {
        World::real(self.home.host().clone())
    }

    /// A server with a certificate and a cookie that nobody else has.
    pub(crate) fn config(&self, server: &str) -> ServerConfig {
        let mut cookie = [0; 32];
        odeon_core::seam::Rng::fill(&OsRng, &mut cookie);
        ServerConfig::new(id(server), Cookie::from_bytes(cookie), self.world()).tls(self.context(server))
    }

    /// A server with an echo, listening at any port.
    pub(crate) async fn listener(&self, server: &str, limits: Limits) -> Server {
        let mut config = self.config(server).epoch(Epoch(1)).listen(tls(0));
        config.limits = limits;
        let server = Server::start(config).await.expect("starts");
        server.spawn_named("echo".parse().expect("a name"), Echo).expect("registered");
        server
    }

    /// A server that listens nowhere and knows where `peer` is.
    pub(crate) async fn client(&self, server: &str, peer: &Server) -> Server {
        let config = self.config(server).known(peer.id().clone(), peer.addresses().to_vec());
        Server::start(config).await.expect("starts")
    }
}

/// What `client` hears when it asks `peer`.
pub(crate) async fn ask(client: &Server, peer: &ServerId) -> Result<String, String> {
    let echo = client.actor::<Echo>(at(peer, "echo"));
    echo.say("hi".into()).await.map_err(|error| error.to_string())
}

/// An honest hello to `b@/`.
pub(crate) fn hello_of(server: &str) -> Hello {
    Hello {
        magic: MAGIC.to_owned(),
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        server: id(server),
        epoch: Epoch(0),
        wanted: Some(id("b@/")),
        features: Vec::new(),
        nonce: [3; 32],
        frame_bytes_max: 16 * 1024 * 1024,
        windows: Some(Windows {
            link_bytes: LINK_WINDOW_BYTES,
            flow_messages: 1_000_000,
            flow_bytes: LINK_WINDOW_BYTES,
        }),
    }
}

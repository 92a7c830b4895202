//! `odeon`: two processes with real servers, handshakes with the ensemble's cookie, and all a user gets unasked: a
//! deadline on every ask, marks and authority checked at the receiver.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use odeon_actor::{Handle, SpawnOptions, actor};
use odeon_auth::Cookie;
use odeon_core::{Address, Epoch, Reference, ServerId};
use odeon_server::{Home, Server, ServerConfig, World};

use crate::{
    error::JobError,
    host,
    peers::Kind,
    remote::{
        drive::Near,
        far::{self, Far},
        peers::{Row, Sides, near},
        question::{Point, TELL_BYTES, Task, Transport},
    },
};

/// The peer's row.
pub(crate) const ROW: Row = Row {
    name: "odeon",
    kind: Kind::Odeon,
    share: 1,
    does,
    missing: || None,
    sides: Sides::Ours { far, near: near::<Odeon> },
};

/// Messages a counter's mailbox holds. A full mailbox refuses what comes from afar and does not make the link wait, so
/// a counter takes all that one repetition sends, as the unbounded ones of the other libraries do.
const MAILBOX_MAX: usize = 8_000_000;

/// Time for the actors of the near side to stop; there are none.
const GRACE: Duration = Duration::from_secs(1);

fn does(point: Point) -> bool {
    point.transport != Transport::Tls
}

/// Bytes that travel as bytes, not as a sequence of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Blob(Vec<u8>);

impl serde::Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_bytes(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Blob;
            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes))
            }
        }
        from.deserialize_byte_buf(Bytes)
    }
}

impl schemars::JsonSchema for Blob {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Blob".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "contentEncoding": "base64"})
    }
}

/// The counter and how many tells have come.
pub(crate) struct Counter(u64);

/// Counts.
#[actor(mark = "bench-counter/1")]
impl Counter {
    /// The value and what was counted.
    #[handle]
    fn answer(&mut self, value: u64) -> u64 {
        value + self.0
    }

    /// Counts one.
    #[handle]
    fn note(&mut self, bytes: Blob) {
        self.0 += u64::from(bytes.0.len() == TELL_BYTES);
    }

    /// How many bytes these are.
    #[handle]
    fn size(&mut self, bytes: Blob) -> u64 {
        bytes.0.len() as u64
    }
}

/// The near side: one server.
pub(crate) struct Odeon(Server);

fn library(error: impl std::fmt::Display) -> JobError {
    JobError::Library(error.to_string())
}

fn cookie() -> Cookie {
    Cookie::from_bytes([7; 32])
}

fn server_id(name: &str, number: usize) -> Result<ServerId, JobError> {
    format!("{name}-{number}@/").parse().map_err(library)
}

fn counter_name(actor: usize) -> String {
    format!("counter-{actor}")
}

fn far(task: &Task, directory: &Path) -> Result<(), JobError> {
    let (task, home) = (*task, Home::open(directory).map_err(library)?);
    host::tokio(task.runtime, async move {
        let mut servers = Vec::new();
        let mut addresses = Vec::new();
        for link in 0..task.links() {
            let id = server_id("far", link)?;
            let address = match task.point.transport {
                Transport::Unix => home.address(&id),
                Transport::Tcp | Transport::Tls => "tcp:127.0.0.1:0".parse().map_err(library)?,
            };
            let world = World::real(home.host().clone());
            let config = ServerConfig::new(id, cookie(), world).epoch(Epoch(1)).listen(address);
            let server = Server::start(config).await.map_err(library)?;
            for actor in 0..task.point.question.actors() {
                let name = counter_name(actor).parse().map_err(library)?;
                let options = SpawnOptions::named(name).capacity(MAILBOX_MAX);
                server.system().spawn_with(options, Counter(0)).map_err(library)?;
            }
            addresses.extend(server.addresses().iter().map(ToString::to_string));
            servers.push(server);
        }
        far::announce(&addresses)?;
        tokio::task::spawn_blocking(far::wait_for_the_end).await.map_err(JobError::Producer)
    })?
}

impl Near for Odeon {
    type Counter = Handle<Counter>;

    async fn open(_task: &Task, far: &Far) -> Result<Self, JobError> {
        let home = Home::open(far.directory()).map_err(library)?;
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let id = server_id("near", STARTED.fetch_add(1, Ordering::Relaxed))?;
        let world = World::real(home.host().clone());
        let mut config = ServerConfig::new(id, cookie(), world);
        for (link, address) in far.addresses().iter().enumerate() {
            let address: Address = address.parse().map_err(library)?;
            config = config.known(server_id("far", link)?, vec![address]);
        }
        Ok(Self(Server::start(config).await.map_err(library)?))
    }

    async fn counter(&self, link: usize, actor: usize) -> Result<Self::Counter, JobError> {
        let actor = counter_name(actor).parse().map_err(library)?;
        Ok(self.0.actor(Reference::new(server_id("far", link)?, actor)))
    }

    async fn ask(counter: &Self::Counter, value: u64) -> Result<u64, JobError> {
        counter.answer(value).await.map_err(library)
    }

    async fn size(counter: &Self::Counter, bytes: Vec<u8>) -> Result<u64, JobError> {
        counter.size(Blob(bytes)).await.map_err(library)
    }

    async fn tell(counter: &Self::Counter, bytes: [u8; TELL_BYTES]) -> Result<(), JobError> {
        counter.note(Blob(bytes.to_vec())).tell().await.map_err(library)
    }

    async fn close(self) {
        self.0.shutdown(GRACE).await;
    }
}

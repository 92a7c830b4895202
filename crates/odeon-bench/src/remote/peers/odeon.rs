//! `odeon`: two processes with real servers, handshakes with the ensemble's cookie, and all a user gets unasked: a
//! deadline on every ask, marks and authority checked at the receiver, a bounded mailbox that holds its senders up.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use odeon_actor::{Handle, actor};
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
        peers::{Row, Sides, near, secure},
        question::{TELL_BYTES, Task, Transport},
    },
};

/// The peer's row.
pub(crate) const ROW: Row = Row {
    name: "odeon",
    kind: Kind::Odeon,
    share: 1,
    does: |_| true,
    missing: || None,
    sides: Sides::Ours { prepare, far, near: near::<Odeon> },
};

/// Time for the actors of the near side to stop; there are none.
const GRACE: Duration = Duration::from_secs(1);

/// The server whose certificate the near ones show: they are as commands are, each with an id of 32 digits of its own.
const NEAR: &str = "console";

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

impl odeon_core::Shape for Blob {
    fn shape(to: &mut odeon_core::Outline) {
        to.leaf("bytes", 1);
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

fn far_id(link: usize) -> Result<ServerId, JobError> {
    format!("far-{link}@/").parse().map_err(library)
}

fn counter_name(actor: usize) -> String {
    format!("counter-{actor}")
}

fn near_id() -> Result<ServerId, JobError> {
    format!("{NEAR}@/").parse().map_err(library)
}

fn prepare(task: &Task, directory: &Path) -> Result<(), JobError> {
    if task.point.transport != Transport::Tls {
        return Ok(());
    }
    let far = (0..task.links()).map(far_id);
    let servers: Vec<ServerId> = far.chain([near_id()]).collect::<Result<_, _>>()?;
    secure::certify(directory, &servers)
}

fn far(task: &Task, directory: &Path) -> Result<(), JobError> {
    let (task, home) = (*task, Home::open(directory).map_err(library)?);
    host::tokio(task.runtime, async move {
        let mut servers = Vec::new();
        let mut addresses = Vec::new();
        for link in 0..task.links() {
            let id = far_id(link)?;
            let address = match task.point.transport {
                Transport::Unix => home.address(&id),
                Transport::Tcp => "tcp:127.0.0.1:0".parse().map_err(library)?,
                Transport::Tls => "tls:127.0.0.1:0".parse().map_err(library)?,
            };
            let tls = match task.point.transport {
                Transport::Tls => Some(secure::context(&home, &id)?),
                Transport::Unix | Transport::Tcp => None,
            };
            let world = World::real(home.host().clone());
            let mut config = ServerConfig::new(id, cookie(), world).epoch(Epoch(1)).listen(address);
            config.tls = tls;
            let server = Server::start(config).await.map_err(library)?;
            for actor in 0..task.point.question.actors() {
                let name = counter_name(actor).parse().map_err(library)?;
                server.spawn_named(name, Counter(0)).map_err(library)?;
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

    async fn open(task: &Task, far: &Far) -> Result<Self, JobError> {
        let home = Home::open(far.directory()).map_err(library)?;
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let id = format!("{NEAR}-{number:032x}@/").parse().map_err(library)?;
        let world = World::real(home.host().clone());
        let mut config = ServerConfig::new(id, cookie(), world);
        for (link, address) in far.addresses().iter().enumerate() {
            let address: Address = address.parse().map_err(library)?;
            config = config.known(far_id(link)?, vec![address]);
        }
        if task.point.transport == Transport::Tls {
            config = config.tls(secure::context(&home, &near_id()?)?);
        }
        Ok(Self(Server::start(config).await.map_err(library)?))
    }

    async fn counter(&self, link: usize, actor: usize) -> Result<Self::Counter, JobError> {
        let actor = counter_name(actor).parse().map_err(library)?;
        Ok(self.0.actor(Reference::new(far_id(link)?, actor)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_the_counter_takes_travels_compactly() {
        let protocol = <Counter as odeon_actor::Actor>::protocol().expect("it has a mark");
        for method in protocol.methods {
            assert!((method.fingerprint)().is_some(), "{}", method.mark);
        }
    }
}

//! The seams: time, randomness, disk, network and tasks come in through these traits.
//!
//! Production stands them on tokio and the operating system, `odeon-sim` on one seeded world. Whatever holds a
//! seam holds it as `Arc<dyn …>`, so several servers with different worlds fit in one process.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::address::Address;
use crate::time::Instant;

/// A boxed future, as the seams return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Monotonic time since this clock began. May be coarse, to a millisecond.
    fn now(&self) -> Instant;

    /// Milliseconds since 1970, for people and logs. It can jump; of what is decided, only the end of certificates
    /// and grants depends on it, which other hosts have written.
    fn unix_ms(&self) -> u64;

    /// Ready once `at` has come.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the timer.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()>;
}

/// Randomness. The production source is fit for secrets.
pub trait Rng: Debug + Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);

    /// A random number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// What a task is, and so what its end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Runs one actor; a panic in it is the actor's exit reason.
    Actor,
    /// Drives one link; its end is the link's loss.
    Link,
    /// Accepts links; its end stops the server.
    Listener,
    /// Anything else a server needs; a panic in it is logged and stops the server.
    Service,
}

/// Tasks.
pub trait Spawn: Debug + Send + Sync + 'static {
    /// Runs `future` to its end, concurrently. `name` is for logs and `explain`.
    fn spawn(&self, kind: TaskKind, name: &str, future: BoxFuture<'static, ()>);

    /// How many tasks can run at the same time.
    fn threads(&self) -> usize {
        1
    }

    /// Whether the calling thread is one on which tasks run: what a task may use, such as the runtime's timers, can
    /// be used here.
    fn is_here(&self) -> bool {
        true
    }
}

/// Files. Only whole small files so far: state that is read at start and replaced as one.
pub trait Disk: Debug + Send + Sync + 'static {
    /// The whole file.
    ///
    /// # Errors
    /// As the operating system says; `NotFound` where there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Puts `bytes` in the place of the file, so that after a crash either the old or the new content is
    /// there, and after success the new. Missing directories are created; readable by the owner alone.
    ///
    /// # Errors
    /// As the operating system says; the old content is then untouched.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Adds `bytes` to the end of the file, making it if it is not there, readable by the owner alone. It survives
    /// the process, and need not survive the host.
    ///
    /// # Errors
    /// As the operating system says; part of `bytes` may then be there.
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut whole = match self.read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        whole.extend_from_slice(bytes);
        self.replace(path, &whole)
    }
}

/// One connection, in order and in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static> Stream for T {}

/// What the operating system vouches for about the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerCredentials {
    /// The other process' user id, where the transport tells (unix sockets).
    pub uid: Option<u32>,
}

/// A connection just made.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Box<dyn Stream>,
    /// What the operating system says about the other end.
    pub credentials: PeerCredentials,
    /// The other end, for people: a path or `ip:port`.
    pub remote: String,
}

/// A bound address that connections arrive at.
pub trait Listener: Debug + Send + 'static {
    /// The address as bound: port 0 is resolved.
    fn address(&self) -> Address;

    /// The next connection.
    ///
    /// # Cancel safety
    /// No connection is lost when the future is dropped.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>>;
}

/// The network.
pub trait Net: Debug + Send + Sync + 'static {
    /// Connects to `address`. The caller sets the deadline.
    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>>;

    /// Binds `address`.
    fn listen<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;
}

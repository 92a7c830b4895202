//! The seams of network, disk and randomness, standing on the operating system.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use odeon_core::seam::{BoxFuture, Connection, Disk, Listener, Net, PeerCredentials, Rng};
use odeon_core::{Address, HostId};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::quiet::QuietUnix;

/// The operating system's randomness, fit for secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsRng;

impl Rng for OsRng {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the kernel's generator is always there on Linux");
    }
}

/// Does what may wait for a disk, in a task of its own. What else the thread had to run, others run meanwhile.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        // There is nobody else, or no runtime.
        _ => work(),
    }
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        odeon_auth::replace_file(path, bytes, &OsRng)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the disk seam")]
    fn append(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let directory = path.parent().unwrap_or_else(|| Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(bytes)
    }
}

/// The sockets of this host.
#[derive(Debug, Clone)]
pub struct OsNet {
    host: HostId,
}

impl OsNet {
    /// Sockets of the host with this id: unix addresses of others are refused.
    #[must_use]
    pub const fn new(host: HostId) -> Self {
        Self { host }
    }

    fn check_host(&self, host: &str) -> io::Result<()> {
        if host == self.host {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket is on another host"))
        }
    }
}

impl Net for OsNet {
    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            match address {
                Address::Unix { host, path } => {
                    self.check_host(host)?;
                    unix_connection(UnixStream::connect(path).await?, path.clone())
                }
                // TLS is the server's affair: what it stands on is TCP.
                Address::Tcp(host_port) | Address::Tls(host_port) => {
                    let stream = TcpStream::connect(host_port).await?;
                    let remote = stream.peer_addr()?;
                    tcp_connection(stream, remote)
                }
            }
        })
    }

    fn listen<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            Ok(match address {
                Address::Unix { host, path } => {
                    self.check_host(host)?;
                    Box::new(UnixSocket::bind(host, path)?) as Box<dyn Listener>
                }
                Address::Tcp(host_port) => Box::new(TcpSocket::bind(host_port, Address::Tcp).await?),
                Address::Tls(host_port) => Box::new(TcpSocket::bind(host_port, Address::Tls).await?),
            })
        })
    }
}

fn unix_connection(stream: UnixStream, remote: String) -> io::Result<Connection> {
    let credentials = PeerCredentials { uid: Some(stream.peer_cred()?.uid()) };
    Ok(Connection { stream: Box::new(QuietUnix::new(stream)?), credentials, remote })
}

fn tcp_connection(stream: TcpStream, remote: SocketAddr) -> io::Result<Connection> {
    // Frames are gathered before they are written; Nagle would only add his delay.
    stream.set_nodelay(true)?;
    let remote = remote.to_string();
    Ok(Connection { stream: Box::new(stream), credentials: PeerCredentials::default(), remote })
}

/// Whether it was one connection that failed, before it was ours: the next is accepted at once, since whoever
/// connects and hangs up must not slow the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | NotConnected)
}

/// A bound unix socket, removed when it goes.
#[derive(Debug)]
struct UnixSocket {
    listener: UnixListener,
    host: HostId,
    path: String,
}

impl UnixSocket {
    /// Binds `path`. A socket file nobody listens at any longer is replaced; a live one is not.
    #[expect(clippy::disallowed_methods, reason = "a socket's file belongs to the network seam")]
    fn bind(host: &str, path: &str) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(error);
                }
                std::fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            other => other?,
        };
        Ok(Self { listener, host: host.to_owned(), path: path.to_owned() })
    }
}

impl Drop for UnixSocket {
    #[expect(clippy::disallowed_methods, reason = "a socket's file belongs to the network seam")]
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Listener for UnixSocket {
    fn address(&self) -> Address {
        Address::Unix { host: self.host.clone(), path: self.path.clone() }
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            loop {
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        if let Ok(connection) = unix_connection(stream, self.path.clone()) {
                            return Ok(connection);
                        }
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

#[derive(Debug)]
struct TcpSocket {
    listener: TcpListener,
    kind: fn(String) -> Address,
}

impl TcpSocket {
    async fn bind(host_port: &str, kind: fn(String) -> Address) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(host_port).await?, kind })
    }
}

impl Listener for TcpSocket {
    fn address(&self) -> Address {
        let bound = self.listener.local_addr();
        (self.kind)(bound.map_or_else(|e| e.to_string(), |address| address.to_string()))
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async {
            loop {
                match self.listener.accept().await {
                    Ok((stream, remote)) => {
                        if let Ok(connection) = tcp_connection(stream, remote) {
                            return Ok(connection);
                        }
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("s.sock").to_string_lossy().into_owned();
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        assert!(Path::new(&path).exists(), "the standard listener leaves its file");
        let net = OsNet::new("here".into());
        let address = Address::Unix { host: "here".into(), path: path.clone() };
        let first = net.listen(&address).await.expect("replaced");
        let second = net.listen(&address).await.expect_err("in use");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(!Path::new(&path).exists(), "nothing is left behind");
    }

    #[tokio::test]
    async fn a_unix_address_of_another_host_is_never_tried() {
        let net = OsNet::new("here".into());
        let address = Address::Unix { host: "there".into(), path: "/nowhere.sock".into() };
        let error = net.connect(&address).await.expect_err("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test plays somebody else's program")]
    fn what_lies_at_the_name_of_a_file_under_way_gets_nothing_of_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, caught) = (directory.path().join("package.tar"), directory.path().join("caught"));
        std::fs::write(&caught, b"before").expect("written");
        std::os::unix::fs::symlink(&caught, path.with_extension("new")).expect("a trap");
        OsDisk.replace(&path, b"a key").expect("written");
        assert_eq!(std::fs::read(&caught).expect("read"), b"before");
        assert_eq!(OsDisk.read(&path).expect("read"), b"a key");
        // Nothing is left of what could not be put in its place.
        let taken = directory.path().join("taken");
        std::fs::create_dir(&taken).expect("made");
        OsDisk.replace(&taken, b"a key").expect_err("a directory");
        let names: Vec<_> =
            directory.path().read_dir().expect("read").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
    }

    #[test]
    fn a_replaced_file_holds_the_new_content_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("deep/er/state.json");
        OsDisk.replace(&path, b"one").expect("written");
        OsDisk.replace(&path, b"two").expect("replaced");
        assert_eq!(OsDisk.read(&path).expect("read"), b"two");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        OsDisk.append(&path, b" and a half").expect("added");
        assert_eq!(OsDisk.read(&path).expect("read"), b"two and a half");
        let fresh = directory.path().join("new/log");
        OsDisk.append(&fresh, b"one").expect("made");
        assert_eq!(fresh.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }
}

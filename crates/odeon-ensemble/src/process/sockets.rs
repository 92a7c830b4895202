//! The listening sockets of a role: bound by the supervisor, served by the child.
//!
//! The supervisor binds once and keeps the socket; each child of the role receives it (`LISTEN_FDS`). So a
//! connection that nobody has accepted yet stays in the queue while children come and go.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::str::FromStr;

use listenfd::ListenFd;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind as bind_socket, listen, socket_with, sockopt,
};
use thiserror::Error;

use super::spec::LISTEN_MAX;

/// How many connections may wait to be accepted: what a restart of a child has to bridge.
pub const BACKLOG_MAX: i32 = 1024;

/// Where a role listens, as the configuration writes it: `tcp:0.0.0.0:8080`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenAddr(SocketAddr);

/// An address that is not one.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "`{text}` is no listening address; expected `tcp:IP:PORT`, such as `tcp:0.0.0.0:8080` or `tcp:[::1]:8080`"
)]
pub struct ListenAddrError {
    text: String,
}

/// A socket that could not be bound.
#[derive(Debug, Error)]
#[error("cannot listen on {addr}")]
pub struct BindError {
    addr: ListenAddr,
    #[source]
    source: io::Error,
}

impl ListenAddr {
    /// The address.
    #[must_use]
    pub fn socket_addr(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        let address = text.strip_prefix("tcp:").and_then(|rest| rest.parse().ok());
        address.map(Self).ok_or_else(|| ListenAddrError { text: text.to_owned() })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp:{}", self.0)
    }
}

/// Binds a listening socket: reusable address, a queue of [`BACKLOG_MAX`], blocking, close-on-exec.
///
/// # Errors
/// [`BindError`] if the address is in use, not of this host, or not permitted.
pub fn bind(addr: &ListenAddr) -> Result<TcpListener, BindError> {
    try_bind(addr.0).map_err(|source| BindError { addr: *addr, source })
}

/// The sockets that this process was given, each with its name (`LISTEN_FDNAMES`; `listen-N` if it has none).
///
/// To be called once, early: the sockets are taken from the environment. A process that was given none gets
/// an empty list.
///
/// # Errors
/// If a descriptor that was announced is not a listening TCP socket, or more than [`LISTEN_MAX`] were.
pub fn listeners() -> io::Result<Vec<(String, TcpListener)>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').filter(|name| !name.is_empty());
    let mut given = ListenFd::from_env();
    if given.len() > LISTEN_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("LISTEN_FDS announces {} sockets, expected at most {LISTEN_MAX}", given.len()),
        ));
    }
    let mut all = Vec::new();
    for index in 0..given.len() {
        let name = names.next().map_or_else(|| format!("listen-{index}"), str::to_owned);
        if let Some(listener) = given.take_tcp_listener(index)? {
            all.push((name, listener));
        }
    }
    Ok(all)
}

fn try_bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind_socket(&socket, &addr)?;
    listen(&socket, BACKLOG_MAX)?;
    Ok(TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn addresses_parse_or_say_what_was_expected() {
        for good in ["tcp:0.0.0.0:8080", "tcp:[::1]:0"] {
            assert_eq!(good.parse::<ListenAddr>().expect("an address").to_string(), good);
        }
        for bad in ["0.0.0.0:8080", "tcp:8080", "udp:0.0.0.0:1", "tcp:0.0.0.0:65536", ""] {
            let error = bad.parse::<ListenAddr>().expect_err("no address").to_string();
            assert!(error.contains("expected `tcp:IP:PORT`"), "{error}");
        }
    }

    #[test]
    fn bound_sockets_queue_connections_and_refuse_a_second_owner() {
        let socket = bind(&"tcp:127.0.0.1:0".parse().expect("an address")).expect("binds");
        let addr = socket.local_addr().expect("is bound");
        TcpStream::connect(addr).expect("is queued though nobody accepts");
        let error = bind(&ListenAddr(addr)).expect_err("in use");
        assert_eq!(error.to_string(), format!("cannot listen on tcp:{addr}"));
    }
}

//! The channel of a link: its transport, and what the handshake of TLS has found.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use odeon_actor::message;
use odeon_auth::tls::Shown;
use odeon_auth::{Cookie, PeerCertificate};
use odeon_core::{Address, Epoch, ServerId};

/// How a link travels.
#[message(mark = "link-transport/1")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A unix socket of this host.
    Unix,
    /// Mutual TLS 1.3 over TCP.
    Tls,
    /// Bare TCP.
    Tcp,
}

impl Transport {
    /// That of a connection to or at this address.
    #[must_use]
    pub const fn of(address: &Address) -> Self {
        match address {
            Address::Unix { .. } => Self::Unix,
            Address::Tls(_) => Self::Tls,
            Address::Tcp(_) => Self::Tcp,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The certificate by which a link's peer has proven who it is.
#[message(mark = "link-certificate/1")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkCertificate {
    /// The server that it names.
    pub server: ServerId,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// The last second of its validity, since 1970.
    pub not_after: u64,
}

impl From<&PeerCertificate> for LinkCertificate {
    fn from(certificate: &PeerCertificate) -> Self {
        let PeerCertificate { server, serial, not_after, .. } = certificate;
        Self { server: server.clone(), serial: serial.clone(), not_after: *not_after }
    }
}

/// What the handshake of TLS has proven.
#[derive(Debug)]
pub(crate) struct Secured {
    /// What the peer's certificate says.
    pub(crate) certificate: Arc<PeerCertificate>,
    /// All that the peer has shown, to be verified again.
    pub(crate) shown: Shown,
    /// What the proofs of the hello are made with.
    pub(crate) key: Cookie,
}

/// What the handshake of TLS has found so far: its connection writes, the link reads.
#[derive(Debug, Default)]
pub(crate) struct Security {
    secured: OnceLock<Secured>,
    is_denied: AtomicBool,
}

impl Security {
    /// The handshake is over. Once.
    pub(crate) fn secured(&self, secured: Secured) {
        let _ = self.secured.set(secured);
    }

    /// One of the two does not accept the other's certificate.
    pub(crate) fn deny(&self) {
        self.is_denied.store(true, Ordering::Relaxed);
    }
}

/// The channel of one link.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    transport: Transport,
    /// None over other transports.
    security: Option<Arc<Security>>,
}

impl Channel {
    /// One that proves nothing by itself.
    pub(crate) const fn plain(transport: Transport) -> Self {
        Self { transport, security: None }
    }

    /// One over TLS.
    pub(crate) const fn tls(security: Arc<Security>) -> Self {
        Self { transport: Transport::Tls, security: Some(security) }
    }

    pub(crate) const fn transport(&self) -> Transport {
        self.transport
    }

    pub(crate) fn secured(&self) -> Option<&Secured> {
        self.security.as_ref().and_then(|security| security.secured.get())
    }

    /// Whether the handshake of TLS is under way: nothing of ours leaves before its end.
    pub(crate) fn is_securing(&self) -> bool {
        self.security.is_some() && self.secured().is_none()
    }

    /// Whether TLS ended because of a certificate.
    pub(crate) fn is_denied(&self) -> bool {
        self.security.as_ref().is_some_and(|security| security.is_denied.load(Ordering::Relaxed))
    }

    /// The peer's certificate, once TLS has proven that it is the peer's.
    pub(crate) fn certificate(&self) -> Option<&Arc<PeerCertificate>> {
        self.secured().map(|secured| &secured.certificate)
    }

    /// What proofs are made with: the cookie, but never over TLS. None before the end of TLS's own handshake, when
    /// there is nothing to prove.
    pub(crate) fn proof_key<'a>(&'a self, cookie: &'a Cookie) -> Option<&'a Cookie> {
        if self.security.is_some() { self.secured().map(|secured| &secured.key) } else { Some(cookie) }
    }

    /// Whether the channel lets its peer be this server; else a sentence for the peer.
    pub(crate) fn vouches_for(&self, claimed: &ServerId, epoch: Epoch) -> Result<(), String> {
        if self.security.is_none() {
            return Ok(());
        }
        let Some(certificate) = self.certificate() else {
            return Err("the channel is not secured yet".to_owned());
        };
        if certificate.server == *claimed || is_command_of(&certificate.server, claimed, epoch) {
            return Ok(());
        }
        Err(format!("the certificate is {}'s, and not {claimed}'s", certificate.server))
    }
}

/// The name of the server whose certificate commands speak by; they themselves are `console-` and a number.
pub const CONSOLE: &str = "console";

/// Whether `claimed` is one of the transient servers that commands are, under the certificate of their console.
/// Commands run beside each other, and each is a server with an id of its own, as [`ServerId::transient`] makes it.
fn is_command_of(certified: &ServerId, claimed: &ServerId, epoch: Epoch) -> bool {
    certified.name() == CONSOLE
        && certified.domain() == claimed.domain()
        && epoch == Epoch(0)
        && claimed.is_transient_of(CONSOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_speaks_for_its_commands_and_for_nothing_else() {
        let is_command = |certified: &str, claimed: &str, epoch| {
            let id = |text: &str| text.parse().expect("an id");
            is_command_of(&id(certified), &id(claimed), Epoch(epoch))
        };
        assert!(is_command("console@/h2", "console-0123456789abcdef0123456789abcdef@/h2", 0));
        for (certified, claimed, epoch) in [
            ("console@/h2", "console-0123456789abcdef0123456789abcdef@/h2", 1),
            ("console@/h2", "console-0123456789abcdef0123456789abcdef@/", 0),
            ("console@/", "console-0123456789abcdef0123456789abcde@/", 0),
            ("console@/", "console-0123456789abcdef0123456789abcdefa@/", 0),
            ("console@/", "console-0123456789abcdef0123456789abcdeg@/", 0),
            ("console@/", "web-0@/", 0),
            ("web@/", "web-0123456789abcdef0123456789abcdef@/", 0),
        ] {
            assert!(!is_command(certified, claimed, epoch), "{certified} {claimed} {epoch}");
        }
    }
}

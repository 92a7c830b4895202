//! Addresses: how a server can be reached.

use std::fmt;
use std::str::FromStr;

use crate::limits::{HOST_BYTES_MAX, SOCKET_PATH_BYTES_MAX};
use crate::text::text_form;

/// Which host a unix socket is on, so that another host's path is never tried. Free of `:`, 1 to 255 bytes; compared
/// exactly.
pub type HostId = String;

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error(
    "`{text}` is not an address: {reason}; expected `unix:HOST:/path`, `tcp:host:port` or `tls:host:port`"
)]
pub struct AddressError {
    /// The text as given, shortened when it is very long.
    pub text: String,
    /// The rule that was broken.
    pub reason: &'static str,
}

/// How a server can be reached. The order of the variants is the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A unix socket on one host.
    Unix {
        /// The host the path belongs to.
        host: HostId,
        /// The socket's absolute path, at most 107 bytes.
        path: String,
    },
    /// Mutual TLS over TCP: `host:port`.
    Tls(String),
    /// Bare TCP, `host:port`: for development, it can be read and altered on the way.
    Tcp(String),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fail = |reason| AddressError { text: text.chars().take(120).collect(), reason };
        let (scheme, rest) = text.split_once(':').ok_or_else(|| fail("the scheme is missing"))?;
        match scheme {
            "unix" => {
                let (host, path) = rest.split_once(':').ok_or_else(|| fail("the host id is missing"))?;
                check_host(host).map_err(fail)?;
                if !path.starts_with('/') {
                    return Err(fail("the socket path must be absolute"));
                }
                if path.len() > SOCKET_PATH_BYTES_MAX {
                    return Err(fail("the socket path is longer than 107 bytes"));
                }
                Ok(Self::Unix { host: host.to_owned(), path: path.to_owned() })
            }
            "tcp" | "tls" => {
                let (host, port) = rest.rsplit_once(':').ok_or_else(|| fail("the port is missing"))?;
                check_host(host).map_err(fail)?;
                // Rust's numbers may have a sign, a port has none.
                if !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err() {
                    return Err(fail("the port must be a number from 0 to 65535"));
                }
                let rest = rest.to_owned();
                Ok(if scheme == "tcp" { Self::Tcp(rest) } else { Self::Tls(rest) })
            }
            _ => Err(fail("the scheme is unknown")),
        }
    }
}

fn check_host(host: &str) -> Result<(), &'static str> {
    match host.len() {
        0 => Err("the host is missing"),
        1..=HOST_BYTES_MAX => Ok(()),
        _ => Err("the host is longer than 255 bytes"),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { host, path } => write!(f, "unix:{host}:{path}"),
            Self::Tls(host_port) => write!(f, "tls:{host_port}"),
            Self::Tcp(host_port) => write!(f, "tcp:{host_port}"),
        }
    }
}

text_form!(Address, "unix:HOST:/path, tcp:host:port or tls:host:port");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for text in
            ["unix:h1:/run/odeon/3fa9.sock", "tcp:127.0.0.1:4999", "tls:[::1]:4999", "tcp:localhost:0"]
        {
            assert_eq!(text.parse::<Address>().expect("an address").to_string(), text);
        }
    }

    #[test]
    fn broken_addresses_say_which_rule() {
        for (text, rule) in [
            ("127.0.0.1", "scheme is missing"),
            ("udp:h:1", "scheme is unknown"),
            ("unix:/run/x.sock", "host id is missing"),
            ("unix:h:run/x.sock", "must be absolute"),
            ("tcp:localhost", "port is missing"),
            ("tcp:localhost:http", "port must be a number"),
            ("tcp:localhost:+80", "port must be a number"),
            ("tcp:localhost:65536", "port must be a number"),
            ("unix::/run/x.sock", "host is missing"),
            ("tcp::80", "host is missing"),
        ] {
            let error = text.parse::<Address>().expect_err("must be refused").to_string();
            assert!(error.contains(rule), "{error}");
        }
    }

    #[test]
    fn a_socket_path_of_107_bytes_fits_and_108_do_not() {
        let path = |n: usize| format!("unix:h:/{}", "a".repeat(n - 1));
        assert!(path(SOCKET_PATH_BYTES_MAX).parse::<Address>().is_ok());
        assert!(path(SOCKET_PATH_BYTES_MAX + 1).parse::<Address>().is_err());
    }

    #[test]
    fn a_host_of_255_bytes_fits_and_256_do_not() {
        for scheme in ["tcp:HOST:80", "tls:HOST:80", "unix:HOST:/s"] {
            let address = |n: usize| scheme.replace("HOST", &"a".repeat(n));
            assert!(address(HOST_BYTES_MAX).parse::<Address>().is_ok());
            assert!(address(HOST_BYTES_MAX + 1).parse::<Address>().is_err());
        }
    }

    #[test]
    fn unix_is_tried_before_tls_and_tls_before_tcp() {
        let mut addresses: Vec<Address> =
            ["tcp:h:1", "unix:h:/s", "tls:h:2"].map(|text| text.parse().expect("an address")).to_vec();
        addresses.sort();
        assert_eq!(
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["unix:h:/s", "tls:h:2", "tcp:h:1"]
        );
    }
}

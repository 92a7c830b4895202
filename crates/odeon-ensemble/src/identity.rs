//! Whether a server of this home has a certificate, and may use it.

use std::sync::Arc;

use odeon_auth::{TlsContext, TlsError, TlsFiles};
use odeon_core::seam::Clock;
use odeon_core::{Address, ServerId, chain};
use odeon_server::Home;

use crate::config::TlsUse;

/// Why a server cannot have the certificate that it needs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// There is none.
    #[error("{server} has no certificate at {}: issue one with `ca cert {server}`", .path.display())]
    Missing {
        /// The server.
        server: ServerId,
        /// Where it would be.
        path: std::path::PathBuf,
    },
    /// There is one, and it cannot be used.
    #[error("the certificate of {server} cannot be used")]
    Unusable {
        /// The server.
        server: ServerId,
        /// What is wrong with it.
        #[source]
        source: TlsError,
    },
    /// There is one, and it is another server's.
    #[error("the certificate at {} is {found}'s, not {server}'s: issue one with `ca cert {server}`", .path.display())]
    Another {
        /// The server.
        server: ServerId,
        /// Whose it is.
        found: ServerId,
        /// Where it is.
        path: std::path::PathBuf,
    },
}

/// The certificate of a server of this home, ready for use; none if there is none, or it is not to be used.
///
/// A certificate that is not needed is no reason not to start: one that cannot be used is then left aside, with a
/// warning. It is needed where the file says so (`tls = true`), and where one of the addresses to `listen` at is a
/// `tls:` one.
///
/// # Errors
/// When one is needed and there is none that is good.
pub fn identity(
    home: &Home,
    server: &ServerId,
    wanted: TlsUse,
    listen: &[Address],
    clock: &Arc<dyn Clock>,
) -> Result<Option<TlsContext>, IdentityError> {
    let is_needed = wanted == TlsUse::Always || listen.iter().any(|at| matches!(at, Address::Tls(_)));
    if wanted == TlsUse::Never {
        return Ok(None);
    }
    match load(home, server, clock) {
        Ok(context) => Ok(Some(context)),
        Err(error) if is_needed => Err(error),
        Err(IdentityError::Missing { .. }) => Ok(None),
        Err(error) => {
            tracing::warn!("going on without a certificate: {}", chain(&error));
            Ok(None)
        }
    }
}

fn load(home: &Home, server: &ServerId, clock: &Arc<dyn Clock>) -> Result<TlsContext, IdentityError> {
    let files = TlsFiles::of(home.root(), &home.server(server));
    let (server, path) = (server.clone(), files.chain.clone());
    if !path.exists() {
        return Err(IdentityError::Missing { server, path });
    }
    let clock = Arc::clone(clock);
    match TlsContext::load(&files, move || clock.unix_ms() / 1_000) {
        Ok(context) if context.own().server == server => Ok(context),
        Ok(context) => Err(IdentityError::Another { server, found: context.own().server, path }),
        Err(source) => Err(IdentityError::Unusable { server, source }),
    }
}

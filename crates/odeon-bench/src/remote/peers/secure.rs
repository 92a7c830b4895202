//! Odeon's own authorities and certificates for one repetition: one for each far server, one for the near ones.

use std::{path::Path, time::UNIX_EPOCH};

use odeon_auth::{
    Existing, Passphrase, TlsContext, TlsFiles,
    ca::{CaFiles, CaOptions, CertificateAuthority, ServerFiles, ServerOrder},
};
use odeon_core::ServerId;
use odeon_server::{Home, OsRng};
use zeroize::Zeroizing;

use crate::error::JobError;

fn library(error: impl std::fmt::Display) -> JobError {
    JobError::Library(error.to_string())
}

#[expect(clippy::disallowed_methods, reason = "certificates are good from one date to another")]
fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn words() -> Result<Passphrase, JobError> {
    Passphrase::new(Zeroizing::new("the words of a benchmark".to_owned())).map_err(library)
}

/// Makes authorities, and a certificate for each of `servers`.
pub(crate) fn certify(directory: &Path, servers: &[ServerId]) -> Result<(), JobError> {
    let home = Home::open(directory).map_err(library)?;
    let authority = CertificateAuthority::new(CaFiles::below(home.root()), &OsRng, unix_now());
    let words = words()?;
    authority.generate_root(&words, &CaOptions::default()).map_err(library)?;
    authority.generate_sub(&words, &words, &CaOptions::default()).map_err(library)?;
    authority.generate_ca_files(Existing::Keep).map_err(library)?;
    let mut issuer = authority.unlock(&words).map_err(library)?;
    for server in servers {
        let order = ServerOrder::new(server.clone(), Default::default());
        let place = ServerFiles::below(&home.server(server));
        issuer.issue(&order, &place, Existing::Keep).map_err(library)?;
    }
    Ok(())
}

/// The certificate of `server`, and whom it trusts.
pub(crate) fn context(home: &Home, server: &ServerId) -> Result<TlsContext, JobError> {
    TlsContext::load(&TlsFiles::of(home.root(), &home.server(server)), unix_now).map_err(library)
}

//! Certificates that change while the server runs: new files, revoked peers, peers whose time is over.
//!
//! A reload concerns the handshakes that begin after it; listeners stay. Links that stand are looked at too: one
//! whose peer is revoked, by itself or with an authority above it, is closed at once, and one whose peer's
//! certificate has run out as well, since nobody vouches for that peer any longer. A peer that has been given a
//! new certificate in time only connects anew.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::time::Duration;

use odeon_auth::{PeerCertificate, TlsContext, TlsError};
use odeon_core::chain;

use super::channel::Secured;
use crate::server::Server;

/// Pause between two looks at the files and at the links' certificates. Three small files each time; whoever is in
/// a hurry sends SIGHUP.
const LOOK: Duration = Duration::from_secs(10);

/// What a reload found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// The certificate in use from now on.
    pub own: PeerCertificate,
    /// How many links were closed, their peers being revoked.
    pub closed: usize,
}

impl Server {
    /// Loads certificate, key, authorities and revocation list again, and closes the links of peers that are
    /// revoked now. `None` if the server has no certificate. Done by itself too, within seconds of a change of the
    /// files.
    ///
    /// # Errors
    /// When the new files cannot be used; those loaded before stay in use.
    pub fn reload_tls(&self) -> Result<Option<Refreshed>, TlsError> {
        let Some(context) = self.tls() else { return Ok(None) };
        context.reload()?;
        let own = context.own();
        tracing::info!(serial = %own.serial, not_after = own.not_after, "certificate loaded");
        let closed = self.close_those(|secured| revoked(context, secured));
        Ok(Some(Refreshed { own, closed }))
    }

    /// Closes the links whose certificate has something against it.
    fn close_those(&self, why: impl Fn(&Secured) -> Option<String>) -> usize {
        let links = self.peers().all();
        let closing = links.into_iter().filter_map(|link| {
            let why = link.channel.secured().and_then(&why)?;
            tracing::warn!(remote = %link.remote, "closing a link: {why}");
            link.close(&why);
            Some(())
        });
        closing.count()
    }

    fn close_the_expired(&self) {
        self.close_those(|secured| self.expired(&secured.certificate));
    }

    /// What is to be said of a certificate whose time is over.
    pub(crate) fn expired(&self, certificate: &PeerCertificate) -> Option<String> {
        let now = self.clock().unix_ms() / 1_000;
        (certificate.not_after < now).then(|| format!("the certificate {} has run out", certificate.serial))
    }
}

/// What is to be said of a certificate that would be refused now: it, or an authority above it, is revoked.
pub(crate) fn revoked(context: &TlsContext, secured: &Secured) -> Option<String> {
    context.verify_again(&secured.shown).err().map(|error| chain(&error))
}

/// Looks at the files and at the links again and again, until the server stops.
pub(crate) async fn refresh(server: Server, context: TlsContext) {
    let mut stopping = server.stopping();
    let mut seen = fingerprint(&server, &context);
    let mut complaint = String::new();
    loop {
        let clock = server.clock();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            () = clock.sleep_until(clock.now() + LOOK) => {}
        }
        server.close_the_expired();
        let found = fingerprint(&server, &context);
        if found == seen {
            continue;
        }
        match server.reload_tls() {
            Ok(_) => {
                seen = found;
                complaint.clear();
            }
            // Perhaps one of the files is still on its way: it is tried again, and told once.
            Err(error) => {
                let text = chain(&error);
                if text != complaint {
                    tracing::warn!("the new certificate cannot be used, and the old one stays: {text}");
                    complaint = text;
                }
            }
        }
    }
}

/// Tells one state of the files from another. The key is not among them: it changes with its certificate.
fn fingerprint(server: &Server, context: &TlsContext) -> u64 {
    let files = context.files();
    let mut hasher = DefaultHasher::new();
    let disk = &server.world().disk;
    let paths = [Some(files.chain.as_path()), Some(&files.roots), files.crl.as_deref()];
    for path in paths.into_iter().flatten() {
        read(disk.as_ref(), path).hash(&mut hasher);
    }
    hasher.finish()
}

fn read(disk: &dyn odeon_core::seam::Disk, path: &Path) -> Option<Vec<u8>> {
    disk.read(path).ok()
}

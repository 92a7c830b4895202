//! The subordinate at work: it issues, renews and revokes servers' certificates.

use std::fmt;
use std::fs::File;
use std::path::Path;

use odeon_core::seam::Rng;
use odeon_core::{Capabilities, ServerId};
use x509_cert::Certificate;
use x509_cert::der::{DecodePem as _, Encode as _};
use zeroize::Zeroizing;

use super::certify::SKEW_S;
use super::crl::{Listing, revocation_list};
use super::index::{Index, Issued, Target};
use super::setup::{CertificateAuthority, belongs, end_after, load, not_after, pem};
use super::{CaError, CaFiles, Holder, Order, Parent, ServerFiles, Subject, certify};
use crate::certificate::{CERTIFICATE_CAPABILITIES_MAX, PeerCertificate};
use crate::cookie::Existing;
use crate::files::{
    self, CERTIFICATES_FILE_BYTES_MAX, Contents, FileDeed, FileError, KEY_FILE_BYTES_MAX, MODE_PUBLIC,
    MODE_SECRET, Readers,
};
use crate::keys::{KeyKind, Passphrase, PrivateKey};

/// How long a server's certificate is valid by default, in days.
pub const SERVER_DAYS: u32 = 90;

/// When a revocation list says that the next one comes, in days. Servers do not insist on it.
pub const CRL_DAYS: u32 = 30;

const WHAT: &str = "certificate";

/// A server's certificate to be issued.
#[derive(Debug, Clone)]
pub struct ServerOrder {
    /// For which server.
    pub server: ServerId,
    /// What it may do.
    pub capabilities: Capabilities,
    /// Who stands behind it. The common name is the server's.
    pub subject: Subject,
    /// The kind of its key.
    pub kind: KeyKind,
    /// How long it is valid.
    pub days: u32,
}

impl ServerOrder {
    /// A certificate for `server` with `capabilities`, and everything else as usual.
    #[must_use]
    pub fn new(server: ServerId, capabilities: Capabilities) -> Self {
        Self {
            server,
            capabilities,
            subject: Subject::default(),
            kind: KeyKind::default(),
            days: SERVER_DAYS,
        }
    }
}

/// What becomes of a server's key when its certificate is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewedKey {
    /// It stays: only one file changes, in one step.
    Same,
    /// A new one of this kind. A server that loads its files between the two steps keeps what it has.
    New(KeyKind),
}

/// The subordinate with its key unlocked. Nobody else has it meanwhile.
pub struct Issuer<'a> {
    files: CaFiles,
    rng: &'a dyn Rng,
    now: u64,
    root: Certificate,
    certificate: Certificate,
    key: PrivateKey,
    index: Index,
    lock: File,
}

impl<'a> Issuer<'a> {
    pub(super) fn unlock(authority: &CertificateAuthority<'a>, sub: &Passphrase) -> Result<Self, CaError> {
        let CertificateAuthority { files, rng, now } = authority;
        let certificate = load(&files.sub_crt())?;
        let root = load(&files.root_crt()).or_else(|_| load(&files.root_pem()))?;
        let end = not_after(&certificate);
        if end <= *now {
            return Err(CaError::Ended { not_after: end });
        }
        let lock = lock(files)?;
        let key = PrivateKey::load_protected(&files.sub_key(), sub)?;
        belongs(&key, &certificate, &files.sub_key())?;
        let index = Index::load(&files.index())?;
        Ok(Self { files: files.clone(), rng: *rng, now: *now, root, certificate, key, index, lock })
    }

    /// Everything that was issued, in order.
    #[must_use]
    pub fn issued(&self) -> &[Issued] {
        &self.index.issued
    }

    /// Who stands behind the subordinate, and so behind what it issues unless something else is said.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject::of(self.certificate.tbs_certificate().subject())
    }

    /// Issues a certificate with a new key, and puts both in the server's place.
    ///
    /// # Errors
    /// When the order is not allowed, the server has a certificate and it is to be kept, or a file cannot be
    /// written.
    pub fn issue(
        &mut self,
        order: &ServerOrder,
        place: &ServerFiles,
        existing: Existing,
    ) -> Result<PeerCertificate, CaError> {
        if existing == Existing::Keep {
            files::absent(&place.chain(), WHAT)?;
            files::absent(&place.key(), "private key")?;
        }
        let key = PrivateKey::generate(order.kind, self.rng);
        let made = self.certify(order, &key)?;
        let before = Before::of(place)?;
        self.enter(&made)?;
        let written = self.write_issued(&made, &key, place, existing);
        if written.is_err() && before.restore(place, self.rng) {
            // Nobody has it. A book that cannot be written either lists one too many, which does no harm.
            self.index.issued.retain(|issued| issued.serial != made.peer.serial);
            let _ = self.index.save(&self.files.index(), self.rng);
        }
        written.map(|()| made.peer)
    }

    fn write_issued(
        &mut self,
        made: &Made,
        key: &PrivateKey,
        place: &ServerFiles,
        existing: Existing,
    ) -> Result<(), CaError> {
        // Servers insist on a list. One that cannot be looked at is not overwritten here.
        if is_missing(&self.files.crl()) {
            self.write_list()?;
        }
        key.save(&place.key(), existing, self.rng)?;
        self.write_chain(made, place, existing)
    }

    /// Issues a certificate that says what the server's present one says, valid from now.
    ///
    /// # Errors
    /// When the server has none, it was not issued here or was revoked, or it or its key cannot be used; as
    /// [`issue`](Self::issue) otherwise.
    pub fn renew(
        &mut self,
        server: &ServerId,
        place: &ServerFiles,
        renewed: RenewedKey,
        days: u32,
    ) -> Result<PeerCertificate, CaError> {
        let path = place.chain();
        let bytes = files::read(&path, WHAT, CERTIFICATES_FILE_BYTES_MAX, Readers::All)?;
        let present = Certificate::from_pem(leaf(&bytes)).map_err(|e| CaError::damaged(WHAT, &path, e))?;
        let der = present.to_der().map_err(CaError::encoding)?;
        let peer = PeerCertificate::read(&der).map_err(|source| CaError::Certificate { path, source })?;
        if peer.server != *server {
            return Err(CaError::Another { path: place.chain(), server: server.clone(), found: peer.server });
        }
        // The file may have been written by anybody: what counts is the book, and that the words are still those that
        // the subordinate has signed.
        let is_this = |issued: &&Issued| issued.serial == peer.serial && issued.server == *server;
        let Some(noted) = self.index.issued.iter().find(is_this) else {
            return Err(CaError::NotOurs { path: place.chain(), server: server.clone() });
        };
        if noted.revoked.is_some() {
            return Err(CaError::Revoked { server: server.clone() });
        }
        let capabilities = noted.capabilities.clone();
        if !has_signed(&self.certificate, &der) {
            return Err(CaError::NotOurs { path: place.chain(), server: server.clone() });
        }
        let key = match renewed {
            RenewedKey::Same => PrivateKey::load(&place.key())?,
            RenewedKey::New(kind) => PrivateKey::generate(kind, self.rng),
        };
        let (not_before, not_after) = self.validity(days)?;
        let order = Order {
            holder: Holder::server(server, &capabilities),
            subject: present.tbs_certificate().subject().clone(),
            not_before,
            not_after,
        };
        let made = self.sign(order, &key)?;
        self.enter(&made)?;
        if let RenewedKey::New(_) = renewed {
            key.save(&place.key(), Existing::Replace, self.rng)?;
        }
        self.write_chain(&made, place, Existing::Replace)?;
        Ok(made.peer)
    }

    /// Revokes what is in force of the target, and writes a new list. Where everything is revoked already, the list is
    /// written again, since it may be that which failed the last time; then that is what is returned.
    ///
    /// # Errors
    /// [`CaError::NotIssued`] when nothing of it is in force or revoked; otherwise when a file cannot be written.
    pub fn revoke(&mut self, target: &Target) -> Result<Vec<Issued>, CaError> {
        let now = self.now;
        let chosen = self.index.issued.iter_mut().filter(|i| target.is(i) && i.is_in_force(now));
        let mut revoked: Vec<Issued> = chosen
            .map(|issued| {
                issued.revoked = Some(now);
                issued.clone()
            })
            .collect();
        if revoked.is_empty() {
            let is_listed = |issued: &&Issued| target.is(issued) && issued.is_listed(now);
            revoked.extend(self.index.issued.iter().filter(is_listed).cloned());
        }
        if revoked.is_empty() {
            return Err(CaError::NotIssued { target: target.to_string() });
        }
        self.write_list()?;
        Ok(revoked)
    }

    /// Writes a new revocation list with what is revoked and not over.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_list(&mut self) -> Result<(), CaError> {
        self.index.crl_number += 1;
        // The book first: should the list fail, its number is not used twice.
        self.index.save(&self.files.index(), self.rng)?;
        let listing = Listing {
            number: self.index.crl_number,
            this_update: self.now,
            next_update: end_after(self.now, CRL_DAYS)?,
            revoked: self.index.issued.iter().filter(|issued| issued.is_listed(self.now)).collect(),
        };
        let list = revocation_list(&listing, &self.certificate, &self.key)?;
        let path = self.files.crl();
        let contents =
            Contents { what: "revocation list", path: &path, bytes: list.as_bytes(), mode: MODE_PUBLIC };
        Ok(files::write(&contents, Existing::Replace, self.rng)?)
    }

    fn certify(&self, order: &ServerOrder, key: &PrivateKey) -> Result<Made, CaError> {
        if order.capabilities.iter().count() > CERTIFICATE_CAPABILITIES_MAX {
            return Err(CaError::Capabilities);
        }
        let (not_before, not_after) = self.validity(order.days)?;
        let order = Order {
            holder: Holder::server(&order.server, &order.capabilities),
            subject: order.subject.name(order.server.name())?,
            not_before,
            not_after,
        };
        self.sign(order, key)
    }

    /// First and last second of a certificate from now on, which never outlives the authority itself.
    fn validity(&self, days: u32) -> Result<(u64, u64), CaError> {
        let end = end_after(self.now, days)?.min(not_after(&self.certificate));
        Ok((self.now.saturating_sub(SKEW_S), end))
    }

    fn sign(&self, order: Order, key: &PrivateKey) -> Result<Made, CaError> {
        let parent = Parent { name: self.certificate.tbs_certificate().subject(), key: &self.key };
        let certificate = certify(order, key, Some(&parent), self.rng)?;
        let der = certificate.to_der().map_err(CaError::encoding)?;
        // What was just made is read the way a peer reads it, before anybody relies on it.
        let peer = PeerCertificate::read(&der).map_err(CaError::encoding)?;
        Ok(Made { certificate, peer })
    }

    /// Notes a certificate in the book, before anybody can have it.
    fn enter(&mut self, made: &Made) -> Result<(), CaError> {
        let PeerCertificate { server, capabilities, serial, not_after, .. } = made.peer.clone();
        let issued = Issued { serial, issued: self.now, not_after, revoked: None, server, capabilities };
        self.index.add(issued, self.now)?;
        self.index.save(&self.files.index(), self.rng)
    }

    fn write_chain(&self, made: &Made, place: &ServerFiles, existing: Existing) -> Result<(), CaError> {
        let chain = pem(&[&made.certificate, &self.certificate, &self.root])?;
        let path = place.chain();
        let contents = Contents { what: WHAT, path: &path, bytes: chain.as_bytes(), mode: MODE_PUBLIC };
        Ok(files::write(&contents, existing, self.rng)?)
    }
}

/// Closing the file would not do: a process that is just being started has a copy of it for a moment.
impl Drop for Issuer<'_> {
    fn drop(&mut self) {
        // Whatever goes wrong here, the lock ends with the last copy of the file.
        let _ = self.lock.unlock();
    }
}

impl fmt::Debug for Issuer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("files", &self.files).finish_non_exhaustive()
    }
}

/// What stood at a server's place before something was issued for it.
struct Before {
    key: Option<Zeroizing<Vec<u8>>>,
    chain: Option<Zeroizing<Vec<u8>>>,
}

impl Before {
    fn of(place: &ServerFiles) -> Result<Self, CaError> {
        let read = |path: &Path, most| match files::read(path, WHAT, most, Readers::All) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(FileError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        Ok(Self {
            key: read(&place.key(), KEY_FILE_BYTES_MAX)?,
            chain: read(&place.chain(), CERTIFICATES_FILE_BYTES_MAX)?,
        })
    }

    /// Puts it back; says whether that is done.
    fn restore(&self, place: &ServerFiles, rng: &dyn Rng) -> bool {
        // What has not changed is not touched: perhaps it cannot be.
        let Ok(now) = Self::of(place) else { return false };
        let put = |path: &Path, [before, now]: [&Option<Zeroizing<Vec<u8>>>; 2], mode| match before {
            _ if before == now => true,
            Some(bytes) => {
                files::write(&Contents { what: WHAT, path, bytes, mode }, Existing::Replace, rng).is_ok()
            }
            None => files::remove(path).is_ok(),
        };
        let is_chain = put(&place.chain(), [&self.chain, &now.chain], MODE_PUBLIC);
        put(&place.key(), [&self.key, &now.key], MODE_SECRET) && is_chain
    }
}

struct Made {
    certificate: Certificate,
    peer: PeerCertificate,
}

/// Takes the subordinate's directory against other processes, until it is unlocked.
fn lock(files: &CaFiles) -> Result<File, CaError> {
    let path = files.sub();
    let io =
        |source| FileError::Io { what: "authority", path: path.clone(), doing: FileDeed::Locked, source };
    let directory = File::open(&path).map_err(io)?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(std::fs::TryLockError::WouldBlock) => Err(CaError::Busy { path }),
        Err(std::fs::TryLockError::Error(source)) => Err(io(source).into()),
    }
}

/// Whether there is nothing; what cannot be looked at may be something.
fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Whether an authority has signed a certificate.
fn has_signed(authority: &Certificate, der: &[u8]) -> bool {
    let Ok(authority) = authority.to_der() else { return false };
    crate::tls::is_signed_by(der, &authority)
}

/// The first certificate of a chain in PEM.
pub(super) fn leaf(pem: &[u8]) -> &[u8] {
    const END: &[u8] = b"-----END CERTIFICATE-----";
    let end = pem.windows(END.len()).position(|window| window == END);
    end.map_or(pem, |end| &pem[..end + END.len()])
}

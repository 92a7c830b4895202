//! Proofs of identity between Odeon servers: the ensemble cookie and the challenge that shows who holds it, and
//! certificates with the authorities that issue them.
//!
//! The crate owns the files of secrets and certificates. It knows no link and no frame: a proof is computed over
//! the bytes of the two hellos, whatever they mean, and TLS is configured here and spoken elsewhere.
//!
//! Invariants: a secret is erased when dropped and has no `Debug`; comparisons of secrets and proofs take the same
//! time whatever they find; a proof made by one side of a link never verifies as the other side's; who a peer is
//! comes from its certificate's `odeon:` URIs and from nothing else in it.

mod admin;
pub mod ca;
mod certificate;
mod cookie;
mod expiry;
mod files;
mod grant;
pub mod keys;
mod proof;
#[cfg(test)]
mod testing;
pub mod tls;

pub use admin::{AdminError, AdminFiles};
pub use certificate::{
    CERTIFICATE_BYTES_MAX, CERTIFICATE_CAPABILITIES_MAX, CertificateError, CertificateFault,
    ISSUER_ATTRIBUTES_MAX, PeerCertificate, Usage,
};
pub use cookie::{COOKIE_BYTES, Cookie, CookieError, Existing};
pub use expiry::{EXPIRY_WARNING_DAYS, ExpiryWarning, expiry_warning};
pub use files::{
    CERTIFICATES_FILE_BYTES_MAX, FileDeed, FileError, KEY_FILE_BYTES_MAX, UNDER_WAY_MAX, replace_file,
};
pub use grant::{
    BLOCK_CAVEATS_MAX, CHAIN_BLOCKS_MAX, CHAIN_BYTES_MAX, CHALLENGE_BYTES, GRANT_TEXT_KIND,
    GRANT_TEXT_PREFIX, GrantBlock, GrantChain, GrantError, GrantId, GrantKey, GrantKeyError, GrantQuestion,
    NewBlock, PublicKey, Signature,
};
pub use keys::{KeyError, KeyKind, Passphrase, PassphraseError, PrivateKey};
pub use proof::{Proof, Side, prove, transcript, verify};
pub use tls::{TlsContext, TlsError, TlsFiles};

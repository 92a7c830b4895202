//! The ensemble's own certificate authorities: a root and a subordinate below it; and the servers' certificates below
//! that.
//!
//! [`CertificateAuthority`] makes the two authorities; [`Issuer`] is the subordinate with its key unlocked, and
//! issues, renews and revokes. The root's key is needed for nothing else and may be kept elsewhere.
//!
//! | | root | subordinate | server |
//! | --- | --- | --- | --- |
//! | valid | 10 years | 5 years | 90 days |
//! | may issue | authorities | servers | nothing |
//! | key usage | certificates, lists | certificates, lists | digital signature |
//! | extended key usage | – | TLS both ways | TLS both ways |
//! | key | under a passphrase | under a passphrase | plain, 0600 |
//!
//! Serial numbers are 128 random bits. Everything begins [`SKEW_S`] early, for hosts whose clocks are behind. Time
//! and randomness come from the caller.

#[cfg(feature = "bent")]
mod bent;
mod certify;
mod crl;
mod error;
mod foreign;
mod index;
mod issuer;
mod layout;
mod setup;
mod subject;
mod view;

#[cfg(test)]
mod tests;

#[cfg(feature = "bent")]
pub use self::bent::{Bent, list_naming};
#[cfg(test)]
pub(crate) use self::certify::{CLIENT_AUTH, SERVER_AUTH};
pub use self::certify::{DAYS_MAX, SKEW_S};
pub(crate) use self::certify::{Holder, Order, Parent, certify};
pub use self::error::CaError;
pub use self::foreign::{FILE_KIND_BYTES, FileKind};
pub use self::index::{ISSUED_MAX, Issued, Target};
pub use self::issuer::{CRL_DAYS, Issuer, RenewedKey, SERVER_DAYS, ServerOrder};
pub use self::layout::{CaFiles, ServerFiles};
pub use self::setup::{CaOptions, CertificateAuthority, ROOT_DAYS, SUB_DAYS};
pub use self::subject::{SUBJECT_VALUE_CHARS_MAX, Subject, SubjectError};
pub use self::view::{CertificateView, RevocationView};

//! Why an authority could not do what it was asked.

use std::path::{Path, PathBuf};

use odeon_core::{ServerId, moment};

use super::certify::DAYS_MAX;
use super::foreign::FileKind;
use super::index::ISSUED_MAX;
use super::subject::SubjectError;
use crate::certificate::{CERTIFICATE_CAPABILITIES_MAX, CertificateError};
use crate::files::FileError;
use crate::keys::KeyError;

/// Why an authority could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A name in the subject is not allowed.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// There are authorities already.
    #[error(
        "there is an authority at {} already, and everything it has issued depends on it: to begin anew, move that directory away and issue every certificate again",
        .path.display()
    )]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// A file of the authority is damaged.
    #[error("the {what} at {} is damaged: {why}; restore it from a copy", .path.display())]
    Damaged {
        /// What it should be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What was taken for a certificate is something else.
    #[error("{} is {found}; expected a certificate in PEM", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: FileKind,
    },
    /// The key is not that of the certificate beside it.
    #[error("the private key at {} does not belong to the certificate beside it", .path.display())]
    KeyMismatch {
        /// The key.
        path: PathBuf,
    },
    /// Another command is at work.
    #[error("another command is at work with the authority at {}: try again when it is done", .path.display())]
    Busy {
        /// The authority's directory.
        path: PathBuf,
    },
    /// The authority's own time is over.
    #[error("the authority ended at {}: make new ones", moment(*.not_after))]
    Ended {
        /// Its last second, since 1970.
        not_after: u64,
    },
    /// Less than a day or more than [`DAYS_MAX`].
    #[error("a certificate is valid for 1 to {DAYS_MAX} days")]
    Days,
    /// More than [`CERTIFICATE_CAPABILITIES_MAX`].
    #[error("a certificate holds at most {CERTIFICATE_CAPABILITIES_MAX} capabilities")]
    Capabilities,
    /// Nothing valid was issued for this server or under this number.
    #[error("no certificate for {target} is in force here: `ca view` lists those that are")]
    NotIssued {
        /// The server or serial number.
        target: String,
    },
    /// The certificate to be renewed is not in the book, or does not say what was signed.
    #[error(
        "the certificate at {} was not issued by this authority for {server}: issue one by `ca cert --force`",
        .path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Whose it should be.
        server: ServerId,
    },
    /// The certificate to be renewed was revoked, and whoever had its key has it still.
    #[error("the certificate of {server} was revoked: issue one with a new key, by `ca cert --force`")]
    Revoked {
        /// Whose it is.
        server: ServerId,
    },
    /// The certificate at a server's place is not its own.
    #[error("the certificate at {} is for {found} and not for {server}", .path.display())]
    Another {
        /// The file.
        path: PathBuf,
        /// Whose it should be.
        server: ServerId,
        /// Whose it is.
        found: ServerId,
    },
    /// A certificate cannot be used.
    #[error("{} cannot be used", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: CertificateError,
    },
    /// More than [`ISSUED_MAX`].
    #[error("the authority keeps book of at most {ISSUED_MAX} certificates")]
    TooMany,
    /// The library that writes certificates has failed.
    #[error("the certificate cannot be made: {why}")]
    Encoding {
        /// What it said.
        why: String,
    },
}

impl CaError {
    /// Stable name of the reason, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(e) => e.code(),
            Self::Key(e) => e.code(),
            Self::Subject(_) => "ca-subject",
            Self::Exists { .. } => "ca-exists",
            Self::Damaged { .. } => "ca-damaged",
            Self::Foreign { .. } => "not-a-certificate",
            Self::KeyMismatch { .. } => "key-mismatch",
            Self::Busy { .. } => "ca-busy",
            Self::Ended { .. } => "ca-ended",
            Self::Days => "ca-days",
            Self::Capabilities => "ca-capabilities",
            Self::NotIssued { .. } => "not-issued",
            Self::NotOurs { .. } => "not-ours",
            Self::Revoked { .. } => "certificate-revoked",
            Self::Another { .. } => "another-server",
            Self::Certificate { source, .. } => source.code(),
            Self::TooMany => "ca-too-many",
            Self::Encoding { .. } => "ca-encoding",
        }
    }

    pub(super) fn damaged(what: &'static str, path: &Path, why: impl ToString) -> Self {
        Self::Damaged { what, path: path.into(), why: why.to_string() }
    }

    pub(super) fn encoding(why: impl ToString) -> Self {
        Self::Encoding { why: why.to_string() }
    }
}

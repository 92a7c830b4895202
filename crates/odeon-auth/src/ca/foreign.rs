//! What a file is that somebody takes for a certificate: told by its first bytes, for an error or another view.

use std::fmt;

use crate::grant::GRANT_TEXT_KIND;

/// How much of a file is looked at, in bytes.
pub const FILE_KIND_BYTES: usize = 64 * 1024;

/// Where a tar says that it is one, and how.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// Certificates in PEM.
    Certificates,
    /// A revocation list in PEM.
    RevocationList,
    /// A private key in PEM.
    PrivateKey,
    /// A private key under a passphrase, in PEM.
    ProtectedKey,
    /// A public key in PEM.
    PublicKey,
    /// A request for a certificate, in PEM.
    Request,
    /// Something else in PEM.
    OtherPem,
    /// DER, which is what PEM has inside.
    Der,
    /// A grant, as text.
    Grant,
    /// An archive, such as `package` makes.
    Archive,
    /// Text.
    Text,
    /// Anything else.
    Binary,
    /// Nothing.
    Empty,
}

impl FileKind {
    /// What a file is that begins with these bytes; [`FILE_KIND_BYTES`] of them are enough.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let (at, magic) = TAR_MAGIC;
        if bytes.trim_ascii().is_empty() {
            return Self::Empty;
        }
        if bytes.get(at..).is_some_and(|rest| rest.starts_with(magic)) {
            return Self::Archive;
        }
        if bytes.trim_ascii_start().starts_with(GRANT_TEXT_KIND.as_bytes()) {
            return Self::Grant;
        }
        if let Some(kind) = label(bytes).map(Self::of_label) {
            return kind;
        }
        // A sequence with its length in two bytes: so begins every certificate, list and request.
        if bytes.starts_with(&[0x30, 0x82]) {
            return Self::Der;
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => Self::Text,
            // Cut within a character.
            Err(error) if error.error_len().is_none() => Self::Text,
            Err(_) => Self::Binary,
        }
    }

    fn of_label(label: &[u8]) -> Self {
        match label {
            b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" => Self::Certificates,
            b"X509 CRL" => Self::RevocationList,
            b"ENCRYPTED PRIVATE KEY" => Self::ProtectedKey,
            b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => Self::Request,
            label if label.ends_with(b"PRIVATE KEY") => Self::PrivateKey,
            label if label.ends_with(b"PUBLIC KEY") => Self::PublicKey,
            _ => Self::OtherPem,
        }
    }
}

/// The first label of a text in PEM.
fn label(bytes: &[u8]) -> Option<&[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const END: &[u8] = b"-----";
    let at = bytes.windows(BEGIN.len()).position(|window| window == BEGIN)? + BEGIN.len();
    let rest = &bytes[at..];
    Some(&rest[..rest.windows(END.len()).position(|window| window == END)?])
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificates => "a certificate",
            Self::RevocationList => "a revocation list",
            Self::PrivateKey => "a private key",
            Self::ProtectedKey => "a private key under a passphrase",
            Self::PublicKey => "a public key",
            Self::Request => "a request for a certificate",
            Self::OtherPem => "something else in PEM",
            Self::Der => "DER: `openssl x509 -inform der` makes PEM of a certificate",
            Self::Grant => "a grant",
            Self::Archive => "an archive, such as `package` makes",
            Self::Text => "text",
            Self::Binary => "neither text nor DER",
            Self::Empty => "empty",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_how_it_begins() {
        let mut tar = vec![b'x'; TAR_MAGIC.0];
        tar.extend_from_slice(b"ustar\0");
        let pem =
            |label: &str| format!("a word before\n-----BEGIN {label}-----\nAA==\n-----END {label}-----\n");
        for (bytes, kind) in [
            (b" \n".to_vec(), FileKind::Empty),
            (tar, FileKind::Archive),
            (b"odeon-grant-1:00".to_vec(), FileKind::Grant),
            (pem("CERTIFICATE").into(), FileKind::Certificates),
            (pem("X509 CRL").into(), FileKind::RevocationList),
            (pem("PRIVATE KEY").into(), FileKind::PrivateKey),
            (pem("EC PRIVATE KEY").into(), FileKind::PrivateKey),
            (pem("ENCRYPTED PRIVATE KEY").into(), FileKind::ProtectedKey),
            (pem("PUBLIC KEY").into(), FileKind::PublicKey),
            (pem("CERTIFICATE REQUEST").into(), FileKind::Request),
            (pem("PGP MESSAGE").into(), FileKind::OtherPem),
            (b"-----BEGIN CERTIFICATE".to_vec(), FileKind::Text),
            (vec![0x30, 0x82, 1, 2, 0xff], FileKind::Der),
            (b"domain = \"/\"\n".to_vec(), FileKind::Text),
            ("half a ü".as_bytes()[..8].to_vec(), FileKind::Text),
            (vec![0xff, 0xfe, 0], FileKind::Binary),
        ] {
            assert_eq!(FileKind::of(&bytes), kind, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

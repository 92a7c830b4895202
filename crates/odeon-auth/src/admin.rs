//! The ensemble's admin key, by which grants begin, and the keys of those who hold them.
//!
//! `admin.pub` holds the public half, as 64 digits of hexadecimal; `admin.key` the private one, in PKCS#8 under a
//! passphrase. Who holds grants has a key of its own in a file `grant.key`, for its owner alone and without a
//! passphrase, since servers start unattended.

use std::path::{Path, PathBuf};

use odeon_core::seam::Rng;

use crate::cookie::Existing;
use crate::files::{self, Contents, FileError, KEY_FILE_BYTES_MAX, MODE_PUBLIC, Readers};
use crate::grant::{GrantKey, PublicKey};
use crate::keys::{KeyError, KeyKind, Passphrase, PrivateKey};

const WHAT: &str = "admin's public key";

/// Where the admin key is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminFiles {
    /// The public half.
    pub public: PathBuf,
    /// The private half.
    pub private: PathBuf,
}

/// Why an admin key or a holder's cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The private key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file of the public key holds something else.
    #[error("{} does not hold an Ed25519 public key: expected 64 digits of lower-case hexadecimal", .path.display())]
    Public {
        /// The file.
        path: PathBuf,
    },
    /// The private key is of another kind.
    #[error("the key at {} is not Ed25519, and no other kind signs grants", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
    },
    /// The two files are of two keys.
    #[error(
        "{} and {} are of different keys: put the right `admin.pub` back, or make both anew with `admin keys --force`",
        .files.public.display(),
        .files.private.display()
    )]
    Mismatch {
        /// The files.
        files: AdminFiles,
    },
}

impl AdminError {
    /// Stable name of the reason, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(e) => e.code(),
            Self::Key(e) => e.code(),
            Self::Public { .. } => "key-damaged",
            Self::Kind { .. } => "key-kind",
            Self::Mismatch { .. } => "key-mismatch",
        }
    }
}

impl AdminFiles {
    /// Those of an ensemble's home.
    #[must_use]
    pub fn below(home: &Path) -> Self {
        Self { public: home.join("admin.pub"), private: home.join("admin.key") }
    }

    /// Makes a new key, the private half under `passphrase`.
    ///
    /// # Errors
    /// When there is one and it is to be kept, or a file cannot be written.
    pub fn create(
        &self,
        passphrase: &Passphrase,
        rng: &dyn Rng,
        existing: Existing,
    ) -> Result<PublicKey, AdminError> {
        if existing == Existing::Keep {
            files::absent(&self.public, WHAT)?;
        }
        let key = PrivateKey::generate(KeyKind::Ed25519, rng);
        key.save_protected(&self.private, passphrase, existing, rng)?;
        let public = grant_key(&key, &self.private)?.public();
        let text = format!("{public}\n");
        let contents = Contents { what: WHAT, path: &self.public, bytes: text.as_bytes(), mode: MODE_PUBLIC };
        // A public half that is left over by itself is of no use to anybody.
        files::write(&contents, Existing::Replace, rng)?;
        Ok(public)
    }

    /// Reads the public half.
    ///
    /// # Errors
    /// When there is none, or the file holds something else.
    pub fn public(&self) -> Result<PublicKey, AdminError> {
        let bytes = files::read(&self.public, WHAT, KEY_FILE_BYTES_MAX, Readers::All)?;
        let text = str::from_utf8(&bytes).ok();
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| AdminError::Public { path: self.public.clone() })
    }

    /// Reads the private half, and sees to it that the public one is its own.
    ///
    /// # Errors
    /// When a file is missing or damaged, the passphrase is another, or the two do not belong together.
    pub fn private(&self, passphrase: &Passphrase) -> Result<GrantKey, AdminError> {
        let key = grant_key(&PrivateKey::load_protected(&self.private, passphrase)?, &self.private)?;
        if self.public()? == key.public() {
            Ok(key)
        } else {
            Err(AdminError::Mismatch { files: self.clone() })
        }
    }
}

impl GrantKey {
    /// Reads the key of a holder of grants from its file, or makes it if there is none yet.
    ///
    /// # Errors
    /// When the file cannot be used, or its key is not Ed25519.
    pub fn load_or_create(path: &Path, rng: &dyn Rng) -> Result<Self, AdminError> {
        let load = || grant_key(&PrivateKey::load(path)?, path);
        if !path.exists() {
            match PrivateKey::generate(KeyKind::Ed25519, rng).save(path, Existing::Keep, rng) {
                // Somebody was faster; theirs is as good.
                Err(KeyError::File(FileError::Exists { .. })) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        load()
    }
}

fn grant_key(key: &PrivateKey, path: &Path) -> Result<GrantKey, AdminError> {
    let key = key.ed25519().ok_or_else(|| AdminError::Kind { path: path.into() })?;
    Ok(GrantKey::of(key.clone()))
}

#[cfg(test)]
mod tests {
    use odeon_core::{Capabilities, Caveat, Epoch, ServerId};
    use zeroize::Zeroizing;

    use super::*;
    use crate::grant::{GrantChain, GrantQuestion, NewBlock, Signature};
    use crate::testing::Seeded;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned())).expect("long enough")
    }

    fn id(text: &str) -> ServerId {
        text.parse().expect("a server id")
    }

    /// ADM-1: a key pair is made under a passphrase and loaded; a challenge of server a for client b, signed with it,
    /// verifies, and with wrong bytes does not.
    #[test]
    fn adm_1_a_challenge_signed_with_the_loaded_key_verifies_and_wrong_bytes_do_not() {
        let home = tempfile::tempdir().expect("a directory");
        let (files, rng) = (AdminFiles::below(home.path()), Seeded::default());
        let made = files.create(&passphrase("correct horse"), &rng, Existing::Keep).expect("made");
        let (public, private) = (files.public().expect("read"), files.private(&passphrase("correct horse")));
        let private = private.expect("opened");
        assert_eq!((made, private.public()), (public, public));

        let caveats = vec![
            Caveat::Servers([id("a@/")].into()),
            Caveat::Capabilities(Capabilities::admin()),
            Caveat::NotAfter(9),
        ];
        let block = NewBlock { now_ms: 0, grantee: Some(id("b@/")), holder: None, caveats };
        let chain = GrantChain::issue(&private, &rng, block).expect("issued");
        let question = GrantQuestion {
            server: &id("a@/"),
            peer: &id("b@/"),
            epoch: Epoch(0),
            link: &[1; 32],
            challenge: &[2; 32],
            chain: &chain,
        };
        let signature = question.answer(&private);
        assert!(question.is_answered(&public, &signature));
        for byte in 0..64 {
            let mut bent = signature.0;
            bent[byte] ^= 1;
            assert!(!question.is_answered(&public, &Signature(bent)), "byte {byte}");
        }
    }

    #[test]
    fn an_admin_key_is_kept_unless_replaced_and_needs_its_passphrase() {
        let home = tempfile::tempdir().expect("a directory");
        let (files, rng) = (AdminFiles::below(home.path()), Seeded::default());
        files.create(&passphrase("correct horse"), &rng, Existing::Keep).expect("made");
        let again = files.create(&passphrase("correct horse"), &rng, Existing::Keep);
        assert!(matches!(again, Err(AdminError::File(FileError::Exists { .. }))), "{again:?}");
        let wrong = files.private(&passphrase("wrong horse"));
        assert!(matches!(wrong, Err(AdminError::Key(KeyError::WrongPassphrase { .. }))), "{wrong:?}");
        let before = files.public().expect("read");
        let after = files.create(&passphrase("another horse"), &rng, Existing::Replace).expect("replaced");
        assert_ne!(before, after);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test mixes up two files")]
    fn a_public_key_of_another_pair_is_refused() {
        let home = tempfile::tempdir().expect("a directory");
        let (files, rng) = (AdminFiles::below(home.path()), Seeded::default());
        files.create(&passphrase("correct horse"), &rng, Existing::Keep).expect("made");
        let other = GrantKey::generate(&rng).public();
        std::fs::write(&files.public, other.to_string()).expect("written");
        let mixed = files.private(&passphrase("correct horse"));
        assert!(matches!(mixed, Err(AdminError::Mismatch { .. })), "{mixed:?}");
        std::fs::write(&files.public, "no key").expect("written");
        assert!(matches!(files.public(), Err(AdminError::Public { .. })));
    }

    #[test]
    fn a_holders_key_is_made_once_and_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().expect("a directory");
        let (path, rng) = (home.path().join("grant.key"), Seeded::default());
        let made = GrantKey::load_or_create(&path, &rng).expect("made").public();
        assert_eq!(GrantKey::load_or_create(&path, &rng).expect("read").public(), made);
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
    }
}

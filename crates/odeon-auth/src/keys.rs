//! Private keys and their files.
//!
//! A key is Ed25519 or ECDSA on P-256, and is kept as PKCS#8 in PEM, mode 0600:
//!
//! - plain, for servers, which start with nobody there to ask;
//! - under a passphrase (PBES2: scrypt with N = 2^17, AES-256-CBC), for authorities and administrators.
//!
//! Above an encrypted key stands a line with the SHA-256 of what is encrypted, so that a damaged file is told
//! from a wrong passphrase; other programs take the line for a remark. Files without it are read as well.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::pkcs8::KeypairBytes;
use odeon_core::seam::Rng;
use pkcs8::der::{Decode as _, SecretDocument};
use pkcs8::pkcs5::pbes2::{self, EncryptionScheme, Kdf, Salt, ScryptParams};
use pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, EncryptedPrivateKeyInfoRef,
    LineEnding, PrivateKeyInfoRef,
};
use sha2::{Digest, Sha256};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use zeroize::Zeroizing;

use crate::cookie::Existing;
use crate::files::{self, Contents, FileError, KEY_FILE_BYTES_MAX, MODE_SECRET, Readers};

/// Fewest characters of a passphrase.
pub const PASSPHRASE_CHARS_MIN: usize = 8;

/// Longest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

/// log2 of scrypt's cost N: half a second and 128 MiB for each guess.
const SCRYPT_LOG_N: u32 = 17;
const SCRYPT_BLOCK: u16 = 8;

/// Greatest costs that a file may ask for: 1 GiB, and some seconds.
const SCRYPT_N_MAX: u64 = 1 << 20;
const SCRYPT_BLOCK_MAX: u16 = 8;
const SCRYPT_LANES_MAX: u16 = 16;
const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

const LABEL_PLAIN: &str = "PRIVATE KEY";
const LABEL_PROTECTED: &str = "ENCRYPTED PRIVATE KEY";

/// Begins the line that tells a damaged file from a wrong passphrase.
const DIGEST_LINE: &str = "odeon-key-sha256: ";

const WHAT: &str = "private key";

/// A kind of signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyKind {
    /// Ed25519: small, fast, without parameters.
    #[default]
    Ed25519,
    /// ECDSA on the curve P-256, for where rules ask for it.
    P256,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::P256];
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ed25519 => "ed25519",
            Self::P256 => "p256",
        })
    }
}

/// The text is no kind of key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no kind of key: there are `ed25519` and `p256`")]
pub struct KeyKindError {
    /// The text.
    pub text: String,
}

impl FromStr for KeyKind {
    type Err = KeyKindError;

    fn from_str(text: &str) -> Result<Self, KeyKindError> {
        let known = Self::ALL.into_iter().find(|kind| kind.to_string() == text);
        known.ok_or_else(|| KeyKindError { text: text.to_owned() })
    }
}

/// What protects a key. Erased from memory when dropped; has no `Debug`.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The passphrase with this text.
    ///
    /// # Errors
    /// When it is shorter than [`PASSPHRASE_CHARS_MIN`] or longer than [`PASSPHRASE_BYTES_MAX`].
    pub fn new(text: Zeroizing<String>) -> Result<Self, PassphraseError> {
        if text.chars().count() < PASSPHRASE_CHARS_MIN {
            return Err(PassphraseError::TooShort);
        }
        if text.len() > PASSPHRASE_BYTES_MAX {
            return Err(PassphraseError::TooLong);
        }
        Ok(Self(text))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// The text is no passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// It is too easily guessed.
    #[error("a passphrase has at least {PASSPHRASE_CHARS_MIN} characters")]
    TooShort,
    /// It is longer than anybody types.
    #[error("a passphrase has at most {PASSPHRASE_BYTES_MAX} bytes")]
    TooLong,
}

/// Why a key could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Its file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no key that can be used.
    #[error("the private key at {} is damaged or of an unknown kind: {why}; restore it from a copy, or make a new one", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The passphrase is not the key's.
    #[error("that is not the passphrase of the private key at {}", .path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The key is under a passphrase, and none was expected.
    #[error("the private key at {} is protected by a passphrase, and here is nobody to ask: a server's key is kept plain", .path.display())]
    Protected {
        /// The file.
        path: PathBuf,
    },
    /// The key should be under a passphrase.
    #[error("the private key at {} is not protected by a passphrase: `openssl pkcs8 -topk8 -scrypt` protects it", .path.display())]
    Unprotected {
        /// The file.
        path: PathBuf,
    },
}

impl KeyError {
    /// Stable name of the reason, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File(e) => e.code(),
            Self::Damaged { .. } => "key-damaged",
            Self::WrongPassphrase { .. } => "wrong-passphrase",
            Self::Protected { .. } => "key-protected",
            Self::Unprotected { .. } => "key-unprotected",
        }
    }
}

/// A private key. Erased from memory when dropped; `Debug` shows its kind alone.
#[derive(Clone)]
pub struct PrivateKey(Secret);

#[derive(Clone)]
pub(crate) enum Secret {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

impl PrivateKey {
    /// A new key from `rng`, which must be fit for secrets.
    #[must_use]
    pub fn generate(kind: KeyKind, rng: &dyn Rng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            rng.fill(bytes.as_mut_slice());
            match kind {
                KeyKind::Ed25519 => {
                    return Self(Secret::Ed25519(ed25519_dalek::SigningKey::from_bytes(&bytes)));
                }
                // One draw in 2^32 is zero or too great for the curve.
                KeyKind::P256 => {
                    if let Ok(key) = p256::ecdsa::SigningKey::from_slice(bytes.as_slice()) {
                        return Self(Secret::P256(key));
                    }
                }
            }
        }
    }

    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        match self.0 {
            Secret::Ed25519(_) => KeyKind::Ed25519,
            Secret::P256(_) => KeyKind::P256,
        }
    }

    /// The key for signing with Ed25519, if it is one.
    #[must_use]
    pub const fn ed25519(&self) -> Option<&ed25519_dalek::SigningKey> {
        match &self.0 {
            Secret::Ed25519(key) => Some(key),
            Secret::P256(_) => None,
        }
    }

    pub(crate) const fn secret(&self) -> &Secret {
        &self.0
    }

    /// The public half, as certificates hold it.
    #[must_use]
    pub(crate) fn public(&self) -> SubjectPublicKeyInfoOwned {
        let document = match &self.0 {
            Secret::Ed25519(key) => key.verifying_key().to_public_key_der(),
            Secret::P256(key) => key.verifying_key().to_public_key_der(),
        };
        let document = document.expect("a key of a known kind has an encoding");
        SubjectPublicKeyInfoOwned::from_der(document.as_bytes()).expect("what was just encoded")
    }

    /// The key in PKCS#8. As secret as the key.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.document().to_bytes()
    }

    fn document(&self) -> SecretDocument {
        let document = match &self.0 {
            // With the public key beside it, it would be version 2 of the format, which OpenSSL 3.0 cannot read.
            Secret::Ed25519(key) => {
                KeypairBytes { secret_key: key.to_bytes(), public_key: None }.to_pkcs8_der()
            }
            Secret::P256(key) => key.to_pkcs8_der(),
        };
        document.expect("a key of a known kind has an encoding")
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|e| e.to_string())?;
        if info.algorithm.oid == ed25519_dalek::pkcs8::ALGORITHM_OID {
            let key = ed25519_dalek::SigningKey::from_pkcs8_der(der).map_err(|e| e.to_string())?;
            return Ok(Self(Secret::Ed25519(key)));
        }
        let key = p256::ecdsa::SigningKey::from_pkcs8_der(der);
        key.map(|key| Self(Secret::P256(key))).map_err(|e| format!("it is neither Ed25519 nor P-256 ({e})"))
    }

    /// Reads a key that is kept plain.
    ///
    /// # Errors
    /// When the file is missing, can be reached by others than its owner, is damaged, or under a passphrase.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        match KeyFile::read(path)? {
            KeyFile { is_protected: true, .. } => Err(KeyError::Protected { path: path.into() }),
            KeyFile { document, .. } => {
                Self::from_pkcs8(document.as_bytes()).map_err(|why| damaged(path, why))
            }
        }
    }

    /// Reads a key under a passphrase.
    ///
    /// # Errors
    /// When the file is missing, can be reached by others than its owner, is damaged, or not under a passphrase;
    /// [`KeyError::WrongPassphrase`] when the passphrase is another.
    pub fn load_protected(path: &Path, passphrase: &Passphrase) -> Result<Self, KeyError> {
        let KeyFile { document, is_protected, is_whole } = KeyFile::read(path)?;
        if !is_protected {
            return Err(KeyError::Unprotected { path: path.into() });
        }
        if !is_whole {
            return Err(damaged(path, "what is encrypted has changed since it was written"));
        }
        let sealed =
            EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|e| damaged(path, e))?;
        check_costs(&sealed).map_err(|why| damaged(path, why))?;
        // A wrong passphrase gives a wrong padding, or now and then a right one over nonsense.
        let wrong = || KeyError::WrongPassphrase { path: path.into() };
        let opened = sealed.decrypt(passphrase.0.as_bytes()).map_err(|_| wrong())?;
        if PrivateKeyInfoRef::try_from(opened.as_bytes()).is_err() {
            return Err(wrong());
        }
        Self::from_pkcs8(opened.as_bytes()).map_err(|why| damaged(path, why))
    }

    /// Writes the key plain, for its owner alone.
    ///
    /// # Errors
    /// When there is a file and it is to be kept, or the operating system refuses.
    pub fn save(&self, path: &Path, existing: Existing, rng: &dyn Rng) -> Result<(), KeyError> {
        let pem = self.document().to_pem(LABEL_PLAIN, LineEnding::LF).expect("a document has an encoding");
        Ok(write(path, pem.as_bytes(), existing, rng)?)
    }

    /// Writes the key under a passphrase, for its owner alone.
    ///
    /// # Errors
    /// When there is a file and it is to be kept, or the operating system refuses.
    pub fn save_protected(
        &self,
        path: &Path,
        passphrase: &Passphrase,
        existing: Existing,
        rng: &dyn Rng,
    ) -> Result<(), KeyError> {
        if existing == Existing::Keep {
            files::absent(path, WHAT)?;
        }
        let sealed = self.seal(passphrase, rng).map_err(|e| damaged(path, e))?;
        let pem = sealed.to_pem(LABEL_PROTECTED, LineEnding::LF).expect("a document has an encoding");
        let text = format!("{DIGEST_LINE}{}\n{}", digest(sealed.as_bytes()), *pem);
        Ok(write(path, text.as_bytes(), existing, rng)?)
    }

    fn seal(&self, passphrase: &Passphrase, rng: &dyn Rng) -> Result<SecretDocument, pkcs8::Error> {
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        rng.fill(&mut salt);
        rng.fill(&mut iv);
        let scrypt = ScryptParams {
            salt: Salt::new(salt)?,
            cost_parameter: 1 << SCRYPT_LOG_N,
            block_size: SCRYPT_BLOCK,
            parallelization: 1,
            key_length: None,
        };
        let parameters =
            pbes2::Parameters { kdf: Kdf::Scrypt(scrypt), encryption: EncryptionScheme::Aes256Cbc { iv } };
        let plain = self.document();
        PrivateKeyInfoRef::try_from(plain.as_bytes())?
            .encrypt_with_params(parameters, passphrase.0.as_bytes())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, ..)", self.kind())
    }
}

/// What a key's file holds, before it is understood.
struct KeyFile {
    document: SecretDocument,
    is_protected: bool,
    /// Whether it is what was written, as far as the file tells.
    is_whole: bool,
}

impl KeyFile {
    fn read(path: &Path) -> Result<Self, KeyError> {
        let bytes = files::read(path, WHAT, KEY_FILE_BYTES_MAX, Readers::Owner)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged(path, "it is not text"))?;
        let (label, document) = SecretDocument::from_pem(text).map_err(|e| damaged(path, e))?;
        let is_protected = match label {
            LABEL_PLAIN => false,
            LABEL_PROTECTED => true,
            other => return Err(damaged(path, format!("it holds `{other}` instead of `{LABEL_PLAIN}`"))),
        };
        let noted = text.lines().find_map(|line| line.strip_prefix(DIGEST_LINE));
        let is_whole = noted.is_none_or(|noted| noted.trim() == digest(document.as_bytes()));
        Ok(Self { document, is_protected, is_whole })
    }
}

/// A file must not make its reader work or allocate without bound.
fn check_costs(sealed: &EncryptedPrivateKeyInfoRef<'_>) -> Result<(), String> {
    let Some(parameters) = sealed.encryption_algorithm.pbes2() else {
        return Err("its encryption is older than PBES2".to_owned());
    };
    let is_bounded = match &parameters.kdf {
        Kdf::Scrypt(scrypt) => {
            scrypt.cost_parameter <= SCRYPT_N_MAX
                && scrypt.block_size <= SCRYPT_BLOCK_MAX
                && scrypt.parallelization <= SCRYPT_LANES_MAX
        }
        Kdf::Pbkdf2(pbkdf2) => pbkdf2.iteration_count <= PBKDF2_ROUNDS_MAX,
        _ => false,
    };
    if is_bounded {
        Ok(())
    } else {
        Err("its encryption asks for more memory or time than is given".to_owned())
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn damaged(path: &Path, why: impl ToString) -> KeyError {
    KeyError::Damaged { path: path.into(), why: why.to_string() }
}

fn write(path: &Path, bytes: &[u8], existing: Existing, rng: &dyn Rng) -> Result<(), FileError> {
    files::write(&Contents { what: WHAT, path, bytes, mode: MODE_SECRET }, existing, rng)
}

#[cfg(test)]
mod tests;

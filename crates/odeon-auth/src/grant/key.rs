//! The keys by which grants are signed and held: Ed25519.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use odeon_core::seam::Rng;
use odeon_core::{from_hex, to_hex};
use zeroize::Zeroizing;

/// Why something is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantKeyError {
    /// It is no Ed25519 public key, or one of the few that verify anything.
    #[error("it is not an Ed25519 public key: expected 64 digits of lower-case hexadecimal")]
    Public,
}

/// An Ed25519 signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl FromStr for Signature {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        from_hex(text).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(())
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

/// A public key, as 64 digits of hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key of these bytes.
    ///
    /// # Errors
    /// When they are no key, or one for which anything verifies.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, GrantKeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| GrantKeyError::Public)?;
        if key.is_weak() { Err(GrantKeyError::Public) } else { Ok(Self(key)) }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether this key's owner has signed `message`. Strict: one signature per message and key.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = GrantKeyError;

    fn from_str(text: &str) -> Result<Self, GrantKeyError> {
        let bytes = from_hex(text.trim()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        Self::from_bytes(&bytes.ok_or(GrantKeyError::Public)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&to_hex(self.as_bytes()))
    }
}

/// A private key. It is erased from memory when dropped.
#[derive(Clone)]
pub struct GrantKey(SigningKey);

impl GrantKey {
    /// A new key from `rng`, which must be fit for secrets.
    #[must_use]
    pub fn generate(rng: &dyn Rng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill(seed.as_mut_slice());
        Self(SigningKey::from_bytes(&seed))
    }

    /// The key that a file held.
    pub(crate) const fn of(key: SigningKey) -> Self {
        Self(key)
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

/// Says whose key it is, and not the key.
impl fmt::Debug for GrantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GrantKey").field(&self.public().to_string()).finish()
    }
}

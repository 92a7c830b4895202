//! The question by which a server has a chain's holder prove its key, and what is signed in answer.

use odeon_core::{Capability, Epoch, ServerId};
use sha2::{Digest, Sha256};

use super::chain::GrantChain;
use super::key::{GrantKey, PublicKey, Signature};

/// Length of a challenge: as much as the strength of the keys needs, twice.
pub const CHALLENGE_BYTES: usize = 32;

/// What is signed: all that an answer could be carried over to, or be mistaken for.
///
/// The digest that is signed is SHA-256 of `odeon grant answer 1`, then, each behind its length as 8 bytes,
/// big-endian: server, peer, epoch (8 bytes), the link's digest, the challenge, the chain's digest, and the
/// capabilities in order, with a comma between.
#[derive(Debug, Clone, Copy)]
pub struct GrantQuestion<'a> {
    /// The server that asks.
    pub server: &'a ServerId,
    /// The server that answers.
    pub peer: &'a ServerId,
    /// Which incarnation of it.
    pub epoch: Epoch,
    /// What both have seen of each other on this link, with its nonces.
    pub link: &'a [u8; 32],
    /// Random bytes, used once.
    pub challenge: &'a [u8; CHALLENGE_BYTES],
    /// What is presented.
    pub chain: &'a GrantChain,
}

impl GrantQuestion<'_> {
    fn digest(&self) -> [u8; 32] {
        let (server, peer) = (self.server.to_string(), self.peer.to_string());
        let held = self.chain.right(false).capabilities;
        let held: Vec<&str> = held.iter().map(Capability::as_str).collect();
        let held = held.join(",");
        let (epoch, chain) = (self.epoch.0.to_be_bytes(), self.chain.digest());
        let parts: [&[u8]; 8] = [
            b"odeon grant answer 1",
            server.as_bytes(),
            peer.as_bytes(),
            &epoch,
            self.link,
            self.challenge,
            &chain,
            held.as_bytes(),
        ];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// The answer, by `key`.
    #[must_use]
    pub fn answer(&self, key: &GrantKey) -> Signature {
        key.sign(&self.digest())
    }

    /// Whether `signature` is the answer of `key`.
    #[must_use]
    pub fn is_answered(&self, key: &PublicKey, signature: &Signature) -> bool {
        key.verifies(&self.digest(), signature)
    }
}

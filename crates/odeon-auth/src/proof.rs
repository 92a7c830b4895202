//! The mutual challenge: each side shows that it holds the cookie, over the hellos that both have seen.
//!
//! | value | is |
//! | --- | --- |
//! | transcript | SHA-256 of `odeon transcript 1`, then the dialler's and the listener's hello, each behind its length as 8 bytes, big-endian |
//! | proof | HMAC-SHA-256, keyed with the cookie, of the side's label, then the transcript |
//! | label | `odeon link proof 1: dialler` or `odeon link proof 1: listener` |
//!
//! The hellos carry fresh nonces, so a proof is good for one link; the labels differ, so a proof sent back to
//! its maker is worthless; the lengths stand before the hellos, so no byte can move from one to the other.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::cookie::Cookie;

/// Which end of a link a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that connected.
    Dialler,
    /// The one that was connected to.
    Listener,
}

impl Side {
    /// Separates the proofs of the two sides. Neither label is a prefix of the other.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Dialler => b"odeon link proof 1: dialler",
            Self::Listener => b"odeon link proof 1: listener",
        }
    }
}

/// Shows that its maker held the cookie when this link's hellos were exchanged.
#[derive(Debug, Clone, Copy)]
pub struct Proof(pub [u8; 32]);

/// What both sides have seen of each other: a digest of the two hello frames, as they were sent.
#[must_use]
pub fn transcript(dialler_hello: &[u8], listener_hello: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"odeon transcript 1");
    for hello in [dialler_hello, listener_hello] {
        hash.update((hello.len() as u64).to_be_bytes());
        hash.update(hello);
    }
    hash.finalize().into()
}

/// The proof that `side` sends.
#[must_use]
pub fn prove(cookie: &Cookie, side: Side, transcript: &[u8; 32]) -> Proof {
    let mut mac = Hmac::<Sha256>::new_from_slice(cookie.secret()).expect("HMAC takes a key of any length");
    mac.update(side.label());
    mac.update(transcript);
    Proof(mac.finalize().into_bytes().into())
}

/// Whether `proof` is the one that `side` makes with this cookie over this transcript. Takes the same time for
/// every wrong proof.
#[must_use]
pub fn verify(cookie: &Cookie, side: Side, transcript: &[u8; 32], proof: &Proof) -> bool {
    prove(cookie, side, transcript).0.ct_eq(&proof.0).into()
}

#[cfg(test)]
mod tests {
    use odeon_core::to_hex;

    use super::*;

    /// The bytes 0, 1, … 31.
    fn counting() -> Cookie {
        Cookie::from_bytes(std::array::from_fn(|i| u8::try_from(i).expect("below 32")))
    }

    /// Expected values from an independent implementation (Python's `hashlib` and `hmac`).
    #[test]
    fn known_answers() {
        let seen = transcript(b"dialler's hello", b"listener's hello");
        assert_eq!(to_hex(&seen), "b7ecb5e213438167388145a0e795b9fe812efed1fcf505d7d053e8749baf7c70");
        assert_eq!(
            to_hex(&prove(&counting(), Side::Dialler, &seen).0),
            "13c3d933ec4cedae020fa475e3911e44a3dc301c05401e566122f98e8aa7ffcf"
        );
        assert_eq!(
            to_hex(&prove(&counting(), Side::Listener, &seen).0),
            "06733c67a3a00ac5d7d4ce108b0626d7d7d8fa5c19569f2f0bf98aec042033aa"
        );
    }

    #[test]
    fn a_proof_holds_for_its_side_only() {
        let cookie = counting();
        let seen = transcript(b"a", b"b");
        for (side, other) in [(Side::Dialler, Side::Listener), (Side::Listener, Side::Dialler)] {
            let proof = prove(&cookie, side, &seen);
            assert!(verify(&cookie, side, &seen, &proof));
            assert!(!verify(&cookie, other, &seen, &proof), "reflected");
        }
    }

    #[test]
    fn a_proof_holds_for_its_transcript_and_cookie_only() {
        let cookie = counting();
        let seen = transcript(b"a", b"b");
        let proof = prove(&cookie, Side::Dialler, &seen);
        assert!(!verify(&cookie, Side::Dialler, &transcript(b"a", b"c"), &proof));
        assert!(!verify(&Cookie::from_bytes([7; 32]), Side::Dialler, &seen, &proof));
        for bit in 0..256 {
            let mut bent = proof;
            bent.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&cookie, Side::Dialler, &seen, &bent), "bit {bit}");
        }
    }

    #[test]
    fn no_byte_moves_between_the_hellos() {
        assert_ne!(transcript(b"ab", b"c"), transcript(b"a", b"bc"));
        assert_ne!(transcript(b"a", b"b"), transcript(b"b", b"a"));
    }
}

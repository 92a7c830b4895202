//! Grants: chains of signed blocks by which rights are given, narrowed and passed on.
//!
//! The first block of a chain is signed by the ensemble's admin key. Each further one is signed by the key of whom the
//! block before names as its holder, and can only take away. Nobody needs to be asked for that, and nobody can widen
//! what they hold: a right is what every block of its chain allows.
//!
//! | value | is |
//! | --- | --- |
//! | block | CBOR array, numbers frozen: 0 version (1), 1 parent, 2 id, 3 issued at (ms since 1970), 4 grantee, 5 holder, 6 caveats |
//! | parent | empty in the first block; else SHA-256 of `odeon grant parent 1`, then the block before and its signature |
//! | signed block | CBOR array: the block's bytes, the signature of `odeon grant block 1` and the block's bytes |
//! | chain | CBOR array of signed blocks |
//! | caveat | CBOR array: the kind's number, its values; 0 servers, 1 roles, 2 actors, 3 paths, 4 marks, 5 capabilities, 6 not after (seconds since 1970) |
//! | text | `odeon-grant-1:`, then the chain in lower-case hexadecimal |
//!
//! Invariants: what has unknown parts is refused, since they may be limits; each chain has one encoding, which is
//! checked by writing it again; a chain that exists has been checked whole, against the admin key it was read with.

mod answer;
mod block;
mod chain;
mod key;
#[cfg(test)]
mod tests;

pub use answer::{CHALLENGE_BYTES, GrantQuestion};
pub use block::{BLOCK_CAVEATS_MAX, GrantId};
pub use chain::{CHAIN_BLOCKS_MAX, CHAIN_BYTES_MAX, GrantBlock, GrantChain, GrantError, NewBlock};
pub use key::{GrantKey, GrantKeyError, PublicKey, Signature};

/// Lower-case hexadecimal.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of lower-case hexadecimal; none, if it is anything else.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

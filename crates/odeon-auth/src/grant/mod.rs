//! Grants: chains of signed blocks by which rights are given, narrowed and passed on.
//!
//! The first block of a chain is signed by the ensemble's admin key. Each further one is signed by the key of whom the
//! block before names as its holder, and can only take away. Nobody needs to be asked for that, and nobody can widen
//! what they hold: a right is what every block of its chain allows.
//!
//! | value | is |
//! | --- | --- |
//! | block | CBOR array, numbers frozen: 0 version (2), 1 parent, 2 nonce, 3 issued at (ms since 1970), 4 grantee, 5 holder, 6 caveats |
//! | parent | empty in the first block; else SHA-256 of `odeon grant parent 1`, then the block before and its signature, each behind its length as 8 bytes, big-endian |
//! | signed block | CBOR array: the block's bytes, the signature of `odeon grant block 1` and the block's bytes |
//! | chain | CBOR array of signed blocks |
//! | caveat | CBOR array: the kind's number, its values; 0 servers, 1 roles, 2 actors, 3 paths, 4 marks, 5 capabilities, 6 not after (seconds since 1970) |
//! | text | `odeon-grant-2:`, then the chain in lower-case hexadecimal |
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
pub use chain::{
    CHAIN_BLOCKS_MAX, CHAIN_BYTES_MAX, GRANT_TEXT_KIND, GRANT_TEXT_PREFIX, GrantBlock, GrantChain,
    GrantError, NewBlock,
};
pub use key::{GrantKey, GrantKeyError, PublicKey, Signature};

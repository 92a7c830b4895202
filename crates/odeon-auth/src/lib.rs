//! Proofs of identity between Odeon servers: the ensemble cookie and the challenge that shows who holds it.
//!
//! The crate owns one file, the cookie's. It knows no link and no frame: a proof is computed over the bytes of
//! the two hellos, whatever they mean.
//!
//! Invariants: the secret is erased when dropped and has no `Debug`; comparisons of secrets and proofs take
//! the same time whatever they find; a proof made by one side of a link never verifies as the other side's.

mod cookie;
mod grant;
mod proof;

pub use cookie::{COOKIE_BYTES, Cookie, CookieError, Existing};
pub use grant::{
    BLOCK_CAVEATS_MAX, CHAIN_BLOCKS_MAX, CHAIN_BYTES_MAX, CHALLENGE_BYTES, GrantBlock, GrantChain, GrantError, GrantId,
    GrantKey, GrantQuestion, GrantKeyError, NewBlock, PublicKey, Signature,
};
pub use proof::{Proof, Side, prove, transcript, verify};
